// The firewall's rules as text for iptables-restore: pure functions, no kernel. docs/netfilter.md draws the
// layout and gives the reasons.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/netfilter/mark_field.h"
#include "sallyport/policy/policy.h"

namespace sallyport::netfilter {

enum class Family : std::uint8_t { kIpv4, kIpv6 };
inline constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};

// kChainPrefix begins the name of every chain that is ours; nothing else is ever flushed or deleted.
inline constexpr std::string_view kChainPrefix = "SALLYPORT-";

// GuardPlan is what the rules must know of one guard.
struct GuardPlan {
  std::vector<policy::GuardListener> listen;
  std::vector<std::string> interfaces;  // Empty: any.
  std::vector<IpPrefix> sources;        // Empty: any.
};

// RulePlan is everything that the rules depend on.
struct RulePlan {
  policy::Mode mode = policy::Mode::kEnforce;
  bool output = true;    // Inspect what this host sends.
  bool forward = false;  // Inspect what it forwards for the interfaces of `inside`.
  std::vector<std::string> inside;
  std::vector<std::uint8_t> ip_protocols;  // Beside TCP and UDP, those that some rule allows; ascending.
  std::vector<std::uint8_t> icmp_types;    // Requests that some rule allows: ICMP below 128, ICMPv6 from 128 on.
  std::vector<GuardPlan> guards;           // Local ports whose requests are judged; not with a cgroup.
  // Ports of servers that speak first (Policy::greeting_at), as ranges without gaps between them, ascending: the worker sees every
  // empty acknowledgement of theirs, as a mail's body goes by those alone. Of others it sees some.
  std::vector<std::pair<std::uint16_t, std::uint16_t>> heard_ports;
  bool answer_refused = true;              // An echo request that no rule can allow gets ICMP admin-prohibited.
  MarkField mark;
  Generation generation = 1;  // kObserveGeneration in observe mode.
  unsigned queues = 1;        // As many queues from first_queue on; at least 1.
  unsigned first_queue = 0;
  std::uint32_t service_uid = 0;  // Who sends refusals; in the eyes of the network namespace's user namespace.
  // Not empty: only what sockets made in this cgroup (a path below the cgroup2 root, kCgroupPathMax) or below it send is
  // inspected, by the output hook, and nobody else's packets are touched. The cgroup must exist when the rules are applied.
  std::string cgroup;
};

inline constexpr std::size_t kCgroupPathMax = 511;  // xt_cgroup's, revision 2.

// plan_rules makes the plan of a policy. Fails with a message when the policy's mark mask is not eight
// contiguous bits, or when the forward hook has no inside interface.
std::expected<RulePlan, std::string> plan_rules(const policy::Policy& policy, policy::Mode mode,
                                                unsigned queues);

// Created names what iptables-nft made for us on the way and removal must take back. It is kept in the
// kernel itself, as comments in the chain SALLYPORT-CREATED, so that any later process can read it.
struct Created {
  bool table = false;
  std::vector<std::string> base_chains;  // "OUTPUT"

  bool empty() const { return !table && base_chains.empty(); }
};
inline constexpr std::string_view kCreatedChain = "SALLYPORT-CREATED";

// TableState is what is ours in one table now: the leftovers of a daemon that was killed, or the rules
// that are to be removed.
struct TableState {
  std::string table;                // "filter"
  std::vector<std::string> jumps;   // Rules of foreign chains that enter ours, as "OUTPUT -j SALLYPORT-OUT".
  std::vector<std::string> chains;  // Ours.
  Created created;

  bool empty() const { return jumps.empty() && chains.empty(); }
};

// read_table_states reads the output of iptables-save; one entry for each table in which something is ours.
std::vector<TableState> read_table_states(std::string_view save_output);

// has_rules tells whether the output of iptables-save holds any rule, own chain, or policy beside ACCEPT.
bool has_rules(std::string_view save_output);

// restore_text returns what iptables-restore --noflush must be fed to put the plan in force: one
// transaction for each table, which replaces what `present` lists and leaves exactly one jump per hook.
// The `created` of its entries is recorded beside the rules.
std::string restore_text(const RulePlan& plan, Family family, std::span<const TableState> present = {});

// removal_text returns the text that removes what `present` lists and nothing else.
std::string removal_text(std::span<const TableState> present);

// TableUse names the base chains of one table that a plan hooks.
struct TableUse {
  std::string_view table;
  std::vector<std::string_view> base_chains;
};
std::vector<TableUse> tables_of(const RulePlan& plan);

}  // namespace sallyport::netfilter
