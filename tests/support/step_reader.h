// StepReader reads the input of a fuzz target that takes steps: a byte of which the low three bits tell the kind and the
// others an argument, then operands. A step whose operands are not all there is none.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sallyport/core/bytes.h"

namespace sallyport::testing {

class StepReader {
 public:
  StepReader(ByteSpan input, std::size_t steps_max) : in_(input), left_(steps_max) {}

  // next goes on to the next step; false: the input, or what may be taken of it, is over.
  bool next() {
    if (left_ == 0 || !in_.read_u8(step_)) return false;
    --left_;
    return true;
  }
  unsigned kind() const { return step_ & 7; }
  std::size_t argument() const { return step_ >> 3; }

  // Operands in their order; false: the input ends before.
  template <typename... Operand>
  bool read(Operand&... operands) {
    return (read_one(operands) && ...);
  }
  // read_packet reads a length of two bytes and as many bytes; the input may end before.
  bool read_packet(ByteSpan& packet) {
    std::uint16_t length = 0;
    return in_.read_u16(length) && in_.read_bytes(std::min<std::size_t>(length, in_.size()), packet);
  }

 private:
  bool read_one(std::uint8_t& value) { return in_.read_u8(value); }
  bool read_one(std::uint16_t& value) { return in_.read_u16(value); }
  bool read_one(ByteSpan& bytes) {  // Behind a length of one byte.
    ByteReader field;
    if (!in_.read_prefixed<1>(field)) return false;
    bytes = field.rest();
    return true;
  }

  ByteReader in_;
  std::size_t left_;
  std::uint8_t step_ = 0;
};

}  // namespace sallyport::testing
