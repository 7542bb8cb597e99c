// Reads pcapng (draft-ietf-opsawg-pcapng) from a FILE. libpcap reads it too, but refuses captures of several
// interfaces that differ in link type or snapshot length, which capture tools make every day.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/pcap/capture_reader.h"

namespace sallyport::pcap {

inline constexpr std::uint32_t kPcapngMagic = 0x0a0d0d0a;  // The same in both byte orders.
inline constexpr std::size_t kPcapngBlockMax = 16u << 20;
inline constexpr std::size_t kPcapngInterfacesMax = 65'536;

class PcapngReader {
 public:
  // `file` stands at its first byte, which begins a section header, and outlives the reader.
  explicit PcapngReader(std::FILE* file) : file_(file) {}

  // next sets everything in `frame` but its number. False at the end and at the first damage.
  bool next(Frame& frame);
  const std::optional<std::string>& error() const { return error_; }

 private:
  struct Interface {
    std::uint16_t link_type = 0;
    std::uint32_t snap_length = 0;
    std::uint64_t units_per_second = 1'000'000;
    std::int64_t offset_s = 0;
  };
  enum class Step : std::uint8_t { kSkipped, kFrame, kStop };

  bool read_block();
  bool fail(const char* message);
  Step block(Frame& frame);
  Step interface_block();
  Step packet_block(std::size_t header, std::size_t interface, Frame& frame);
  Step simple_packet_block(Frame& frame);
  void read_options(Interface& interface) const;
  std::uint16_t u16(std::size_t at) const;
  std::uint32_t u32(std::size_t at) const;

  std::FILE* file_;
  bool big_endian_ = false;
  std::uint32_t type_ = 0;
  std::vector<std::uint8_t> body_;  // Of the current block, without types and lengths.
  std::vector<Interface> interfaces_;
  Timestamp last_time_;
  std::optional<std::string> error_;
};

}  // namespace sallyport::pcap
