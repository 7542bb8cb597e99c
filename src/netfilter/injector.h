// Injector sends the packets that the inspector made (refusals, resets) by raw sockets. Packets wait in a buffer of fixed
// size until the verdicts before them are with the kernel: only then is the flow marked. Nothing blocks, nothing allocates
// after open. One thread uses it, another may open it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "file_descriptor.h"
#include "sallyport/core/bytes.h"
#include "sallyport/netfilter/mark_field.h"

namespace sallyport::netfilter {

class Injector {
 public:
  static constexpr std::size_t kPacketsMax = 64;
  static constexpr std::size_t kBytesMax = 0x10000;

  // open takes the sockets of the calling thread's network namespace. Fails with a message, but not where there is no IPv6.
  static std::expected<Injector, std::string> open(const MarkField& mark);

  // put copies a packet behind those that wait. `link` is the index of the interface that
  // link-local addresses of IPv6 are of; 0: not known. Gives false, and nothing is taken, when there is no room: call send, then put again.
  bool put(ByteSpan packet, bool to_client, std::uint32_t link);

  // send gives all that waits to the kernel, in order.
  struct Sent {
    std::uint64_t packets = 0;
    std::uint64_t failed = 0;
  };
  Sent send();

  std::size_t waiting() const { return count_; }

 private:
  struct Waiting {
    std::size_t begin = 0;
    std::size_t size = 0;
    bool to_client = false;
    std::uint32_t link = 0;
  };
  Injector() = default;
  bool send_one(const Waiting& packet) const;

  FileDescriptor tracked_[2];    // IPv4, IPv6.
  FileDescriptor untracked_[2];
  std::unique_ptr<std::array<std::uint8_t, kBytesMax>> bytes_;
  std::array<Waiting, kPacketsMax> waiting_{};
  std::size_t count_ = 0;
  std::size_t used_ = 0;
};

}  // namespace sallyport::netfilter
