#include "sallyport/policy/policy_keys.h"

#include <array>

namespace sallyport::policy {
namespace {

constexpr KeyStage kLater = KeyStage::kLater;

constexpr auto kKeys = std::to_array<PolicyKey>({
    {"", "version", "integer", "required"},
    {"", "include", "string or list of strings", "[]"},
    {"", "defaults", "table", "-"},
    {"", "refusals", "table", "-"},
    {"", "deploy", "table", "-"},
    {"", "inspect", "table", "-"},
    {"", "dns", "table", "-"},
    {"", "scopes", "table of tables", "-"},
    {"", "rules", "list of tables", "[]"},
    {"", "guards", "list of tables", "[]"},
    {"", "listeners", "table", "-"},
    {"defaults", "action", "\"deny\" or \"allow\"", "\"deny\""},
    {"defaults", "mode", "\"enforce\" or \"observe\"", "\"enforce\""},
    {"defaults", "refuse", "\"speak\", \"reset\" or \"drop\"", "\"speak\""},
    {"defaults", "bind", "\"strict\" or \"any\"", "\"strict\""},
    {"defaults", "quic", "\"allow\" or \"deny\"", "\"allow\""},
    {"defaults", "existing", "\"judge\"", "\"judge\""},
    {"refusals", "tls_alert", "\"access_denied\" or \"unrecognized_name\"", "\"access_denied\""},
    {"refusals", "dns", "\"refused\" or \"nxdomain\"", "\"refused\""},
    {"refusals", "dns_error", "\"blocked\" or \"filtered\"", "\"blocked\""},
    {"refusals", "show_rule", "true or false", "true"},
    {"deploy", "hooks", "\"output\", \"forward\", \"both\", or a list of the first two", "[\"output\"]"},
    {"deploy", "inside", "interface name or list of them", "[]"},
    {"deploy", "queues", "\"auto\" or integer", "\"auto\""},
    {"deploy", "on_exit", "\"closed\" or \"open\"", "\"closed\""},
    {"deploy", "ct_mark_mask", "integer", "0xff000000"},
    {"deploy", "control", "string", "\"/run/sallyport/control.sock\""},
    {"inspect", "tunnels", "tunnel or list of tunnels", "[]"},
    {"dns", "resolvers", "\"system\", address, or list of them", "[\"system\"]"},
    {"dns", "names", "\"policy\" or \"any\"", "\"policy\""},
    {"dns", "ech", "\"strip\", \"deny\" or \"allow\"", "\"strip\""},
    {"dns", "edns", "option name, code, or list of them", "[]"},
    {"dns", "wildcard_budget", "integer", "1000"},
    {"dns", "grace", "time", "\"1h\""},
    {"dns", "miss_wait", "time", "\"1s\""},
    {"dns", "nat64", "prefix or list of prefixes", "[\"64:ff9b::/96\"]"},
    {"dns", "private", "name, \"any\", or list of names", "[]"},
    {"dns", "rebinding", "\"refuse\", \"log\" or \"allow\"", "\"refuse\""},
    {"dns", "rebinding_except", "name or list of names", "[]"},
    {"scopes.NAME", "sources", "prefix or list of prefixes", "[]"},
    {"scopes.NAME", "interfaces", "interface name or list of them", "[]"},
    {"scopes.NAME", "users", "user name, number, or list of them", "[]"},
    {"scopes.NAME", "resolvers", "address or list of addresses", "those of [dns]"},
    {"scopes.NAME", "groups", "group name, number, or list of them", "[]"},
    {"scopes.NAME", "cgroups", "cgroup path or list of them", "[]"},
    {"scopes.NAME", "units", "unit name or list of them", "[]"},
    {"scopes.NAME", "containers", "container, \"compose:PROJECT/SERVICE\", or list of them", "[]"},
    {"listeners", "allow", "listener or list of listeners", "required"},
    {"listeners", "netns", "\"own\" or \"all\"", "\"own\""},
    {"listeners", "interval", "time", "\"10s\""},
    {"rules", "to", "target or list of targets", "required"},
    {"rules", "protocols", "protocol or list of protocols", "[\"tls\", \"quic\", \"http\"]"},
    {"rules", "ports", "port, range, \"any\", or list of ports and ranges", "each protocol's own"},
    {"rules", "action", "\"allow\" or \"deny\"", "\"allow\""},
    {"rules", "name", "string", "-"},
    {"rules", "scope", "scope name, \"none\", or list of them", "every flow"},
    {"rules", "expires", "date and time with offset", "never"},
    {"rules", "refuse", "\"speak\", \"reset\" or \"drop\"", "defaults.refuse"},
    {"rules", "bind", "\"strict\" or \"any\"", "defaults.bind"},
    {"rules", "host_keys", "fingerprint, known_hosts file, or list of them", "any key"},
    {"rules", "ech", "\"strip\", \"deny\" or \"allow\"", "dns.ech"},
    {"rules", "methods", "method or list of methods", "any method"},
    {"rules", "paths", "path, \"re:\" and a regular expression, or list of them", "any path"},
    {"rules", "websocket", "\"allow\", \"deny\" or \"only\"", "\"allow\""},
    {"rules", "proxy", "true or false", "false"},
    {"rules", "starttls", "\"allow\" or \"require\"", "\"allow\""},
    {"rules", "ice", "\"deny\" or \"allow\"", "\"deny\""},
    {"rules", "resolve", "", "", kLater},
    {"rules", "icmp_types", "type, number, or list of them", "[\"echo-request\"]"},
    {"rules", "icmp_payload", "integer", "56"},
    {"guards", "listen", "address and port, or list of them", "required without unix_socket"},
    {"guards", "hosts", "name or address, or list of them", "required with listen"},
    {"guards", "origins", "host, origin, or list of them", "none"},
    {"guards", "name", "string", "-"},
    {"guards", "interfaces", "interface name or list of them", "any"},
    {"guards", "sources", "prefix or list of prefixes", "any"},
    {"guards", "unix_socket", "string", "-"},
    {"guards", "process", "string", "-"},
    {"rules", "ip_protos", "protocol number or list of them", "required by ip-proto"},
});

}  // namespace

std::span<const PolicyKey> policy_keys() {
  return kKeys;
}

}  // namespace sallyport::policy
