#include "sallyport/netfilter/rule_snapshot.h"

#include <algorithm>
#include <set>

#include "save_lines.h"

namespace sallyport::netfilter {
namespace {

constexpr std::string_view kIncompatible = "# Table `";  // "# Table `filter' is incompatible, use 'nft' tool."

// read_foreign_rule takes the next rule of a foreign chain.
void read_foreign_rule(std::string_view rule, HookState& hook, std::string& first_foreign) {
  if (!enters_ours(rule)) {
    if (first_foreign.empty()) first_foreign = rule;
    return;
  }
  hook.jumps.emplace_back(rule);
  if (hook.above.empty()) hook.above = first_foreign;
}

std::set<std::string> tables_of_snapshot(const RuleSnapshot& snapshot) {
  std::set<std::string> tables;
  for (const auto& [name, rules] : snapshot.chains) tables.insert(name.first);
  for (const auto& [name, hook] : snapshot.hooks) tables.insert(name.first);
  return tables;
}

// nothing_left: no jump, and no rule in what chains there may be.
bool nothing_left(const RuleSnapshot& found, const std::string& table) {
  return std::ranges::none_of(found.hooks, [&](const auto& entry) { return entry.first.first == table; }) &&
         std::ranges::none_of(found.chains, [&](const auto& entry) { return entry.first.first == table && !entry.second.empty(); });
}

class Comparison {
 public:
  Comparison(const RuleSnapshot& found, Family family) : found_(found), family_(family) {}

  // whole tells whether the table's parts are worth a look.
  bool whole(const std::string& table) {
    if (std::ranges::find(found_.unreadable, table) != found_.unreadable.end()) {
      add(DisplacedKind::kTableUnreadable, {table, {}});
      return false;
    }
    if (!nothing_left(found_, table)) return true;
    add(DisplacedKind::kTableFlushed, {table, {}});
    return false;
  }

  template <typename Same>
  void hook(const ChainName& name, Same same) {
    const auto found = found_.hooks.find(name);
    if (found == found_.hooks.end()) return add(DisplacedKind::kJumpMissing, name);
    if (!same(found->second.jumps)) add(DisplacedKind::kJumpChanged, name);
    if (!found->second.above.empty()) add(DisplacedKind::kJumpMoved, name, found->second.above);
  }

  template <typename Same>
  void chain(const ChainName& name, Same same) {
    const auto found = found_.chains.find(name);
    if (found == found_.chains.end()) return add(DisplacedKind::kChainMissing, name);
    if (!same(found->second)) add(DisplacedKind::kChainChanged, name);
  }

  template <typename Known>
  void added_hooks(Known known) {
    for (const auto& [name, hook] : found_.hooks) {
      if (!known(name)) add(DisplacedKind::kJumpAdded, name, hook.jumps.front());
    }
  }

  std::vector<Displacement> take() { return std::move(result_); }

 private:
  void add(DisplacedKind kind, const ChainName& name, std::string detail = {}) {
    result_.push_back({kind, family_, name.first, name.second, std::move(detail)});
  }

  const RuleSnapshot& found_;
  Family family_;
  std::vector<Displacement> result_;
};

}  // namespace

RuleSnapshot read_snapshot(std::string_view save_output) {
  RuleSnapshot snapshot;
  std::string table;
  std::map<std::string, std::string, std::less<>> first_foreign;  // By chain of this table.
  while (!save_output.empty()) {
    const std::string_view line = next_line(save_output);
    if (line.starts_with(kIncompatible) && line.find("incompatible") != std::string_view::npos) {
      const std::string_view rest = line.substr(kIncompatible.size());
      snapshot.unreadable.emplace_back(rest.substr(0, rest.find('\'')));
    } else if (line.starts_with('*')) {
      table = line.substr(1);
      first_foreign.clear();
    } else if (line.starts_with(':')) {
      const std::string_view chain = first_word(line.substr(1));
      if (chain.starts_with(kChainPrefix) && chain != kCreatedChain) snapshot.chains[{table, std::string(chain)}];
    } else if (line.starts_with("-A ")) {
      const std::string_view rule = line.substr(3);
      const std::string chain(first_word(rule));
      if (chain == kCreatedChain) continue;
      if (chain.starts_with(kChainPrefix)) {
        snapshot.chains[{table, chain}].emplace_back(rule);
        continue;
      }
      HookState hook;
      const ChainName name{table, chain};
      if (const auto known = snapshot.hooks.find(name); known != snapshot.hooks.end()) hook = known->second;
      read_foreign_rule(rule, hook, first_foreign[chain]);
      if (!hook.jumps.empty()) snapshot.hooks[name] = std::move(hook);
    }
  }
  return snapshot;
}

std::string_view to_string(DisplacedKind kind) {
  switch (kind) {
    case DisplacedKind::kTableFlushed:
      return "table_flushed";
    case DisplacedKind::kTableUnreadable:
      return "table_unreadable";
    case DisplacedKind::kJumpMissing:
      return "jump_missing";
    case DisplacedKind::kJumpMoved:
      return "jump_moved";
    case DisplacedKind::kJumpChanged:
      return "jump_changed";
    case DisplacedKind::kJumpAdded:
      return "jump_added";
    case DisplacedKind::kChainMissing:
      return "chain_missing";
    case DisplacedKind::kChainChanged:
      return "chain_changed";
  }
  return "?";
}

std::string describe(const Displacement& found) {
  const std::string where = found.table + (found.family == Family::kIpv4 ? " (IPv4): " : " (IPv6): ");
  switch (found.kind) {
    case DisplacedKind::kTableFlushed:
      return where + "the table was flushed";
    case DisplacedKind::kTableUnreadable:
      return where + "the table has native nftables rules that iptables cannot read";
    case DisplacedKind::kJumpMissing:
      return where + "the jump in " + found.chain + " is missing";
    case DisplacedKind::kJumpMoved:
      return where + "the jump in " + found.chain + " stands behind another rule: " + found.detail;
    case DisplacedKind::kJumpChanged:
      return where + "the jump in " + found.chain + " is not as it was";
    case DisplacedKind::kJumpAdded:
      return where + "a jump into our chains was added: " + found.detail;
    case DisplacedKind::kChainMissing:
      return where + "the chain " + found.chain + " is missing";
    case DisplacedKind::kChainChanged:
      return where + "the chain " + found.chain + " was changed";
  }
  return where;
}

std::vector<Displacement> compare_snapshots(const RuleSnapshot& wanted, const RuleSnapshot& found, Family family) {
  Comparison comparison(found, family);
  for (const std::string& table : tables_of_snapshot(wanted)) {
    if (!comparison.whole(table)) continue;
    for (const auto& [name, hook] : wanted.hooks) {
      if (name.first == table) comparison.hook(name, [&](const auto& jumps) { return jumps == hook.jumps; });
    }
    for (const auto& [name, rules] : wanted.chains) {
      if (name.first == table) comparison.chain(name, [&](const auto& now) { return now == rules; });
    }
  }
  comparison.added_hooks([&](const ChainName& name) { return wanted.hooks.contains(name); });
  return comparison.take();
}

std::vector<Displacement> check_snapshot(const RulePlan& plan, const RuleSnapshot& found, Family family) {
  // What is fed to iptables-restore differs from what iptables-save prints in spelling alone: the numbers are the same.
  std::map<ChainName, std::size_t> rules;
  std::map<ChainName, std::size_t> jumps;
  std::set<std::string> tables;
  const std::string text = restore_text(plan, family);
  std::string table;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = next_line(rest);
    if (line.starts_with('*')) table = line.substr(1);
    if (line.starts_with('*')) tables.insert(table);
    if (line.starts_with(':')) rules[{table, std::string(first_word(line.substr(1)))}];
    if (line.starts_with("-A ")) ++rules[{table, std::string(first_word(line.substr(3)))}];
    if (line.starts_with("-I ")) ++jumps[{table, std::string(first_word(line.substr(3)))}];
  }
  Comparison comparison(found, family);
  for (const std::string& each : tables) {
    if (!comparison.whole(each)) continue;
    for (const auto& [name, count] : jumps) {
      if (name.first == each) comparison.hook(name, [&](const auto& now) { return now.size() == count; });
    }
    for (const auto& [name, count] : rules) {
      if (name.first == each) comparison.chain(name, [&](const auto& now) { return now.size() == count; });
    }
  }
  comparison.added_hooks([&](const ChainName& name) { return jumps.contains(name); });
  return comparison.take();
}

}  // namespace sallyport::netfilter
