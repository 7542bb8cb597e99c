// What the words of a rule's `protocols` mean, for those who write rules: `learn` and its kin.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/protocol.h"

namespace sallyport::policy {

// RuleWordInfo is one word of `protocols` (docs/policy.md, section 4). Its text lives as long as the program.
struct RuleWordInfo {
  std::string_view word;
  std::span<const std::uint16_t> ports;  // Its own; empty: a rule for it says `ports`, or has none (has_ports).
  bool carries_name = false;             // Its bytes tell the name; otherwise it goes by the names of the address.
  bool has_ports = true;                 // False of what goes over IP itself.
  bool upgrades = false;                 // TLS may begin in it (STARTTLS and its kin).
};

// rule_word_of returns the word for what a flow's bytes are. Where there is none (RTP, unknown bytes) it is "tcp" or
// "udp", and "ip-proto" for another IP protocol.
RuleWordInfo rule_word_of(Protocol protocol, Transport transport);
// rule_word_of_ip_protocol returns the word for an IP protocol without ports: its own, or "ip-proto".
RuleWordInfo rule_word_of_ip_protocol(std::uint8_t number);
// rule_word returns what is known of a word; of one that is none an empty RuleWordInfo::word.
RuleWordInfo rule_word(std::string_view word);

// may_be_wildcard tells whether "*.name" can be meant for one owner: false for public suffixes, of registries and of hosters alike
// (the Public Suffix List), and for names of one label.
bool may_be_wildcard(const DomainName& name);

}  // namespace sallyport::policy
