#include "grant_store.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "sallyport/resolver/bindings_file.h"
#include "state_path.h"

namespace sallyport::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::size_t kWordsMax = 64;  // Protocols or ports of one grant.

std::int64_t millis_of(Timestamp time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

std::optional<std::int64_t> integer_in(const Json& entry, const char* key, std::int64_t least, std::int64_t most) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_number_integer()) return std::nullopt;
  const auto value = found->get<std::int64_t>();
  if (value < least || value > most) return std::nullopt;
  return value;
}

std::optional<std::string> text_in(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<std::vector<std::string>> texts_in(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array() || found->size() > kWordsMax) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& each : *found) {
    if (!each.is_string()) return std::nullopt;
    texts.push_back(each.get<std::string>());
  }
  return texts;
}

// entry_from gives nullopt for what this program did not write.
std::optional<GrantEntry> entry_from(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  constexpr std::int64_t kMillisMax = 9'000'000'000'000;  // Fits nanoseconds of 64 bits.
  const auto id = integer_in(json, "id", 1, 0xffff'ffff);
  const auto action = text_in(json, "action");
  const auto scope = text_in(json, "scope");
  const auto made = integer_in(json, "made_ms", 0, kMillisMax);
  const auto uid = integer_in(json, "uid", 0, 0xffff'ffff);
  const auto gid = integer_in(json, "gid", 0, 0xffff'ffff);
  const auto pid = integer_in(json, "pid", 0, 0x7fff'ffff);
  const auto process = text_in(json, "process");
  if (!id || !action || !scope || !made || !uid || !gid || !pid || !process) return std::nullopt;
  GrantEntry entry;
  entry.grant.id = static_cast<std::uint32_t>(*id);
  entry.grant.scope = *scope;
  entry.maker = {static_cast<uid_t>(*uid), static_cast<gid_t>(*gid), static_cast<pid_t>(*pid), *process};
  entry.made = Timestamp(std::chrono::milliseconds(*made));
  if (json.contains("expires_ms")) {
    const auto expires = integer_in(json, "expires_ms", 0, kMillisMax);
    if (!expires) return std::nullopt;
    entry.grant.expires = Timestamp(std::chrono::milliseconds(*expires));
  }
  if (*action == "bypass") {
    entry.is_bypass = true;
    if (!entry.grant.expires) return std::nullopt;
    return entry;
  }
  if (*action != "allow" && *action != "deny") return std::nullopt;
  const auto target = text_in(json, "name");
  auto protocols = texts_in(json, "protocols");
  auto ports = texts_in(json, "ports");
  if (!target || !protocols || !ports) return std::nullopt;
  entry.grant.action = *action == "allow" ? policy::Action::kAllow : policy::Action::kDeny;
  entry.grant.target = *target;
  entry.grant.protocols = std::move(*protocols);
  entry.grant.ports = std::move(*ports);
  return entry;
}

}  // namespace

policy::Overlay overlay_of(const GrantList& list) {
  policy::Overlay overlay;
  for (const GrantEntry& entry : list) {
    // The store's owner ends them: workers go by a clock that was set when they started, and grants by the wall's.
    if (entry.is_bypass) {
      overlay.bypasses.push_back({entry.grant.id, entry.grant.scope, Timestamp::max()});
    } else {
      overlay.grants.push_back(entry.grant);
      overlay.grants.back().expires.reset();
    }
  }
  return overlay;
}

std::string grants_path(const std::string& control_path) {
  return state_path(control_path, "grants");
}

std::expected<void, std::string> GrantStore::restore(Timestamp now) {
  if (path_.empty()) return {};
  const auto text = resolver::read_bindings_file(path_);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) return {};
  auto restored = grants_from_text(*text);
  if (!restored) return std::unexpected("state file " + path_ + " is ignored: " + restored.error());
  list_ = std::move(restored->list);
  next_id_ = restored->next_id;
  std::erase_if(list_, [now](const GrantEntry& entry) { return entry.ended(now); });
  return {};
}

std::optional<Timestamp> GrantStore::next_end() const {
  std::optional<Timestamp> next;
  for (const GrantEntry& entry : list_) {
    if (entry.grant.expires && (!next || *entry.grant.expires < *next)) next = entry.grant.expires;
  }
  return next;
}

std::expected<void, std::string> GrantStore::commit(GrantList list) {
  list_ = std::move(list);
  for (const GrantEntry& entry : list_) next_id_ = std::max(next_id_, entry.grant.id + 1);
  if (path_.empty()) return {};
  return resolver::write_bindings_file(path_, grants_to_text(list_, next_id_));
}

std::string grants_to_text(const GrantList& list, std::uint32_t next_id) {
  Json entries = Json::array();
  for (const GrantEntry& entry : list) {
    const policy::Grant& grant = entry.grant;
    Json json;
    json["id"] = grant.id;
    json["action"] = entry.is_bypass ? "bypass" : grant.action == policy::Action::kAllow ? "allow" : "deny";
    if (!entry.is_bypass) {
      json["name"] = grant.target;
      json["protocols"] = grant.protocols;
      json["ports"] = grant.ports;
    }
    json["scope"] = grant.scope;
    if (grant.expires) json["expires_ms"] = millis_of(*grant.expires);
    json["made_ms"] = millis_of(entry.made);
    json["uid"] = entry.maker.uid;
    json["gid"] = entry.maker.gid;
    json["pid"] = entry.maker.pid;
    json["process"] = entry.maker.process;
    entries.push_back(std::move(json));
  }
  const Json state = {{"version", kVersion}, {"next_id", next_id}, {"grants", std::move(entries)}};
  return state.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
}

std::expected<RestoredGrants, std::string> grants_from_text(std::string_view text) {
  const Json state = Json::parse(text, nullptr, false);
  if (!state.is_object() || state.value("version", Json()) != kVersion) return std::unexpected(std::string("it is no state of this version"));
  const auto next_id = integer_in(state, "next_id", 1, 0xffff'ffff);
  const auto entries = state.find("grants");
  if (!next_id || entries == state.end() || !entries->is_array() || entries->size() > kGrantsMax) return std::unexpected(std::string("it has no grants"));
  RestoredGrants restored{{}, static_cast<std::uint32_t>(*next_id)};
  std::set<std::uint32_t> ids;
  for (const Json& json : *entries) {
    auto entry = entry_from(json);
    // A deny grant that is lost would let through what somebody closed: all or nothing, and said.
    if (!entry) return std::unexpected(std::string("an entry makes no sense"));
    if (!ids.insert(entry->grant.id).second || entry->grant.id >= restored.next_id) return std::unexpected(std::string("an id makes no sense"));
    restored.list.push_back(std::move(*entry));
  }
  return restored;
}

}  // namespace sallyport::daemon
