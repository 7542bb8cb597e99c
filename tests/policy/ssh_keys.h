// Host keys made by ssh-keygen, with the fingerprints that "ssh-keygen -lf" shows.
#pragma once

#include <string_view>

namespace sallyport::policy {

inline constexpr std::string_view kEd25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdLpmqX9UlroqCmZYIsWqUTiV+nnRD4R4QaFMzYBPrM";
inline constexpr std::string_view kEd25519Hash = "EeX7elgqQOdT8IOPueNwHKfXC9yx2FhmXaQz8vGzDso";
inline constexpr std::string_view kEcdsa =
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGI1BIc5TT4cEzf2Q/"
    "xTeKkrVBrreltp53cdIWAWvBye2KcNQDIx8jNHZdUiOlqjl9hpxPKKfVrZR8h14tdxlmo=";
inline constexpr std::string_view kEcdsaHash = "THFf4niEXKxKuvzCVIXVTMTVswY5Ka84+yzx9tAGz08";

}  // namespace sallyport::policy
