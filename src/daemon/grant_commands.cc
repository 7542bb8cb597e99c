#include "grant_commands.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "change_event.h"
#include "event_line.h"
#include "sallyport/policy/duration.h"

namespace sallyport::daemon {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr Duration kGrantTimeMax = std::chrono::hours(24 * 366);
constexpr Duration kBypassTimeMax = std::chrono::hours(24);
constexpr std::size_t kWordsMax = 64;
constexpr Duration kRetry = std::chrono::seconds(5);
// The alarm's clock and each worker's were read at other moments: a rule's end is over for all of them by then.
constexpr Duration kExpiryMargin = std::chrono::milliseconds(20);

// text_argument gives an empty text where there is none; nullopt: it is not a text.
std::optional<std::string> text_argument(const json& request, const char* key) {
  const auto found = request.find(key);
  if (found == request.end()) return std::string();
  if (!found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// list_argument takes a list of words, or one; ports may be numbers.
std::optional<std::vector<std::string>> list_argument(const json& request, const char* key) {
  std::vector<std::string> words;
  const auto found = request.find(key);
  if (found == request.end()) return words;
  const json list = found->is_array() ? *found : json::array({*found});
  if (list.size() > kWordsMax) return std::nullopt;
  for (const json& each : list) {
    if (each.is_string()) {
      words.push_back(each.get<std::string>());
    } else if (each.is_number_unsigned()) {
      words.push_back(std::to_string(each.get<std::uint64_t>()));
    } else {
      return std::nullopt;
    }
  }
  return words;
}

bool flag_argument(const json& request, const char* key) {
  const auto found = request.find(key);
  return found != request.end() && found->is_boolean() && found->get<bool>();
}

double seconds_of(Timestamp time) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count()) / 1e3;
}

GrantMaker maker_of(const Peer& peer) {
  return {peer.uid, peer.gid, peer.pid, peer.process};
}

// problem_of returns what is wrong with a grant, without the place in a file that it does not have.
std::string problem_of(const policy::Policy& policy, std::uint32_t id) {
  for (const policy::Problem& problem : policy.grant_problems()) {
    if (problem.line != id) continue;
    const std::size_t end = problem.message.starts_with("rules[") ? problem.message.find_first_of(".:") : std::string::npos;
    if (end == std::string::npos) return problem.message;
    return problem.message.substr(problem.message[end] == '.' ? end + 1 : end + 2);
  }
  return {};
}

std::string action_word(const GrantEntry& entry) {
  if (entry.is_bypass) return "bypass";
  return entry.grant.action == policy::Action::kAllow ? "allow" : "deny";
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

}  // namespace

void say_grant_problems(const policy::Policy& policy, const std::function<void(const std::string&)>& say) {
  for (const policy::Problem& problem : policy.grant_problems()) say("grant " + std::to_string(problem.line) + ": " + problem.message);
}

std::shared_ptr<const policy::Policy> restore_grants(GrantStore& store, policy::PolicySource* source, std::shared_ptr<const policy::Policy> policy,
                                                     const std::function<void(const std::string&)>& say) {
  if (const auto restored = store.restore(std::chrono::system_clock::now()); !restored) {
    say(restored.error());
    return policy;
  }
  if (store.list().empty() || source == nullptr) return policy;
  const policy::LoadResult loaded = source->apply(store.overlay());
  if (!loaded) {
    say("grants are not in force: the policy does not load with them");
    return policy;
  }
  say_grant_problems(**loaded, say);
  return *loaded;
}

void GrantCommands::register_at(ControlServer& server) {
  server_ = &server;
  server.on("allow", [this](const json& request, const Peer& peer) { return add(request, peer, policy::Action::kAllow); }, ControlRight::kChange);
  server.on("deny", [this](const json& request, const Peer& peer) { return add(request, peer, policy::Action::kDeny); }, ControlRight::kChange);
  server.on("revoke", [this](const json& request, const Peer&) { return revoke(request); }, ControlRight::kChange);
  server.on("bypass", [this](const json& request, const Peer& peer) { return bypass(request, peer); }, ControlRight::kChange);
  server.on("grants", [this](const json& request, const Peer&) {
    if (const auto unknown = unknown_argument(request, {})) return control_error(*unknown);
    return listing();
  });
  server.on_alarm([this] { ring(); });
  set_alarm();
}

GrantCommands::Answer GrantCommands::add(const json& request, const Peer& peer, policy::Action action) {
  if (const auto unknown = unknown_argument(request, {"name", "protocols", "ports", "scope", "for"})) return control_error(*unknown);
  if (host_.observing()) return control_error("the service observes: nothing is denied, so there is nothing to grant");
  const auto name = text_argument(request, "name");
  const auto protocols = list_argument(request, "protocols");
  const auto ports = list_argument(request, "ports");
  const auto scope = text_argument(request, "scope");
  const auto time = text_argument(request, "for");
  if (!name || name->empty()) return control_error("name: expected a text: a name, \"*.below\", \".apex-and-below\", a prefix or \"any\"");
  if (!protocols) return control_error("protocols: expected a list of at most 64 words");
  if (!ports) return control_error("ports: expected a list of at most 64 ports");
  if (!scope || !time) return control_error("scope and for: expected texts");
  if (store_.list().size() >= kGrantsMax) return control_error("there are " + std::to_string(kGrantsMax) + " grants, as many as there may be; revoke some");
  GrantEntry entry;
  entry.grant = {store_.next_id(), action, *name, *protocols, *ports, *scope, std::nullopt};
  entry.maker = maker_of(peer);
  entry.made = host_.now();
  if (!time->empty()) {
    const auto length = policy::parse_duration(*time, kGrantTimeMax);
    if (!length || *length <= Duration{}) return control_error("for: expected a time of at most 366 days, such as \"90s\", \"10m\", \"8h\" or \"7d\"");
    entry.grant.expires = entry.made + *length;
  }
  return begin(entry, "grant");
}

// begin puts an entry in force beside those that are there.
GrantCommands::Answer GrantCommands::begin(const GrantEntry& entry, const std::string& word) {
  GrantList list = store_.list();
  list.push_back(entry);
  Answer answer = install(std::move(list), entry.grant.id, word + ' ' + std::to_string(entry.grant.id));
  if (answer.contains("error")) return answer;
  report(entry, "begin", {});
  answer["id"] = entry.grant.id;
  answer[word] = entry_json(entry);
  return answer;
}

GrantCommands::Answer GrantCommands::revoke(const json& request) {
  if (const auto unknown = unknown_argument(request, {"id", "name", "all"})) return control_error(*unknown);
  if (request.size() != 2) return control_error("expected one of id, name, all");
  const auto id = request.find("id");
  const auto name = request.find("name");
  if (id != request.end() && !id->is_number_unsigned()) return control_error("id: expected a number");
  if (name != request.end() && !name->is_string()) return control_error("name: expected a text");
  if (request.contains("all") && !flag_argument(request, "all")) return control_error("all: expected true");
  const std::string target = name != request.end() ? policy::normal_target(name->get_ref<const std::string&>()) : std::string();
  GrantList rest;
  GrantList gone;
  for (const GrantEntry& entry : store_.list()) {
    const bool meant = id != request.end()     ? json(entry.grant.id) == *id
                       : entry.is_bypass       ? false
                       : name != request.end() ? policy::normal_target(entry.grant.target) == target
                                               : true;
    (meant ? gone : rest).push_back(entry);
  }
  if (gone.empty() && !request.contains("all")) return control_error("no such grant; the command grants lists those that there are");
  Answer answer = Answer::object();
  if (!gone.empty()) answer = install(std::move(rest), 0, "revoke");
  if (answer.contains("error")) return answer;
  answer["revoked"] = Answer::array();
  for (const GrantEntry& entry : gone) {
    report(entry, "end", "revoked");
    answer["revoked"].push_back(entry_json(entry));
  }
  return answer;
}

GrantCommands::Answer GrantCommands::bypass(const json& request, const Peer& peer) {
  if (const auto unknown = unknown_argument(request, {"for", "scope", "all", "end"})) return control_error(*unknown);
  if (request.contains("end")) {
    if (request.size() != 2 || !flag_argument(request, "end")) return control_error("end: expected true, and nothing else");
    return end_bypasses();
  }
  if (host_.observing()) return control_error("the service observes: everything passes, so there is nothing to bypass");
  const auto time = text_argument(request, "for");
  const auto scope = text_argument(request, "scope");
  const auto length = time ? policy::parse_duration(*time, kBypassTimeMax) : std::nullopt;
  if (!length || *length <= Duration{}) return control_error("for: required, a time of at most 24 hours, such as \"5m\"");
  const bool all = flag_argument(request, "all");
  if (!scope || scope->empty() != all) return control_error("scope: required; or all: true, for every flow, but not both");
  if (store_.list().size() >= kGrantsMax) return control_error("there are " + std::to_string(kGrantsMax) + " grants, as many as there may be; revoke some");
  GrantEntry entry;
  entry.is_bypass = true;
  entry.made = host_.now();
  entry.maker = maker_of(peer);
  entry.grant.id = store_.next_id();
  entry.grant.scope = *scope;
  entry.grant.expires = entry.made + *length;
  return begin(entry, "bypass");
}

GrantCommands::Answer GrantCommands::end_bypasses() {
  GrantList rest;
  GrantList gone;
  for (const GrantEntry& entry : store_.list()) (entry.is_bypass ? gone : rest).push_back(entry);
  Answer answer = Answer::object();
  if (!gone.empty()) answer = install(std::move(rest), 0, "bypass ended");
  if (answer.contains("error")) return answer;
  answer["ended"] = gone.size();
  for (const GrantEntry& entry : gone) report(entry, "end", "ended");
  return answer;
}

GrantCommands::Answer GrantCommands::install(GrantList list, std::uint32_t added, const std::string& why) {
  const policy::LoadResult loaded = host_.compile(overlay_of(list));
  if (!loaded) return control_error("the policy does not load with it: " + (loaded.error().empty() ? std::string() : loaded.error().front().to_string()));
  if (added != 0) {
    if (const std::string problem = problem_of(**loaded, added); !problem.empty()) return control_error(problem);
  }
  const Timestamp judged = host_.rules_now() - kExpiryMargin;
  auto adopted = host_.adopt(*loaded, why);
  if (!adopted) return control_error(adopted.error());
  judged_ = judged;
  if (const auto committed = store_.commit(std::move(list)); !committed) {
    host_.say(committed.error());
    (*adopted)["warning"] = "in force, but not kept across a restart: " + committed.error();
  }
  set_alarm();
  return *std::move(adopted);
}

void GrantCommands::ring() {
  const Timestamp now = host_.now();
  GrantList rest;
  GrantList gone;
  for (const GrantEntry& entry : store_.list()) (entry.ended(now) ? gone : rest).push_back(entry);
  if (gone.empty()) return ring_rules();
  const Answer answer = install(std::move(rest), 0, "grant ended");
  if (answer.contains("error")) {
    // The rule itself allows no new flow any more; the flows that it let in are looked at again soon.
    host_.say("a grant has ended, but flows could not be judged again: " + answer["error"].get<std::string>());
    server_->set_alarm(now + kRetry);
    return;
  }
  for (const GrantEntry& entry : gone) report(entry, "end", "time");
}

// ring_rules has the flows judged again that a rule of the policy's files allowed until now.
void GrantCommands::ring_rules() {
  const auto end = host_.policy()->next_expiry(judged_);
  if (!end || host_.rules_now() < *end + kExpiryMargin) return set_alarm();  // The clock was set.
  if (!host_.judge_again("a rule has expired")) server_->set_alarm(host_.now() + kRetry);
}

void GrantCommands::policy_changed(Timestamp judged) {
  judged_ = judged - kExpiryMargin;
  if (server_ != nullptr) set_alarm();
}

void GrantCommands::set_alarm() {
  std::optional<Timestamp> next = store_.next_end();
  // The workers' clock takes no part in a step of the wall clock, which the alarm goes by.
  if (const auto end = host_.policy()->next_expiry(judged_)) {
    const Timestamp rings = host_.now() + (*end - host_.rules_now()) + 2 * kExpiryMargin;
    if (!next || rings < *next) next = rings;
  }
  server_->set_alarm(next);
}

void GrantCommands::report(const GrantEntry& entry, std::string_view state, std::string_view how) {
  ordered_json fields = {{"grant", entry.grant.id}};
  fields.update(entry_json(entry));
  fields.erase("id");  // Of an event that is the event's own.
  fields.erase("left_s");
  fields["state"] = state;
  if (!how.empty()) fields["how"] = how;
  std::string message = entry.is_bypass ? "BYPASS" : "grant";
  message += ' ' + std::to_string(entry.grant.id) + (state == "begin" ? " begins: " : " ends: ");
  if (!entry.is_bypass) message += action_word(entry) + ' ' + escaped(entry.grant.target);
  if (!entry.grant.protocols.empty()) message += ' ' + escaped(joined(entry.grant.protocols));
  if (!entry.grant.ports.empty()) message += " port " + escaped(joined(entry.grant.ports));
  message += entry.grant.scope.empty() ? (entry.is_bypass ? "every flow" : "") : (entry.is_bypass ? "scope " : ", scope ") + escaped(entry.grant.scope);
  if (state == "begin") message += entry.grant.expires ? ", for " + policy::duration_text(*entry.grant.expires - entry.made) : ", until it is revoked";
  if (!how.empty()) message += how == "time" ? ", its time is over" : ", " + std::string(how);
  const GrantMaker& maker = entry.maker;
  message += "; made by " + peer_text({maker.uid, maker.gid, maker.pid, maker.process});
  fields["message"] = std::move(message);
  host_.report(entry.is_bypass ? "bypass" : "grant", std::move(fields));
}

GrantCommands::Answer GrantCommands::entry_json(const GrantEntry& entry) const {
  const policy::Grant& grant = entry.grant;
  ordered_json fields = {{"id", grant.id}};
  if (!entry.is_bypass) {
    fields["action"] = action_word(entry);
    fields["name"] = grant.target;
    fields["protocols"] = grant.protocols;
    fields["ports"] = grant.ports;
  }
  fields["scope"] = grant.scope.empty() ? ordered_json(nullptr) : ordered_json(grant.scope);
  fields["made"] = seconds_of(entry.made);
  fields["expires"] = grant.expires ? ordered_json(seconds_of(*grant.expires)) : ordered_json(nullptr);
  if (grant.expires) fields["left_s"] = std::max<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(*grant.expires - host_.now()).count(), 0);
  fields["by"] = {{"uid", entry.maker.uid}, {"gid", entry.maker.gid}, {"pid", entry.maker.pid}, {"process", escaped(entry.maker.process)}};
  return fields;
}

nlohmann::ordered_json GrantCommands::listing() const {
  ordered_json grants = ordered_json::array();
  ordered_json bypasses = ordered_json::array();
  for (const GrantEntry& entry : store_.list()) (entry.is_bypass ? bypasses : grants).push_back(entry_json(entry));
  return {{"grants", std::move(grants)}, {"bypasses", std::move(bypasses)}};
}

}  // namespace sallyport::daemon
