// A FILE that reads through gzip or zstd where the bytes of another FILE begin with their magic.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

namespace sallyport::pcap {

// InputStatus is shared between the reader and the FILE: it outlives neither alone.
struct InputStatus {
  std::uint64_t position = 0;        // Bytes taken from the raw file.
  std::optional<std::string> error;  // What is wrong with the compressed data.
};

// open_input takes over `raw` and returns a FILE that gives its plain content; closing it closes both.
// Null on lack of memory, and then `raw` is closed. Nothing is read ahead of what the caller asks but one
// block, so a bomb costs time and no memory.
std::FILE* open_input(std::FILE* raw, std::shared_ptr<InputStatus> status);

}  // namespace sallyport::pcap
