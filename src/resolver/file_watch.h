// FileWatch tells whether one of a few files was changed, replaced, made or removed since it was last asked: by stat,
// because an atomic replacement, a symbolic link's new target and a bind mount all show there.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sallyport::resolver {

class FileWatch {
 public:
  explicit FileWatch(std::span<const char* const> paths) : paths_(paths), seen_(paths.size()) {}

  // changed also remembers what it saw. The first call tells of every file that is there.
  bool changed() {
    bool any = false;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
      const Signature now = signature(paths_[i]);
      any = any || now != seen_[i];
      seen_[i] = now;
    }
    return any;
  }

 private:
  using Signature = std::array<std::int64_t, 5>;

  static Signature signature(const char* path) {
    struct stat status {};
    if (::stat(path, &status) != 0) return {};
    return {static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino), status.st_size,
            status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }

  std::span<const char* const> paths_;
  std::vector<Signature> seen_;
};

}  // namespace sallyport::resolver
