#include "support/packet_builder.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace sallyport::testing {
namespace {

constexpr std::uint8_t kTcpNumber = 6;
constexpr std::uint8_t kUdpNumber = 17;
constexpr std::uint8_t kFragmentHeader = 44;  // RFC 8200 §4.5

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xffff);
}

void put(Bytes& out, ByteSpan bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void set16(Bytes& out, std::size_t offset, std::size_t value) {
  out[offset] = static_cast<std::uint8_t>(value >> 8);
  out[offset + 1] = static_cast<std::uint8_t>(value);
}

Bytes padded(Bytes bytes, std::size_t unit) {
  while (bytes.size() % unit != 0) bytes.push_back(0);
  return bytes;
}

// internet_checksum is RFC 1071 over the bytes, seeded with a partial sum.
std::uint16_t internet_checksum(ByteSpan bytes, std::uint64_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint64_t{bytes[i]} << 8 : std::uint64_t{bytes[i]};
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum & 0xffff);
}

std::uint16_t transport_checksum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                                 ByteSpan segment) {
  Bytes pseudo;  // RFC 9293 §3.1 and RFC 8200 §8.1 sum up alike.
  put(pseudo, source.bytes());
  put(pseudo, destination.bytes());
  put32(pseudo, static_cast<std::uint32_t>(segment.size()));
  put32(pseudo, protocol);
  put(pseudo, segment);
  return internet_checksum(pseudo);
}

}  // namespace

Endpoint endpoint(std::string_view address, std::uint16_t port) {
  const auto parsed = IpAddress::parse(address);
  if (!parsed) std::abort();
  return {*parsed, port};
}

Bytes bytes_of(std::string_view text) {
  const ByteSpan bytes = as_bytes_of(text);
  return {bytes.begin(), bytes.end()};
}

PacketBuilder PacketBuilder::tcp(const Endpoint& source, const Endpoint& destination) {
  return {source, destination, kTcpNumber};
}

PacketBuilder PacketBuilder::udp(const Endpoint& source, const Endpoint& destination) {
  return {source, destination, kUdpNumber};
}

PacketBuilder PacketBuilder::ip(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol) {
  PacketBuilder builder({source, 0}, {destination, 0}, protocol);
  builder.raw_ = true;
  return builder;
}

PacketBuilder& PacketBuilder::extension(std::uint8_t type, Bytes body) {
  while ((body.size() + 2) % 8 != 0) body.push_back(0);  // Zero bytes are Pad1 options.
  extensions_.push_back({type, std::move(body)});
  return *this;
}

Bytes PacketBuilder::transport() const {
  if (raw_) return payload_;
  Bytes out;
  put16(out, source_.port);
  put16(out, destination_.port);
  std::size_t checksum_at = 6;
  if (protocol_ == kTcpNumber) {
    const Bytes options = padded(tcp_options_, 4);
    put32(out, seq_);
    put32(out, ack_);
    put16(out, (5 + options.size() / 4) << 12 | flags_);
    put16(out, window_);
    checksum_at = out.size();
    put16(out, 0);
    put16(out, urgent_);
    put(out, options);
  } else {
    put16(out, 8 + payload_.size());
    put16(out, 0);
  }
  put(out, payload_);
  if (protocol_ == kUdpNumber && no_udp_checksum_) return out;
  std::uint16_t checksum = transport_checksum(source_.address, destination_.address, protocol_, out);
  if (protocol_ == kUdpNumber && checksum == 0) checksum = 0xffff;  // RFC 768: zero means none.
  set16(out, checksum_at, bad_checksum_ ? checksum ^ 0x5555u : checksum);
  return out;
}

Bytes PacketBuilder::ipv4(ByteSpan ip_payload, std::uint16_t fragment_field) const {
  const Bytes options = padded(ip_options_, 4);
  Bytes out;
  out.push_back(static_cast<std::uint8_t>(0x45 + options.size() / 4));
  out.push_back(0);
  put16(out, ip_length_.value_or(static_cast<std::uint16_t>(20 + options.size() + ip_payload.size())));
  put16(out, ip_id_);
  put16(out, dont_fragment_ ? fragment_field | 0x4000u : fragment_field);
  out.push_back(ttl_);
  out.push_back(protocol_);
  put16(out, 0);
  put(out, source_.address.bytes());
  put(out, destination_.address.bytes());
  put(out, options);
  set16(out, 10, internet_checksum(out));
  put(out, ip_payload);
  return out;
}

std::uint8_t PacketBuilder::first_header(std::uint8_t last_header) const {
  return extensions_.empty() ? last_header : extensions_.front().type;
}

Bytes PacketBuilder::extensions(std::uint8_t last_header) const {
  Bytes out;
  for (std::size_t i = 0; i < extensions_.size(); ++i) {
    out.push_back(i + 1 < extensions_.size() ? extensions_[i + 1].type : last_header);
    out.push_back(static_cast<std::uint8_t>((extensions_[i].body.size() + 2) / 8 - 1));
    put(out, extensions_[i].body);
  }
  return out;
}

Bytes PacketBuilder::ipv6(std::uint8_t first, ByteSpan extensions_and_payload) const {
  Bytes out;
  put32(out, 6u << 28);
  put16(out, ip_length_.value_or(static_cast<std::uint16_t>(extensions_and_payload.size())));
  out.push_back(first);
  out.push_back(ttl_);
  put(out, source_.address.bytes());
  put(out, destination_.address.bytes());
  put(out, extensions_and_payload);
  return out;
}

Bytes PacketBuilder::build() const {
  const Bytes segment = transport();
  if (source_.address.is_v4()) return ipv4(segment, 0);
  Bytes rest = extensions(protocol_);
  put(rest, segment);
  return ipv6(first_header(protocol_), rest);
}

std::vector<Bytes> PacketBuilder::build_fragments(std::size_t size, std::uint32_t id) const {
  const Bytes segment = transport();
  std::vector<Bytes> out;
  for (std::size_t offset = 0; offset < segment.size() || out.empty(); offset += size) {
    const std::size_t length = std::min(size, segment.size() - offset);
    const bool more = offset + length < segment.size();
    const ByteSpan piece = ByteSpan(segment).subspan(offset, length);
    if (source_.address.is_v4()) {
      PacketBuilder copy = *this;
      copy.ip_id(static_cast<std::uint16_t>(id));
      out.push_back(copy.ipv4(piece, static_cast<std::uint16_t>((more ? 0x2000u : 0u) | offset / 8)));
      continue;
    }
    Bytes rest = extensions(kFragmentHeader);
    rest.push_back(protocol_);
    rest.push_back(0);
    put16(rest, offset | (more ? 1u : 0u));
    put32(rest, id);
    put(rest, piece);
    out.push_back(ipv6(first_header(kFragmentHeader), rest));
  }
  return out;
}

TcpConversation::TcpConversation(const Endpoint& client, const Endpoint& server, std::uint32_t client_isn,
                                 std::uint32_t server_isn)
    : client_(client), server_(server), client_isn_(client_isn), server_isn_(server_isn),
      client_next_(client_isn), server_next_(server_isn) {}

PacketBuilder TcpConversation::from_client() const {
  return PacketBuilder::tcp(client_, server_).seq(client_next_).ack(server_next_);
}

PacketBuilder TcpConversation::from_server() const {
  return PacketBuilder::tcp(server_, client_).seq(server_next_).ack(client_next_);
}

PacketBuilder TcpConversation::client_at(std::uint32_t offset) const {
  return from_client().seq(client_isn_ + 1 + offset);
}

PacketBuilder TcpConversation::server_at(std::uint32_t offset) const {
  return from_server().seq(server_isn_ + 1 + offset);
}

Bytes TcpConversation::syn() {
  const Bytes mss = {2, 4, 0x05, 0xb4};
  client_next_ = client_isn_ + 1;
  return PacketBuilder::tcp(client_, server_).seq(client_isn_).flags(kSyn).tcp_options(mss).build();
}

Bytes TcpConversation::syn_ack() {
  const Bytes mss = {2, 4, 0x05, 0xb4};
  server_next_ = server_isn_ + 1;
  return PacketBuilder::tcp(server_, client_)
      .seq(server_isn_)
      .flags(kSyn)
      .ack(client_next_)
      .tcp_options(mss)
      .build();
}

Bytes TcpConversation::client_data(ByteSpan data) {
  const Bytes packet = from_client().flags(kPsh | kAck).payload(data).build();
  client_next_ += static_cast<std::uint32_t>(data.size());
  return packet;
}

Bytes TcpConversation::server_data(ByteSpan data) {
  const Bytes packet = from_server().flags(kPsh | kAck).payload(data).build();
  server_next_ += static_cast<std::uint32_t>(data.size());
  return packet;
}

std::vector<Bytes> TcpConversation::client_segments(ByteSpan data, std::size_t size) {
  std::vector<Bytes> out;
  for (std::size_t offset = 0; offset < data.size(); offset += size) {
    out.push_back(client_data(data.subspan(offset, std::min(size, data.size() - offset))));
  }
  return out;
}

Bytes TcpConversation::client_ack() { return from_client().build(); }
Bytes TcpConversation::server_ack() { return from_server().build(); }

Bytes TcpConversation::client_fin() {
  const Bytes packet = from_client().flags(kFin | kAck).build();
  ++client_next_;
  return packet;
}

Bytes TcpConversation::server_fin() {
  const Bytes packet = from_server().flags(kFin | kAck).build();
  ++server_next_;
  return packet;
}

Bytes TcpConversation::client_rst() { return from_client().flags(kRst | kAck).build(); }
Bytes TcpConversation::server_rst() { return from_server().flags(kRst | kAck).build(); }

}  // namespace sallyport::testing
