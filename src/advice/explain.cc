#include <algorithm>
#include <map>

#include "ask.h"
#include "sallyport/advice/reason_text.h"

namespace sallyport::advice {
namespace {

constexpr std::size_t kRulesPerStep = 6;
constexpr std::size_t kNearestShown = 3;

using policy::Fact;
using policy::RuleFate;

std::string part_of(const policy::Change& change) {
  switch (change.fact) {
    case Fact::kBinding: return "no trusted resolver gave this address for the name";
    case Fact::kHostKey: return "it has other host keys";
    case Fact::kMethod: return "it allows " + change.wants + ", not " + (change.is.empty() ? "a request that is not known" : change.is);
    case Fact::kPath: return "it allows " + change.wants + ", not " + (change.is.empty() ? "a path that is not known" : change.is);
    case Fact::kUpgrade: return "it wants " + change.wants;
    case Fact::kPort: return "it is for port " + change.wants + (change.is == "0" ? "" : ", not " + change.is);
    case Fact::kProtocol: return "it is for " + change.wants + ", not " + change.is;
    case Fact::kProxy: return "it is for " + change.wants + ", and this is " + change.is;
    case Fact::kScope: return "it is for scope " + change.wants + ", and the flow is in " + (change.is == "none" ? "none" : change.is);
    case Fact::kTime: return "it " + change.is;
    case Fact::kName:
      return change.wants == "any." + change.is ? "it has the names below " + change.is + ", not " + change.is + " itself"
                                                : "it has " + change.wants + ", not " + change.is;
    case Fact::kAddress: return "it does not name the metadata address itself";
  }
  return {};
}

class Explainer {
 public:
  Explainer(const policy::Policy& policy, const Question& question, RuleTexts& texts)
      : policy_(policy), question_(question), texts_(texts), asked_(question), answer_(ask(policy, question)) {}

  Explanation take(const LoadWith& load_with) {
    out_.subject = subject();
    settle_verdict();
    misses_ = policy::near_misses(policy_, asked_.decisive, 64);
    scope();
    early();
    rules();
    conditions();
    by_default();
    bytes();
    out_.steps.push_back({"verdict", std::string(to_string(out_.verdict)) + ": " + std::string(kReasonInfo[static_cast<std::size_t>(out_.reason)].text),
                          out_.allowed() ? Sign::kYes : out_.verdict == engine::FlowVerdict::kDeny ? Sign::kNo : Sign::kNeutral});
    if (out_.verdict == engine::FlowVerdict::kDeny) advise(load_with);
    return std::move(out_);
  }

 private:
  bool policy_allows() const { return answer_.match.action == policy::Action::kAllow; }

  std::string subject() const {
    const bool has_ports = question_.transport == Transport::kTcp || question_.transport == Transport::kUdp;
    std::string text(question_.protocol == Protocol::kUnknown ? "unknown bytes" : to_string(question_.protocol));
    if (question_.protocol == Protocol::kDns && !question_.shown_name.empty()) {
      text += " question for " + question_.shown_name;
      if (question_.address) text += " to " + question_.address->to_string();
    } else if (!question_.shown_name.empty()) {
      text += " to " + question_.shown_name;
      if (question_.address) text += " at " + question_.address->to_string();
    } else {
      text += " to " + (question_.address ? question_.address->to_string() : "an address that is not told");
    }
    if (question_.request && !question_.request->method.empty()) {
      text += ", " + question_.request->method + " " + (question_.request->path_ambiguous ? "an ambiguous path" : question_.request->path);
    }
    if (has_ports) text += ", " + std::string(question_.transport == Transport::kTcp ? "TCP" : "UDP") + " port " + std::to_string(question_.port);
    if (question_.client) text += ", from " + question_.client->to_string();
    return text;
  }

  RuleShown shown(RuleId id) {
    RuleShown rule{id, policy_.location(id), {}, texts_.text_of(id)};
    if (id < policy_.rules().size()) rule.name = policy_.rules()[id].name;
    return rule;
  }

  void settle_verdict() {
    const policy::PolicyMatch& match = answer_.match;
    if (!question_.outcome) {
      out_.verdict = policy_allows() ? engine::FlowVerdict::kAllow : engine::FlowVerdict::kDeny;
      out_.reason = answer_.reason;
      out_.rule = shown(match.rule != kNoRule || match.unbound != kNoRule || match.other_host_key != kNoRule ? match.rule : match.other_request);
    } else {
      out_.verdict = question_.outcome->verdict;
      out_.reason = question_.outcome->reason;
      out_.rule.location = question_.outcome->rule.empty() ? "default" : question_.outcome->rule;
      const auto count = static_cast<RuleId>(policy_.rules().size() + policy_.guards().size());
      for (RuleId id = 0; id < count && out_.rule.id == kNoRule; ++id) {
        if (policy_.location(id) == out_.rule.location) out_.rule = shown(id);
      }
      if (out_.rule.id == kNoRule && out_.rule.location != "default") {
        out_.notes.push_back("The rule that decided, " + out_.rule.location + ", is not in this policy.");
      }
    }
    out_.conditional = policy_allows() && (match.needs_host_key || match.needs_tls);
  }

  void scope() {
    std::string names;
    for (std::size_t i = 0; i < policy_.scope_names().size(); ++i) {
      if ((question_.scopes >> i & 1) != 0) names += (names.empty() ? "" : ", ") + policy_.scope_names()[i];
    }
    const std::string text = !names.empty()                                           ? names
                             : (question_.scopes & policy::kUnnamedWorkload) != 0     ? "none, though it is a workload's flow: rules for scope \"none\" do not have it"
                             : policy_.scope_names().empty()                          ? "the policy has none: every rule is for every flow"
                                                                                      : "none";
    out_.steps.push_back({"scope", text, Sign::kNeutral});
  }

  // early is what the policy says before a byte is seen.
  void early() {
    if (!question_.address) return;
    const policy::EarlyResult early = policy_.match_early(question_.scopes, question_.transport, *question_.address, question_.port, question_.now);
    const std::string rule = early.rule == kNoRule ? "the default" : policy_.location(early.rule);
    const bool by_default = early.match == policy::EarlyMatch::kDeny && early.rule == kNoRule && !early.metadata;
    if (by_default && question_.port == kDnsPort) {
      out_.steps.push_back({"before any byte", "undecided: what is asked there is judged, question by question", Sign::kNeutral});
      return;
    }
    switch (early.match) {
      case policy::EarlyMatch::kAllow: out_.steps.push_back({"before any byte", "allowed whatever is said, by " + rule, Sign::kYes}); return;
      case policy::EarlyMatch::kDeny:
        out_.steps.push_back({"before any byte", early.rule == kNoRule ? std::string(early.metadata ? "denied: a cloud's metadata address that no rule names"
                                                                                                     : "denied: no rule can allow this address and port, whatever is said")
                                                                       : "denied whatever is said, by " + rule, Sign::kNo});
        return;
      case policy::EarlyMatch::kUndecided:
        out_.steps.push_back({"before any byte", std::string("undecided: it depends on the protocol or the name") +
                                                     (early.needs_binding ? "; the address must belong to a name that a rule has" : ""), Sign::kNeutral});
        return;
    }
  }

  std::string why_not(RuleId id) const {
    const auto found = std::ranges::find(misses_, id, &policy::NearMiss::rule);
    return found == misses_.end() || found->changes.empty() ? "it differs in more than two ways" : sentence_of(found->changes);
  }

  struct Listing {
    std::string text;
    std::size_t count = 0;
    void add(const std::string& one) {
      if (++count <= kRulesPerStep) text += (text.empty() ? "" : "; ") + one;
    }
    std::string take() const { return count > kRulesPerStep ? text + "; and " + std::to_string(count - kRulesPerStep) + " more" : text; }
  };

  void rules() {
    std::map<RuleId, RuleFate> fates;  // The best that is known of each.
    const auto take = [&](const policy::FlowQuery& query) {
      for (const policy::RuleTrace& one : policy::trace_rules(policy_, query)) {
        const auto [place, is_new] = fates.try_emplace(one.rule, one.fate);
        if (!is_new) place->second = std::max(place->second, one.fate);
      }
    };
    take(asked_.decisive);
    if (asked_.has_claim && question_.bound && question_.protocol != Protocol::kDns) {
      policy::FlowQuery query = asked_.unclaimed;
      query.name = &*question_.name;
      query.bound = true;
      take(query);
    }
    Listing denies, allows;
    Sign deny_sign = Sign::kYes, allow_sign = Sign::kNo;
    for (const auto& [id, fate] : fates) {
      const std::string where = policy_.location(id);
      if (policy::terms_of(policy_, id).action == policy::Action::kDeny) {
        const bool hits = fate == RuleFate::kDenies || fate == RuleFate::kDeniesPerhaps;
        if (hits) deny_sign = Sign::kNo;
        denies.add(where + (hits ? " denies it" : fate == RuleFate::kNotInForce ? " is for another scope, or has expired" : " is for another protocol, port or request"));
      } else {
        const bool hits = fate == RuleFate::kAllows || fate == RuleFate::kAwaitsHostKey || fate == RuleFate::kAwaitsTls;
        if (hits) allow_sign = Sign::kYes;
        allows.add(where + (hits ? " allows it" : ": " + why_not(id)));
      }
    }
    allowed_by_rule_ = allow_sign == Sign::kYes;
    const std::string none = question_.name ? "none has the name or the address" : "none has the address";
    out_.steps.push_back({"deny rules", denies.count == 0 ? none : denies.take(), deny_sign});
    out_.steps.push_back({"allow rules", allows.count == 0 ? none : allows.take(), allow_sign});
  }

  // conditions are what the verdict rests on beside the rules.
  void conditions() {
    if (question_.name && question_.protocol != Protocol::kDns && policy_.needs_bindings()) {
      const std::string known = question_.outcome ? "the address belongs to the name" : "taken for granted here: the address is one that a trusted resolver gave for the name";
      out_.steps.push_back({"address", question_.bound ? known : "no trusted resolver gave this address for the name", question_.bound ? Sign::kYes : Sign::kNo});
    }
    if (question_.protocol == Protocol::kDns) {
      out_.steps.push_back({"resolver", question_.bound ? "trusted" : "not among those that the policy trusts", question_.bound ? Sign::kYes : Sign::kNo});
    }
    if (answer_.match.needs_host_key) out_.steps.push_back({"host key", "the rule has some; the server must show one of them", Sign::kNeutral});
    if (answer_.match.other_host_key != kNoRule) out_.steps.push_back({"host key", "the server's is none of the rule's", Sign::kNo});
    if (answer_.match.needs_tls) out_.steps.push_back({"STARTTLS", "mail, login and data must wait for TLS", Sign::kNeutral});
    if (answer_.match.other_request != kNoRule) out_.steps.push_back({"request", std::string(text_of(answer_.reason).meaning), Sign::kNo});
    if (answer_.reason == Reason::kQuicDenied) out_.steps.push_back({"QUIC", "[defaults] quic = \"deny\"", Sign::kNo});
  }

  void by_default() {
    if (answer_.match.rule != kNoRule) return;
    const bool allow = policy_allows();
    const bool lookup = question_.protocol == Protocol::kDns && allow;
    out_.steps.push_back({"default", lookup && !allowed_by_rule_ && policy_.defaults().action == policy::Action::kDeny
                                         ? std::string("a lookup at a trusted resolver, of a name that a rule has or that [dns] names lets through")
                                         : std::string("no rule decides; [defaults] action is ") + (policy_.defaults().action == policy::Action::kAllow ? "\"allow\"" : "\"deny\""),
                          allow ? Sign::kYes : Sign::kNo});
  }

  // bytes says where the verdict is not the rules'.
  void bytes() {
    if (!question_.outcome || question_.outcome->verdict == engine::FlowVerdict::kPending) return;
    if (policy_allows() == out_.allowed()) return;
    if (policy_allows()) {
      out_.steps.push_back({"bytes", "the rules would allow such a flow; it was denied for what it did: " + text_of(out_.reason).meaning, Sign::kNo});
    } else {
      out_.notes.push_back("This policy, asked with what is known of the flow, denies it (" + std::string(to_string(answer_.reason)) +
                           "). It was decided under another policy, or by facts that the record does not have.");
    }
  }

  void advise(const LoadWith& load_with) {
    if (policy_allows()) {
      out_.suggestion.note = text_of(out_.reason).to_do;
      if (out_.rule.id != kNoRule && out_.reason == Reason::kRuleDenies) out_.suggestion.note = "A deny rule wins over every allow rule: " + out_.rule.location + " must be narrowed or go.";
      return;
    }
    if (answer_.match.rule == kNoRule) {
      for (const policy::NearMiss& miss : misses_) {
        if (out_.nearest.size() == kNearestShown || miss.changes.empty()) break;
        out_.nearest.push_back({shown(miss.rule), miss.changes, sentence_of(miss.changes)});
      }
    } else if (allowed_by_rule_ || policy_.defaults().action == policy::Action::kAllow) {
      out_.notes.push_back(allowed_by_rule_ ? "Without the deny rule an allow rule would allow it." : "Without the deny rule the default would allow it.");
    }
    out_.suggestion = suggest(policy_, question_, answer_, load_with);
  }

  const policy::Policy& policy_;
  const Question& question_;
  RuleTexts& texts_;
  Asked asked_;
  Answer answer_;
  std::vector<policy::NearMiss> misses_;
  bool allowed_by_rule_ = false;
  Explanation out_;
};

}  // namespace

std::string sentence_of(const std::vector<policy::Change>& changes) {
  std::string text;
  for (const policy::Change& change : changes) text += (text.empty() ? "" : ", and ") + part_of(change);
  return text;
}

Explanation explain(const policy::Policy& policy, const Question& question, RuleTexts& texts, const LoadWith& load_with) {
  return Explainer(policy, question, texts).take(load_with);
}

}  // namespace sallyport::advice
