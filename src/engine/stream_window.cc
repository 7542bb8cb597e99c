#include "stream_window.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace sallyport::engine {

void StreamWindow::reset(std::uint8_t* storage, std::uint64_t offset) {
  storage_ = storage;
  base_ = history_floor_ = offset;
  history_size_ = history_count_ = received_count_ = 0;
}

ByteSpan StreamWindow::contiguous() const {
  if (received_count_ == 0 || received_[0].begin != base_) return {};
  return {ahead(), static_cast<std::size_t>(received_[0].end - base_)};
}

std::uint64_t StreamWindow::received_end() const {
  return received_count_ == 0 ? base_ : received_[received_count_ - 1].end;
}

StreamWindow::PutResult StreamWindow::put(std::uint64_t offset, ByteSpan bytes) {
  const std::uint64_t end = offset + bytes.size();
  if (offset < history_floor_) return {Put::kStale, offset, false};
  if (offset < base_) {
    const std::size_t behind = static_cast<std::size_t>(std::min(end, base_) - offset);
    if (!matches_history(offset, bytes.first(behind))) return {Put::kConflict, offset, false};
    bytes = bytes.subspan(behind);
    offset += behind;
  }
  if (bytes.empty()) return {Put::kOk, end, false};
  if (offset - base_ >= kStreamAheadMax) return {Put::kTooFar, offset, false};
  bytes = bytes.first(std::min<std::size_t>(bytes.size(), kStreamAheadMax - static_cast<std::size_t>(offset - base_)));
  return store_ahead(offset, bytes);
}

bool StreamWindow::matches_history(std::uint64_t offset, ByteSpan bytes) const {
  const std::uint64_t end = offset + bytes.size();
  std::size_t position = 0;
  for (std::size_t i = 0; i < history_count_; ++i) {
    const Range& range = history_[i];
    const std::uint64_t from = std::max(range.begin, offset);
    const std::uint64_t to = std::min(range.end, end);
    if (from < to && std::memcmp(storage_ + position + (from - range.begin), bytes.data() + (from - offset),
                                 static_cast<std::size_t>(to - from)) != 0) {
      return false;
    }
    position += static_cast<std::size_t>(range.end - range.begin);
  }
  return true;
}

bool StreamWindow::restore(std::uint64_t offset, std::span<std::uint8_t> out) const {
  if (offset < history_floor_) return false;
  const std::uint64_t end = offset + out.size();
  std::size_t position = 0;
  for (std::size_t i = 0; i < history_count_; ++i) {
    const Range& range = history_[i];
    const std::uint64_t from = std::max(range.begin, offset);
    const std::uint64_t to = std::min(range.end, end);
    if (from < to) {
      std::memcpy(out.data() + (from - offset), storage_ + position + (from - range.begin), static_cast<std::size_t>(to - from));
    }
    position += static_cast<std::size_t>(range.end - range.begin);
  }
  return true;
}

StreamWindow::PutResult StreamWindow::store_ahead(std::uint64_t offset, ByteSpan bytes) {
  const std::uint64_t end = offset + bytes.size();
  if (!make_room(static_cast<std::size_t>(end - base_))) return {Put::kTooFar, offset, false};
  // Bytes known already must be the same.
  std::size_t first = received_count_;  // Ranges [first, last) touch or overlap the new one.
  std::size_t last = received_count_;
  for (std::size_t i = 0; i < received_count_; ++i) {
    const Range& range = received_[i];
    if (range.end < offset) continue;
    if (range.begin > end) {
      if (first == received_count_) first = i;
      last = i;
      break;
    }
    if (first == received_count_) first = i;
    const std::uint64_t from = std::max(range.begin, offset);
    const std::uint64_t to = std::min(range.end, end);
    if (from < to && std::memcmp(ahead() + (from - base_), bytes.data() + (from - offset),
                                 static_cast<std::size_t>(to - from)) != 0) {
      return {Put::kConflict, offset, false};
    }
  }
  if (first == last && received_count_ == kStreamRangesMax) return {Put::kTooManyRanges, offset, false};
  const bool known = first < last && received_[first].begin <= offset && received_[first].end >= end;
  std::memcpy(ahead() + (offset - base_), bytes.data(), bytes.size());
  Range merged{offset, end};
  for (std::size_t i = first; i < last; ++i) {
    merged.begin = std::min(merged.begin, received_[i].begin);
    merged.end = std::max(merged.end, received_[i].end);
  }
  const auto at = [this](std::size_t i) { return received_.begin() + static_cast<std::ptrdiff_t>(i); };
  if (first == last) {
    std::move_backward(at(first), at(received_count_), at(received_count_ + 1));
    ++received_count_;
  } else {
    std::move(at(last), at(received_count_), at(first + 1));
    received_count_ -= last - first - 1;
  }
  received_[first] = merged;
  return {Put::kOk, end, !known};
}

bool StreamWindow::make_room(std::size_t ahead_end) {
  if (ahead_end > kStreamAheadMax) return false;
  if (history_size_ + ahead_end <= kStreamWindowSize) return true;
  // Half of the room for history at once, so that a long stream does not move its bytes each time.
  evict_history(std::max(history_size_ + ahead_end - kStreamWindowSize, history_size_ / 2));
  return true;
}

void StreamWindow::evict_history(std::size_t length) {
  length = std::min(length, history_size_);
  const std::size_t used = history_size_ + static_cast<std::size_t>(received_end() - base_);
  std::memmove(storage_, storage_ + length, used - length);
  history_size_ -= length;
  std::size_t dropped = 0;
  for (std::size_t left = length; left != 0;) {
    Range& range = history_[dropped];
    const std::size_t size = static_cast<std::size_t>(range.end - range.begin);
    const std::size_t part = std::min(left, size);
    range.begin += part;
    history_floor_ = range.begin;
    left -= part;
    if (part == size) ++dropped;
  }
  std::move(history_.begin() + static_cast<std::ptrdiff_t>(dropped),
            history_.begin() + static_cast<std::ptrdiff_t>(history_count_), history_.begin());
  history_count_ -= dropped;
}

void StreamWindow::consume(std::size_t length) {
  assert(length <= contiguous().size());
  if (length == 0) return;
  if (history_count_ != 0 && history_[history_count_ - 1].end == base_) {
    history_[history_count_ - 1].end += length;
  } else {
    if (history_count_ == kStreamHistoryRangesMax) {
      evict_history(static_cast<std::size_t>(history_[0].end - history_[0].begin));
    }
    history_[history_count_++] = {base_, base_ + length};
  }
  history_size_ += length;
  base_ += length;
  received_[0].begin = base_;
  if (received_[0].begin == received_[0].end) {
    std::move(received_.begin() + 1, received_.begin() + static_cast<std::ptrdiff_t>(received_count_), received_.begin());
    --received_count_;
  }
}

void StreamWindow::skip(std::uint64_t length) {
  const std::uint64_t base = base_ + length;
  const std::uint64_t end = received_end();
  if (end > base) std::memmove(ahead(), ahead() + length, static_cast<std::size_t>(end - base));
  std::size_t kept = 0;
  for (std::size_t i = 0; i < received_count_; ++i) {
    if (received_[i].end <= base) continue;
    received_[kept++] = {std::max(received_[i].begin, base), received_[i].end};
  }
  received_count_ = kept;
  base_ = base;
}

}  // namespace sallyport::engine
