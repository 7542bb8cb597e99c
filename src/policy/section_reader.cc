#include "section_reader.h"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <bit>

#include "dns_reader.h"
#include "sallyport/core/limits.h"
#include "stable_hash.h"
#include "target_text.h"

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 2> kActions = {"deny", "allow"};
constexpr std::array<std::string_view, 2> kModes = {"enforce", "observe"};
constexpr std::array<std::string_view, 3> kRefusals = {"speak", "reset", "drop"};
constexpr std::array<std::string_view, 2> kTlsAlerts = {"access_denied", "unrecognized_name"};
constexpr std::array<std::string_view, 2> kDnsAnswers = {"refused", "nxdomain"};
constexpr std::array<std::string_view, 2> kDnsErrors = {"blocked", "filtered"};
constexpr std::array<std::string_view, 3> kExisting = {"judge", "allow", "kill"};
constexpr std::array<std::string_view, 3> kHooks = {"output", "forward", "both"};
constexpr std::array<std::string_view, 2> kOnExit = {"closed", "open"};
constexpr std::array<std::string_view, 6> kTunnels = {"gre", "ipip", "6in4", "vxlan", "geneve", "teredo"};
constexpr std::int64_t kQueuesMax = 64;

void read_hooks(const Reader& reader, const Value& value, Deploy& out) {
  const std::string path = "deploy.hooks";
  out.hook_output = out.hook_forward = false;
  const auto items = one_or_many(value);
  if (items.empty()) reader.error(value.position, path, "expected at least one of " + one_of(kHooks));
  for (const Value& item : items) {
    const auto index = reader.word(item, path, kHooks);
    if (!index) continue;
    out.hook_output |= *index != 1;
    out.hook_forward |= *index != 0;
  }
}

void read_queues(const Reader& reader, const Value& value, Deploy& out) {
  if (value.kind == Value::Kind::kString && value.text == "auto") return;
  if (value.kind == Value::Kind::kInteger && value.integer >= 1 && value.integer <= kQueuesMax) {
    out.queues = static_cast<unsigned>(value.integer);
    return;
  }
  reader.error(value.position, "deploy.queues", "expected \"auto\" or an integer from 1 to 64");
}

void read_mask(const Reader& reader, const Value& value, Deploy& out) {
  const auto mask = static_cast<std::uint64_t>(value.integer);
  if (value.kind == Value::Kind::kInteger && mask <= 0xffffffffu && std::popcount(mask) == 8 &&
      mask >> std::countr_zero(mask) == 0xff) {
    out.ct_mark_mask = static_cast<std::uint32_t>(mask);
    return;
  }
  reader.error(value.position, "deploy.ct_mark_mask", "expected 8 contiguous bits of 32, such as 0xff000000");
}

void read_control(const Reader& reader, const Value& value, Deploy& out) {
  const auto text = reader.string(value, "deploy.control");
  if (!text) return;
  if (text->starts_with('/') && text->find('\0') == std::string_view::npos &&
      text->size() < sizeof(sockaddr_un::sun_path)) {
    out.control = *text;
    return;
  }
  reader.error(value.position, "deploy.control",
               quote(*text) + ": expected an absolute path of at most " +
                   std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " octets");
}

}  // namespace

void read_defaults(const Reader& reader, const Value& table, Defaults& out) {
  if (!reader.is_table(table, "defaults")) return;
  reader.check_keys(table, "defaults", "defaults");
  if (const auto* entry = table.find("action")) {
    if (const auto index = reader.word(entry->value, "defaults.action", kActions))
      out.action = static_cast<Action>(*index);
  }
  if (const auto* entry = table.find("mode")) {
    if (const auto index = reader.word(entry->value, "defaults.mode", kModes))
      out.mode = static_cast<Mode>(*index);
  }
  if (const auto* entry = table.find("refuse")) {
    if (const auto index = reader.word(entry->value, "defaults.refuse", kRefusals)) out.refuse = static_cast<Refuse>(*index);
  }
  if (const auto* entry = table.find("bind")) {
    if (const auto index = reader.word(entry->value, "defaults.bind", kBindWords)) out.bind = static_cast<Bind>(*index);
  }
  if (const auto* entry = table.find("quic")) {
    if (const auto index = reader.word(entry->value, "defaults.quic", kActions)) out.quic = static_cast<Action>(*index);
  }
  if (const auto* entry = table.find("existing")) {
    if (const auto index = reader.word(entry->value, "defaults.existing", kExisting)) out.existing = static_cast<Existing>(*index);
  }
}

void read_refusals(const Reader& reader, const Value& table, Refusals& out) {
  if (!reader.is_table(table, "refusals")) return;
  reader.check_keys(table, "refusals", "refusals");
  if (const auto* entry = table.find("tls_alert")) {
    if (const auto index = reader.word(entry->value, "refusals.tls_alert", kTlsAlerts)) out.tls_alert = *index == 0 ? 49 : 112;
  }
  if (const auto* entry = table.find("dns")) {
    if (const auto index = reader.word(entry->value, "refusals.dns", kDnsAnswers)) out.dns_nxdomain = *index == 1;
  }
  if (const auto* entry = table.find("dns_error")) {
    if (const auto index = reader.word(entry->value, "refusals.dns_error", kDnsErrors)) out.dns_error = *index == 0 ? 15 : 17;
  }
  if (const auto* entry = table.find("show_rule")) {
    if (const auto flag = reader.boolean(entry->value, "refusals.show_rule")) out.show_rule = *flag;
  }
}

void read_deploy(const Reader& reader, const Value& table, Deploy& out) {
  if (!reader.is_table(table, "deploy")) return;
  reader.check_keys(table, "deploy", "deploy");
  const auto* hooks = table.find("hooks");
  const auto* inside = table.find("inside");
  if (hooks != nullptr) read_hooks(reader, hooks->value, out);
  if (inside != nullptr) {
    for (const Value& item : one_or_many(inside->value)) {
      const auto name = reader.interface(item, "deploy.inside");
      if (name && std::find(out.inside.begin(), out.inside.end(), *name) == out.inside.end())
        out.inside.emplace_back(*name);
    }
  }
  if (out.hook_forward && (inside == nullptr || one_or_many(inside->value).empty())) {
    reader.error(hooks->value.position, "deploy.hooks",
                 "the forward hook needs \"inside\": the interfaces of the workloads, such as [\"docker0\"]");
  }
  if (const auto* entry = table.find("queues")) read_queues(reader, entry->value, out);
  if (const auto* entry = table.find("on_exit")) {
    if (const auto index = reader.word(entry->value, "deploy.on_exit", kOnExit))
      out.on_exit = static_cast<OnExit>(*index);
  }
  if (const auto* entry = table.find("ct_mark_mask")) read_mask(reader, entry->value, out);
  if (const auto* entry = table.find("reload_on_change")) {
    if (const auto flag = reader.boolean(entry->value, "deploy.reload_on_change")) out.reload_on_change = *flag;
  }
  if (const auto* entry = table.find("control")) read_control(reader, entry->value, out);
}

void read_inspect(const Reader& reader, const Value& table, Inspect& out) {
  if (!reader.is_table(table, "inspect")) return;
  reader.check_keys(table, "inspect", "inspect");
  const auto* entry = table.find("tunnels");
  if (entry == nullptr) return;
  for (const Value& item : one_or_many(entry->value)) {
    const auto index = reader.word(item, "inspect.tunnels", kTunnels);
    if (index) out.tunnels |= std::uint64_t{1} << static_cast<unsigned>(*protocol_from_string(kTunnels[*index]));
  }
}

void ScopeReader::read(const Reader& reader, const Value& table) {
  if (!reader.is_table(table, "scopes")) return;
  for (const Value::Entry& entry : table.children->entries) {
    const std::string path = "scopes." + std::string(entry.key.substr(0, kPolicyTextMax));
    const bool plain = !entry.key.empty() && entry.key.size() <= kPolicyTextMax &&
                       std::all_of(entry.key.begin(), entry.key.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                c == '_' || c == '-';
                       });
    if (!plain) {
      reader.error(entry.position, "scopes",
                   quote(entry.key) + ": a scope's name has letters, digits, \"-\" and \"_\"");
    } else if (entry.key == kNoScopeWord) {
      reader.error(entry.position, path, "rules say \"none\" for the flows that are in no scope; choose another name");
    } else if (std::find(names_.begin(), names_.end(), entry.key) != names_.end()) {
      reader.error(entry.position, path, "another file of this policy has a scope of this name");
    } else if (names_.size() == kScopesMax) {
      reader.error(entry.position, path, "a policy has at most 61 scopes");
    } else if (reader.is_table(entry.value, path)) {
      names_.emplace_back(entry.key);
      hashes_.push_back(stable_hash(entry.key));
      read_scope(reader, entry.value, path);
    }
  }
}

void ScopeReader::read_scope(const Reader& reader, const Value& table, const std::string& path) {
  reader.check_keys(table, "scopes.NAME", path);
  bool empty = true;
  const auto each = [&](std::string_view key, auto&& read) {
    const auto* entry = table.find(key);
    if (entry == nullptr) return;
    for (const Value& item : one_or_many(entry->value)) {
      empty = false;
      if (++entries_ == kPolicyScopeEntriesMax + 1) {
        reader.error(
            item.position, path,
            "the scopes of a policy have at most " + std::to_string(kPolicyScopeEntriesMax) + " entries");
      }
      if (entries_ <= kPolicyScopeEntriesMax) read(item, join(path, key));
    }
  };
  each("sources", [&](const Value& item, const std::string& at) { read_source(reader, item, at); });
  each("users", [&](const Value& item, const std::string& at) { read_user(reader, item, at); });
  each("interfaces", [&](const Value& item, const std::string& at) {
    const auto name = reader.interface(item, at);
    if (!name) return;
    table_.interfaces[std::string(*name)] |= bit();
    note("interface", *name);
  });
  each("groups", [&](const Value& item, const std::string& at) { read_group(reader, item, at); });
  each("cgroups", [&](const Value& item, const std::string& at) { read_cgroup(reader, item, at, false); });
  each("units", [&](const Value& item, const std::string& at) { read_cgroup(reader, item, at, true); });
  each("containers", [&](const Value& item, const std::string& at) { read_container(reader, item, at); });
  read_resolvers(reader, table, path);
  if (empty) {
    reader.error(table.position, path,
                 "an empty scope matches no flow; expected \"sources\", \"interfaces\", \"users\", \"groups\", \"cgroups\", \"units\" or \"containers\"");
  }
}

void ScopeReader::read_resolvers(const Reader& reader, const Value& table, const std::string& path) {
  resolvers_.emplace_back();
  const auto* entry = table.find("resolvers");
  if (entry == nullptr) return;
  const std::string at = join(path, "resolvers");
  const auto items = one_or_many(entry->value);
  if (items.empty()) {
    reader.error(entry->value.position, at, "an empty list; leave \"resolvers\" out for those of [dns]");
  } else if (items.size() > kResolversMax) {
    reader.error(entry->value.position, at, "at most " + std::to_string(kResolversMax) + " resolvers");
    return;
  }
  for (const Value& item : items) {
    const auto text = reader.string(item, at);
    if (!text) continue;
    const auto address = read_resolver(*text);
    if (!address) {
      reader.error(item.position, at, quote(*text) + ": " + address.error());
      continue;
    }
    std::vector<IpAddress>& list = resolvers_.back();
    if (std::find(list.begin(), list.end(), *address) != list.end()) continue;
    list.push_back(*address);
    note("resolver", address->to_string());
  }
}

void ScopeReader::read_source(const Reader& reader, const Value& value, const std::string& path) {
  const auto text = reader.string(value, path);
  if (!text) return;
  const auto prefix = parse_prefix(*text);
  if (!prefix) {
    reader.error(value.position, path, quote(*text) + ": " + prefix.error());
    return;
  }
  table_.sources[*prefix] |= bit();
  note("source", prefix->to_string());
}

void ScopeReader::note(std::string_view kind, std::string_view text) {
  hashes_.back() += stable_hash(text, stable_hash(kind));
}

std::vector<std::uint64_t> ScopeReader::finish(CompiledRules& out) {
  out.scope_names = std::move(names_);
  out.scopes = std::move(table_);
  out.scope_resolvers = std::move(resolvers_);
  return std::move(hashes_);
}

}  // namespace sallyport::policy
