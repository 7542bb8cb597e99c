// BoundedHeap is a heap of fixed size for a C library that must not reach the real one. First fit, with
// free neighbours joined on the way; what does not fit gives null. Blocks are aligned to 16 bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sallyport::parsers {

class BoundedHeap {
 public:
  static constexpr std::size_t kSize = 65'536;

  BoundedHeap() { clear(); }
  BoundedHeap(const BoundedHeap&) = delete;
  BoundedHeap& operator=(const BoundedHeap&) = delete;

  void* allocate(std::size_t size);
  // resize keeps the content up to the smaller size; on failure the old block stays.
  void* resize(void* block, std::size_t size);
  void release(void* block);
  // clear forgets every block.
  void clear();

 private:
  static constexpr std::size_t kUnit = 16;

  // Header stands in the unit before each block.
  struct Header {
    std::uint32_t size = 0;  // Of the block without its header; a multiple of kUnit.
    bool used = false;
  };

  Header header_at(std::size_t offset) const;
  void set_header(std::size_t offset, Header header);
  std::size_t offset_of(const void* block) const;

  alignas(kUnit) std::array<std::byte, kSize> bytes_;
};

}  // namespace sallyport::parsers
