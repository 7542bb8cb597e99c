#include "sallyport/refusal/dns.h"

#include <algorithm>

#include "printable.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::refusal {
namespace {

constexpr std::size_t kOptSize = 11;        // The record without options, RFC 6891 §6.1.2.
constexpr std::size_t kErrorSize = 4 + 2;   // The option without its text, RFC 8914 §2.
constexpr std::size_t kErrorTextMin = 9;    // "sallyport": a shorter piece of a text says nothing.
constexpr std::uint16_t kUdpSize = 1'232;   // What fits into the smallest IPv6 path MTU.
constexpr std::uint16_t kExtendedError = 15;

// The flags, RFC 1035 §4.1.1: a response keeps the opcode, RD and CD (RFC 4035 §3.2.2) of its query.
constexpr std::uint16_t kResponse = 0x8000, kOpcode = 0x7800, kRecursionDesired = 0x0100, kRecursionAvailable = 0x0080,
                        kCheckingDisabled = 0x0010;

// Answered is what of a query comes back.
struct Answered {
  ByteSpan question;  // Empty: none.
  bool edns = false;
  bool dnssec_ok = false;
};

// plain_question_size returns the octets of the question behind the header, or 0 where its name is compressed or cut: the bytes
// that a pointer leads to may read differently in the response.
std::size_t plain_question_size(ByteSpan query) {
  ByteReader in(query.subspan(parsers::kDnsHeaderSize));
  const std::size_t all = in.size();
  std::uint8_t length = 0;
  do {
    if (!in.read_u8(length) || length > parsers::kDnsLabelMax || !in.skip(length)) return 0;
  } while (length != 0);
  return in.skip(4) ? all - in.size() : 0;
}

Answered read_query(ByteSpan query) {
  const auto message = parsers::parse_dns_message(query);
  if (!message) return {};
  Answered answered{.question = {}, .edns = message->edns.present, .dnssec_ok = message->edns.dnssec_ok};
  if (message->header.question_count == 1) {
    answered.question = query.subspan(parsers::kDnsHeaderSize, plain_question_size(query));
  }
  return answered;
}

void write_edns(Writer& writer, const Notice& notice, const DnsRefusal& refusal, const Answered& answered, std::size_t room) {
  if (!answered.edns || room < kOptSize) return;
  room -= kOptSize;
  const bool error = room >= kErrorSize;
  std::size_t text = error ? printable_size(notice.text, room - kErrorSize) : 0;
  if (text < notice.text.size() && text < kErrorTextMin) text = 0;
  writer.u8(0);
  writer.u16(parsers::kDnsTypeOpt);
  writer.u16(kUdpSize);
  writer.u32(answered.dnssec_ok ? 0x8000 : 0);
  writer.u16(static_cast<std::uint16_t>(error ? kErrorSize + text : 0));
  if (!error) return;
  writer.u16(kExtendedError);
  writer.u16(static_cast<std::uint16_t>(2 + text));
  writer.u16(static_cast<std::uint16_t>(refusal.error));
  write_printable(writer, notice.text, text);
}

}  // namespace

std::size_t dns_refusal(Buffer out, const Notice& notice, ByteSpan query, const DnsRefusal& refusal) {
  ByteReader in(query);
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  if (query.size() < parsers::kDnsHeaderSize || !in.read_u16(id) || !in.read_u16(flags) || (flags & kResponse) != 0) return 0;
  const Answered answered = read_query(query);
  const std::size_t prefix = refusal.over_tcp ? 2 : 0;
  const std::size_t least = parsers::kDnsHeaderSize + answered.question.size();
  if (out.size() < prefix + least || refusal.size_max < least) return 0;
  const std::size_t room = std::min({out.size() - prefix, refusal.size_max, parsers::kDnsMessageMax}) - least;

  Writer writer(out);
  if (refusal.over_tcp) writer.u16(0);
  writer.u16(id);
  writer.u16(static_cast<std::uint16_t>(kResponse | (flags & (kOpcode | kRecursionDesired | kCheckingDisabled)) |
                                        kRecursionAvailable | static_cast<unsigned>(refusal.rcode)));
  writer.u16(answered.question.empty() ? 0 : 1);
  writer.u32(0);  // No answers, no authorities.
  writer.u16(answered.edns && room >= kOptSize ? 1 : 0);
  writer.bytes(answered.question);
  write_edns(writer, notice, refusal, answered, room);
  if (refusal.over_tcp && writer.ok()) writer.patch<2>(0, writer.size() - prefix);
  return writer.finish();
}

}  // namespace sallyport::refusal
