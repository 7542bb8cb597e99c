// One table's part of a rule plan, and its text for iptables-restore.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
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

// kSyn matches what begins a TCP connection, kNoSyn all of TCP but that.
inline constexpr std::string_view kSyn = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN";
inline constexpr std::string_view kNoSyn = "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN";

// forget_former takes what was allowed to the connection before from a SYN's ct mark, before it goes to the queue: whatever becomes of
// the packet there, nothing of the new connection passes by it.
std::string forget_former(const MarkField& mark, Generation generation);

// render writes the transaction that puts the table in the place of what is `present` of ours.
std::string render(const TableText& table, const TableState& present);

}  // namespace sallyport::netfilter
