#include "overlay.h"

#include <algorithm>
#include <chrono>

#include "stable_hash.h"
#include "target_text.h"

namespace sallyport::policy {
namespace {

constexpr std::uint64_t kBypassSeed = 7;

void put(Value& table, std::string_view key, Value value) {
  const Position position = value.position;
  table.children->entries.push_back({key, position, std::move(value)});
}

Value container(Value::Kind kind, Position position) {
  Value value;
  value.kind = kind;
  value.position = position;
  value.children = std::make_unique<Value::Children>();
  return value;
}

// names_nothing_itself tells whether a protocol of the grant carries no name, so that only the address can tell.
bool has_nameless_protocol(const Grant& grant) {
  return std::ranges::any_of(grant.protocols, [](const std::string& word) {
    const RuleProtocols bit = bit_of_word(word);
    return bit != 0 && (bit & kNamedProtocols) == 0;
  });
}

}  // namespace

GrantRules::GrantRules(const Overlay& overlay, Bind bind, Timestamp now) : list_(container(Value::Kind::kArray, {})) {
  for (const Grant& grant : overlay.grants) {
    if (!grant.expires || now < *grant.expires) list_.children->items.push_back(rule_of(grant, bind));
  }
}

Value GrantRules::rule_of(const Grant& grant, Bind bind) {
  const Position position{grant.id, 0};
  Value rule = container(Value::Kind::kTable, position);
  put(rule, "action", text(grant.action == Action::kAllow ? "allow" : "deny", position));
  put(rule, "to", text(grant.target, position));
  if (!grant.protocols.empty()) put(rule, "protocols", texts(grant.protocols, position));
  if (!grant.ports.empty()) put(rule, "ports", texts(grant.ports, position));
  if (!grant.scope.empty()) put(rule, "scope", text(grant.scope, position));
  if (grant.expires) {
    Value expires;
    expires.kind = Value::Kind::kOffsetDateTime;
    expires.position = position;
    expires.integer = std::chrono::duration_cast<std::chrono::nanoseconds>(grant.expires->time_since_epoch()).count();
    put(rule, "expires", std::move(expires));
  }
  // Whoever grants ssh to a name means the name's addresses, whatever the file's default is for hellos.
  const bool is_name = grant.target != "any" && !looks_like_address(grant.target);
  if (bind == Bind::kAny && grant.action == Action::kAllow && is_name && has_nameless_protocol(grant)) put(rule, "bind", text("strict", position));
  return rule;
}

Value GrantRules::text(std::string_view text, Position position) {
  Value value;
  value.kind = Value::Kind::kString;
  value.position = position;
  value.text = storage_.emplace_back(text);
  return value;
}

Value GrantRules::texts(const std::vector<std::string>& list, Position position) {
  Value value = container(Value::Kind::kArray, position);
  for (const std::string& each : list) value.children->items.push_back(text(each, position));
  return value;
}

void add_bypasses(const Overlay& overlay, Timestamp now, CompiledRules& out, Diagnostics& problems) {
  for (const Bypass& bypass : overlay.bypasses) {
    if (bypass.expires <= now) continue;
    ScopeSet scopes = 0;
    if (bypass.scope == kNoScopeWord) {
      scopes = kNoScope;
    } else if (!bypass.scope.empty()) {
      const auto found = std::ranges::find(out.scope_names, bypass.scope);
      if (found == out.scope_names.end()) {
        const std::vector<std::string_view> names(out.scope_names.begin(), out.scope_names.end());
        problems.error(kGrantFile, {bypass.id, 0}, "scope: " + quote(bypass.scope) + ": no such scope" + did_you_mean(bypass.scope, names));
        continue;
      }
      scopes = ScopeSet{1} << (found - out.scope_names.begin());
    }
    out.bypasses.push_back({scopes, bypass.expires});
    out.fingerprint = stable_hash(scopes, stable_hash(static_cast<std::uint64_t>(bypass.expires.time_since_epoch().count()), mixed(out.fingerprint ^ kBypassSeed)));
  }
}

}  // namespace sallyport::policy
