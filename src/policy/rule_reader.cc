#include "rule_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include "sallyport/policy/idna.h"
#include "ip_terms_reader.h"
#include "local_targets.h"
#include "public_suffix.h"
#include "sallyport/core/limits.h"
#include "target_text.h"

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 2> kActions = {"deny", "allow"};
constexpr std::array<std::string_view, 3> kRefusals = {"speak", "reset", "drop"};

// Words of `protocols` that are known and stand for nothing yet. HTTP/2 is `http`.
std::vector<std::string_view> later_protocols() {
  std::vector<std::string_view> words;
  for (const std::string_view word : kProtocolNames) {
    const bool usable =
        std::find(kRuleProtocolNames.begin(), kRuleProtocolNames.end(), word) != kRuleProtocolNames.end();
    if (!usable && word != to_string(Protocol::kUnknown)) words.push_back(word);
  }
  return words;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

std::optional<PortRange> parse_ports(const Value& value) {
  if (value.kind == Value::Kind::kInteger) {
    if (value.integer < 1 || value.integer > 65'535) return std::nullopt;
    const auto port = static_cast<std::uint16_t>(value.integer);
    return PortRange{port, port};
  }
  if (value.kind != Value::Kind::kString) return std::nullopt;
  if (value.text == "any") return PortRange{0, 65'535};
  const std::size_t dash = value.text.find('-');
  const auto first = parse_port(value.text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(value.text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return PortRange{*first, *last};
}

// is_reverse_tree tells whether the names below are those of addresses (RFC 1035 §3.5, RFC 3596 §2.5).
bool is_reverse_tree(std::string_view name) {
  return name == "in-addr.arpa" || name == "ip6.arpa";
}

// merge sorts ranges and joins those that overlap or touch.
void merge(std::vector<PortRange>& ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<PortRange> merged;
  for (const PortRange& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last + 1) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges = std::move(merged);
}

}  // namespace

RuleReader::RuleReader(NameArena& arena, std::span<const std::string> scope_names, const Defaults& defaults,
                       const TextStore& store)
    : arena_(arena), defaults_(defaults), host_keys_(store), scope_names_(scope_names.begin(), scope_names.end()) {}

void RuleReader::Frame::error(Position position, std::string_view key, std::string_view message) {
  failed = true;
  reader.error(position, path(key), message);
}

void RuleReader::read(const Reader& reader, const std::optional<std::filesystem::path>& folder, const Value& list,
                      std::vector<RuleDraft>& out) {
  if (list.kind != Value::Kind::kArray) {
    reader.error(list.position, "rules", "expected a list of tables; begin each rule with [[rules]]");
    return;
  }
  for (std::size_t i = 0; i < list.children->items.size(); ++i) {
    const Value& item = list.children->items[i];
    RuleDraft draft;
    draft.path = "rules[" + std::to_string(i) + "]";
    if (++rules_ > kPolicyRulesMax) {
      reader.error(item.position, draft.path,
                   "a policy has at most " + std::to_string(kPolicyRulesMax) + " rules");
      return;
    }
    if (!reader.is_table(item, draft.path)) continue;
    draft.info.file = reader.file();
    draft.info.line = item.position.line;
    draft.position = item.position;
    Frame frame{reader, folder, item, draft};
    read_rule(frame);
    if (!frame.failed) out.push_back(std::move(draft));
  }
}

void RuleReader::read_rule(Frame& frame) {
  frame.reader.check_keys(frame.table, "rules", frame.draft.path);
  read_words(frame);  // First: what a target may be depends on the action.
  read_targets(frame);
  read_protocols(frame);
  read_ports(frame);
  read_scopes(frame);
  read_expiry(frame);
  read_binding(frame);
  read_ech(frame);
  read_ice(frame);
  read_http_terms(frame);
  read_proxy(frame);
  if (!frame.failed) check_combination(frame);
  if (!frame.failed) check_names(frame);
  if (!frame.failed) read_host_keys(frame);
  if (!frame.failed) read_starttls(frame);
  if (!frame.failed) frame.failed = !check_local_targets(frame.reader, frame.table, frame.draft);
  if (!frame.failed) frame.draft.terms.ip = read_ip_terms(frame.reader, frame.table, frame.draft, frame.failed);
}

void RuleReader::read_targets(Frame& frame) {
  const auto* entry = frame.table.find("to");
  if (entry == nullptr) {
    frame.error(frame.table.position, "to",
                "required: names, \"*.below\", \".apex-and-below\", prefixes or \"any\"");
    return;
  }
  const auto items = one_or_many(entry->value);
  if (items.empty()) {
    frame.error(entry->value.position, "to",
                "an empty list matches no flow; say \"any\" for every destination");
    return;
  }
  if (items.size() > kPolicyTargetsMax - targets_) {
    frame.error(entry->value.position, "to",
                "a policy has at most " + std::to_string(kPolicyTargetsMax) + " targets");
    return;
  }
  targets_ += items.size();
  const std::string path = frame.path("to");
  frame.draft.names.reserve(items.size());
  for (const Value& item : items) read_target(frame, item, path);
  if (frame.draft.any && items.size() > 1)
    frame.error(entry->value.position, "to", "\"any\" already covers the rest of the list");
}

void RuleReader::read_target(Frame& frame, const Value& value, const std::string& path) {
  const auto text = frame.reader.string(value, path);
  if (!text) {
    frame.failed = true;
    return;
  }
  if (*text == "any") {
    frame.draft.any = true;
  } else if (looks_like_address(*text)) {
    const auto prefix = parse_prefix(*text);
    if (prefix) {
      frame.draft.prefixes.push_back(*prefix);
    } else {
      frame.error(value.position, "to", quote(*text) + ": " + prefix.error());
    }
  } else {
    read_name(frame, value, path);
  }
}

void RuleReader::read_name(Frame& frame, const Value& value, const std::string& path) {
  const auto target = parse_name_target(value.text);
  if (!target) {
    frame.error(value.position, "to", quote(value.text) + ": " + target.error());
    return;
  }
  // To deny a whole suffix is sensible, whoever registers below it.
  if (target->form != NameForm::kExact && frame.draft.terms.action == Action::kAllow) {
    switch (public_suffix_of(target->name)) {
      case PublicSuffix::kNo:
        break;
      case PublicSuffix::kRegistry:
        if (is_reverse_tree(target->name.text())) {
          frame.reader.warning(value.position, path, quote(value.text) + ": whoever holds the addresses sees what is asked");
          break;
        }
        frame.error(value.position, "to",
                    quote(value.text) + ": " + quote(target->name.text()) +
                        " is a public suffix: anyone may register a name below it");
        return;
      case PublicSuffix::kPrivate:
        frame.reader.warning(value.position, path,
                             quote(value.text) + ": anyone may become a customer of " +
                                 quote(target->name.text()) + " and get a name below it");
        break;
    }
  }
  frame.draft.names.push_back({arena_.store(target->name.text()), target->form});
}

void RuleReader::read_protocols(Frame& frame) {
  const auto* entry = frame.table.find("protocols");
  if (entry == nullptr) return;
  static const std::vector<std::string_view> later = later_protocols();
  frame.draft.terms.protocols = 0;
  const auto items = one_or_many(entry->value);
  if (items.empty()) frame.error(entry->value.position, "protocols", "an empty list matches no flow");
  for (const Value& item : items) {
    const auto index = frame.reader.word(item, frame.path("protocols"), kRuleProtocolNames, later);
    if (index) {
      frame.draft.terms.protocols |= RuleProtocols{1} << *index;
    } else {
      frame.failed = true;
    }
  }
}

void RuleReader::read_ports(Frame& frame) {
  const auto* entry = frame.table.find("ports");
  if (entry == nullptr) return;
  const auto items = one_or_many(entry->value);
  if (items.empty())
    frame.error(entry->value.position, "ports", "an empty list matches no flow; say \"any\" for every port");
  if (items.size() > kPolicyPortsPerRuleMax) {
    frame.error(entry->value.position, "ports",
                "a rule has at most " + std::to_string(kPolicyPortsPerRuleMax) + " ports and ranges");
    return;
  }
  std::vector<PortRange>& ranges = frame.draft.terms.ports;
  for (const Value& item : items) {
    const auto range = parse_ports(item);
    if (!range) {
      const std::string shown = item.kind == Value::Kind::kString    ? quote(item.text)
                                : item.kind == Value::Kind::kInteger ? std::to_string(item.integer)
                                                                     : std::string(kind_name(item.kind));
      frame.error(item.position, "ports",
                  shown + ": expected a port from 1 to 65535, a range \"first-last\", or \"any\"");
    } else if (range->first == 0 && items.size() > 1) {
      frame.error(item.position, "ports", "\"any\" already covers the rest of the list");
    } else {
      ranges.push_back(*range);
    }
  }
  merge(ranges);
  port_ranges_ += ranges.size();
  if (port_ranges_ > kPolicyPortRangesMax) {
    frame.error(
        entry->value.position, "ports",
        "the rules of a policy have at most " + std::to_string(kPolicyPortRangesMax) + " port ranges");
  }
}

void RuleReader::read_scopes(Frame& frame) {
  const auto* entry = frame.table.find("scope");
  if (entry == nullptr) return;
  const auto items = one_or_many(entry->value);
  if (items.empty())
    frame.error(entry->value.position, "scope",
                "an empty list matches no flow; leave \"scope\" out for every flow");
  for (const Value& item : items) {
    const auto name = frame.reader.string(item, frame.path("scope"));
    if (!name) {
      frame.failed = true;
      continue;
    }
    const auto found = std::find(scope_names_.begin(), scope_names_.end(), *name);
    if (*name == kNoScopeWord) {
      frame.draft.terms.scopes |= kNoScope;
    } else if (found == scope_names_.end()) {
      frame.error(item.position, "scope",
                  quote(*name) + ": no such scope" + did_you_mean(*name, scope_names_));
    } else {
      frame.draft.terms.scopes |= ScopeSet{1} << (found - scope_names_.begin());
    }
  }
}

void RuleReader::read_words(Frame& frame) {
  const Reader& reader = frame.reader;
  if (const auto* entry = frame.table.find("action")) {
    const auto index = reader.word(entry->value, frame.path("action"), kActions);
    frame.failed |= !index;
    if (index) frame.draft.terms.action = static_cast<Action>(*index);
  }
  frame.draft.info.action = frame.draft.terms.action;
  if (const auto* entry = frame.table.find("refuse")) {
    const auto index = reader.word(entry->value, frame.path("refuse"), kRefusals);
    frame.failed |= !index;
    if (index) frame.draft.info.refuse = static_cast<Refuse>(*index);
  }
  if (const auto* entry = frame.table.find("name")) {
    const auto name = reader.label(entry->value, frame.path("name"));
    frame.failed |= !name;
    if (name) frame.draft.info.name = *name;
  }
}

void RuleReader::read_expiry(Frame& frame) {
  const auto* entry = frame.table.find("expires");
  if (entry == nullptr) return;
  const Value& value = entry->value;
  if (value.kind == Value::Kind::kOffsetDateTime) {
    frame.draft.terms.expires = Timestamp(std::chrono::nanoseconds(value.integer));
  } else if (value.kind == Value::Kind::kLocalDateTime) {
    frame.error(value.position, "expires",
                "a date and time without an offset means another moment on another host; add one, as in "
                "2027-01-01T00:00:00Z");
  } else {
    frame.error(value.position, "expires",
                "expected a date and time with offset, such as 2027-01-01T00:00:00Z, got " +
                    std::string(kind_name(value.kind)));
  }
}

void RuleReader::read_binding(Frame& frame) {
  RuleTerms& terms = frame.draft.terms;
  if (terms.action == Action::kAllow) terms.bind = defaults_.bind;
  const auto* entry = frame.table.find("bind");
  if (entry == nullptr) return;
  const auto index = frame.reader.word(entry->value, frame.path("bind"), kBindWords);
  frame.failed |= !index;
  if (!index) return;
  if (terms.action == Action::kDeny) {
    frame.error(entry->value.position, "bind", "a deny rule has its names wherever they are claimed; leave \"bind\" out");
    return;
  }
  terms.bind = static_cast<Bind>(*index);
  if (!frame.failed && frame.draft.names.empty())
    frame.reader.warning(entry->value.position, frame.path("bind"), "no target is a name, so there is nothing to bind");
}

void RuleReader::read_ech(Frame& frame) {
  const auto* entry = frame.table.find("ech");
  if (entry == nullptr) return;
  const auto index = frame.reader.word(entry->value, frame.path("ech"), kEchWords);
  frame.failed |= !index;
  if (!index) return;
  if (frame.draft.terms.action == Action::kDeny) {
    frame.error(entry->value.position, "ech", "a deny rule denies with and without it; leave \"ech\" out");
  } else if ((frame.draft.terms.protocols & (kHelloProtocols | kUpgradeProtocols)) == 0) {
    frame.error(entry->value.position, "ech", "only hellos of tls, quic and dtls carry it; leave \"ech\" out");
  }
  frame.draft.info.ech = static_cast<Ech>(*index);
}

void RuleReader::read_ice(Frame& frame) {
  const auto* entry = frame.table.find("ice");
  if (entry == nullptr) return;
  RuleTerms& terms = frame.draft.terms;
  const auto index = frame.reader.word(entry->value, frame.path("ice"), kIceWords);
  frame.failed |= !index;
  if (!index) return;
  if (terms.action == Action::kDeny) {
    frame.error(entry->value.position, "ice", "a deny rule opens nothing; leave \"ice\" out");
  } else if ((terms.protocols & kStunBit) == 0) {
    frame.error(entry->value.position, "ice", "peers are found with the help of a STUN or TURN server: the rule needs the protocol \"stun\"");
  }
  terms.ice = *index == 1;
}

void RuleReader::read_host_keys(Frame& frame) {
  const auto* entry = frame.table.find("host_keys");
  if (entry == nullptr) return;
  RuleTerms& terms = frame.draft.terms;
  if (terms.action == Action::kDeny) {
    frame.error(entry->position, "host_keys", "host keys say which servers are allowed; leave them out of a deny rule");
  } else if (terms.protocols != kSshBit) {
    frame.error(entry->position, "host_keys", "only ssh has host keys: give it a rule of its own with protocols = [\"ssh\"]");
  } else {
    terms.host_keys = host_keys_.read(frame.reader, entry->value, frame.draft, frame.folder);
    frame.failed |= terms.host_keys == nullptr;
    if (defaults_.action == Action::kAllow)
      frame.reader.warning(entry->position, frame.path("host_keys"), "the default allows what this rule does not");
  }
}

// check_names checks what a rule with names says of protocols that carry none.
void RuleReader::check_names(Frame& frame) {
  const RuleTerms& terms = frame.draft.terms;
  const auto nameless = static_cast<RuleProtocols>(terms.protocols & ~kNamedProtocols);
  if (frame.draft.names.empty() || nameless == 0) return;
  const std::string word(kRuleProtocolNames[static_cast<std::size_t>(std::countr_zero(nameless))]);
  const auto* to = frame.table.find("to");
  const auto* bind = frame.table.find("bind");
  if (terms.action == Action::kAllow && terms.bind == Bind::kAny) {
    if (bind != nullptr) {
      frame.error(bind->value.position, "bind",
                  word + " carries no name, so nothing but the address can tell; use \"strict\", or give " + word + " a rule of its own");
    } else {
      frame.error(to->value.position, "to",
                  word + " carries no name, and defaults.bind is \"any\"; add bind = \"strict\" to this rule, or use an address");
    }
    return;
  }
  const auto wildcard = std::find_if(frame.draft.names.begin(), frame.draft.names.end(),
                                     [](const NameTarget& target) { return target.form != NameForm::kExact; });
  if (wildcard != frame.draft.names.end()) {
    frame.reader.warning(to->value.position, frame.path("to"),
                         word + " carries no name: an address belongs to a name below " + quote(wildcard->name) +
                             " only while a lookup of that name was seen" +
                             (terms.action == Action::kDeny ? ", and no other is denied" : ""));
  }
  if (terms.action == Action::kDeny) return;
  if ((nameless & kSshBit) != 0 && frame.table.find("host_keys") == nullptr) {
    frame.reader.warning(to->value.position, frame.path("to"),
                         "names for ssh without \"host_keys\": whoever answers at an address of the name is taken for it");
  }
}

void RuleReader::check_combination(Frame& frame) {
  const RuleTerms& terms = frame.draft.terms;
  for (std::size_t i = 0; i < kRuleProtocolNames.size(); ++i) {
    const RuleProtocols bit = RuleProtocols{1} << i;
    if ((terms.protocols & bit) == 0) continue;
    const std::string word(kRuleProtocolNames[i]);
    const bool any_port = terms.ports.empty() || terms.ports.front().first == 0;
    if (!any_port && (bit & kPortlessProtocols) != 0) {
      frame.error(frame.table.find("ports")->value.position, "ports",
                  word + " has no ports: leave \"ports\" out, or give it a rule of its own");
    }
    if (terms.ports.empty() && !has_home(kRuleWords[i])) {
      frame.error(frame.table.find("protocols")->value.position, "protocols",
                  word + " has no port of its own: \"ports\" is required; say \"any\" for every port");
    }
  }
}

}  // namespace sallyport::policy
