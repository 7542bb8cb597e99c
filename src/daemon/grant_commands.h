// The control socket's commands about grants: allow, deny, revoke, grants, bypass (docs/control.md). One thread, the main loop's.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "control_server.h"
#include "grant_store.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::daemon {

// GrantHost is what grants need of the service.
struct GrantHost {
  // Compiles the policy in force with another overlay; reads no file of the policy.
  std::function<policy::LoadResult(const policy::Overlay&)> compile;
  // Puts a policy in force and judges live flows again; returns figures for the answer. `why` is for the event.
  std::function<std::expected<nlohmann::ordered_json, std::string>(std::shared_ptr<const policy::Policy>, const std::string& why)> adopt;
  std::function<void(std::string_view kind, nlohmann::ordered_json fields)> report;
  std::function<void(const std::string&)> say;
  std::function<bool()> observing;
  std::function<Timestamp()> now;
  // Ends of the policy's own rules: the policy in force, the time as the workers count it, and how to judge again without a new policy.
  std::function<std::shared_ptr<const policy::Policy>()> policy;
  std::function<Timestamp()> rules_now;
  std::function<bool(const std::string& why)> judge_again;
};

// say_grant_problems tells which grants are left out, or allow nothing, under a policy.
void say_grant_problems(const policy::Policy& policy, const std::function<void(const std::string&)>& say);

// restore_grants puts into force what operators granted before this start, which is theirs to revoke: it returns the policy with it, or
// `policy` where there is nothing or it cannot be. What is wrong is said. `source` may be null.
std::shared_ptr<const policy::Policy> restore_grants(GrantStore& store, policy::PolicySource* source, std::shared_ptr<const policy::Policy> policy,
                                                     const std::function<void(const std::string&)>& say);

class GrantCommands {
 public:
  // `store` is borrowed; it has been restored, and what it has is in force.
  GrantCommands(GrantStore& store, GrantHost host) : store_(store), host_(std::move(host)) {}

  // register_at adds the commands, and sets the server's alarm for the ends of grants. `server` outlives this.
  void register_at(ControlServer& server);
  // ring is what the alarm does: it ends what is over.
  void ring();
  // policy_changed has the alarm ring at the ends of the rules of the policy in force; `judged` is when flows were last judged by it.
  void policy_changed(Timestamp judged);
  // listing returns {"grants": [...], "bypasses": [...]} as `grants` and `status` show them.
  nlohmann::ordered_json listing() const;

 private:
  using Answer = nlohmann::ordered_json;
  Answer add(const nlohmann::json& request, const Peer& peer, policy::Action action);
  Answer revoke(const nlohmann::json& request);
  Answer bypass(const nlohmann::json& request, const Peer& peer);
  Answer end_bypasses();
  Answer begin(const GrantEntry& entry, const std::string& word);
  // install compiles and adopts a list, and commits it. `added` is the entry that must be without a problem, 0: none.
  Answer install(GrantList list, std::uint32_t added, const std::string& why);
  void ring_rules();
  void set_alarm();
  void report(const GrantEntry& entry, std::string_view state, std::string_view how);
  Answer entry_json(const GrantEntry& entry) const;

  GrantStore& store_;
  GrantHost host_;
  ControlServer* server_ = nullptr;
  Timestamp judged_ = host_.rules_now();
};

}  // namespace sallyport::daemon
