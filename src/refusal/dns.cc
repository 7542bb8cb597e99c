#include "sallyport/refusal/dns.h"

#include <algorithm>
#include <optional>

#include "text.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::refusal {
namespace {

constexpr std::size_t kOptSize = 11;        // The record without options, RFC 6891 §6.1.2.
constexpr std::size_t kErrorSize = 4 + 2;   // The option without its text, RFC 8914 §2.
constexpr std::size_t kErrorTextMin = 9;    // "sallyport": a shorter piece of a text says nothing.
constexpr std::uint16_t kUdpSize = 1'232;   // What fits into the smallest IPv6 path MTU.
constexpr std::uint16_t kPadding = 12, kExtendedError = 15;
constexpr std::size_t kOptionHeadSize = 4;

// The flags, RFC 1035 §4.1.1: a response keeps the opcode, RD and CD (RFC 4035 §3.2.2) of its query.
constexpr std::uint16_t kResponse = 0x8000, kOpcode = 0x7800, kRecursionDesired = 0x0100, kRecursionAvailable = 0x0080,
                        kCheckingDisabled = 0x0010;

// Answered is what of a query comes back; an answer has the same of it.
struct Answered {
  ByteSpan question;  // Empty: none.
  bool edns = false;
  bool dnssec_ok = false;
};

// plain_question_size returns the octets of the question behind the header, or 0 where its name is compressed or cut: the bytes
// that a pointer leads to may read differently in the response.
std::size_t plain_question_size(ByteSpan message) {
  ByteReader in(message.subspan(parsers::kDnsHeaderSize));
  const std::size_t all = in.size();
  std::uint8_t length = 0;
  do {
    if (!in.read_u8(length) || length > parsers::kDnsLabelMax || !in.skip(length)) return 0;
  } while (length != 0);
  return in.skip(4) ? all - in.size() : 0;
}

Answered read_message(ByteSpan bytes) {
  const auto message = parsers::parse_dns_message(bytes);
  if (!message) return {};
  Answered answered{.question = {}, .edns = message->edns.present, .dnssec_ok = message->edns.dnssec_ok};
  if (message->header.question_count == 1) {
    answered.question = bytes.subspan(parsers::kDnsHeaderSize, plain_question_size(bytes));
  }
  return answered;
}

void write_option(Writer& writer, std::uint16_t code, std::size_t size) {
  writer.u16(code);
  writer.u16(static_cast<std::uint16_t>(size));
}

// Options is how the octets of an OPT record's options are used.
struct Options {
  bool error = false;
  std::size_t text = 0;
  std::optional<std::size_t> padding;  // Octets of the padding option, its head aside.

  std::size_t size() const { return (error ? kErrorSize + text : 0) + (padding ? kOptionHeadSize + *padding : 0); }
};

Options options_within(std::size_t room, std::string_view text, bool fill) {
  Options options;
  options.error = room >= kErrorSize;
  if (options.error) options.text = plain_size(text, room - kErrorSize);
  if (options.text < text.size() && options.text < kErrorTextMin) options.text = 0;
  std::size_t rest = room - options.size();
  if (!fill || rest == 0) return options;
  if (rest < kOptionHeadSize && options.text >= kOptionHeadSize) {  // A shorter text makes room for the option's head.
    options.text -= kOptionHeadSize - rest;
    rest = kOptionHeadSize;
  } else if (rest < kOptionHeadSize) {  // The error's own octets do.
    options = {};
    rest = room;
  }
  if (rest >= kOptionHeadSize) options.padding = rest - kOptionHeadSize;
  return options;
}

void write_edns(Writer& writer, const Notice& notice, const DnsRefusal& refusal, const Answered& answered, std::size_t room) {
  const Options options = options_within(room - kOptSize, notice.text, refusal.fill);
  writer.u8(0);
  writer.u16(parsers::kDnsTypeOpt);
  writer.u16(kUdpSize);
  writer.u32(answered.dnssec_ok ? 0x8000 : 0);
  writer.u16(static_cast<std::uint16_t>(options.size()));
  if (options.error) {
    write_option(writer, kExtendedError, 2 + options.text);
    writer.u16(static_cast<std::uint16_t>(refusal.error));
    put_plain(writer, notice.text, options.text);
  }
  if (options.padding) {
    write_option(writer, kPadding, *options.padding);
    writer.fill(*options.padding, 0);
  }
}

// write_filler writes a record that nobody reads, of `size` octets.
void write_filler(Writer& writer, std::size_t size) {
  constexpr std::uint16_t kPrivateType = 65'280;  // RFC 6895 §3.1
  writer.u8(0);
  writer.u16(kPrivateType);
  writer.u16(parsers::kDnsClassIn);
  writer.u32(0);
  writer.u16(static_cast<std::uint16_t>(size - kOptSize));
  writer.fill(size - kOptSize, 0);
}

std::size_t write_refusal(Buffer out, const Notice& notice, ByteSpan message, const Answered& answered, const DnsRefusal& refusal) {
  const std::size_t prefix = refusal.over_tcp ? 2 : 0;
  const std::size_t least = parsers::kDnsHeaderSize + answered.question.size();
  if (out.size() < prefix + least || refusal.size_max < least) return 0;
  if (refusal.fill && (out.size() - prefix < refusal.size_max || refusal.size_max > parsers::kDnsMessageMax)) return 0;
  const std::size_t room = std::min({out.size() - prefix, refusal.size_max, parsers::kDnsMessageMax}) - least;
  const bool record = room >= kOptSize && (answered.edns || refusal.fill);

  Writer writer(out);
  if (refusal.over_tcp) writer.u16(0);
  writer.bytes(message.first(2));  // The ID.
  const auto flags = static_cast<std::uint16_t>(message[2] << 8 | message[3]);
  writer.u16(static_cast<std::uint16_t>(kResponse | (flags & (kOpcode | kRecursionDesired | kCheckingDisabled)) |
                                        kRecursionAvailable | static_cast<unsigned>(refusal.rcode)));
  writer.u16(answered.question.empty() ? 0 : 1);
  writer.u32(0);  // No answers, no authorities.
  writer.u16(record ? 1 : 0);
  writer.bytes(answered.question);
  if (record && answered.edns) {
    write_edns(writer, notice, refusal, answered, room);
  } else if (record) {
    write_filler(writer, room);
  }
  const std::size_t size = writer.size() - prefix;
  if (!writer.ok() || (refusal.fill && size != refusal.size_max)) return 0;
  if (refusal.over_tcp) writer.patch<2>(0, size);
  return writer.finish();
}

// is_response needs a whole header.
bool is_response(ByteSpan message) {
  return (message[2] & 0x80) != 0;
}

}  // namespace

std::size_t dns_refusal(Buffer out, const Notice& notice, ByteSpan query, const DnsRefusal& refusal) {
  if (query.size() < parsers::kDnsHeaderSize || is_response(query)) return 0;
  return write_refusal(out, notice, query, read_message(query), refusal);
}

std::size_t dns_refusal_instead(Buffer out, const Notice& notice, ByteSpan answer, const DnsRefusal& refusal) {
  if (answer.size() < parsers::kDnsHeaderSize || !is_response(answer)) return 0;
  return write_refusal(out, notice, answer, read_message(answer), refusal);
}

}  // namespace sallyport::refusal
