// Answers without the keys of Encrypted Client Hello (parsers/dns_ech.h), and refusals in place of answers of rebinding
// (rebinding.cc). Over UDP a datagram is rewritten as it comes. Over TCP nothing is done before the first question whose answer may
// have to be rewritten: for HTTPS or SVCB, and where rebinding is refused for anything that leads to addresses.
// From then on an answer to such a question goes when it is whole: segments of an incomplete one are dropped and
// remembered, and the server sends them again. Other answers need not be whole.
#include <algorithm>

#include "inspector_impl.h"
#include "replaced_packet.h"
#include "sallyport/parsers/dns_ech.h"

namespace sallyport::engine {
namespace {

bool may_carry_keys(const parsers::DnsQuestion& question) {
  return question.type == parsers::kDnsTypeHttps || question.type == parsers::kDnsTypeSvcb;
}

}  // namespace

// strips_ech tells whether answers of this flow are rewritten at all. What is in a tunnel is left alone: two checksums
// and the tunnel's own would have to be made.
bool Inspector::Impl::strips_ech(const Flow& flow) const {
  if (observing() || flow.state != FlowState::kJudged || flow.by_address || flow.key.tunnel != 0) return false;
  return policy_->dns().ech == policy::Ech::kStrip || policy_->ech_of(flow.rule) == policy::Ech::kStrip;
}

// refuses_in_stream tells whether an answer of rebinding can be refused in a stream's own bytes.
bool Inspector::Impl::refuses_in_stream(const Flow& flow) const {
  if (observing() || flow.state != FlowState::kJudged || flow.key.tunnel != 0) return false;
  return refuses_rebinding() && (flow.answers_read || !flow.by_address);
}

// must_be_whole tells which answers are read before any byte of them goes.
bool Inspector::Impl::must_be_whole(const Flow& flow, const parsers::DnsQuestion& question) const {
  return (strips_ech(flow) && may_carry_keys(question)) || (refuses_in_stream(flow) && gives_addresses(question));
}

// strips_answer tells it for one message, by the rule that lets its question pass.
bool Inspector::Impl::strips_answer(const Flow& flow, ByteSpan message) const {
  const auto question = parsers::read_first_dns_question(message);
  if (!question) return true;  // Nobody knows which rule let it pass.
  Lookup lookup;
  look_up(flow, *question, lookup);
  return policy_->ech_of(lookup.match.rule) == policy::Ech::kStrip;
}

// strip_answer rewrites one message in place. kMalformed: it must not go on.
parsers::EchStrip Inspector::Impl::strip_answer(Flow& flow, std::span<std::uint8_t> message) {
  if (!strips_answer(flow, message)) return parsers::EchStrip::kNothing;
  const parsers::EchStrip result = parsers::strip_ech(message);
  if (result == parsers::EchStrip::kRewritten) report_detail(flow, Detail::kEch, "stripped");
  return result;
}

Decision Inspector::Impl::strip_datagram(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (!strips_ech(flow) || (ip.truncated && packet.origin == Origin::kUnknown)) return pass(flow, Reason::kReply);
  if (ip.truncated) return {.reason = Reason::kTruncated};
  std::span<std::uint8_t> copy = copy_packet(packet);
  const auto payload = copy.subspan(static_cast<std::size_t>(ip.payload.data() - packet.bytes.data()), ip.payload.size());
  switch (strip_answer(flow, payload)) {
    case parsers::EchStrip::kNothing: break;
    case parsers::EchStrip::kMalformed: return {.reason = Reason::kMalformed, .rule = flow.rule};
    case parsers::EchStrip::kRewritten:
      write_checksum(copy, ip);
      replacement = copy;
      break;
  }
  return pass(flow, Reason::kReply);
}

// expect_answers begins to follow the stream of answers, at the first message that has not come as a whole yet.
void Inspector::Impl::expect_answers(Flow& flow, const parsers::DnsQuestion& question) {
  const bool of_interest = may_carry_keys(question) || (refuses_rebinding() && gives_addresses(question));
  if (flow.key.transport != Transport::kTcp || flow.answers_wanted || !of_interest) return;
  flow.answers_wanted = true;
  if (!strips_ech(flow) && !refuses_in_stream(flow)) return;
  flow.answers_begin = flow.server == nullptr ? 0 : flow.server->base();
  flow.answers = windows_.acquire(flow.answers_begin);
  if (flow.answers != nullptr && flow.server != nullptr) (void)flow.answers->put(flow.answers_begin, flow.server->contiguous());
}

// rewrite_answer rewrites one message of a stream in place. kMalformed: it must not go on.
parsers::EchStrip Inspector::Impl::rewrite_answer(Flow& flow, std::span<std::uint8_t> message) {
  const auto question = parsers::read_first_dns_question(message);
  if (refuses_in_stream(flow) && (!question || gives_addresses(*question))) {
    if (!parsers::parse_dns_message(message)) return parsers::EchStrip::kMalformed;
    if (refuse_answer(message)) return parsers::EchStrip::kRewritten;
  }
  return strips_ech(flow) ? strip_answer(flow, message) : parsers::EchStrip::kNothing;
}

// strip_segment puts a server's segment into the stream of answers and tells whether it may go.
Decision Inspector::Impl::strip_segment(Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  if (!flow.answers_wanted || flow.answers_lost || !(strips_ech(flow) || refuses_in_stream(flow))) return pass(flow, Reason::kReply);
  if (ip.truncated) {
    flow.answers_lost = packet.origin == Origin::kUnknown;  // A capture is read on without.
    return flow.answers_lost ? pass(flow, Reason::kReply) : Decision{.reason = Reason::kTruncated};
  }
  if (!flow.server_base_known) return {.reason = Reason::kStaleSegment};
  if (flow.answers == nullptr) return {.reason = Reason::kStreamLimit};
  StreamWindow& answers = *flow.answers;
  const std::int64_t signed_offset = unwrap(ip.tcp.sequence, flow.server_base, answers.base());
  if (signed_offset < 0) return {.reason = Reason::kStaleSegment};
  const auto offset = static_cast<std::uint64_t>(signed_offset);
  const std::uint64_t end = offset + ip.payload.size();
  // What is behind the base was let go as it is or in other words; only what is new is stored.
  for (std::uint64_t stored = std::max(offset, answers.base()); stored < end;) {
    const auto result = answers.put(stored, ip.payload.subspan(static_cast<std::size_t>(stored - offset)));
    if (result.put == StreamWindow::Put::kConflict) return {.reason = Reason::kRetransmissionDiffers};
    if (result.put != StreamWindow::Put::kOk || result.stored_end == stored) return {.reason = Reason::kStreamLimit};
    if (const Reason bad = read_answers(flow); bad != Reason::kNotEvaluated) return {.reason = bad, .rule = flow.rule};
    stored = std::max(result.stored_end, answers.base());
  }
  if (end > answers.base()) return {.reason = Reason::kNeedMoreData};
  const std::span<std::uint8_t> copy = copy_packet(packet);
  const auto payload = copy.subspan(static_cast<std::size_t>(ip.payload.data() - packet.bytes.data()), ip.payload.size());
  const std::uint64_t from = std::max(offset, flow.answers_begin);
  if (from < end && !answers.restore(from, payload.subspan(static_cast<std::size_t>(from - offset)))) {
    return {.reason = Reason::kStaleSegment};
  }
  if (!std::ranges::equal(payload, ip.payload)) {
    write_checksum(copy, ip);
    replacement = copy;
  }
  return pass(flow, Reason::kReply);
}

// read_answers moves the base over what may go: whole messages, rewritten where they must be, and those that need not be
// whole. Only rewritten bytes are kept. Gives the reason when the stream can go no further.
Reason Inspector::Impl::read_answers(Flow& flow) {
  StreamWindow& answers = *flow.answers;
  while (true) {
    const std::span<std::uint8_t> stream = answers.contiguous_bytes();
    const auto message = parsers::read_dns_tcp_message(stream, parsers::kDnsMessageMax);
    if (message.framing == Framing::kComplete) {
      switch (rewrite_answer(flow, stream.subspan(2, message.message.size()))) {
        case parsers::EchStrip::kNothing: answers.skip(message.consumed); break;
        case parsers::EchStrip::kRewritten: answers.consume(message.consumed); break;
        case parsers::EchStrip::kMalformed: return Reason::kMalformed;
      }
      continue;
    }
    if (message.framing != Framing::kNeedMore) return Reason::kMalformed;
    ByteReader in(stream);
    std::uint16_t length = 0;
    if (!in.read_u16(length)) return Reason::kNotEvaluated;
    const auto question = parsers::read_first_dns_question(in.rest());
    if (!question || must_be_whole(flow, *question)) {
      return std::size_t{2} + length > kStreamAheadMax ? Reason::kTooLong : Reason::kNotEvaluated;
    }
    answers.skip(std::uint64_t{2} + length);
  }
}

std::span<std::uint8_t> Inspector::Impl::copy_packet(const Packet& packet) {
  replacement_.assign(packet.bytes.begin(), packet.bytes.end());
  return replacement_;
}

}  // namespace sallyport::engine
