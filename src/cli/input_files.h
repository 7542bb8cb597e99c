// What the commands that read captures and event files share: a file that cannot be opened is wrong use, exit code 2, like a
// policy that cannot be. One that can be opened and is damaged is an answer, exit code 1.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>

#include "commands.h"
#include "sallyport/replay/report.h"

namespace sallyport::cli {

// can_open prints why not. Nothing is opened: that could wait for the other end of a pipe.
inline bool can_open(const char* command, const std::filesystem::path& path) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  if (!folder && ::access(path.c_str(), R_OK) == 0) return true;
  const char* const why = folder ? "it is a folder" : std::strerror(errno);
  std::fprintf(stderr, "sallyport %s: cannot read %s: %s (see sallyport %s --help)\n", command, replay::printable(path.string()).c_str(), why, command);
  return false;
}

}  // namespace sallyport::cli
