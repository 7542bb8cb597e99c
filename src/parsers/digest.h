// Message digests. Contexts live on the stack: nothing here allocates.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "sallyport/core/bytes.h"

namespace sallyport::parsers {

void md5(ByteSpan data, std::array<std::uint8_t, 16>& out);
// md5 of the parts one after the other.
void md5(std::span<const ByteSpan> parts, std::array<std::uint8_t, 16>& out);
void sha256(ByteSpan data, std::array<std::uint8_t, 32>& out);

}  // namespace sallyport::parsers
