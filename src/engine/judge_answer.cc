// DNS answers: what a trusted resolver says to a question that was let through binds addresses to the name that was
// asked for, before the answer reaches the client (R16). An answer to no open question is dropped over UDP, as the
// client would drop it; in a stream, where nothing can be left out, it binds nothing.
#include "inspector_impl.h"
#include "plain_query.h"

namespace sallyport::engine {
namespace {

constexpr std::size_t kTcpLengthSize = 2;  // RFC 1035 §4.2.2

}  // namespace

// question_key needs the message's question. Names are in lower case (parsers::DnsName): a client that mixes cases
// against forgers (0x20) compares them itself.
DnsPending::Question Inspector::Impl::question_key(const parsers::DnsMessage& message) const {
  const parsers::DnsQuestion& question = *message.question;
  const std::string_view name = question.name.text();
  const std::uint64_t hash =
      keyed_hash(options_.hash_key, reinterpret_cast<const std::uint8_t*>(name.data()), name.size());
  return {hash, message.header.id, question.type, question.dns_class};
}

void Inspector::Impl::note_question(Flow& flow, const parsers::DnsMessage& message) {
  const bool counts = flow.answers_read || (flow.stage == Protocol::kDns && !shadow(flow));
  if (counts) questions_.ask(flow.questions, question_key(message), now_);
}

// note_datagram takes note of a question that passes whatever it is.
void Inspector::Impl::note_datagram(Flow& flow, ByteSpan datagram) {
  const auto message = parsers::parse_dns_message(datagram);
  if (message && reason_against(*message, policy_->dns().edns_options) == Reason::kNotEvaluated) note_question(flow, *message);
}

Inspector::Impl::Answer Inspector::Impl::take_answer(Flow& flow, ByteSpan bytes) {
  const auto message = parsers::parse_dns_message(bytes);
  if (!message) return Answer::kUnreadable;
  const parsers::DnsHeader& header = message->header;
  if (!header.is_response || header.opcode != parsers::kDnsOpcodeQuery) return Answer::kNotAsked;
  const std::uint16_t id = header.id;
  if (!message->question) {
    // A server that could not read the question does not repeat it (RFC 8906 §3.1.1).
    if (header.rcode == 0) return Answer::kNotAsked;
    const auto same_id = [id](const DnsPending::Question& asked) { return asked.id == id; };
    return questions_.take(flow.questions, same_id, now_) ? Answer::kTaken : Answer::kNotAsked;
  }
  if (header.question_count != 1) return Answer::kNotAsked;
  const DnsPending::Question key = question_key(*message);
  const auto same = [&key](const DnsPending::Question& other) { return other == key; };
  const bool asked = questions_.take(flow.questions, same, now_);
  const bool reaches_client = asked || flow.answers_read || flow.key.transport == Transport::kTcp;
  if (const auto address = reaches_client ? rebound_address(*message) : std::nullopt) {
    report_rebinding(flow, *message, *address);
    if (refuses_rebinding()) return Answer::kRebinding;
  }
  if (!asked) return Answer::kNotAsked;
  const bool internet = message->question->dns_class == parsers::kDnsClassIn;
  const unsigned rcode = header.rcode + 16U * message->edns.extended_rcode;  // RFC 6891 §6.1.3
  if (rcode == 0 && internet && trusts(flow)) bind_answer(flow, *message);
  return Answer::kTaken;
}

void Inspector::Impl::bind_answer(const Flow& flow, const parsers::DnsMessage& message) {
  read_answer(message, answer_);
  // What the far end of a tunnel says of names counts for nobody outside of it. A trusted resolver is a host's port 53: on
  // another port of it anybody may listen.
  if (answer_.name.empty() || flow.key.tunnel != 0 || flow.key.server.port != kDnsPort) return;
  for (const AnswerAddress& one : answer_.span()) {
    if (!may_bind(one.address, answer_.name, *policy_)) continue;
    (void)bindings_->bind({policy_->plain(one.address), answer_.name, now_ + binding_life(one.ttl, *policy_), BindingSource::kAnswer, view_of(flow),
                           flow.scopes, {}, policy_->plain(flow.key.server.address)},
                          now_);
  }
}

// dns_answer judges a datagram of the server.
Decision Inspector::Impl::dns_answer(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  report_dns(flow, ip.payload);
  if (ip.truncated) return {.reason = Reason::kTruncated};
  switch (take_answer(flow, ip.payload)) {
    case Answer::kTaken: return strip_datagram(flow, packet, ip);
    case Answer::kNotAsked: return {.reason = Reason::kAnswerNotAsked};
    case Answer::kUnreadable: return {.reason = Reason::kMalformed};
    case Answer::kRebinding: return refuse_answer(flow, packet, ip);
  }
  return {};
}

// read_dns_server reads the answers of a stream. One that is longer than a window is passed over.
void Inspector::Impl::read_dns_server(Flow& flow) {
  while (flow.server != nullptr) {
    const ByteSpan stream = flow.server->contiguous();
    const auto answer = parsers::read_dns_tcp_message(stream, kStreamWindowSize - kTcpLengthSize);
    if (answer.framing == Framing::kNeedMore) return;
    if (answer.framing == Framing::kMalformed) return refuse(flow, Reason::kMalformed);
    if (answer.framing == Framing::kTooLong) {
      flow.server->skip(kTcpLengthSize + (std::size_t{stream[0]} << 8 | stream[1]));
      continue;
    }
    const Answer taken = take_answer(flow, answer.message);
    if (taken == Answer::kRebinding && !observing() && !refuses_in_stream(flow)) return refuse(flow, Reason::kRebinding);
    flow.server->skip(answer.consumed);
  }
}

}  // namespace sallyport::engine
