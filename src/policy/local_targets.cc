#include "local_targets.h"

#include <algorithm>
#include <array>
#include <string>

namespace sallyport::policy {
namespace {

// Multicast, broadcast, private, link-local and loopback (RFC 1918, RFC 3927, RFC 4193, RFC 4291).
bool is_local(const IpPrefix& prefix) {
  static const std::array kBlocks = {*IpPrefix::parse("224.0.0.0/4"),    *IpPrefix::parse("255.255.255.255"),
                                     *IpPrefix::parse("10.0.0.0/8"),     *IpPrefix::parse("172.16.0.0/12"),
                                     *IpPrefix::parse("192.168.0.0/16"), *IpPrefix::parse("169.254.0.0/16"),
                                     *IpPrefix::parse("127.0.0.0/8"),    *IpPrefix::parse("ff00::/8"),
                                     *IpPrefix::parse("fe80::/10"),      *IpPrefix::parse("fc00::/7"),
                                     *IpPrefix::parse("::1")};
  return std::any_of(kBlocks.begin(), kBlocks.end(),
                     [&](const IpPrefix& block) { return block.length() <= prefix.length() && block.contains(prefix.address()); });
}

}  // namespace

bool check_local_targets(const Reader& reader, const Value& table, const RuleDraft& draft) {
  constexpr RuleProtocols kMdnsBit = bit_of_word("mdns"), kLocal = kMdnsBit | bit_of_word("llmnr");
  const RuleProtocols local = draft.terms.protocols & kLocal;
  if (draft.terms.action == Action::kDeny || local == 0) return true;
  std::string beyond;
  if (draft.any) beyond = "any";
  if (!draft.names.empty()) beyond = draft.names.front().name;
  for (const IpPrefix& prefix : draft.prefixes) {
    if (!is_local(prefix)) beyond = prefix.to_string();
  }
  if (beyond.empty()) return true;
  const std::string word = (local & kMdnsBit) != 0 ? "mdns" : "llmnr";
  reader.error(table.find("to")->value.position, join(draft.path, "to"),
               quote(beyond) + ": " + word + " stays on the local network; expected multicast, private or link-local addresses, such as " +
                   (word == "mdns" ? "\"224.0.0.251\" and \"ff02::fb\"" : "\"224.0.0.252\" and \"ff02::1:3\""));
  return false;
}

}  // namespace sallyport::policy
