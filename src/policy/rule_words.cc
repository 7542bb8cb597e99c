#include "sallyport/policy/rule_words.h"

#include <algorithm>

#include "public_suffix.h"
#include "rule.h"

namespace sallyport::policy {
namespace {

RuleWordInfo info_of(const RuleWord& word) {
  const auto end = std::ranges::find(word.ports, 0);
  const auto bit = bit_of_word(word.word);
  return {word.word,
          std::span(word.ports).first(static_cast<std::size_t>(end - word.ports.begin())),
          word.carries_name,
          word.ip_protocol == 0,
          (bit & kUpgradeProtocols) != 0};
}

// plain_protocol returns the protocol whose rules are asked for this one.
Protocol plain_protocol(Protocol protocol) {
  if (protocol == Protocol::kHttp2) return Protocol::kHttp;
  if (protocol == Protocol::kNvgre || protocol == Protocol::kErspan) return Protocol::kGre;
  return protocol;
}

}  // namespace

RuleWordInfo rule_word(std::string_view word) {
  const auto found = std::ranges::find(kRuleWords, word, &RuleWord::word);
  return found == kRuleWords.end() ? RuleWordInfo{} : info_of(*found);
}

RuleWordInfo rule_word_of_ip_protocol(std::uint8_t number) {
  const auto found = std::ranges::find_if(kRuleWords, [&](const RuleWord& word) { return number != 0 && word.ip_protocol == number; });
  return found == kRuleWords.end() ? rule_word("ip-proto") : info_of(*found);
}

RuleWordInfo rule_word_of(Protocol protocol, Transport transport) {
  const Protocol plain = plain_protocol(protocol);
  const bool on_tcp = transport == Transport::kTcp;
  const bool on_udp = transport == Transport::kUdp;
  for (const RuleWord& word : kRuleWords) {
    if (plain == Protocol::kUnknown || word.protocol != plain) continue;
    if (on_tcp ? word.on_tcp : on_udp ? word.on_udp : word.ip_protocol != 0) return info_of(word);
  }
  if (transport == Transport::kIcmp || transport == Transport::kIcmpv6) return rule_word("icmp");
  return rule_word(on_tcp ? "tcp" : on_udp ? "udp" : "ip-proto");
}

bool may_be_wildcard(const DomainName& name) {
  return name.text().find('.') != std::string_view::npos && public_suffix_of(name) == PublicSuffix::kNo;
}

}  // namespace sallyport::policy
