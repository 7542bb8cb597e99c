// DNS: every message of a flow is judged, over UDP and TCP; the flow is never handed to the kernel (R5).
// Only plain queries pass (R15): one question, nothing in the answer section, nothing behind the end.
#include "inspector_impl.h"

namespace sallyport::engine {
namespace {

// reason_against returns why a message is no plain query, or kNotEvaluated when it is one.
Reason reason_against(const parsers::DnsMessage& message) {
  const parsers::DnsHeader& header = message.header;
  if (header.is_response || header.reserved || header.rcode != 0 || header.truncated) return Reason::kMalformed;
  if (header.opcode != parsers::kDnsOpcodeQuery) return Reason::kUnsupportedVersion;
  if (header.question_count != 1 || !message.question) return Reason::kAmbiguous;
  if (header.answer_count != 0 || header.authority_count != 0) return Reason::kMalformed;
  if (header.additional_count > (message.edns.present ? 1U : 0U)) return Reason::kMalformed;
  if (!message.trailing.empty()) return Reason::kTrailingData;
  if (message.edns.present && message.edns.version != 0) return Reason::kUnsupportedVersion;
  return Reason::kNotEvaluated;
}

}  // namespace

bool Inspector::Impl::judge_dns(Flow& flow, ByteSpan bytes) {
  const auto message = parsers::parse_dns_message(bytes);
  if (!message) {
    report_question(flow, bytes);
    refuse(flow, message.error() == ParseError::kTooLong ? Reason::kTooLong : Reason::kMalformed);
    return false;
  }
  const Reason against = reason_against(*message);
  if (against != Reason::kNotEvaluated) {
    if (message->question) report_name(flow, message->question->name.text());
    refuse(flow, against);
    return false;
  }
  const parsers::DnsQuestion& question = *message->question;
  parsers::DnsTypeBuffer buffer;
  report_detail(flow, Detail::kQueryType, parsers::dns_type_name(question.type, buffer));
  const auto name = DomainName::parse(question.name.text());
  // A name outside the host name alphabet ("a b.example", the root) can match no rule by name.
  if (!judge(flow, Protocol::kDns, {question.name.text(), name ? &*name : nullptr, false})) return false;
  note_question(flow, *message);
  return true;
}

void Inspector::Impl::read_dns_stream(Flow& flow) {
  flow.watch = true;
  while (flow.client != nullptr) {
    const auto message = parsers::read_dns_tcp_message(flow.client->contiguous(), kDnsQueryMax);
    if (message.framing == Framing::kNeedMore) return;
    if (message.framing != Framing::kComplete) {
      return refuse(flow, message.framing == Framing::kTooLong ? Reason::kTooLong : Reason::kMalformed);
    }
    if (!judge_dns(flow, message.message) && !options_.read_details) return;
    flow.client->consume(message.consumed);
  }
}

// report_question names a message of which no more than the first question can be read.
void Inspector::Impl::report_question(Flow& flow, ByteSpan bytes) {
  const auto question = parsers::read_first_dns_question(bytes);
  if (question) report_name(flow, question->name.text());
}

void Inspector::Impl::report_dns(Flow& flow, ByteSpan bytes) {
  if (!options_.read_details) return;
  if (flow.datagrams == 0) report_question(flow, bytes);  // The question itself is not in the capture.
  const auto message = parsers::parse_dns_message(bytes);
  if (!message) return;
  parsers::DnsRecordReader records(*message);
  parsers::DnsRecord record;
  while (records.next(record)) {
    if (record.section != parsers::DnsSection::kAnswer) continue;
    if (const auto address = parsers::address_of(record)) report_detail(flow, Detail::kAnswer, address->to_string());
  }
}

}  // namespace sallyport::engine
