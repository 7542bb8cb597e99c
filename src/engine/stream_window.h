// StreamWindow holds the bytes of one stream around the point up to which it is judged.
//
// `base` is the stream offset of the first byte that is not judged. Ahead of it lie received bytes,
// perhaps with gaps. Behind it lies history: judged bytes whose content mattered ("structural" bytes: a
// hello, a request head), kept so that a retransmission with other content is seen (R4). Bytes behind
// the base that are in no history are free: their content was never looked at (a request body).
//
// Offsets are 64-bit positions in the stream; TCP: 0 is the byte behind the SYN; QUIC: CRYPTO offsets.
// The storage of kStreamWindowSize bytes is owned by the pool (window_pool.h).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"

namespace sallyport::engine {

class StreamWindow {
 public:
  enum class Put : std::uint8_t {
    kOk,
    kConflict,       // Some byte was received before with another value.
    kStale,          // Starts before the history that is kept: cannot be compared.
    kTooFar,         // Starts further ahead of the base than the window reaches.
    kTooManyRanges,  // More gaps than kStreamRangesMax.
  };
  struct PutResult {
    Put put = Put::kOk;
    std::uint64_t stored_end = 0;  // The bytes before this offset are stored, known or free.
    bool fresh = false;            // Some byte ahead of the base had not been received before.
  };

  // reset makes the window empty with its base at `offset`.
  void reset(std::uint8_t* storage, std::uint64_t offset);

  PutResult put(std::uint64_t offset, ByteSpan bytes);

  std::uint64_t base() const { return base_; }
  // contiguous returns the received bytes from the base up to the first gap.
  ByteSpan contiguous() const;
  // received_end returns the highest offset received, or the base.
  std::uint64_t received_end() const;

  // consume moves the base over `length` contiguous bytes and keeps them as history.
  void consume(std::size_t length);
  // skip moves the base over `length` bytes, received or not, whose content does not matter.
  void skip(std::uint64_t length);

  // contiguous_bytes returns the same for who rewrites what it reads.
  std::span<std::uint8_t> contiguous_bytes() { return {ahead(), contiguous().size()}; }
  // restore writes the bytes of the history over those of `out` that have their offsets, `offset` being the first one's.
  // False: older bytes than are remembered.
  bool restore(std::uint64_t offset, std::span<std::uint8_t> out) const;

  const std::uint8_t* storage() const { return storage_; }

 private:
  struct Range {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };

  bool matches_history(std::uint64_t offset, ByteSpan bytes) const;
  PutResult store_ahead(std::uint64_t offset, ByteSpan bytes);
  bool make_room(std::size_t ahead_end);
  void evict_history(std::size_t length);
  std::uint8_t* ahead() { return storage_ + history_size_; }
  const std::uint8_t* ahead() const { return storage_ + history_size_; }

  std::uint8_t* storage_ = nullptr;
  std::uint64_t base_ = 0;
  // History: bytes storage_[0, history_size_), the concatenation of `history_` ranges in order.
  std::uint64_t history_floor_ = 0;  // Structural bytes before this offset are forgotten.
  std::size_t history_size_ = 0;
  std::size_t history_count_ = 0;
  std::array<Range, kStreamHistoryRangesMax> history_{};
  // Ahead: storage_[history_size_ + (offset - base_)], valid inside `received_` (sorted, disjoint).
  std::size_t received_count_ = 0;
  std::array<Range, kStreamRangesMax> received_{};
};

}  // namespace sallyport::engine
