#include "sallyport/policy/policy_keys.h"

#include <array>

namespace sallyport::policy {
namespace {

constexpr KeyStage kLater = KeyStage::kLater;

constexpr auto kKeys = std::to_array<PolicyKey>({
    {"", "version", "integer", "required"},
    {"", "include", "string or list of strings", "[]"},
    {"", "defaults", "table", "-"},
    {"", "deploy", "table", "-"},
    {"", "inspect", "table", "-"},
    {"", "scopes", "table of tables", "-"},
    {"", "rules", "list of tables", "[]"},
    {"", "dns", "", "", kLater},
    {"", "guards", "", "", kLater},
    {"", "listeners", "", "", kLater},
    {"defaults", "action", "\"deny\" or \"allow\"", "\"deny\""},
    {"defaults", "mode", "\"enforce\" or \"observe\"", "\"enforce\""},
    {"defaults", "refuse", "\"reset\" or \"drop\"", "\"reset\""},
    {"defaults", "existing", "\"judge\"", "\"judge\""},
    {"deploy", "hooks", "\"output\", \"forward\", \"both\", or a list of the first two", "[\"output\"]"},
    {"deploy", "inside", "interface name or list of them", "[]"},
    {"deploy", "queues", "\"auto\" or integer", "\"auto\""},
    {"deploy", "on_exit", "\"closed\" or \"open\"", "\"closed\""},
    {"deploy", "ct_mark_mask", "integer", "0xff000000"},
    {"deploy", "control", "string", "\"/run/sallyport/control.sock\""},
    {"inspect", "tunnels", "tunnel or list of tunnels", "[]"},
    {"scopes.NAME", "sources", "prefix or list of prefixes", "[]"},
    {"scopes.NAME", "interfaces", "interface name or list of them", "[]"},
    {"scopes.NAME", "users", "user name, number, or list of them", "[]"},
    {"scopes.NAME", "cgroups", "", "", kLater},
    {"rules", "to", "target or list of targets", "required"},
    {"rules", "protocols", "protocol or list of protocols", "[\"tls\", \"quic\", \"http\"]"},
    {"rules", "ports", "port, range, \"any\", or list of ports and ranges", "each protocol's own"},
    {"rules", "action", "\"allow\" or \"deny\"", "\"allow\""},
    {"rules", "name", "string", "-"},
    {"rules", "scope", "scope name or list of them", "every flow"},
    {"rules", "expires", "date and time with offset", "never"},
    {"rules", "refuse", "\"reset\" or \"drop\"", "defaults.refuse"},
    {"rules", "host_keys", "", "", kLater},
    {"rules", "methods", "", "", kLater},
    {"rules", "paths", "", "", kLater},
    {"rules", "bind", "", "", kLater},
    {"rules", "ech", "", "", kLater},
    {"rules", "starttls", "", "", kLater},
    {"rules", "ice", "", "", kLater},
    {"rules", "proxy", "", "", kLater},
    {"rules", "resolve", "", "", kLater},
    {"rules", "icmp_types", "", "", kLater},
});

}  // namespace

std::span<const PolicyKey> policy_keys() {
  return kKeys;
}

}  // namespace sallyport::policy
