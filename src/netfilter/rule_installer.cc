#include "sallyport/netfilter/rule_installer.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>

#include "sallyport/netfilter/command.h"
#include "nft_objects.h"

namespace sallyport::netfilter {
namespace {

std::string program(Backend backend, Family family, std::string_view action) {
  std::string name = family == Family::kIpv4 ? "iptables" : "ip6tables";
  name += backend == Backend::kNft ? "-nft" : "-legacy";
  return name + '-' + std::string(action);
}

// message makes one line of what a program said.
std::string message(const std::string& name, const CommandResult& result) {
  std::string text = result.errors.empty() ? "exit code " + std::to_string(result.exit_code) : result.errors;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::ranges::replace(text, '\n', ';');
  return name + ": " + text;
}

bool backend_has_rules(Backend backend, Family family) {
  const std::expected<CommandResult, std::string> saved = run_command({program(backend, family, "save")});
  return saved && saved->exit_code == 0 && has_rules(saved->output);
}

bool backend_has_rules(Backend backend) {
  return backend_has_rules(backend, Family::kIpv4) || backend_has_rules(backend, Family::kIpv6);
}

// add_created completes `states` with what the plan will make iptables-nft create.
void add_created(std::vector<TableState>& states, const RulePlan& plan, const NftObjects& objects) {
  for (const TableUse& use : tables_of(plan)) {
    auto state = std::ranges::find(states, use.table, &TableState::table);
    if (state == states.end()) {
      states.push_back({});
      state = states.end() - 1;
      state->table = use.table;
    }
    if (!objects.tables.contains(state->table)) state->created.table = true;
    for (const std::string_view chain : use.base_chains) {
      const std::string name(chain);
      if (objects.chains.contains({state->table, name})) continue;
      if (std::ranges::find(state->created.base_chains, name) == state->created.base_chains.end()) {
        state->created.base_chains.push_back(name);
      }
    }
  }
}

// keep_created adds to `states` what an earlier apply of this process had iptables-nft create, and remembers all of it.
void keep_created(std::vector<TableState>& states, std::vector<TableState>& remembered) {
  for (TableState& state : states) {
    const auto before = std::ranges::find(remembered, state.table, &TableState::table);
    if (before == remembered.end()) continue;
    state.created.table |= before->created.table;
    for (const std::string& chain : before->created.base_chains) {
      if (std::ranges::find(state.created.base_chains, chain) == state.created.base_chains.end()) state.created.base_chains.push_back(chain);
    }
  }
  remembered = states;
}

// join puts the first few of what was found in one line.
std::string join(const std::vector<Displacement>& found) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(found.size(), kShown); ++i) text += (i == 0 ? "" : "; ") + describe(found[i]);
  if (found.size() > kShown) text += "; and " + std::to_string(found.size() - kShown) + " more";
  return text;
}

}  // namespace

bool legacy_tables() {
  for (const char* path : {"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"}) {
    std::ifstream names(path);
    std::string line;
    if (std::getline(names, line)) return true;
  }
  return false;
}

void load_legacy_modules() {
  const bool alone = find_program(program(Backend::kNft, Family::kIpv4, "restore")).empty();
  if (alone || legacy_tables()) (void)run_command({"modprobe", "-qab", "ip_tables", "ip6_tables"});  // Built in, or `apply` says what lacks.
}

struct RuleInstaller::Applied {
  std::mutex mutex;  // Held while rules are read or changed, too: a repair must not run into an `apply`.
  std::optional<RulePlan> plan;
  std::map<Family, RuleSnapshot> snapshots;
  std::map<Family, std::vector<TableState>> created;  // A tool that flushes the tables takes the record in the kernel with it.
};

RuleInstaller::RuleInstaller() : applied_(std::make_shared<Applied>()) {}

RuleInstaller RuleInstaller::of(Backend backend) {
  RuleInstaller installer;
  installer.has_ipv6_ = ::access("/proc/net/if_inet6", F_OK) == 0;
  installer.backend_ = backend;
  return installer;
}

std::expected<RuleInstaller, std::string> RuleInstaller::open(std::chrono::milliseconds limit) {
  RuleInstaller installer = of(Backend::kNft);
  installer.limit_ = limit;
  const bool have_nft = !find_program(program(Backend::kNft, Family::kIpv4, "restore")).empty();
  const bool have_legacy = !find_program(program(Backend::kLegacy, Family::kIpv4, "restore")).empty();
  if (!have_nft && !have_legacy) return std::unexpected("iptables is not installed");
  installer.backend_ = have_nft ? Backend::kNft : Backend::kLegacy;
  if (have_nft && have_legacy && legacy_tables() && backend_has_rules(Backend::kLegacy) &&
      !backend_has_rules(Backend::kNft)) {
    installer.backend_ = Backend::kLegacy;
  }
  return installer;
}

std::expected<std::string, std::string> RuleInstaller::save(Family family) const {
  const std::string name = program(backend_, family, "save");
  std::expected<CommandResult, std::string> result = run_command({name}, {}, limit_);
  if (!result) return std::unexpected(result.error());
  if (result->exit_code != 0) return std::unexpected(message(name, *result));
  return std::move(result->output);
}

std::expected<void, std::string> RuleInstaller::restore(Family family, const std::string& text, bool test) const {
  if (text.empty()) return {};
  const std::string name = program(backend_, family, "restore");
  std::vector<std::string> command = {name, "--noflush"};
  if (test) command.push_back("--test");
  if (backend_ == Backend::kLegacy) command.insert(command.end(), {"-w", std::to_string(limit_ / std::chrono::seconds(1) - 2)});  // Then it says itself who has the lock.
  const std::expected<CommandResult, std::string> result = run_command(command, text, limit_);
  if (!result) return std::unexpected(result.error());
  if (result->exit_code != 0) return std::unexpected(message(name, *result));
  return {};
}

std::expected<bool, std::string> RuleInstaller::present() const {
  for (const Family family : kFamilies) {
    if (family == Family::kIpv6 && !has_ipv6_) continue;
    const std::expected<std::string, std::string> saved = save(family);
    if (!saved) return std::unexpected(saved.error());
    if (!read_table_states(*saved).empty()) return true;
  }
  return false;
}

std::expected<void, std::string> RuleInstaller::apply_locked(const RulePlan& plan) const {
  const std::expected<void, std::string> put = put_locked(plan);
  return put ? read_back_locked(plan) : put;
}

std::expected<void, std::string> RuleInstaller::put_locked(const RulePlan& plan) const {
  bool nft_answers = true;
  for (const Family family : kFamilies) {
    if (family == Family::kIpv6 && !has_ipv6_) continue;
    const std::expected<std::string, std::string> saved = save(family);
    if (!saved) return std::unexpected(saved.error());
    std::vector<TableState> states = read_table_states(*saved);
    if (backend_ == Backend::kNft) {
      // Without nft nothing is recorded, and removal leaves empty tables behind: no reason to fail.
      if (nft_answers) {
        const std::expected<NftObjects, std::string> objects = list_nft_objects(family);
        if (objects) add_created(states, plan, *objects);
        nft_answers = objects.has_value();  // One that hangs is waited for once.
      }
      keep_created(states, applied_->created[family]);
    }
    const std::expected<void, std::string> restored = restore(family, restore_text(plan, family, states));
    if (!restored) return restored;
  }
  return {};
}

std::expected<void, std::string> RuleInstaller::read_back_locked(const RulePlan& plan) const {
  applied_->snapshots.clear();
  std::vector<Displacement> wrong;
  for (const Family family : kFamilies) {
    if (family == Family::kIpv6 && !has_ipv6_) continue;
    const std::expected<std::string, std::string> saved = save(family);
    if (!saved) return std::unexpected(saved.error());
    RuleSnapshot snapshot = read_snapshot(*saved);
    std::ranges::move(check_snapshot(plan, snapshot, family), std::back_inserter(wrong));
    applied_->snapshots.emplace(family, std::move(snapshot));
  }
  if (!wrong.empty()) return std::unexpected("the rules were applied and are not in place: " + join(wrong));
  return {};
}

std::expected<void, std::string> RuleInstaller::rehearse(const RulePlan& plan) const {
  for (const Family family : kFamilies) {
    if (family == Family::kIpv6 && !has_ipv6_) continue;
    const std::expected<std::string, std::string> saved = save(family);
    if (!saved) return std::unexpected(saved.error());
    const auto tested = restore(family, restore_text(plan, family, read_table_states(*saved)), true);
    if (!tested) return tested;
  }
  return {};
}

std::expected<void, std::string> RuleInstaller::apply(const RulePlan& plan) const {
  const std::lock_guard lock(applied_->mutex);
  std::map<Family, RuleSnapshot> before = applied_->snapshots;
  const std::expected<void, std::string> done = apply_locked(plan);
  if (done) {
    applied_->plan = plan;
  } else {  // What was in force before is what a repair goes back to.
    applied_->snapshots = std::move(before);
  }
  return done;
}

std::expected<std::vector<Displacement>, std::string> RuleInstaller::compare_locked() const {
  std::vector<Displacement> found;
  for (const auto& [family, wanted] : applied_->snapshots) {
    const std::expected<std::string, std::string> saved = save(family);
    if (!saved) return std::unexpected(saved.error());
    std::ranges::move(compare_snapshots(wanted, read_snapshot(*saved), family), std::back_inserter(found));
  }
  return found;
}

std::expected<RuleInstaller::Repair, std::string> RuleInstaller::repair() const {
  const std::lock_guard lock(applied_->mutex);
  if (!applied_->plan) return Repair{};
  std::expected<std::vector<Displacement>, std::string> found = compare_locked();
  if (!found) return std::unexpected(found.error());
  Repair repair{std::move(*found), {}, false};
  if (repair.found.empty()) return repair;
  // What is compared with stays the same until the plan is in force again: a repair that fails is tried again.
  std::map<Family, RuleSnapshot> wanted = applied_->snapshots;
  const auto put = put_locked(*applied_->plan);
  repair.applied = put.has_value();
  if (const auto done = put ? read_back_locked(*applied_->plan) : put; !done) {
    repair.error = done.error();
    applied_->snapshots = std::move(wanted);
  }
  return repair;
}

std::expected<bool, std::string> RuleInstaller::remove_family(Family family) const {
  const std::expected<std::string, std::string> saved = save(family);
  if (!saved) return std::unexpected(saved.error());
  const std::vector<TableState> states = read_table_states(*saved);
  if (states.empty()) return false;
  const std::expected<void, std::string> restored = restore(family, removal_text(states));
  if (!restored) return std::unexpected(restored.error());
  if (backend_ != Backend::kNft) return true;
  for (const TableState& state : states) {
    const std::expected<void, std::string> removed = remove_created(family, state);
    if (!removed) return std::unexpected("the rules are removed, but not an empty table: " + removed.error());
  }
  return true;
}

std::expected<bool, std::string> RuleInstaller::remove() const {
  const std::lock_guard lock(applied_->mutex);
  applied_->plan.reset();
  applied_->created.clear();
  bool any = false;
  std::string errors;
  for (const Family family : kFamilies) {  // One family's failure does not keep the other's rules.
    if (family == Family::kIpv6 && !has_ipv6_) continue;
    const std::expected<bool, std::string> removed = remove_family(family);
    if (removed) {
      any = any || *removed;
    } else {
      errors += (errors.empty() ? "" : "; ") + removed.error();
    }
  }
  if (!errors.empty()) return std::unexpected(errors);
  return any;
}

std::expected<void, std::string> RuleInstaller::verify(const RulePlan& plan) const {
  std::vector<Displacement> wrong;
  for (const Family family : kFamilies) {
    if (family == Family::kIpv6 && !has_ipv6_) continue;
    const std::expected<std::string, std::string> saved = save(family);
    if (!saved) return std::unexpected(saved.error());
    std::ranges::move(check_snapshot(plan, read_snapshot(*saved), family), std::back_inserter(wrong));
  }
  if (!wrong.empty()) return std::unexpected(join(wrong));
  return {};
}

}  // namespace sallyport::netfilter
