#include "bounded_heap.h"

#include <algorithm>
#include <cstring>

namespace sallyport::parsers {

void BoundedHeap::clear() {
  set_header(0, {kSize - kUnit, false});
}

BoundedHeap::Header BoundedHeap::header_at(std::size_t offset) const {
  Header header;
  std::memcpy(&header, bytes_.data() + offset, sizeof header);
  return header;
}

void BoundedHeap::set_header(std::size_t offset, Header header) {
  static_assert(sizeof(Header) <= kUnit);
  std::memcpy(bytes_.data() + offset, &header, sizeof header);
}

std::size_t BoundedHeap::offset_of(const void* block) const {
  return static_cast<std::size_t>(static_cast<const std::byte*>(block) - bytes_.data()) - kUnit;
}

void* BoundedHeap::allocate(std::size_t size) {
  if (size > kSize - kUnit) return nullptr;
  const std::size_t wanted = (std::max<std::size_t>(size, 1) + kUnit - 1) / kUnit * kUnit;
  for (std::size_t at = 0; at < kSize;) {
    Header header = header_at(at);
    if (!header.used) {
      for (std::size_t next = at + kUnit + header.size; next < kSize; next = at + kUnit + header.size) {
        const Header neighbour = header_at(next);
        if (neighbour.used) break;
        header.size += static_cast<std::uint32_t>(kUnit) + neighbour.size;
      }
      if (header.size >= wanted) {
        const std::size_t left = header.size - wanted;
        if (left >= 2 * kUnit) {
          set_header(at + kUnit + wanted, {static_cast<std::uint32_t>(left - kUnit), false});
          header.size = static_cast<std::uint32_t>(wanted);
        }
        header.used = true;
        set_header(at, header);
        return bytes_.data() + at + kUnit;
      }
      set_header(at, header);
    }
    at += kUnit + header.size;
  }
  return nullptr;
}

void* BoundedHeap::resize(void* block, std::size_t size) {
  if (block == nullptr) return allocate(size);
  const std::size_t old_size = header_at(offset_of(block)).size;
  if (size <= old_size) return block;
  void* const moved = allocate(size);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, old_size);
  release(block);
  return moved;
}

void BoundedHeap::release(void* block) {
  if (block == nullptr) return;
  const std::size_t offset = offset_of(block);
  Header header = header_at(offset);
  header.used = false;
  set_header(offset, header);
}

}  // namespace sallyport::parsers
