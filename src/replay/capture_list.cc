#include <algorithm>
#include <array>

#include "sallyport/replay/replay.h"

namespace sallyport::replay {
namespace {

bool is_capture_name(std::filesystem::path path) {
  if (path.extension() == ".gz" || path.extension() == ".zst") path.replace_extension();
  static constexpr std::array<std::string_view, 3> kExtensions = {".pcap", ".pcapng", ".cap"};
  return std::ranges::find(kExtensions, path.extension().string()) != kExtensions.end();
}

}  // namespace

std::expected<std::vector<std::filesystem::path>, std::string> list_captures(
    const std::vector<std::filesystem::path>& paths) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (const fs::path& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<fs::path> found;
    // Links to folders are not followed, so a loop of links ends.
    for (fs::recursive_directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (it->is_regular_file(ignored) && is_capture_name(it->path())) found.push_back(it->path());
    }
    if (error) return std::unexpected(path.string() + ": " + error.message());
    if (found.empty()) return std::unexpected(path.string() + ": no captures in this folder");
    std::ranges::sort(found);
    files.insert(files.end(), found.begin(), found.end());
  }
  return files;
}

}  // namespace sallyport::replay
