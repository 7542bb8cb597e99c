// every_size gives a builder each size of buffer, in a heap block of just that size: AddressSanitizer sees a byte written behind
// it, and a byte in front of what is left alone shows here.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sallyport/refusal/notice.h"

namespace sallyport::testing {

using Bytes = std::vector<std::uint8_t>;

// built returns what `build` (Buffer to size) writes into a buffer of `size` bytes, and checks that it left the rest alone.
template <typename Build>
Bytes built(Build&& build, std::size_t size) {
  Bytes block(size, 0xa5);
  block.shrink_to_fit();
  const std::size_t written = build(refusal::Buffer(block));
  EXPECT_LE(written, size);
  if (written == 0) return {};
  EXPECT_TRUE(std::all_of(block.begin() + static_cast<std::ptrdiff_t>(written), block.end(), [](int byte) { return byte == 0xa5; }))
      << "buffer of " << size;
  block.resize(written);
  return block;
}

// every_size calls `check` (Bytes, the size of the buffer) for all of them, largest last.
template <typename Build, typename Check>
void every_size(Build&& build, Check&& check) {
  for (std::size_t size = 0; size <= refusal::kRefusalMax; ++size) check(built(build, size), size);
}

inline const refusal::Notice kNotice = {.text = "sallyport: evil.example is not allowed for agent (policy.toml:21)",
                                        .name = "evil.example",
                                        .scope = "agent",
                                        .rule = "policy.toml:21",
                                        .reason = "name_not_allowed"};

}  // namespace sallyport::testing
