// DNS: every message of a flow is judged, over UDP and TCP; the flow is never handed to the kernel (R5).
// Only plain queries pass (R15, plain_query.h), for names that the policy has, to resolvers that are trusted.
#include "inspector_impl.h"
#include "plain_query.h"

namespace sallyport::engine {

// match_lookup asks the policy for one name of a question: the rules for dns first, and at a trusted resolver what may
// be looked up without one.
policy::PolicyMatch Inspector::Impl::match_lookup(const Flow& flow, const DomainName* name, bool trusted) const {
  policy::FlowQuery query = query_of(flow, Protocol::kDns);
  query.name = name;
  query.claimed = true;
  query.bound = trusted;
  const policy::PolicyMatch match = policy_->match(query);
  const bool by_rule = match.action == policy::Action::kAllow || match.rule != kNoRule;
  if (by_rule || !trusted || flow.key.server.port != kDnsPort) return match;
  if (policy_->dns().names == policy::DnsNames::kAny) return {.action = policy::Action::kAllow};
  policy::PolicyMatch question = policy_->match_question(flow.scopes, name, now_);
  question.nearest = match.nearest;
  return question;
}

// look_up judges a question. The name of a service is as good as its host's, unless a rule has it.
void Inspector::Impl::look_up(const Flow& flow, const parsers::DnsQuestion& question, Lookup& lookup) const {
  const std::string_view text = question.name.text();
  const auto name = DomainName::parse(text);  // A name outside the host name alphabet can match no rule by name.
  if (name) lookup.name = *name;
  lookup.trusted = trusts(flow);
  const auto host_text = name ? host_of_service(name->text(), question.type) : std::nullopt;
  if (const auto host = host_text ? DomainName::parse(*host_text) : std::nullopt) {
    lookup.match = match_lookup(flow, &*host, lookup.trusted);
    lookup.budget_of = policy_->wildcard_of(flow.scopes, *host, now_);
    if (lookup.budget_of.empty()) lookup.budget_of = lookup.name.text().substr(name->text().size() - host->text().size());
    if (lookup.match.action == policy::Action::kAllow || lookup.match.rule != kNoRule) return;
  }
  lookup.match = match_lookup(flow, name ? &*name : nullptr, lookup.trusted);
  // Our own look-ups make deny rules by name hold, and serve scopes with resolvers of their own.
  const bool address = question.type == parsers::kDnsTypeA || question.type == parsers::kDnsTypeAaaa;
  if (lookup.match.action != policy::Action::kAllow && name && address && is_own(flow) && policy_->looks_up(*name)) {
    lookup.match = {.action = policy::Action::kAllow};
    return;
  }
  lookup.budget_of = name ? policy_->wildcard_of(flow.scopes, *name, now_) : std::string_view{};
}

bool Inspector::Impl::judge_question(Flow& flow, const parsers::DnsQuestion& question) {
  report_claim(flow, {question.name.text(), nullptr, false});
  if (flow.answers_read) expect_answers(flow, question);
  if (shadow(flow)) return true;
  Lookup lookup;
  look_up(flow, question, lookup);
  if (!lookup.name.empty()) {
    flow.name = lookup.name;
    flow.has_name = true;
    flow.name_of_address = false;
  }
  const RuleId rule = lookup.match.rule;
  if (lookup.match.action != policy::Action::kAllow) {
    const bool by_trust = flow.key.server.port == kDnsPort || lookup.match.unbound != kNoRule;
    deny_flow(flow, rule != kNoRule                   ? Reason::kRuleDenies
                    : !lookup.trusted && by_trust     ? Reason::kResolverNotTrusted
                    : lookup.match.nearest != kNoRule ? Reason::kProtocolNotAllowed
                    : lookup.name.empty()             ? Reason::kAddressNotAllowed
                                                      : Reason::kNameNotAllowed,
              rule);
    return false;
  }
  if (flow.midstream) {
    deny_flow(flow, Reason::kMidstream);
    return false;
  }
  // Where every name may be asked, a budget for some would bound nothing.
  const bool any_name = match_lookup(flow, nullptr, lookup.trusted).action == policy::Action::kAllow;
  if (!any_name && !lookup.budget_of.empty() &&
      !budget_->admit(flow.scopes, lookup.budget_of, lookup.name.text(), policy_->dns().wildcard_budget, now_)) {
    deny_flow(flow, Reason::kLookupBudget, rule);
    return false;
  }
  allow_flow(flow, reason_to_allow(lookup.match), rule);
  expect_answers(flow, question);
  return true;
}

bool Inspector::Impl::judge_dns(Flow& flow, ByteSpan bytes) {
  const auto message = parsers::parse_dns_message(bytes);
  const bool too_long = flow.key.transport == Transport::kUdp && bytes.size() > kDnsDatagramMax;
  if (!message || too_long) {
    report_question(flow, bytes);
    refuse(flow, too_long || message.error() == ParseError::kTooLong ? Reason::kTooLong : Reason::kMalformed);
    return false;
  }
  const Reason against = reason_against(*message, policy_->dns().edns_options);
  if (against != Reason::kNotEvaluated) {
    if (message->question) report_name(flow, message->question->name.text());
    refuse(flow, against);
    return false;
  }
  parsers::DnsTypeBuffer buffer;
  report_detail(flow, Detail::kQueryType, parsers::dns_type_name(message->question->type, buffer));
  if (!judge_question(flow, *message->question)) return false;
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
    if (!judge_dns(flow, message.message) && !options_.read_details && !flow.answers_read) return;
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
