// Policy is a loaded policy file: immutable, shared by all workers, matched without allocation.
// Semantics (docs/policy.md): any matching deny rule denies; otherwise any matching allow rule allows;
// otherwise the default action stands. The order of rules has no meaning.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/decision.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/problem.h"

namespace sallyport::policy {

enum class Action : std::uint8_t { kDeny, kAllow };
enum class Mode : std::uint8_t { kEnforce, kObserve };
enum class Refuse : std::uint8_t { kSpeak, kReset, kDrop };
enum class OnExit : std::uint8_t { kClosed, kOpen };

struct Defaults {
  Action action = Action::kDeny;
  Mode mode = Mode::kEnforce;
  Refuse refuse = Refuse::kReset;
};

struct Deploy {
  bool hook_output = true;
  bool hook_forward = false;
  std::vector<std::string> inside;       // Interfaces of the workloads, for the forward hook.
  std::optional<unsigned> queues;        // Absent: one per core.
  OnExit on_exit = OnExit::kClosed;
  std::uint32_t ct_mark_mask = 0xff000000;  // Eight contiguous bits.
  std::string control = "/run/sallyport/control.sock";
};

// Inspect says what is judged beside the flows that packets belong to.
struct Inspect {
  std::uint64_t tunnels = 0;  // A bit for each Protocol whose inside is judged: gre, ipip, 6in4, vxlan, geneve, teredo.
};
static_assert(kProtocolCount <= 64);

// ScopeSet is a bit per scope of the policy, in file order; a policy has at most 64 scopes.
using ScopeSet = std::uint64_t;
inline constexpr std::size_t kScopesMax = 64;

// ScopeFacts is what is known of who opened a flow.
struct ScopeFacts {
  IpAddress source;
  std::string_view interface;  // Inside interface, or empty.
  std::optional<std::uint32_t> uid;
};

// FlowQuery asks for one name of a flow. Views are borrowed for the call.
struct FlowQuery {
  ScopeSet scopes = 0;
  Transport transport = Transport::kTcp;
  Protocol protocol = Protocol::kUnknown;
  IpAddress destination;
  std::uint16_t port = 0;
  const DomainName* name = nullptr;  // Null when the message carries none.
  Timestamp now;
};

struct PolicyMatch {
  Action action = Action::kDeny;
  RuleId rule = kNoRule;  // kNoRule: the default action.
  // When the default denies: a rule that allows the same name or address for another protocol or port.
  RuleId nearest = kNoRule;
};

// EarlyMatch is what the policy can say of a flow before any byte of it is seen.
enum class EarlyMatch : std::uint8_t {
  kUndecided,  // It depends on the protocol or the name.
  kAllow,      // Allowed whatever the bytes are (an address rule for tcp or udp, and no deny rule can match).
  kDeny,       // No rule can allow it, or an address rule denies it whatever the bytes are.
};
struct EarlyResult {
  EarlyMatch match = EarlyMatch::kUndecided;
  RuleId rule = kNoRule;
};

// RuleInfo is a rule as its operator wrote it, for reports.
struct RuleInfo {
  std::string name;
  std::string file;  // As named on the command line, "preset:NAME", or the path of an included file.
  unsigned line = 0;
  Action action = Action::kAllow;
  std::optional<Refuse> refuse;
};

class CompiledRules;  // policy/compiled_rules.h, private to the layer.

class Policy {
 public:
  Policy();
  ~Policy();
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  // Thread-safe; no allocation; cost grows with the labels of the name, not with the rules.
  ScopeSet scopes_of(const ScopeFacts& facts) const;
  PolicyMatch match(const FlowQuery& query) const;
  EarlyResult match_early(ScopeSet scopes, Transport transport, const IpAddress& destination,
                          std::uint16_t port, Timestamp now) const;

  const Defaults& defaults() const;
  const Deploy& deploy() const;
  const Inspect& inspect() const;
  // looks_into tells whether what is inside this tunnel is judged.
  bool looks_into(Protocol tunnel) const { return (inspect().tunnels >> static_cast<unsigned>(tunnel) & 1) != 0; }
  bool looks_into_any() const { return inspect().tunnels != 0; }
  // ip_protocols returns the IP protocol numbers beside TCP and UDP that some rule allows, ascending.
  std::span<const std::uint8_t> ip_protocols() const;
  const std::vector<RuleInfo>& rules() const;
  const std::vector<std::string>& scope_names() const;
  // location returns "file:line" of the rule, or "default" for kNoRule.
  std::string location(RuleId rule) const;
  Refuse refuse_of(RuleId rule) const;
  // fingerprint returns a hash of everything that decides a verdict; equal policies have equal ones.
  std::uint64_t fingerprint() const;
  // warnings returns what is allowed but doubtful, sorted by file and line.
  const std::vector<Problem>& warnings() const;

 private:
  friend class PolicyBuilder;
  std::unique_ptr<CompiledRules> compiled_;
};

}  // namespace sallyport::policy
