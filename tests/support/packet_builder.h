// Builds IP packets for tests: IPv4 and IPv6, TCP, UDP and anything else, with right lengths and checksums
// unless a test asks for wrong ones. Results own their bytes. Not for packets beyond 65,535 bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/core/bytes.h"
#include "sallyport/core/flow_key.h"

namespace sallyport::testing {

using Bytes = std::vector<std::uint8_t>;

// endpoint reads an address ("192.0.2.1", "2001:db8::1"); ends the program if the text is none.
Endpoint endpoint(std::string_view address, std::uint16_t port);
// bytes_of copies text.
Bytes bytes_of(std::string_view text);

// TCP flags, RFC 9293 §3.1.
inline constexpr std::uint8_t kFin = 0x01;
inline constexpr std::uint8_t kSyn = 0x02;
inline constexpr std::uint8_t kRst = 0x04;
inline constexpr std::uint8_t kPsh = 0x08;
inline constexpr std::uint8_t kAck = 0x10;
inline constexpr std::uint8_t kUrg = 0x20;

class PacketBuilder {
 public:
  // Both endpoints are of one family. The address family decides between IPv4 and IPv6.
  static PacketBuilder tcp(const Endpoint& source, const Endpoint& destination);
  static PacketBuilder udp(const Endpoint& source, const Endpoint& destination);
  // ip carries `payload` as it is, without a transport header (ICMP, ESP, ...).
  static PacketBuilder ip(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol);

  PacketBuilder& seq(std::uint32_t value) { return set(seq_, value); }
  PacketBuilder& ack(std::uint32_t value) { return flags_ |= kAck, set(ack_, value); }
  PacketBuilder& flags(std::uint8_t value) { return set(flags_, value); }  // Replaces; call before ack().
  PacketBuilder& window(std::uint16_t value) { return set(window_, value); }
  PacketBuilder& urgent_pointer(std::uint16_t value) { return flags_ |= kUrg, set(urgent_, value); }
  // Options are padded to four bytes with zeros; at most 40 bytes.
  PacketBuilder& tcp_options(Bytes value) { return set(tcp_options_, std::move(value)); }
  PacketBuilder& ip_options(Bytes value) { return set(ip_options_, std::move(value)); }  // IPv4 only.
  // Adds an IPv6 extension header of `type` (hop-by-hop 0, routing 43, destination 60); `body` follows its
  // next-header and length fields and is padded to the header's unit of eight bytes. In order of the calls.
  PacketBuilder& extension(std::uint8_t type, Bytes body = {});
  PacketBuilder& payload(ByteSpan value) { return payload_.assign(value.begin(), value.end()), *this; }
  PacketBuilder& payload(std::string_view value) { return payload(as_bytes_of(value)); }
  PacketBuilder& ttl(std::uint8_t value) { return set(ttl_, value); }
  PacketBuilder& ip_id(std::uint16_t value) { return set(ip_id_, value); }
  PacketBuilder& dont_fragment() { return set(dont_fragment_, true); }
  // The transport checksum is wrong, or (UDP over IPv4) left out.
  PacketBuilder& bad_checksum() { return set(bad_checksum_, true); }
  PacketBuilder& no_udp_checksum() { return set(no_udp_checksum_, true); }
  // IPv4 total length or IPv6 payload length as it is written, whatever the packet's length is.
  PacketBuilder& ip_length(std::uint16_t value) { return set(ip_length_, value); }

  Bytes build() const;
  // build_fragments cuts the IP payload into pieces of `size` bytes (a multiple of eight) at most. IPv6 gets
  // a fragment header before the transport header. One piece alone gives an atomic fragment.
  std::vector<Bytes> build_fragments(std::size_t size, std::uint32_t id) const;

 private:
  struct Extension {
    std::uint8_t type;
    Bytes body;
  };
  template <typename Field, typename Value>
  PacketBuilder& set(Field& field, Value&& value) {
    field = std::forward<Value>(value);
    return *this;
  }
  PacketBuilder(const Endpoint& source, const Endpoint& destination, std::uint8_t protocol)
      : source_(source), destination_(destination), protocol_(protocol) {}
  Bytes transport() const;
  Bytes ipv4(ByteSpan ip_payload, std::uint16_t fragment_field) const;
  Bytes ipv6(std::uint8_t first_header, ByteSpan extensions_and_payload) const;
  Bytes extensions(std::uint8_t last_header) const;
  std::uint8_t first_header(std::uint8_t last_header) const;

  Endpoint source_;
  Endpoint destination_;
  std::uint8_t protocol_;
  std::uint32_t seq_ = 0;
  std::uint32_t ack_ = 0;
  std::uint8_t flags_ = 0;
  std::uint16_t window_ = 64'240;
  std::uint16_t urgent_ = 0;
  std::uint8_t ttl_ = 64;
  std::uint16_t ip_id_ = 0;
  bool raw_ = false;  // No transport header of our own.
  bool dont_fragment_ = false;
  bool bad_checksum_ = false;
  bool no_udp_checksum_ = false;
  std::optional<std::uint16_t> ip_length_;
  Bytes tcp_options_;
  Bytes ip_options_;
  std::vector<Extension> extensions_;
  Bytes payload_;
};

// TcpConversation makes the packets of one connection and keeps both sides' sequence numbers. Each call
// gives the next packet; data acknowledges all that the other side has sent so far.
class TcpConversation {
 public:
  TcpConversation(const Endpoint& client, const Endpoint& server, std::uint32_t client_isn = 1'000,
                  std::uint32_t server_isn = 5'000);

  Bytes syn();       // Client. The three packets of the handshake, in this order.
  Bytes syn_ack();   // Server.
  Bytes handshake_ack() { return client_ack(); }
  std::vector<Bytes> handshake() { return {syn(), syn_ack(), handshake_ack()}; }

  Bytes client_data(ByteSpan data);
  Bytes client_data(std::string_view data) { return client_data(as_bytes_of(data)); }
  Bytes server_data(ByteSpan data);
  Bytes server_data(std::string_view data) { return server_data(as_bytes_of(data)); }
  // client_segments cuts `data` into segments of `size` bytes at most.
  std::vector<Bytes> client_segments(ByteSpan data, std::size_t size);
  Bytes client_ack();
  Bytes server_ack();
  Bytes client_fin();
  Bytes server_fin();
  Bytes client_rst();
  Bytes server_rst();

  // client_at gives a builder for a client segment whose payload begins at byte `offset` of the client's
  // stream, without moving anything: retransmissions, overlaps, disorder.
  PacketBuilder client_at(std::uint32_t offset) const;
  PacketBuilder server_at(std::uint32_t offset) const;
  std::uint32_t client_next() const { return client_next_; }
  std::uint32_t server_next() const { return server_next_; }

 private:
  PacketBuilder from_client() const;
  PacketBuilder from_server() const;

  Endpoint client_;
  Endpoint server_;
  std::uint32_t client_isn_;
  std::uint32_t server_isn_;
  std::uint32_t client_next_;  // Sequence number of the client's next byte.
  std::uint32_t server_next_;
};

}  // namespace sallyport::testing
