#include "sallyport/engine/resolvers.h"

#include <algorithm>
#include <cstring>

namespace sallyport::engine {
namespace {

using Words = std::array<std::uint64_t, 3>;

Words words_of(const IpAddress& address) {
  std::array<std::uint8_t, 16> bytes{};
  std::copy(address.bytes().begin(), address.bytes().end(), bytes.begin());
  Words words{address.is_v6() ? std::uint64_t{6} : std::uint64_t{4}, 0, 0};
  std::memcpy(&words[1], bytes.data(), bytes.size());
  return words;
}

}  // namespace

// The writer makes the sequence odd, writes, and makes it even again. A reader that saw an odd one, or another one
// behind its reading, reads again.
bool Resolvers::set(std::span<const IpAddress> addresses) {
  const std::size_t count = std::min(addresses.size(), kMax);
  const std::uint64_t sequence = sequence_.load(std::memory_order_relaxed);
  sequence_.store(sequence + 1, std::memory_order_seq_cst);
  for (std::size_t i = 0; i < count; ++i) {
    const Words words = words_of(addresses[i].unmapped());
    for (std::size_t w = 0; w < words.size(); ++w) slots_[i][w].store(words[w], std::memory_order_seq_cst);
  }
  size_.store(count, std::memory_order_seq_cst);
  sequence_.store(sequence + 2, std::memory_order_seq_cst);
  return addresses.size() <= kMax;
}

bool Resolvers::trusts(const IpAddress& address) const {
  if (any_.load(std::memory_order_acquire)) return true;
  const Words wanted = words_of(address.unmapped());
  while (true) {
    const std::uint64_t before = sequence_.load(std::memory_order_seq_cst);
    if ((before & 1) != 0) continue;
    bool found = false;
    const std::size_t count = std::min(size_.load(std::memory_order_seq_cst), kMax);
    for (std::size_t i = 0; i < count && !found; ++i) {
      found = true;
      for (std::size_t w = 0; w < wanted.size(); ++w) {
        found = slots_[i][w].load(std::memory_order_seq_cst) == wanted[w] && found;
      }
    }
    if (sequence_.load(std::memory_order_seq_cst) == before) return found;
  }
}

}  // namespace sallyport::engine
