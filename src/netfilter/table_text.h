// One table's part of a rule plan, and its text for iptables-restore.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

struct TableText {
  std::string table;
  std::vector<std::string> chains;
  std::vector<std::string> rules;  // "SALLYPORT-OUT -o lo -j RETURN"
  std::vector<std::string> jumps;  // "OUTPUT -j SALLYPORT-OUT"; each is inserted as its chain's first rule.
};

std::string hex(std::uint32_t value);  // "0x1f"

// render writes the transaction that puts the table in the place of what is `present` of ours.
std::string render(const TableText& table, const TableState& present);

}  // namespace sallyport::netfilter
