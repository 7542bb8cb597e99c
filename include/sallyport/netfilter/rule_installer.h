// RuleInstaller puts a RulePlan into the kernel of this network namespace and takes it out again, by
// iptables-restore. It changes only chains of ours (kChainPrefix) and the jumps into them. All state that
// removal needs is in the kernel: any process may remove what another one applied. What was applied last is
// remembered for repair, and shared by copies of an installer; any thread may call any function.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/netfilter/command.h"
#include "sallyport/netfilter/rule_snapshot.h"
#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

enum class Backend : std::uint8_t { kNft, kLegacy };

constexpr std::string_view to_string(Backend backend) {
  switch (backend) {
    case Backend::kNft:
      return "iptables-nft";
    case Backend::kLegacy:
      return "iptables-legacy";
  }
  return "?";
}

// legacy_tables tells whether iptables-legacy has any table loaded here; asking loads none.
bool legacy_tables();

// load_legacy_modules loads what iptables-legacy would load by itself at its first call in either family, where it is to be used. That
// wants CAP_SYS_MODULE, which the service gives up before it puts its rules in. The rest the kernel loads as the rules name it.
void load_legacy_modules();

class RuleInstaller {
 public:
  // open chooses the backend: iptables-nft, or iptables-legacy where only that has rules. Fails with a
  // message when neither is installed. Each program may take `limit`.
  static std::expected<RuleInstaller, std::string> open(std::chrono::milliseconds limit = kCommandTime);

  // of returns an installer for this backend, whatever is installed or in use.
  static RuleInstaller of(Backend backend);

  Backend backend() const { return backend_; }
  // set_limit says how long each program may take from now on.
  void set_limit(std::chrono::milliseconds limit) { limit_ = limit; }
  // has_ipv6 is false where the kernel has no IPv6; there are then no IPv6 rules and no IPv6 traffic.
  bool has_ipv6() const { return has_ipv6_; }

  // present tells whether rules of ours are there, from whomever.
  std::expected<bool, std::string> present() const;

  // apply replaces whatever is ours by the plan's rules, each table in one transaction. When it fails,
  // tables that were replaced before the failure stay replaced: call remove, leave them to fail closed, or
  // `repair`, which goes back to the plan before.
  std::expected<void, std::string> apply(const RulePlan& plan) const;

  // rehearse has everything done but the change: what the kernel or iptables refuses is mostly told by then.
  std::expected<void, std::string> rehearse(const RulePlan& plan) const;

  // remove takes out every rule and chain of ours, then what iptables-nft had made on the way and nobody
  // uses. Gives false when there was nothing to remove.
  std::expected<bool, std::string> remove() const;

  // verify reads the rules back: each chain of the plan is there with all its rules, each hook has exactly one jump, as its
  // first rule.
  std::expected<void, std::string> verify(const RulePlan& plan) const;

  // Repair is what `repair` found and did. Nothing found: all is as `apply` left it.
  struct Repair {
    std::vector<Displacement> found;
    std::string error;     // Why it could not be put back; empty: it was.
    bool applied = false;  // The kernel took the rules. With an error: they were displaced again before they could be read.
  };
  // repair reads the rules back, compares each line with what the last `apply` left, and applies the same plan again if
  // something was displaced. Fails when they cannot be read; does nothing when nothing was applied, or it was removed again.
  std::expected<Repair, std::string> repair() const;

 private:
  // Applied is what the last apply left; of both families.
  struct Applied;

  RuleInstaller();
  // apply_locked is the two behind it: put_locked gives the rules to the kernel, read_back_locked looks whether they are in place.
  std::expected<void, std::string> apply_locked(const RulePlan& plan) const;
  std::expected<void, std::string> put_locked(const RulePlan& plan) const;
  std::expected<void, std::string> read_back_locked(const RulePlan& plan) const;
  std::expected<std::vector<Displacement>, std::string> compare_locked() const;
  std::expected<std::string, std::string> save(Family family) const;
  std::expected<void, std::string> restore(Family family, const std::string& text, bool test = false) const;
  std::expected<bool, std::string> remove_family(Family family) const;

  Backend backend_ = Backend::kNft;
  std::chrono::milliseconds limit_ = kCommandTime;
  bool has_ipv6_ = true;
  std::shared_ptr<Applied> applied_;
};

}  // namespace sallyport::netfilter
