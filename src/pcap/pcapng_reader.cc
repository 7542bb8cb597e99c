#include "pcapng_reader.h"

#include <algorithm>
#include <array>

#include "capture_time.h"

namespace sallyport::pcap {
namespace {

// Block types and options, draft-ietf-opsawg-pcapng §4.
constexpr std::uint32_t kInterfaceBlock = 1;
constexpr std::uint32_t kOldPacketBlock = 2;
constexpr std::uint32_t kSimplePacketBlock = 3;
constexpr std::uint32_t kEnhancedPacketBlock = 6;
constexpr std::uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr std::uint16_t kOptionEnd = 0;
constexpr std::uint16_t kOptionTimeResolution = 9;
constexpr std::uint16_t kOptionTimeOffset = 14;

std::uint32_t u32_of(const std::uint8_t* bytes, bool big_endian) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{bytes[i]} << 8 * (big_endian ? 3 - i : i);
  return value;
}

// units_of returns the units per second of an if_tsresol octet; absurd ones are taken for the default.
std::uint64_t units_of(std::uint8_t resolution) {
  const unsigned exponent = resolution & 0x7f;
  if ((resolution & 0x80) != 0) return exponent < 64 ? std::uint64_t{1} << exponent : 1'000'000;
  if (exponent > 19) return 1'000'000;
  std::uint64_t units = 1;
  for (unsigned i = 0; i < exponent; ++i) units *= 10;
  return units;
}

std::int64_t nanoseconds_of(std::uint64_t fraction, std::uint64_t units) {
  constexpr std::uint64_t kNano = 1'000'000'000;
  if (units <= kNano) return static_cast<std::int64_t>(fraction * kNano / units);
  return static_cast<std::int64_t>(static_cast<long double>(fraction) * kNano / static_cast<long double>(units));
}

}  // namespace

std::uint16_t PcapngReader::u16(std::size_t at) const {
  const unsigned first = body_[at];
  const unsigned second = body_[at + 1];
  return static_cast<std::uint16_t>(big_endian_ ? first << 8 | second : second << 8 | first);
}

std::uint32_t PcapngReader::u32(std::size_t at) const { return u32_of(body_.data() + at, big_endian_); }

bool PcapngReader::fail(const char* message) {
  error_ = message;
  return false;
}

// read_block reads the next block into type_ and body_. False at the end of the file, with error_ unset,
// and on damage.
bool PcapngReader::read_block() {
  std::array<std::uint8_t, 12> head{};
  const std::size_t got = std::fread(head.data(), 1, 8, file_);
  if (got == 0 && std::ferror(file_) == 0) return false;
  if (got != 8) return fail("the file ends within a block");
  type_ = u32_of(head.data(), big_endian_);
  std::size_t head_size = 8;
  if (type_ == kPcapngMagic) {  // A new section may be of the other byte order.
    if (std::fread(head.data() + 8, 1, 4, file_) != 4) return fail("the file ends within a block");
    big_endian_ = u32_of(head.data() + 8, true) == kByteOrderMagic;
    if (u32_of(head.data() + 8, big_endian_) != kByteOrderMagic) return fail("a section without a byte order");
    interfaces_.clear();
    head_size = 12;
  }
  const std::size_t total = u32_of(head.data() + 4, big_endian_);
  if (total < head_size + 4 || total > kPcapngBlockMax) return fail("a block of impossible length");
  body_.resize(total - head_size);
  if (std::fread(body_.data(), 1, body_.size(), file_) != body_.size()) return fail("the file ends within a block");
  if (u32(body_.size() - 4) != total) return fail("a block whose two lengths differ");
  body_.resize(body_.size() - 4);
  return true;
}

void PcapngReader::read_options(Interface& interface) const {
  std::size_t at = 8;
  while (body_.size() - at >= 4) {  // Every turn takes at least four bytes.
    const std::uint16_t code = u16(at);
    const std::size_t length = u16(at + 2);
    at += 4;
    if (code == kOptionEnd || length > body_.size() - at) return;
    if (code == kOptionTimeResolution && length == 1) interface.units_per_second = units_of(body_[at]);
    if (code == kOptionTimeOffset && length == 8) {
      const std::uint64_t high = u32(big_endian_ ? at : at + 4);
      const std::uint64_t low = u32(big_endian_ ? at + 4 : at);
      interface.offset_s = static_cast<std::int64_t>(high << 32 | low);
    }
    at += std::min((length + 3) / 4 * 4, body_.size() - at);
  }
}

PcapngReader::Step PcapngReader::interface_block() {
  if (body_.size() < 8) return fail("an interface without its description"), Step::kStop;
  if (interfaces_.size() >= kPcapngInterfacesMax) return fail("too many interfaces"), Step::kStop;
  Interface interface;
  interface.link_type = u16(0);
  interface.snap_length = u32(4);
  read_options(interface);
  interfaces_.push_back(interface);
  return Step::kSkipped;
}

// packet_block reads a packet whose times and lengths stand at byte 4, and its data behind `header` bytes.
PcapngReader::Step PcapngReader::packet_block(std::size_t header, std::size_t interface_id, Frame& frame) {
  if (interface_id >= interfaces_.size()) return fail("a packet of an interface that is not described"), Step::kStop;
  const Interface& interface = interfaces_[interface_id];
  const std::uint64_t units = std::uint64_t{u32(4)} << 32 | u32(8);
  const std::size_t captured = u32(12);
  if (captured > body_.size() - header) return fail("a packet that is longer than its block"), Step::kStop;
  const auto seconds = static_cast<std::int64_t>(std::min(units / interface.units_per_second,
                                                          static_cast<std::uint64_t>(kCaptureSecondsMax)));
  const std::int64_t offset = std::clamp(interface.offset_s, -kCaptureSecondsMax, kCaptureSecondsMax);
  frame.time = capture_time(seconds + offset, nanoseconds_of(units % interface.units_per_second,
                                                             interface.units_per_second));
  last_time_ = frame.time;
  frame.link_type = interface.link_type;
  frame.bytes = ByteSpan(body_).subspan(header, captured);
  frame.wire_length = std::max(u32(16), static_cast<std::uint32_t>(captured));
  return Step::kFrame;
}

// A simple packet has no time; it is taken for as old as the one before it.
PcapngReader::Step PcapngReader::simple_packet_block(Frame& frame) {
  if (interfaces_.empty()) return fail("a packet of an interface that is not described"), Step::kStop;
  const std::size_t limit = interfaces_[0].snap_length == 0 ? body_.size() : interfaces_[0].snap_length;
  const std::size_t captured = std::min({std::size_t{u32(0)}, limit, body_.size() - 4});
  frame.time = last_time_;
  frame.link_type = interfaces_[0].link_type;
  frame.bytes = ByteSpan(body_).subspan(4, captured);
  frame.wire_length = std::max(u32(0), static_cast<std::uint32_t>(captured));
  return Step::kFrame;
}

PcapngReader::Step PcapngReader::block(Frame& frame) {
  switch (type_) {
    case kInterfaceBlock: return interface_block();
    case kEnhancedPacketBlock:
      if (body_.size() < 20) break;
      return packet_block(20, u32(0), frame);
    case kOldPacketBlock:
      if (body_.size() < 20) break;
      return packet_block(20, u16(0), frame);
    case kSimplePacketBlock:
      if (body_.size() < 4) break;
      return simple_packet_block(frame);
    default: return Step::kSkipped;
  }
  fail("a packet block that is too short");
  return Step::kStop;
}

bool PcapngReader::next(Frame& frame) {
  while (!error_ && read_block()) {
    switch (block(frame)) {
      case Step::kSkipped: continue;
      case Step::kFrame: return true;
      case Step::kStop: return false;
    }
  }
  return false;
}

}  // namespace sallyport::pcap
