#include "sallyport/policy/explain.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>

#include "compiled_rules.h"
#include "sallyport/core/special_addresses.h"

namespace sallyport::policy {

// Introspection is the one way of this file to what a policy consists of.
class Introspection {
 public:
  static const CompiledRules& of(const Policy& policy) { return *policy.compiled_; }
};

namespace {

// Variation is a query with what it points at, so that facts of it can be changed.
struct Variation {
  explicit Variation(const FlowQuery& from) : query(from) {
    if (from.name != nullptr) name = *from.name;
    if (from.http != nullptr) http = *from.http;
    has_name = from.name != nullptr;
    has_http = from.http != nullptr;
  }
  // asked returns the query as it is to be asked. Borrows from this.
  FlowQuery asked() const {
    FlowQuery out = query;
    out.name = has_name ? &name : nullptr;
    out.http = has_http ? &http : nullptr;
    return out;
  }

  FlowQuery query;
  DomainName name;
  HttpRequestFacts http;
  bool has_name = false;
  bool has_http = false;
};

struct Step {
  Change change;
  std::function<void(Variation&)> apply;
};

constexpr std::size_t kStepsMax = 48;       // Changes tried for one rule; and their pairs.
constexpr std::size_t kCandidatesMax = 64;  // Rules that are asked again.

std::string protocol_text(Transport transport, Protocol protocol) {
  if (protocol == Protocol::kUnknown) return "unknown bytes over " + std::string(to_string(transport));
  return std::string(to_string(protocol));
}

std::string scopes_text(const CompiledRules& rules, ScopeSet scopes) {
  std::string text;
  for (std::size_t i = 0; i < rules.scope_names.size() && i < kScopesMax; ++i) {
    if ((scopes >> i & 1) == 0) continue;
    if (!text.empty()) text += ", ";
    text += rules.scope_names[i];
  }
  if ((scopes & kNoScope) != 0 || text.empty()) text += text.empty() ? "none" : ", none";
  return text;
}

std::string time_text(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(seconds - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return text;
}

// Steps lists what could be changed of a query towards one rule. Whether it helps, match says.
class Steps {
 public:
  Steps(const CompiledRules& rules, const FlowQuery& query, RuleId id) : rules_(rules), query_(query), rule_(rules.rules[id]) {
    request();
    if (!query.bound) add({Fact::kBinding, "an address that no trusted resolver gave for the name", "one that belongs to it"},
                          [](Variation& x) { x.query.bound = true; });
    if (rule_.host_keys != nullptr) add({Fact::kHostKey, "another host key", "one of the rule's"}, [](Variation& x) {
      x.query.host_key = nullptr;
      x.query.host_key_pending = true;
    });
    if (rule_.proxy != query.proxy) add({Fact::kProxy, query.proxy ? "asked as a proxy" : "no proxy", rule_.proxy ? "a proxy" : "a destination of its own"},
                                        [to = rule_.proxy](Variation& x) { x.query.proxy = to; });
    ports();
    protocols();
    scopes();
    if (rule_.expires != kNever) add({Fact::kTime, "expired at " + time_text(rule_.expires), "a time before that"},
                                     [to = rule_.expires - std::chrono::nanoseconds(1)](Variation& x) { x.query.now = to; });
    if (is_metadata_address(rules.plain(query.destination))) metadata();
  }
  const std::vector<Step>& list() const { return steps_; }

 private:
  void add(Change change, std::function<void(Variation&)> apply) {
    if (steps_.size() < kStepsMax) steps_.push_back({std::move(change), std::move(apply)});
  }
  void request() {
    if (rule_.http == nullptr) return;
    const HttpTerms& terms = *rule_.http;
    const HttpRequestFacts asked = query_.http != nullptr ? *query_.http : HttpRequestFacts{};
    if (!terms.methods.empty()) {
      std::string methods;
      for (const std::string& one : terms.methods) methods += (methods.empty() ? "" : ", ") + one;
      add({Fact::kMethod, std::string(asked.method), methods}, [to = std::string_view(terms.methods.front())](Variation& x) {
        x.has_http = true;
        x.http.method = to;
      });
    }
    if (!terms.prefixes.empty()) {
      std::string paths;
      for (const std::string& one : terms.prefixes) paths += (paths.empty() ? "" : ", ") + one;
      add({Fact::kPath, std::string(asked.path), paths}, [to = std::string_view(terms.prefixes.front())](Variation& x) {
        x.has_http = true;
        x.http.path = to;
        x.http.path_ambiguous = false;
      });
    }
    add({Fact::kUpgrade, asked.websocket ? "a WebSocket" : "no WebSocket", asked.websocket ? "no WebSocket" : "a WebSocket"},
        [to = !asked.websocket](Variation& x) {
          x.has_http = true;
          x.http.websocket = to;
        });
  }
  void ports() {
    if (query_.transport != Transport::kTcp && query_.transport != Transport::kUdp) return;
    const auto port = [&](std::uint16_t first, std::uint16_t last) {
      const std::string wants = std::to_string(first) + (first == last ? "" : "-" + std::to_string(last));
      add({Fact::kPort, std::to_string(query_.port), wants}, [first](Variation& x) { x.query.port = first; });
    };
    for (const PortRange& range : rule_.ports) port(range.first, range.last);
    if (!rule_.ports.empty()) return;
    const RuleProtocols own = protocols_of_flow(query_.transport, query_.protocol) & rule_.protocols;
    for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
      if ((own >> i & 1) == 0) continue;
      for (const std::uint16_t home : kRuleWords[i].ports) {
        if (home != 0) port(home, home);
      }
    }
  }
  void protocols() {
    for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
      if ((rule_.protocols >> i & 1) == 0) continue;
      const RuleWord& word = kRuleWords[i];
      if (!word.on_tcp && !word.on_udp) continue;
      const bool stays = query_.transport == Transport::kTcp ? word.on_tcp : word.on_udp;
      const Transport transport = stays ? query_.transport : word.on_tcp ? Transport::kTcp : Transport::kUdp;
      add({Fact::kProtocol, protocol_text(query_.transport, query_.protocol), std::string(word.word)}, [&word, transport](Variation& x) {
        x.query.transport = transport;
        x.query.protocol = word.protocol;
        x.query.claimed = x.has_name && word.carries_name;
      });
    }
  }
  void scopes() {
    if (rule_.scopes == 0) return;
    const Change change{Fact::kScope, scopes_text(rules_, query_.scopes), scopes_text(rules_, rule_.scopes)};
    const bool none = (rule_.scopes & ~kNoScope) == 0;
    const ScopeSet to = none ? 0 : ScopeSet{1} << std::countr_zero(rule_.scopes);
    add(change, [to](Variation& x) { x.query.scopes = to; });
  }
  void metadata() {
    add({Fact::kAddress, "a cloud's metadata address, which the rule does not name", "any other address"},
        [](Variation& x) { x.query.destination = *IpAddress::parse("203.0.113.1"); });
  }

  const CompiledRules& rules_;
  const FlowQuery& query_;
  const RuleTerms& rule_;
  std::vector<Step> steps_;
};

bool goes_on(RuleFate fate) {
  return fate == RuleFate::kAllows || fate == RuleFate::kAwaitsHostKey || fate == RuleFate::kAwaitsTls;
}

// allows tells whether match counts `id` among what allows the query.
bool allows(const CompiledRules& rules, const Variation& variation, RuleId id) {
  const std::vector<RuleTrace> all = rules.trace(variation.asked());
  return std::ranges::any_of(all, [id](const RuleTrace& one) { return one.rule == id && goes_on(one.fate); });
}

// changes_for returns the fewest changes by which rule `id` would allow `base`.
std::vector<Change> changes_for(const CompiledRules& rules, const Variation& base, RuleId id) {
  const FlowQuery query = base.asked();
  const Steps steps(rules, query, id);
  for (const Step& one : steps.list()) {
    Variation changed = base;
    one.apply(changed);
    if (allows(rules, changed, id)) return {one.change};
  }
  const std::vector<Step>& list = steps.list();
  for (std::size_t i = 0; i < list.size(); ++i) {
    for (std::size_t j = i + 1; j < list.size(); ++j) {
      Variation changed = base;
      list[j].apply(changed);  // A protocol before its port: ports come first in the list.
      list[i].apply(changed);
      if (allows(rules, changed, id)) return {list[i].change, list[j].change};
      if (list[i].change.fact != Fact::kProtocol && list[j].change.fact != Fact::kProtocol) continue;
      // The port at which the other protocol is at home.
      const Step& protocol = list[i].change.fact == Fact::kProtocol ? list[i] : list[j];
      for (const std::uint16_t home : home_ports_of(protocol.change.wants)) {
        Variation at_home = base;
        protocol.apply(at_home);
        at_home.query.port = home;
        if (allows(rules, at_home, id)) {
          return {{Fact::kPort, std::to_string(query.port), std::to_string(home)}, protocol.change};
        }
      }
    }
  }
  for (const Step& one : list) {
    if (one.change.fact != Fact::kProtocol) continue;
    for (const std::uint16_t home : home_ports_of(one.change.wants)) {
      Variation at_home = base;
      one.apply(at_home);
      at_home.query.port = home;
      if (allows(rules, at_home, id)) return {one.change, {Fact::kPort, std::to_string(query.port), std::to_string(home)}};
    }
  }
  return {};
}

// names_beside returns names that a rule may have meant when it does not have `name`.
std::vector<DomainName> names_beside(const DomainName& name) {
  std::vector<DomainName> names;
  const auto add = [&](const std::string& text) {
    if (const auto parsed = DomainName::parse(text); parsed && *parsed != name) names.push_back(*parsed);
  };
  const std::string_view text = name.text();
  add("any." + std::string(text));
  add("www." + std::string(text));
  if (text.starts_with("www.")) add(std::string(text.substr(4)));
  for (std::string_view above = DomainName::parent(text); above.contains('.'); above = DomainName::parent(above)) add(std::string(above));
  return names;
}

int weight(const NearMiss& miss) {
  if (miss.changes.empty()) return 1'000;
  int sum = 0;
  for (const Change& change : miss.changes) sum += 100 + static_cast<int>(change.fact);
  return sum;
}

}  // namespace

std::vector<RuleTrace> trace_rules(const Policy& policy, const FlowQuery& query) {
  return Introspection::of(policy).trace(query);
}

RuleTermsView terms_of(const Policy& policy, RuleId id) {
  const CompiledRules& rules = Introspection::of(policy);
  const RuleTerms& rule = rules.rules.at(id);
  RuleTermsView view{.action = rule.action, .scopes = rule.scopes, .expires = rule.expires != kNever, .expires_at = rule.expires,
                     .strict = rule.bind == Bind::kStrict, .host_keys = rule.host_keys != nullptr, .proxy = rule.proxy};
  for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
    if ((rule.protocols >> i & 1) != 0) view.protocols.push_back(kRuleWords[i].word);
  }
  for (const PortRange& range : rule.ports) view.ports.emplace_back(range.first, range.last);
  if (rule.http != nullptr) {
    for (const std::string& one : rule.http->methods) view.methods.push_back(one);
    for (const std::string& one : rule.http->prefixes) view.paths.push_back(one);
    for (const auto& one : rule.http->patterns) view.paths.push_back(one->expression());
  }
  return view;
}

std::string_view word_for(Transport transport, Protocol protocol) {
  const RuleProtocols words = protocols_of_flow(transport, protocol);
  std::string_view found;
  for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
    if ((words >> i & 1) == 0) continue;
    if (found.empty() || kRuleWords[i].protocol == protocol) found = kRuleWords[i].word;
    if (kRuleWords[i].protocol == protocol && protocol != Protocol::kUnknown) break;
  }
  return found;
}

std::vector<std::uint16_t> home_ports_of(std::string_view word) {
  std::vector<std::uint16_t> ports;
  for (const RuleWord& known : kRuleWords) {
    if (known.word != word) continue;
    std::ranges::copy_if(known.ports, std::back_inserter(ports), [](std::uint16_t port) { return port != 0; });
  }
  return ports;
}

std::vector<NearMiss> near_misses(const Policy& policy, const FlowQuery& query, std::size_t at_most) {
  const CompiledRules& rules = Introspection::of(policy);
  std::vector<NearMiss> misses;
  const auto take = [&](const Variation& base, const std::optional<Change>& renamed) {
    for (const RuleTrace& one : rules.trace(base.asked())) {
      if (misses.size() >= kCandidatesMax) return;
      const auto same = [&](const NearMiss& known) { return known.rule == one.rule; };
      if (rules.rules[one.rule].action == Action::kDeny || std::ranges::any_of(misses, same)) continue;
      NearMiss miss{one.rule, {}};
      if (renamed) miss.changes.push_back(*renamed);
      if (!goes_on(one.fate)) {
        std::vector<Change> changes = changes_for(rules, base, one.rule);
        if (changes.empty() && renamed) continue;
        miss.changes.insert(miss.changes.end(), changes.begin(), changes.end());
      }
      if (!goes_on(one.fate) || renamed) misses.push_back(std::move(miss));
    }
  };
  const Variation asked(query);
  take(asked, std::nullopt);
  if (query.name != nullptr && !query.name->empty()) {
    for (const DomainName& name : names_beside(*query.name)) {
      Variation other = asked;
      other.name = name;
      other.query.bound = true;
      take(other, Change{Fact::kName, std::string(query.name->text()), std::string(name.text())});
    }
  }
  std::ranges::stable_sort(misses, {}, weight);
  if (misses.size() > at_most) misses.resize(at_most);
  return misses;
}

}  // namespace sallyport::policy
