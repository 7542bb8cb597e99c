#include "support/pcap_writer.h"

#include <fstream>

namespace sallyport::testing {

Timestamp at(Duration offset) { return Timestamp(std::chrono::seconds(1'769'860'800)) + offset; }

Bytes ethernet(ByteSpan ip_packet) {
  const bool is_v6 = !ip_packet.empty() && ip_packet[0] >> 4 == 6;
  Bytes frame = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  frame.push_back(is_v6 ? 0x86 : 0x08);
  frame.push_back(is_v6 ? 0xdd : 0x00);
  frame.insert(frame.end(), ip_packet.begin(), ip_packet.end());
  if (frame.size() < 60) frame.resize(60, 0xee);
  return frame;
}

PcapWriter::PcapWriter(const PcapStyle& style) : style_(style) {
  if (style_.pcapng) {
    put32(0x0a0d0d0a);  // Section header block.
    put32(28);
    put32(0x1a2b3c4d);
    put16(1);
    put16(0);
    put32(0xffffffff);
    put32(0xffffffff);
    put32(28);
    put32(1);  // Interface description block, with if_tsresol = 9.
    put32(32);
    put16(static_cast<std::uint16_t>(style_.link_type));
    put16(0);
    put32(style_.snap_length);
    put16(9);
    put16(1);
    put_padded(Bytes{9});
    put32(0);
    put32(32);
    return;
  }
  put32(style_.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4);
  put16(2);
  put16(4);
  put32(0);
  put32(0);
  put32(style_.snap_length);
  put32(style_.link_type);
}

PcapWriter& PcapWriter::add(ByteSpan frame, Timestamp time, std::optional<std::uint32_t> wire_length) {
  const auto captured = static_cast<std::uint32_t>(frame.size());
  const auto nanoseconds = static_cast<std::uint64_t>(time.time_since_epoch().count());
  if (style_.pcapng) {
    const std::uint32_t block = 32 + (captured + 3) / 4 * 4;
    put32(6);  // Enhanced packet block.
    put32(block);
    put32(0);
    put32(static_cast<std::uint32_t>(nanoseconds >> 32));
    put32(static_cast<std::uint32_t>(nanoseconds));
    put32(captured);
    put32(wire_length.value_or(captured));
    put_padded(frame);
    put32(block);
    return *this;
  }
  put32(static_cast<std::uint32_t>(nanoseconds / 1'000'000'000));
  put32(static_cast<std::uint32_t>(nanoseconds % 1'000'000'000 / (style_.nanoseconds ? 1 : 1'000)));
  put32(captured);
  put32(wire_length.value_or(captured));
  bytes_.insert(bytes_.end(), frame.begin(), frame.end());
  return *this;
}

bool PcapWriter::write(const std::filesystem::path& path) const {
  std::ofstream out(path, std::ios::binary);
  const auto text = as_text(bytes_);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  return out.good();
}

void PcapWriter::put16(std::uint16_t value) {
  const auto high = static_cast<std::uint8_t>(value >> 8);
  const auto low = static_cast<std::uint8_t>(value);
  bytes_.push_back(style_.big_endian ? high : low);
  bytes_.push_back(style_.big_endian ? low : high);
}

void PcapWriter::put32(std::uint32_t value) {
  const auto high = static_cast<std::uint16_t>(value >> 16);
  const auto low = static_cast<std::uint16_t>(value);
  put16(style_.big_endian ? high : low);
  put16(style_.big_endian ? low : high);
}

void PcapWriter::put_padded(ByteSpan bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  while (bytes_.size() % 4 != 0) bytes_.push_back(0);
}

}  // namespace sallyport::testing
