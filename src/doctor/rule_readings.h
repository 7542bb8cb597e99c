// What can be read from others' rules: pure functions over the texts of iptables-save and `nft list ruleset`. Nothing of ours
// (SALLYPORT-) is ever reported. What is not understood is left out.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/doctor/doctor.h"

namespace sallyport::doctor {

// MarkUse is a rule of somebody else that writes into packet marks or ct marks.
struct MarkUse {
  enum class Kind : std::uint8_t { kSetPacket, kSetCt, kSave, kRestore };
  Kind kind = Kind::kSetPacket;
  std::uint32_t value = 0;      // kSetPacket, kSetCt: the bits that may be set.
  std::uint32_t mask = ~0U;     // The bits written: of the ct mark for kSetCt and kSave, of the packet mark for the others.
  std::string rule;             // As it was found.
  bool operator==(const MarkUse&) const = default;
};

std::vector<MarkUse> mark_uses_of_save(std::string_view save_output);
std::vector<MarkUse> mark_uses_of_nft(std::string_view ruleset);

// disturbs tells whether the use touches the bits of `field` in a way that matters, and why.
std::string disturbs(const MarkUse& use, std::uint32_t field);

// queue_rules returns others' rules that send packets to a queue; one each.
std::vector<std::string> queue_rules_of_save(std::string_view save_output);
std::vector<std::string> queue_rules_of_nft(std::string_view ruleset);

// tools_of_save and tools_of_nft name the tools that chains and tables are known by: "ufw", "Docker".
std::set<std::string> tools_of_save(std::string_view save_output);
std::set<std::string> tools_of_nft(std::string_view ruleset);

// foreign_rules counts the rules that are not ours.
std::size_t foreign_rules(std::string_view save_output);

// flowtables returns the names of the flowtables of a ruleset ("inet fw4 ft").
std::vector<std::string> flowtables(std::string_view ruleset);

// early_chains returns the base chains of nftables proper that drop by policy, as "inet filter input".
std::vector<std::string> dropping_chains(std::string_view ruleset);

// unmasked_fwmarks returns the rules of `ip rule` that compare the whole mark, or bits of `field`.
std::vector<std::string> fwmark_rules(std::string_view ip_rule_output, std::uint32_t field);

}  // namespace sallyport::doctor
