#include "sallyport/view/rule_text.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <nlohmann/json.hpp>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"

namespace sallyport::view {
namespace {

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.'; });
}

// is_name tells whether the text is a host name and nothing else that a rule's target could be.
bool is_name(std::string_view text) {
  if (text == "any" || text == "none" || text.starts_with('.') || !is_word(text)) return false;
  const auto name = DomainName::parse(text);
  return name && name->text() == text;
}

// What a rule's `protocols` may say (docs/policy.md, section 4) and flows are told as.
constexpr std::string_view kRuleProtocols[] = {
    "tls", "quic", "http", "ssh", "dns", "dtls", "smtp", "stun", "ntp", "dhcp", "snmp", "ssdp", "syslog", "netbios", "wireguard",
    "openvpn", "ike", "mqtt", "amqp", "redis", "postgresql", "smb", "rdp", "socks", "xmpp", "sip", "ldap", "ftp", "imap", "pop3",
    "mysql", "bittorrent", "mdns", "llmnr", "tcp", "udp"};

// rule_protocol returns the word for a rule, or nothing: ICMP, tunnels and other IP protocols need more than a port.
std::string rule_protocol(const std::string& protocol, const std::string& transport) {
  const std::string word = protocol == "http2" ? "http" : protocol == "rtp" ? "udp" : protocol;
  if ((transport != "tcp" && transport != "udp") || std::ranges::find(kRuleProtocols, word) == std::end(kRuleProtocols)) return {};
  return word;
}

template <typename Row>
std::expected<Wanted, std::string> make(std::string target, const Row& row, bool has_scopes, std::string_view action) {
  const std::string protocol = rule_protocol(row.protocol, row.transport);
  if (protocol.empty() || row.port == 0) return std::unexpected("a rule for this needs more than a name and a port; write it by hand");
  Wanted wanted{std::move(target), protocol, row.port, {}};
  if (!row.scopes.empty()) {
    wanted.scope = row.scopes.front();
    if (!is_word(wanted.scope)) return std::unexpected("no scope can have this name");
    return wanted;
  }
  if (has_scopes) wanted.scope = "none";
  if (!has_scopes || row.in_none) return wanted;
  return std::unexpected("no scope has this flow; for all flows: sallyport " + std::string(action) + ' ' + wanted.target + " --protocol " +
                         wanted.protocol + " --port " + std::to_string(wanted.port) + " --for 10m");
}

std::string in_quotes(std::string_view text) {
  return '"' + std::string(text) + '"';
}

}  // namespace

std::string Wanted::text() const {
  const bool v6 = target.find(':') != std::string::npos;
  return protocol + ' ' + (v6 ? '[' + target + ']' : target) + ':' + std::to_string(port) + (scope.empty() ? "" : " in " + scope);
}

std::expected<Wanted, std::string> wanted_of(const Flow& flow, bool has_scopes, std::string_view action) {
  if (is_name(flow.name) && !IpAddress::parse(flow.name)) return make(flow.name, flow, has_scopes, action);
  if (!flow.name.empty() && flow.name != flow.address) return std::unexpected("no rule can have this name");
  if (!IpAddress::parse(flow.address)) return std::unexpected("the flow has no name and no address");
  return make(flow.address, flow, has_scopes, action);
}

std::expected<Wanted, std::string> wanted_of(const DeniedName& name, bool has_scopes, std::string_view action) {
  if (!IpAddress::parse(name.name) && !is_name(name.name)) return std::unexpected("no rule can have this name");
  return make(name.name, name, has_scopes, action);
}

std::string rule_toml(const Wanted& wanted) {
  std::string text = "[[rules]]\n";
  if (!wanted.scope.empty()) text += "scope = " + in_quotes(wanted.scope) + '\n';
  text += "to = [" + in_quotes(wanted.target) + "]\n";
  text += "protocols = [" + in_quotes(wanted.protocol) + "]\n";
  text += "ports = [" + std::to_string(wanted.port) + "]\n";
  return text + "action = \"allow\"\n";
}

std::string grant_request(std::string_view action, const Wanted& wanted, std::string_view span) {
  nlohmann::ordered_json request{{"command", action},
                                 {"name", wanted.target},
                                 {"protocols", {wanted.protocol}},
                                 {"ports", {wanted.port}}};
  if (!wanted.scope.empty()) request["scope"] = wanted.scope;
  request["for"] = span;
  return request.dump();
}

}  // namespace sallyport::view
