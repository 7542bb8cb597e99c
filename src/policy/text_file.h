// Reads whole files that an operator named.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

namespace sallyport::policy {

// read_text_file returns the content of a regular file of at most `size_max` octets. The error is for people.
std::expected<std::string, std::string> read_text_file(const std::filesystem::path& path, std::size_t size_max);

}  // namespace sallyport::policy
