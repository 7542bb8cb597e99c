// NameArena keeps the texts of a policy's names, packed, where they never move.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace sallyport::policy {

class NameArena {
 public:
  // store returns a view of a copy of `text` (at most kBlock octets) that lives as long as the arena.
  std::string_view store(std::string_view text) {
    if (blocks_.empty() || text.size() > kBlock - used_) {
      blocks_.push_back(std::make_unique<char[]>(kBlock));
      used_ = 0;
    }
    char* const place = blocks_.back().get() + used_;
    std::copy(text.begin(), text.end(), place);
    used_ += text.size();
    return {place, text.size()};
  }

 private:
  static constexpr std::size_t kBlock = std::size_t{1} << 16;
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t used_ = 0;
};

}  // namespace sallyport::policy
