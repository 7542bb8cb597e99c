// RuleInstaller puts a RulePlan into the kernel of this network namespace and takes it out again, by
// iptables-restore. It changes only chains of ours (kChainPrefix) and the jumps into them. All state is in
// the kernel: any process may remove what another one applied. Not for use by two threads at once.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

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

class RuleInstaller {
 public:
  // open chooses the backend: iptables-nft, or iptables-legacy where only that has rules. Fails with a
  // message when neither is installed.
  static std::expected<RuleInstaller, std::string> open();

  Backend backend() const { return backend_; }
  // has_ipv6 is false where the kernel has no IPv6; there are then no IPv6 rules and no IPv6 traffic.
  bool has_ipv6() const { return has_ipv6_; }

  // present tells whether rules of ours are there, from whomever.
  std::expected<bool, std::string> present() const;

  // apply replaces whatever is ours by the plan's rules, each table in one transaction. When it fails,
  // tables that were replaced before the failure stay replaced: call remove, or leave them to fail closed.
  std::expected<void, std::string> apply(const RulePlan& plan) const;

  // remove takes out every rule and chain of ours, then what iptables-nft had made on the way and nobody
  // uses. Gives false when there was nothing to remove.
  std::expected<bool, std::string> remove() const;

  // verify reads the rules back: each chain of the plan is there, each hook has exactly one jump.
  std::expected<void, std::string> verify(const RulePlan& plan) const;

 private:
  RuleInstaller() = default;
  std::expected<std::string, std::string> save(Family family) const;
  std::expected<void, std::string> restore(Family family, const std::string& text) const;
  std::expected<bool, std::string> remove_family(Family family) const;

  Backend backend_ = Backend::kNft;
  bool has_ipv6_ = true;
};

}  // namespace sallyport::netfilter
