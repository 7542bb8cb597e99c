// exact_prefix copies the first bytes into a heap block of just their size, so that AddressSanitizer sees a
// read one byte too far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sallyport::testing {

inline std::vector<std::uint8_t> exact_prefix(const std::vector<std::uint8_t>& bytes, std::size_t length) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)};
}

}  // namespace sallyport::testing
