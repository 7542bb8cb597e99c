// Refusals of DNS, STUN and QUIC and the packets around them, in answer to anything: within the buffer and what provoked them,
// read back by this project's parsers as what they are, never an answer to an answer.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/ip_packet.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/stun.h"
#include "sallyport/refusal/dns.h"
#include "sallyport/refusal/packet.h"
#include "sallyport/refusal/quic.h"
#include "sallyport/refusal/stun.h"

namespace {

using namespace sallyport;

void check(bool promise) {
  if (!promise) std::abort();
}

// Input is what the first bytes say: how large the answer may be, its text, and what is answered.
struct Input {
  std::uint8_t flags = 0;
  std::uint16_t buffer = 0;
  std::uint16_t size_max = 0;
  refusal::Notice notice;
  ByteSpan message;
};

template <typename Build>
std::vector<std::uint8_t> built(const Input& input, Build&& build) {
  std::vector<std::uint8_t> out(input.buffer);
  const std::size_t size = build(refusal::Buffer(out));
  check(size <= out.size());
  out.resize(size);
  return out;
}

void refuse_query(const Input& input) {
  refusal::DnsRefusal how;
  how.rcode = (input.flags & 1) != 0 ? refusal::DnsRcode::kNxDomain : refusal::DnsRcode::kRefused;
  how.over_tcp = (input.flags & 2) != 0;
  how.size_max = input.size_max;
  const auto out = built(input, [&](refusal::Buffer buffer) { return dns_refusal(buffer, input.notice, input.message, how); });
  if (out.empty()) return;
  const ByteSpan bytes = ByteSpan(out).subspan(how.over_tcp ? 2 : 0);
  check(!how.over_tcp || parsers::read_dns_tcp_message(out, parsers::kDnsMessageMax).consumed == out.size());
  check(bytes.size() <= input.size_max && input.message.size() >= parsers::kDnsHeaderSize && (input.message[2] & 0x80) == 0);
  const auto response = parsers::parse_dns_message(bytes);
  check(response && response->trailing.empty() && response->header.is_response && response->header.answer_count == 0);
  check(response->header.rcode == static_cast<unsigned>(how.rcode));
  check(response->header.id == (input.message[0] << 8 | input.message[1]));
  const auto query = parsers::parse_dns_message(input.message);
  check(!response->edns.present || (query && query->edns.present && query->edns.dnssec_ok == response->edns.dnssec_ok));
  check(!response->question || (query && query->question && query->question->name == response->question->name &&
                                query->question->type == response->question->type));
}

void refuse_stun(const Input& input) {
  const auto out = built(input, [&](refusal::Buffer buffer) { return stun_forbidden(buffer, input.notice, input.message, input.size_max); });
  if (out.empty()) return;
  check(out.size() <= input.size_max && out.size() % 4 == 0);
  const auto request = parsers::read_stun_head(input.message);
  const auto response = parsers::read_stun_head(out);
  check(request && request->kind == parsers::StunClass::kRequest && response && response->kind == parsers::StunClass::kError);
  check(response->method == request->method && as_text(response->transaction_id) == as_text(request->transaction_id));
  check(request->method != parsers::kStunBinding || parsers::is_ice_message(out));
}

void close_quic(const Input& input) {
  static refusal::QuicCloser closer;
  static parsers::QuicInitialOpener opener;
  const auto header = parsers::parse_quic_long_header(input.message);
  if (!header) return;
  refusal::QuicRefusal how;
  how.version = header->version;
  how.key_connection_id = header->destination_connection_id;
  how.client_connection_id = header->source_connection_id;
  how.server_connection_id = header->destination_connection_id;
  how.packet_number = input.flags;
  how.provoked_by = input.message.size();
  const auto out = built(input, [&](refusal::Buffer buffer) { return closer.close(buffer, input.notice, how); });
  check(out.size() <= input.message.size());
  if (out.empty()) return;
  const auto close = parsers::parse_quic_long_header(out);
  check(close && close->type == parsers::QuicPacketType::kInitial && close->packet.size() == out.size());
  parsers::QuicInitialKeys keys;
  check(parsers::QuicInitialOpener::derive(header->version, header->destination_connection_id, keys));
  const auto plaintext = opener.open(keys, false, *close);
  check(plaintext && plaintext->packet_number == input.flags && plaintext->frames[0] == 0x1c);
  parsers::QuicFrameReader frames(plaintext->frames);
  check(frames.next().kind == parsers::QuicFrame::Kind::kOther && frames.next().kind == parsers::QuicFrame::Kind::kEnd);
}

// The message begins with the two ends, as one address family or the other.
void wrap(const Input& input) {
  ByteReader in(input.message);
  const std::size_t size = (input.flags & 1) != 0 ? 16 : 4;
  ByteSpan from, to;
  refusal::TcpSegment segment;
  if (!in.read_bytes(size, from) || !in.read_bytes(size, to) || !in.read_u16(segment.from.port) || !in.read_u16(segment.to.port) ||
      !in.read_u32(segment.sequence)) {
    return;
  }
  segment.from.address = *IpAddress::from_bytes(from);
  segment.to.address = *IpAddress::from_bytes(to);
  segment.fin = (input.flags & 2) != 0;
  segment.rst = (input.flags & 4) != 0;
  segment.ack = true;
  segment.payload = in.rest();
  const bool udp = (input.flags & 8) != 0;
  const auto out = built(input, [&](refusal::Buffer buffer) {
    return udp ? refusal::udp_datagram(buffer, segment.from, segment.to, segment.payload) : refusal::tcp_segment(buffer, segment);
  });
  if (out.empty()) return;
  const auto ip = parsers::parse_ip_packet(out, out.size());
  check(ip && ip->source == segment.from.address && ip->destination == segment.to.address && !ip->truncated);
  check(ip->source_port == segment.from.port && ip->destination_port == segment.to.port);
  check(as_text(ip->payload) == as_text(segment.payload) && ip->transport == (udp ? Transport::kUdp : Transport::kTcp));
  check(udp || (ip->tcp.sequence == segment.sequence && ip->tcp.fin == segment.fin && ip->tcp.rst == segment.rst));
}

}  // namespace

// Builder and flags, the size of the buffer, the most that may be said, the text behind its length, and what is answered.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ByteReader in(ByteSpan(data, size));
  std::uint8_t first = 0;
  ByteReader text;
  Input input;
  if (!in.read_u8(first) || !in.read_u16(input.buffer) || !in.read_u16(input.size_max) || !in.read_prefixed<1>(text)) return 0;
  const std::vector<std::uint8_t> message(in.rest().begin(), in.rest().end());
  input.flags = static_cast<std::uint8_t>(first >> 2);
  input.notice.text = as_text(text.rest());
  input.message = message;
  switch (first & 3) {
    case 0: refuse_query(input); break;
    case 1: refuse_stun(input); break;
    case 2: close_quic(input); break;
    default: wrap(input);
  }
  return 0;
}
