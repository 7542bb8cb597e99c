// What iptables-save shows of our rules, and how two such pictures differ: pure functions over text. A snapshot that was taken
// right after the rules were put in place is what they are compared with later, so no difference in spelling between what
// iptables-restore is fed and what iptables-save prints matters.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

// HookState is what of a foreign chain ("OUTPUT") concerns us.
struct HookState {
  std::vector<std::string> jumps;  // The rules that enter our chains, in their order.
  std::string above;               // The first foreign rule that stands before the last of them; empty: they are on top.

  bool operator==(const HookState&) const = default;
};

using ChainName = std::pair<std::string, std::string>;  // Table and chain.

// RuleSnapshot is one family's. SALLYPORT-CREATED, a record and no rule, is not in it.
struct RuleSnapshot {
  std::map<ChainName, std::vector<std::string>> chains;  // Ours, with their rules.
  std::map<ChainName, HookState> hooks;
  std::vector<std::string> unreadable;  // Tables that iptables-nft cannot read: somebody added rules that only nft knows.
};

// read_snapshot reads the output of iptables-save.
RuleSnapshot read_snapshot(std::string_view save_output);

enum class DisplacedKind : std::uint8_t {
  kTableFlushed,    // Nothing of ours is left in the table.
  kTableUnreadable,
  kJumpMissing,
  kJumpMoved,       // A foreign rule stands before it.
  kJumpChanged,     // Twice there, or other than it was.
  kJumpAdded,       // From a chain that had none.
  kChainMissing,
  kChainChanged,
};
inline constexpr std::size_t kDisplacedKinds = 8;

// to_string gives the word of events and counters: "jump_missing".
std::string_view to_string(DisplacedKind kind);

struct Displacement {
  DisplacedKind kind = DisplacedKind::kTableFlushed;
  Family family = Family::kIpv4;
  std::string table;
  std::string chain;   // Empty: of the whole table.
  std::string detail;  // kJumpMoved: the rule that stands before it.

  bool operator==(const Displacement&) const = default;
};

// describe says one of them in words: "filter (IPv4): the jump in OUTPUT is missing".
std::string describe(const Displacement& found);

// compare_snapshots returns what of `wanted` is not so any more; empty when all is in its place.
std::vector<Displacement> compare_snapshots(const RuleSnapshot& wanted, const RuleSnapshot& found, Family family);

// check_snapshot tells whether the plan is in force: each hook has exactly the plan's jumps and nothing before them, each chain
// as many rules as the plan gives it. Returns what is wrong.
std::vector<Displacement> check_snapshot(const RulePlan& plan, const RuleSnapshot& found, Family family);

}  // namespace sallyport::netfilter
