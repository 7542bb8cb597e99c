// Policy is a loaded policy file: immutable, shared by all workers, matched without allocation.
// Semantics (docs/policy.md): any matching deny rule denies; otherwise any matching allow rule allows;
// otherwise the default action stands. The order of rules has no meaning.
#pragma once

#include <array>
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
#include "sallyport/policy/events.h"
#include "sallyport/policy/guard.h"
#include "sallyport/policy/http_request.h"
#include "sallyport/policy/listeners.h"
#include "sallyport/policy/problem.h"

namespace sallyport::policy {

enum class Action : std::uint8_t { kDeny, kAllow };
enum class Mode : std::uint8_t { kEnforce, kObserve };
enum class Refuse : std::uint8_t { kSpeak, kReset, kDrop };
// Bind says whether a flow's name must belong to its destination address (engine/name_bindings.h).
enum class Bind : std::uint8_t { kStrict, kAny };
// Ech is what happens with Encrypted Client Hello (RFC 9849): its keys are taken out of HTTPS and SVCB answers, each
// hello that carries the extension is denied, or both are left alone and the outer name decides.
enum class Ech : std::uint8_t { kStrip, kDeny, kAllow };
// Starttls says whether a session that can go over to TLS may carry mail, login or data before it does.
enum class Starttls : std::uint8_t { kAllow, kRequire };
enum class OnExit : std::uint8_t { kClosed, kOpen };

// Existing says what becomes of connections that are older than the service (docs/policy.md).
enum class Existing : std::uint8_t { kJudge, kAllow, kKill };

struct Defaults {
  Action action = Action::kDeny;
  Mode mode = Mode::kEnforce;
  Refuse refuse = Refuse::kSpeak;
  Bind bind = Bind::kStrict;  // Of rules that do not say.
  Action quic = Action::kAllow;  // kDeny: no QUIC flow, whatever the rules say, so that clients fall back to TCP.
  Existing existing = Existing::kJudge;
};

// Refusals says how a refusal that speaks is worded (docs/refusals.md).
struct Refusals {
  std::uint8_t tls_alert = 49;      // access_denied; or 112, unrecognized_name (RFC 8446 §6).
  bool dns_nxdomain = false;        // NXDOMAIN instead of REFUSED.
  std::uint16_t dns_error = 15;     // Blocked; or 17, Filtered (RFC 8914 §4.16, §4.18).
  bool show_rule = true;            // Name the scope and the rule's file and line.
};

struct Deploy {
  bool hook_output = true;
  bool hook_forward = false;
  std::vector<std::string> inside;       // Interfaces of the workloads, for the forward hook.
  std::optional<unsigned> queues;        // Absent: one per core.
  OnExit on_exit = OnExit::kClosed;
  std::uint32_t ct_mark_mask = 0xff000000;  // Eight contiguous bits.
  std::string control = "/run/sallyport/control.sock";
  bool reload_on_change = false;  // Take the policy's files as they are whenever one of them changes.
};

// Metrics says where figures are served over HTTP. Only loopback addresses.
struct Metrics {
  std::optional<IpAddress> address;  // Absent: nowhere but at the control socket.
  std::uint16_t port = 0;
  std::vector<std::string> hosts;    // Names that a request may ask by beside "localhost" and the address.
};

// Inspect says what is judged beside the flows that packets belong to.
struct Inspect {
  std::uint64_t tunnels = 0;  // A bit for each Protocol whose inside is judged: gre, ipip, 6in4, vxlan, geneve, teredo.
};
static_assert(kProtocolCount <= 64);

// DnsNames says which names may be looked up: those that a rule allows, or any.
enum class DnsNames : std::uint8_t { kPolicy, kAny };

// Rebinding says what becomes of an answer that gives a public name an address that is not.
enum class Rebinding : std::uint8_t { kRefuse, kLog, kAllow };

struct Dns {
  bool system_resolvers = true;      // "system": the resolvers of this host's configuration.
  std::vector<IpAddress> resolvers;  // Others. Only these may be asked, and only their answers are believed.
  DnsNames names = DnsNames::kPolicy;
  Ech ech = Ech::kStrip;
  Rebinding rebinding = Rebinding::kRefuse;
  // RFC 6052: an address in one of these is the IPv4 address inside it.
  std::vector<IpPrefix> nat64 = {*IpPrefix::parse("64:ff9b::/96")};
  std::vector<std::uint16_t> edns_options;  // Option codes that may pass beside the hop-by-hop ones.
  std::uint32_t wildcard_budget = 1'000;    // Distinct names below wildcards, per scope and hour. 0: no bound.
  Duration grace = std::chrono::hours(1);   // How long a binding outlives its TTL.
  Duration miss_wait = std::chrono::seconds(1);  // How long a flow to an unbound address waits. 0: not at all.
};

// ScopeSet is a bit per scope of the policy, in file order; a policy has at most 61 scopes. The last three bits are no scopes.
using ScopeSet = std::uint64_t;
inline constexpr std::size_t kScopesMax = 61;
// Of a workload's flows that no scope names: forwarded, or of the command of a run. Rules for flows in no scope (kNoScope) do not
// allow them; such deny rules have it, too.
inline constexpr ScopeSet kUnnamedWorkload = ScopeSet{1} << 61;
// Of flows whose cgroup or container should be known and is not: deny rules for scopes by cgroup or container have it, too,
// and allow rules never do. So what is not known counts against a flow.
inline constexpr ScopeSet kUnknownOwner = ScopeSet{1} << 62;
// Of rules for the flows that are in no scope (scope = "none"); no flow has it.
inline constexpr ScopeSet kNoScope = ScopeSet{1} << 63;

// View numbers who believes which resolvers: 0 all that have none of their own, else 1 + the scope that has.
using View = std::uint8_t;

// ScopeFacts is what is known of who opened a flow.
struct ScopeFacts {
  IpAddress source;
  std::string_view interface;  // Inside interface, or empty.
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::string_view cgroup{};     // Of the local socket, below the cgroup2 root ("/..."); empty: none, or not known.
  ScopeSet containers = 0;       // The scopes of its container.
  bool owner_unknown = false;    // Cgroup or container should be known, and one is not.
  bool workload = false;         // Not the host's own flow: forwarded (as one with an interface is), or of the command of a run.
};

// ContainerScope names containers of a scope. In both texts a "*" stands for any octets.
struct ContainerScope {
  std::string name;     // A container's name; of a compose service, the service's.
  std::string project;  // Of a compose service; empty: it is none.
  ScopeSet scopes = 0;

  bool matches(std::string_view container, std::string_view compose_project, std::string_view compose_service) const;
  friend bool operator==(const ContainerScope&, const ContainerScope&) = default;
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
  // The destination belongs to `name`; for DNS: it is a trusted resolver. A strict rule for the name matches only then.
  bool bound = false;
  // The bytes carry `name`. Otherwise it is one of the address's names, and only a rule's words for protocols that carry
  // none (ssh, tcp, udp, tunnels) go by it: a hello for evil.example is no TLS flow to whatever else is at its address.
  bool claimed = false;
  // SSH: the SHA-256 of the server's host key. While it is null a rule with host_keys matches if `host_key_pending`.
  const std::array<std::uint8_t, 32>* host_key = nullptr;
  bool host_key_pending = false;
  // HTTP: the request. Without it rules for some requests alone do not allow.
  const HttpRequestFacts* http = nullptr;
  // Asks whether the destination may be asked as a proxy: rules for proxies alone can allow then, and otherwise none of
  // them can.
  bool proxy = false;
  // Nobody here knows the destination: a proxy looks the name up. No address or prefix matches.
  bool no_address = false;
  // The protocol that TLS began in (STARTTLS and its kin): rules for it match beside those for tls.
  Protocol upgraded_from = Protocol::kUnknown;
  // The hello behind such an upgrade has a server name: rules for that protocol go by the claimed name alone.
  bool by_claim_alone = false;
  // Asks what deny rules say of the CONNECT for the destination, whatever the tunnel carries: those with methods alone count.
  bool connect = false;
  std::uint8_t number = 0;   // ICMP: the type of the request. Over IP itself: the protocol.
  std::uint32_t size = 0;    // ICMP: octets behind the header.
  // HTTP without `http`: the request was judged when it was made, so no rule with request terms denies (or allows) now.
  bool request_judged = false;
};

struct PolicyMatch {
  Action action = Action::kDeny;
  RuleId rule = kNoRule;  // kNoRule: the default action.
  // When the default denies: a rule that allows the same name or address for another protocol or port.
  RuleId nearest = kNoRule;
  bool nearest_icmp = false;  // Some such rule is for ICMP: of another type, or of less payload.
  // When the default denies: a rule that allows the name, but only at an address that belongs to it.
  RuleId unbound = kNoRule;
  // When the default denies: a rule that allows the flow, but only with another host key.
  RuleId other_host_key = kNoRule;
  // When the default denies: the rule that comes nearest to allowing the request, and what it lacks. Also why a deny rule
  // matched, where that is kAmbiguousPath.
  RuleId other_request = kNoRule;
  RequestFit request_fit = RequestFit::kFits;
  // Allowed, provided that the host key is one of the rule's: ask again once it is known.
  bool needs_host_key = false;
  // Allowed, provided that mail, login and data wait for TLS (Starttls::kRequire): ask again once that has begun.
  bool needs_tls = false;
  // Denied, because the destination is a metadata address that no allow rule names.
  bool metadata = false;
  // Allowed by no rule: the flow's scope is bypassed.
  bool bypass = false;
  // Allowed, and some rule that allows has the name.
  bool by_name = false;
  // When allowed: the first rule that allows by the protocol's own word, and the first of those with ice = "allow".
  RuleId own_word = kNoRule;
  RuleId ice = kNoRule;
};

// EarlyMatch is what the policy can say of a flow before any byte of it is seen.
enum class EarlyMatch : std::uint8_t {
  kUndecided,  // It depends on the protocol or the name.
  kAllow,      // Allowed whatever the bytes are (an address rule for tcp or udp, and no deny rule can match).
  kDeny,       // No rule can allow it, or an address rule denies it whatever the bytes are.
};
// Via tells whether a flow is one of its own or what a proxy is asked for, which no rule for proxies has.
enum class Via : std::uint8_t { kNothing, kProxy };

struct EarlyResult {
  EarlyMatch match = EarlyMatch::kUndecided;
  RuleId rule = kNoRule;
  // Undecided, and only strict rules for names can allow it: the address must belong to a name that names_cover, or, for
  // rules for dns, be a trusted resolver (the caller knows; names_cover leaves such rules out).
  bool needs_binding = false;
  // Some deny rule could match, depending on the protocol or the name.
  bool could_deny = false;
  bool metadata = false;  // PolicyMatch::metadata
  bool bypass = false;    // PolicyMatch::bypass
};

// RuleInfo is a rule as its operator wrote it, for reports.
struct RuleInfo {
  std::string name;
  std::string file;  // As named on the command line, "preset:NAME", or the path of an included file.
  unsigned line = 0;
  Action action = Action::kAllow;
  std::optional<Refuse> refuse;
  std::optional<Ech> ech;
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
  // has_cgroups tells whether any scope goes by cgroups; containers lists those that scopes name.
  bool has_cgroups() const;
  std::span<const ContainerScope> containers() const;
  PolicyMatch match(const FlowQuery& query) const;
  EarlyResult match_early(ScopeSet scopes, Transport transport, const IpAddress& destination,
                          std::uint16_t port, Timestamp now, Via via = Via::kNothing) const;

  // match_named_early says the same of a TCP connection that a proxy is asked for, to a name that the proxy looks up:
  // kDeny when every protocol that some rule allows there is denied by another. Never kAllow.
  EarlyResult match_named_early(ScopeSet scopes, const DomainName& name, std::uint16_t port, Timestamp now) const;

  // names_cover tells whether an allow rule for names, in force for these scopes and this port with any protocol of
  // this transport but dns, has `name` among its targets.
  bool names_cover(ScopeSet scopes, Transport transport, std::uint16_t port, const DomainName& name, Timestamp now,
                   Via via = Via::kNothing) const;
  // match_question judges a lookup of `name` (null: outside the host name alphabet) at a trusted resolver, where no
  // rule for `dns` matches: under DnsNames::kPolicy a name may be asked that an allow rule has for some protocol that
  // no deny rule takes away; a rule for any destination has every name. A flow in no scope may ask for the names of
  // every scope: it may be the stub resolver. A denial names the deny rule that took the name away, if one did.
  PolicyMatch match_question(ScopeSet scopes, const DomainName* name, Timestamp now) const;
  // wildcard_of returns the target "x" of the widest allow rule for names below x that matches `name`, or an empty view
  // when a rule has the very name. Borrowed from the policy.
  std::string_view wildcard_of(ScopeSet scopes, const DomainName& name, Timestamp now) const;
  // exact_names returns every name that a strict allow rule mentions exactly for another protocol than dns, each once,
  // in the order of the rules, for the resolver to keep warm.
  std::vector<DomainName> exact_names(Timestamp now, std::size_t at_most) const;
  // exact_names_for returns those of the rules that could allow a flow to this port: what is looked up on a miss.
  std::vector<DomainName> exact_names_for(ScopeSet scopes, Transport transport, std::uint16_t port, Timestamp now,
                                          std::size_t at_most) const;
  // denied_names returns every name that a deny rule mentions exactly for protocols that carry none: such a rule denies
  // only addresses that are known to have the name. In the order of the rules.
  std::vector<DomainName> denied_names(Timestamp now, std::size_t at_most) const;
  // looks_up tells whether `name` is one of exact_names or denied_names, expired or not.
  bool looks_up(const DomainName& name) const;
  // only_denies tells whether some deny rule that has not expired has `name` among its targets, and no allow rule has.
  bool only_denies(const DomainName& name, Timestamp now) const;
  // needs_bindings tells whether any rule's verdict depends on what addresses a name has.
  bool needs_bindings() const;
  // denies_names_at tells whether a deny rule with names for protocols that carry none could match a flow to this port. It
  // errs on the side of "could".
  bool denies_names_at(ScopeSet scopes, Transport transport, std::uint16_t port, Timestamp now) const;
  // denies_datagrams_at tells whether a deny rule for a protocol that one datagram shows and that carries no name (ntp,
  // wireguard, ...) could match a UDP flow to this destination. It errs on the side of "could".
  bool denies_datagrams_at(ScopeSet scopes, const IpAddress& destination, std::uint16_t port, Timestamp now) const;
  // has_host_keys tells whether any rule in force pins host keys; without one, SSH flows end at the first answer.
  bool has_host_keys() const;
  // ssh_at tells whether an allow rule for ssh, whatever its targets, is in force for these scopes and this port: the
  // server's first bytes are wanted then, which may come before the client's.
  bool ssh_at(ScopeSet scopes, std::uint16_t port, Timestamp now) const;
  // greeting_at tells the same of the protocols whose server speaks first, and by that is known (FTP, IMAP,
  // POP3, MySQL) or followed (SMTP).
  bool greeting_at(ScopeSet scopes, std::uint16_t port, Timestamp now) const;
  Ech ech_of(RuleId rule) const;
  // reads_paths and has_proxies tell whether any rule has `paths`, or is for proxies.
  bool reads_paths() const;
  bool has_proxies() const;

  // view_of returns the view of the first of these scopes that has resolvers of its own, or 0; view_trusts tells whether
  // `server` is one of that scope's. View 0 goes by Dns and this host's configuration (engine/resolvers.h).
  View view_of(ScopeSet scopes) const;
  bool view_trusts(View view, const IpAddress& server) const;
  // resolvers_of returns the servers of a scope's own view; none for view 0. Borrowed from the policy.
  std::span<const IpAddress> resolvers_of(View view) const;

  // plain returns the IPv4 address that an IPv6 address stands for: IPv4-mapped, or in a prefix of dns.nat64. Any other address
  // is returned as it is.
  IpAddress plain(const IpAddress& address) const;

  // may_be_private tells whether an answer for this name may give a private address (dns.private).
  bool may_be_private(const DomainName& name) const;
  // may_rebind tells whether such an answer for this name reaches who asked (dns.rebinding_except, and what dns.private has).
  bool may_rebind(const DomainName& name) const;

  const Dns& dns() const;
  const Defaults& defaults() const;
  const Deploy& deploy() const;
  const Inspect& inspect() const;
  // listeners returns what may listen here, for the drift audit.
  const Listeners& listeners() const;
  // bypassed tells whether a flow of these scopes passes whatever the rules say (overlay.h).
  bool bypassed(ScopeSet scopes, Timestamp now) const;
  // grant_problems returns what is wrong with grants, whose line is the grant's id: those that cannot be read are left
  // out, those that deny rules cover are in force and allow nothing.
  const std::vector<Problem>& grant_problems() const;
  const Metrics& metrics() const;
  // events says where events go.
  const Events& events() const;
  // looks_into tells whether what is inside this tunnel is judged.
  bool looks_into(Protocol tunnel) const { return (inspect().tunnels >> static_cast<unsigned>(tunnel) & 1) != 0; }
  bool looks_into_any() const { return inspect().tunnels != 0; }
  // ip_protocols returns the IP protocol numbers beside TCP and UDP that some rule allows, ascending.
  std::span<const std::uint8_t> ip_protocols() const;
  // icmp_types returns the types of ICMP (below 128) and ICMPv6 requests that some rule allows, ascending.
  std::span<const std::uint8_t> icmp_types() const;
  const std::vector<RuleInfo>& rules() const;
  std::span<const Guard> guards() const;
  // guard_of returns the guard of a local address and port, or kNoGuard. `addressed` asks for listeners with an address alone,
  // where it is not known whether the address is a local one (a capture).
  GuardId guard_of(const IpAddress& address, std::uint16_t port, bool addressed = false) const;
  // rule_of returns what stands for a guard where events have a rule: behind the ids of the rules.
  RuleId rule_of(GuardId guard) const;
  // guard_at returns the guard that such an id stands for, or null.
  const Guard* guard_at(RuleId rule) const;
  const std::vector<std::string>& scope_names() const;
  // location returns "file:line" of the rule or guard, or "default" for kNoRule.
  std::string location(RuleId rule) const;
  Refuse refuse_of(RuleId rule) const;
  const Refusals& refusals() const;
  // fingerprint returns a hash of everything that decides a verdict; equal policies have equal ones.
  std::uint64_t fingerprint() const;

  // What follows compares policies, for flows that a former one has judged (docs/netfilter.md, "Reload").
  // definition_of returns a hash of all that a rule or guard says, the same wherever it stands; 0: there is none.
  std::uint64_t definition_of(RuleId rule) const;
  // rule_defined returns the first rule with this definition, or kNoRule.
  RuleId rule_defined(std::uint64_t definition) const;
  // rule_in_force tells whether a rule is for flows of these scopes now.
  bool rule_in_force(RuleId rule, ScopeSet scopes, Timestamp now) const;
  // next_expiry returns the first moment behind `after` at which a rule expires.
  std::optional<Timestamp> next_expiry(Timestamp after) const;
  // scopes_from returns which scopes by cgroup or container a flow is in that had the scopes `scopes` under `before`: those whose
  // name and entries are the same in both; with `all` of all scopes. kUnknownOwner, if there is another, or whose it is was not known
  // then.
  ScopeSet scopes_from(const Policy& before, ScopeSet scopes, bool all) const;
  // denies_no_more_requests tells whether each deny rule with request terms is in `before`, too.
  bool denies_no_more_requests(const Policy& before) const;
  // same_views tells whether the same scopes, by number, have the same resolvers of their own.
  bool same_views(const Policy& before) const;

  // warnings returns what is allowed but doubtful, sorted by file and line.
  const std::vector<Problem>& warnings() const;

 private:
  friend class PolicyBuilder;
  friend class PolicyLoss;     // policy/policy_loss.h
  friend class Introspection;  // policy/explain.h
  std::unique_ptr<CompiledRules> compiled_;
};

}  // namespace sallyport::policy
