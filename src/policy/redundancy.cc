#include "redundancy.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>

#include "sallyport/core/limits.h"

namespace sallyport::policy {
namespace {

std::size_t target_count(const RuleDraft& draft) {
  return draft.names.size() + draft.prefixes.size() + (draft.any ? 1 : 0);
}

// same_requests tells rules that have the same HTTP requests.
bool same_requests(const RuleTerms& a, const RuleTerms& b) {
  return a.http == b.http || (a.http && b.http && *a.http == *b.http);
}

bool same_terms(const RuleTerms& a, const RuleTerms& b) {
  return a.action == b.action && a.protocols == b.protocols && a.ports == b.ports && a.scopes == b.scopes &&
         a.expires == b.expires && a.bind == b.bind && a.starttls == b.starttls && (a.ip == b.ip || (a.ip && b.ip && *a.ip == *b.ip)) &&
         a.proxy == b.proxy && a.ice == b.ice && same_requests(a, b) &&
         (a.host_keys == b.host_keys || (a.host_keys && b.host_keys && *a.host_keys == *b.host_keys));
}

bool same_targets(const RuleDraft& a, const RuleDraft& b) {
  const auto set_of = [](auto list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    return list;
  };
  return a.any == b.any && set_of(a.names) == set_of(b.names) && set_of(a.prefixes) == set_of(b.prefixes);
}

bool covers(const std::vector<PortRange>& wide, PortRange range) {
  return std::any_of(wide.begin(), wide.end(),
                     [range](PortRange w) { return w.first <= range.first && range.last <= w.last; });
}

// ports_of returns where a rule is about `protocol`, or about all of the protocol's transports.
std::vector<PortRange> ports_of(const RuleTerms& rule, RuleProtocols protocol) {
  std::vector<PortRange> ports;
  const bool on_tcp = (protocols_on(Transport::kTcp) & protocol) != 0;
  const bool on_udp = (protocols_on(Transport::kUdp) & protocol) != 0;
  const RuleProtocols transports =
      (on_tcp ? kTcpBit : RuleProtocols{0}) | (on_udp ? kUdpBit : RuleProtocols{0});
  port_ranges_of(rule, [&](PortRange range, RuleProtocols protocols) {
    if ((protocols & protocol) != 0 || (transports != 0 && (protocols & transports) == transports)) ports.push_back(range);
  });
  return ports;
}

// terms_covered tells whether whatever `narrow` is about, targets aside, `wide` is about too.
bool terms_covered(const RuleTerms& narrow, const RuleTerms& wide) {
  if (wide.scopes != 0 && (narrow.scopes == 0 || (narrow.scopes & ~wide.scopes) != 0)) return false;
  if (wide.expires < narrow.expires) return false;
  if (wide.http != nullptr && !same_requests(narrow, wide)) return false;
  if (narrow.ip != nullptr && wide.ip != nullptr && !wide.ip->has(*narrow.ip)) return false;
  bool covered = true;
  port_ranges_of(narrow, [&](PortRange range, RuleProtocols protocols) {
    for (RuleProtocols rest = protocols; rest != 0; rest &= rest - 1) {
      const auto bit = rest & (~rest + 1);
      covered = covered && covers(ports_of(wide, bit), range);
    }
  });
  return covered;
}

}  // namespace

void Redundancy::report() {
  report_equal_rules();
  report_covered_rules();
}

std::string Redundancy::label(RuleId rule) const {
  const RuleDraft& draft = drafts_[rule];
  return draft.path + " (" + draft.info.file + ":" + std::to_string(draft.info.line) + ")";
}

void Redundancy::blame(RuleId later, RuleId earlier, std::string_view message) {
  if (drafts_[later].info.file.starts_with("preset:")) std::swap(later, earlier);
  const RuleDraft& draft = drafts_[later];
  (draft.is_grant ? grant_problems_ : diagnostics_).error(draft.info.file, draft.position,
                     draft.path + ": " + std::string(message) + label(earlier));
}

void Redundancy::report_equal_rules() {
  absl::flat_hash_map<std::uint64_t, std::vector<RuleId>> seen;
  for (RuleId id = 0; id < drafts_.size(); ++id) {
    if (drafts_[id].is_grant) continue;
    std::vector<RuleId>& alike = seen[target_hashes_[id]];
    const auto equal = std::find_if(alike.begin(), alike.end(), [&](RuleId other) {
      return same_terms(drafts_[id].terms, drafts_[other].terms) &&
             drafts_[id].info.ech == drafts_[other].info.ech && same_targets(drafts_[id], drafts_[other]);
    });
    if (equal == alike.end()) {
      alike.push_back(id);
    } else {
      blame(id, *equal, "a duplicate: it has the effect of ");
    }
  }
}

bool Redundancy::has_exact(std::string_view name, RuleId rule) const {
  const auto found = rules_.exact_names.find(name);
  bool has = false;
  if (found != rules_.exact_names.end())
    rules_.chains.visit(found->second, [&](RuleId id) { has |= id == rule; });
  return has;
}

template <typename Visitor>
void Redundancy::visit_covering(const RuleDraft& draft, std::size_t target, Visitor&& visitor) const {
  rules_.chains.visit(rules_.any, visitor);
  if (target < draft.names.size()) {
    const NameTarget& name = draft.names[target];
    // Names below x are covered by rules for names below x or above.
    if (name.form != NameForm::kExact) {
      if (const auto found = rules_.suffixes.find(name.name); found != rules_.suffixes.end()) {
        rules_.chains.visit(found->second, [&](RuleId id) {
          if (name.form == NameForm::kBelow || has_exact(name.name, id)) visitor(id);
        });
      }
      rules_.visit_below(name.name, visitor);
    } else {
      rules_.visit_name(name.name, visitor);
    }
  } else if (target - draft.names.size() < draft.prefixes.size()) {
    const auto visit_list = [&](RuleChains::Head head) { rules_.chains.visit(head, visitor); };
    rules_.prefixes.visit_covering(draft.prefixes[target - draft.names.size()], visit_list);
  }
}

bool Redundancy::targets_covered(RuleId allow, RuleId deny) {
  const RuleDraft& draft = drafts_[allow];
  for (std::size_t target = 0; target < target_count(draft); ++target) {
    if (lookups_ > kPolicyCoverLookupsMax) return false;
    bool covered = false;
    ++lookups_;
    visit_covering(draft, target, [&](RuleId id) {
      ++lookups_;
      covered |= id == deny;
    });
    if (!covered) return false;
  }
  return true;
}

void Redundancy::report_covered_rules() {
  for (RuleId id = 0; id < drafts_.size(); ++id) {
    if (drafts_[id].terms.action != Action::kAllow) continue;
    std::vector<RuleId> candidates;
    if (lookups_ > kPolicyCoverLookupsMax) return;
    visit_covering(drafts_[id], 0, [&](RuleId other) {
      ++lookups_;
      const RuleTerms& terms = drafts_[other].terms;
      if (drafts_[other].is_grant && !drafts_[id].is_grant) return;
      if (terms.action == Action::kDeny && terms_covered(drafts_[id].terms, terms))
        candidates.push_back(other);
    });
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    const auto deny = std::find_if(candidates.begin(), candidates.end(),
                                   [&](RuleId other) { return targets_covered(id, other); });
    if (deny != candidates.end())
      blame(id, *deny, "never allows anything: deny wins, and all of it is denied by ");
  }
}

}  // namespace sallyport::policy
