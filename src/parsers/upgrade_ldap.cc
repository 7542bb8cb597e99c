// LDAP (RFC 4511). StartTLS may come at any time when no answer is due (§4.14.1), so a session in plaintext is followed to
// its end, message by message; their content is passed over.
#include "ber.h"
#include "recogniser_text.h"
#include "sallyport/core/limits.h"
#include "upgrade_lines.h"

namespace sallyport::parsers {
namespace {

using Next = UpgradeSession::Next;

constexpr std::uint8_t kBindRequest = 0x60, kUnbindRequest = 0x42, kAbandonRequest = 0x50, kExtendedRequest = 0x77;
constexpr std::uint8_t kBindResponse = 0x61, kSearchEntry = 0x64, kSearchReference = 0x73, kIntermediate = 0x79,
                       kExtendedResponse = 0x78;
constexpr std::uint8_t kContext0 = 0x80;  // requestName (§4.12); a simple bind's password (§4.2)
constexpr std::string_view kStartTlsOid = "1.3.6.1.4.1.1466.20037";
constexpr std::size_t kMessageMax = 1U << 24;

struct Message {
  Kind kind = Kind::kNeedMore;  // kRead: its head is there.
  std::size_t size = 0;         // Of the whole.
  std::size_t content = 0;      // Where the operation's content begins.
  std::uint32_t id = 0;
  std::uint8_t operation = 0;
  std::size_t length = 0;       // Of the content; behind it stand controls (§4.1.11).
  ByteSpan rest = {};           // What is there of the content.
};

Message read_message(ByteSpan bytes) {
  constexpr std::size_t kHeadMax = 1 + 5 + 6 + 1 + 5;
  ByteReader in(bytes);
  const Kind short_of = bytes.size() >= kHeadMax ? Kind::kMalformed : Kind::kNeedMore;
  std::uint8_t tag = 0, id_size = 0;
  std::size_t length = 0, operation_length = 0;
  Message message;
  if (!in.read_u8(tag)) return message;
  const std::uint8_t form = in.empty() ? 0 : in.rest()[0];
  if (tag != kBerSequence || form == 0x80 || form > 0x84) return {.kind = Kind::kMalformed};
  if (!read_ber_length(in, length)) return message;
  const std::size_t head = bytes.size() - in.size();
  if (length < 5 || length > kMessageMax) return {.kind = Kind::kMalformed};
  message.size = head + length;
  if (!in.read_u8(tag) || !in.read_u8(id_size)) return message;
  if (tag != kBerInteger || id_size < 1 || id_size > 4) return {.kind = Kind::kMalformed};
  ByteSpan id;
  if (!in.read_bytes(id_size, id)) return message;
  for (const std::uint8_t byte : id) message.id = message.id << 8 | byte;
  if (!in.read_u8(message.operation)) return message;
  if (!read_ber_length(in, operation_length)) return {.kind = short_of};
  message.content = bytes.size() - in.size();
  if (message.content > message.size || operation_length > message.size - message.content) return {.kind = Kind::kMalformed};
  message.length = operation_length;
  message.rest = in.rest().first(std::min(operation_length, in.size()));
  message.kind = Kind::kRead;
  return message;
}

// expect_ldap_answer counts an operation. After an Abandon nobody knows how many answers are due (§4.11), and none is waited for.
bool expect_ldap_answer(UpgradeSession& session) {
  return session.uncertain || expect_answer(session);
}

Step pass(const Message& message, bool plaintext) {
  return {Kind::kRead, plaintext, message.content, message.size - message.content};
}

bool ends_with_content(const Message& message) {
  return message.content + message.length == message.size;
}

// is_anonymous_bind awaits version 3, no name and no password (RFC 4513 §5.1.1), and nothing else.
bool is_anonymous_bind(const Message& message) {
  return ends_with_content(message) && as_text(message.rest) == std::string_view("\2\1\3\4\0\x80\0", 7);
}
bool is_sasl_bind(ByteSpan content) {
  constexpr std::uint8_t kSasl = 0xa3;
  ByteReader in(content);
  ByteReader version, name;
  return read_ber(in, kBerInteger, version) && read_ber(in, kBerOctetString, name) && !in.empty() && in.rest()[0] == kSasl;
}

// read_extended awaits the name of an extended operation.
Step read_extended(UpgradeSession& session, const Message& message, ByteSpan bytes) {
  ByteReader in(message.rest);
  std::uint8_t tag = 0;
  std::size_t length = 0;
  ByteSpan name;
  const bool whole = bytes.size() >= message.size;
  if (!in.read_u8(tag) || !read_ber_length(in, length) || !in.read_bytes(length, name)) {
    return whole || (length > kUpgradeLineMax) ? failed(Kind::kMalformed) : Step{};
  }
  if (tag != kContext0) return failed(Kind::kMalformed);
  if (as_text(name) != kStartTlsOid) {
    if (!expect_ldap_answer(session)) return {};
    const std::size_t read = message.content + message.rest.size() - in.size();  // The name is remembered, too.
    return {Kind::kRead, true, read, message.size - read};
  }
  if (message.size > kUpgradeMessageMax) return failed(Kind::kTooLong);
  if (!whole) return {};
  Step step = ask_for_tls(session, message.size);
  step.plaintext |= !in.empty() || !ends_with_content(message);  // StartTLS has no value (§4.14.1).
  return step;
}

}  // namespace

Step read_ldap_client(UpgradeSession& session, ByteSpan bytes) {
  if (session.layer && bytes[0] == 0) return {Kind::kEnds, true, 1, 0};  // RFC 4422 §3.7: buffers of a security layer.
  const Message message = read_message(bytes);
  if (message.kind != Kind::kRead) return failed(message.kind);
  if (message.operation == kExtendedRequest) return read_extended(session, message, bytes);
  const bool abandons = message.operation == kAbandonRequest, unbinds = message.operation == kUnbindRequest;
  if (message.operation != kBindRequest && !abandons && !unbinds) return expect_ldap_answer(session) ? pass(message, true) : Step{};
  // What was judged is remembered with its content: another in its place would be another operation.
  if (bytes.size() < std::min(message.size, kUpgradeLineMax)) return {};
  const std::size_t read = std::min(bytes.size(), message.size);
  if (abandons || unbinds) {
    session.uncertain |= abandons;
    const bool bare = ends_with_content(message) && (unbinds ? message.length == 0 : message.length >= 1 && message.length <= 4);
    return {Kind::kRead, !bare, read, message.size - read};
  }
  if (!expect_ldap_answer(session)) return {};
  session.sasl = is_sasl_bind(message.rest);
  session.layer = false;
  return {Kind::kRead, !is_anonymous_bind(message), read, message.size - read};
}

Step read_ldap_server(UpgradeSession& session, ByteSpan bytes) {
  if (session.layer && bytes[0] == 0) return {Kind::kEnds, false, 0, 0};
  const Message message = read_message(bytes);
  if (message.kind != Kind::kRead) return failed(message.kind);
  const std::uint8_t operation = message.operation;
  const Step read = {Kind::kRead, false, 0, message.size};
  if (operation == kSearchEntry || operation == kSearchReference || operation == kIntermediate) return read;
  if (message.id == 0) {  // A notice that nobody asked for (§4.4.1).
    session.uncertain = true;
    return read;
  }
  const bool decides = session.next == Next::kAnswerDecides && session.unanswered == 1;
  bool good = false;
  if (decides || operation == kBindResponse) {
    constexpr std::size_t kResultCodeSize = 3;
    if (message.rest.size() < kResultCodeSize) return bytes.size() < message.size ? Step{} : failed(Kind::kMalformed);
    good = begins_with(message.rest, std::string_view("\x0a\1\0", kResultCodeSize)) == Likeness::kYes;
  }
  if (decides && message.size > kUpgradeMessageMax) return failed(Kind::kTooLong);
  if (decides && bytes.size() < message.size) return {};
  bool marked = false;
  if (!take_answer(session, marked)) session.uncertain = true;
  if (operation == kBindResponse) session.layer = good && session.sasl;
  if (!decides) return read;
  session.next = Next::kCommand;
  if (operation != kExtendedResponse) return failed(Kind::kAmbiguous);
  return good ? Step{Kind::kAgrees, false, message.size, 0} : read;
}

}  // namespace sallyport::parsers
