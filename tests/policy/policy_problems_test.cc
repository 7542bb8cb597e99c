// Each thing that can be wrong with a policy, with the exact message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Case {
  std::string_view name;
  std::string_view text;  // After "version = 1\n": its first line is line 2.
  std::string_view message;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class PolicyProblemTest : public testing::TestWithParam<Case> {};

TEST_P(PolicyProblemTest, IsReportedWithItsPlace) {
  EXPECT_THAT(problems("version = 1\n" + std::string(GetParam().text)), ElementsAre(std::string(GetParam().message)));
}

constexpr Case kCases[] = {
    // Keys
    {"UnknownTopKey", "rule = 1\n", R"(p.toml:2:1: rule: unknown key; did you mean "rules"?)"},
    {"UnknownKeyWithoutSuggestion", "zebra = 1\n", "p.toml:2:1: zebra: unknown key"},
    {"UnknownRuleKey", "[[rules]]\nto = \"a.example\"\nprot = [\"tls\"]\n", R"(p.toml:4:1: rules[0].prot: unknown key; did you mean "protocols"?)"},
    {"UnknownDefaultsKey", "[defaults]\nacton = \"deny\"\n", R"(p.toml:3:1: defaults.acton: unknown key; did you mean "action"?)"},
    {"UnknownDeployKey", "[deploy]\nqueue = 1\n", R"(p.toml:3:1: deploy.queue: unknown key; did you mean "queues"?)"},
    {"UnknownScopeKey", "[scopes.a]\nuser = 1\nusers = 1\n", R"(p.toml:3:1: scopes.a.user: unknown key; did you mean "users"?)"},
    {"StrangeKeyIsEscaped", "\"a\\u0001b\" = 1\n", "p.toml:2:1: \"a\\x01b\": unknown key"},
    {"ResolveIsLater", "[[rules]]\nto = \"a.example\"\nresolve = [\"GET\"]\n", "p.toml:4:1: rules[0].resolve: not supported yet"},
    {"CgroupsArePaths", "[scopes.a]\ncgroups = [\"x\"]\n", "p.toml:3:12: scopes.a.cgroups: \"x\": a cgroup is a path from the root of cgroup2, such as \"/system.slice/ci.service\""},
    {"DuplicateTomlKey", "rules = []\nrules = []\n", "p.toml:3:9: not valid TOML: Error while parsing key-value pair: cannot redefine existing array 'rules'"},
    // Types and words
    {"RulesIsNoList", "rules = 1\n", "p.toml:2:9: rules: expected a list of tables; begin each rule with [[rules]]"},
    {"RulesIsOneTable", "[rules]\nto = \"any\"\n", "p.toml:2:1: rules: expected a list of tables; begin each rule with [[rules]]"},
    {"RuleIsNoTable", "rules = [1]\n", "p.toml:2:10: rules[0]: expected a table, got an integer"},
    {"DefaultsIsNoTable", "defaults = 1.5\n", "p.toml:2:12: defaults: expected a table, got a float"},
    {"ScopesIsNoTable", "scopes = true\n", "p.toml:2:10: scopes: expected a table, got a boolean"},
    {"ActionIsNoString", "[defaults]\naction = 1\n", "p.toml:3:10: defaults.action: expected a string, got an integer"},
    {"ActionWord", "[defaults]\naction = \"alow\"\n", R"(p.toml:3:10: defaults.action: "alow": expected "deny" or "allow"; did you mean "allow"?)"},
    {"ModeWord", "[defaults]\nmode = \"watch\"\n", R"(p.toml:3:8: defaults.mode: "watch": expected "enforce" or "observe")"},
    {"ExistingWord", "[defaults]\nexisting = \"keep\"\n", R"(p.toml:3:12: defaults.existing: "keep": expected "judge", "allow" or "kill")"},
    {"RuleActionWord", "[[rules]]\nto = \"any\"\naction = \"permit\"\n", R"(p.toml:4:10: rules[0].action: "permit": expected "deny" or "allow")"},
    {"EmptyRuleName", "[[rules]]\nto = \"any\"\nname = \"\"\n", R"(p.toml:4:8: rules[0].name: "": expected 1 to 128 octets without control characters)"},
    // Targets
    {"NoTarget", "[[rules]]\naction = \"deny\"\n", R"(p.toml:2:1: rules[0].to: required: names, "*.below", ".apex-and-below", prefixes or "any")"},
    {"EmptyTargets", "[[rules]]\nto = []\n", R"(p.toml:3:6: rules[0].to: an empty list matches no flow; say "any" for every destination)"},
    {"TargetIsNoString", "[[rules]]\nto = [\n  \"a.example\",\n  7]\n", "p.toml:5:3: rules[0].to: expected a string, got an integer"},
    {"SecondWildcard", "[[rules]]\nto = [\"a.example\",\n       \"*.*.example.com\"]\n", R"(p.toml:4:8: rules[0].to: "*.*.example.com": a wildcard may only be the first label)"},
    {"InnerWildcard", "[[rules]]\nto = \"a.*.example\"\n", R"(p.toml:3:6: rules[0].to: "a.*.example": a wildcard may only be the first label)"},
    {"PartialWildcard", "[[rules]]\nto = \"*a.example\"\n", R"(p.toml:3:6: rules[0].to: "*a.example": a wildcard stands for whole labels: write "*." before the name)"},
    {"BareWildcard", "[[rules]]\nto = \"*\"\n", R"(p.toml:3:6: rules[0].to: "*": a wildcard needs a name behind it; did you mean "any"?)"},
    {"WildcardOverRegistry", "[[rules]]\nto = \"*.co.uk\"\n", R"(p.toml:3:6: rules[0].to: "*.co.uk": "co.uk" is a public suffix: anyone may register a name below it)"},
    {"WildcardOverRegistryAllowedExplicitly", "[[rules]]\nto = \"*.ru\"\naction = \"allow\"\n", R"(p.toml:3:6: rules[0].to: "*.ru": "ru" is a public suffix: anyone may register a name below it)"},
    {"ApexOverRegistry", "[[rules]]\nto = \".COM.\"\n", R"(p.toml:3:6: rules[0].to: ".COM.": "com" is a public suffix: anyone may register a name below it)"},
    {"Url", "[[rules]]\nto = \"https://a.example/x\"\n", R"(p.toml:3:6: rules[0].to: "https://a.example/x": a URL; expected the host name alone)"},
    {"NameWithPort", "[[rules]]\nto = \"a.example:443\"\n", R"(p.toml:3:6: rules[0].to: "a.example:443": expected the host name alone; ports go into "ports")"},
    {"NameWithPath", "[[rules]]\nto = \"a.example/x\"\n", R"(p.toml:3:6: rules[0].to: "a.example/x": expected the host name alone, without a path)"},
    {"EmptyLabel", "[[rules]]\nto = \"a..example\"\n", R"(p.toml:3:6: rules[0].to: "a..example": not a host name: labels of letters, digits, "-" and "_", joined by single dots)"},
    {"EmptyName", "[[rules]]\nto = \"\"\n", R"(p.toml:3:6: rules[0].to: "": expected a name, an address or "any")"},
    {"HostBits", "[[rules]]\nto = \"10.1.2.3/8\"\n", R"(p.toml:3:6: rules[0].to: "10.1.2.3/8": host bits are set; did you mean "10.0.0.0/8"?)"},
    {"HostBitsV6", "[[rules]]\nto = \"2001:db8::1/33\"\n", R"(p.toml:3:6: rules[0].to: "2001:db8::1/33": host bits are set; did you mean "2001:db8::/33"?)"},
    {"PrefixLength", "[[rules]]\nto = \"10.0.0.0/33\"\n", R"(p.toml:3:6: rules[0].to: "10.0.0.0/33": expected a prefix length from 0 to 32)"},
    {"BadAddress", "[[rules]]\nto = \"10.0.0.256\"\n", R"(p.toml:3:6: rules[0].to: "10.0.0.256": expected an address or a prefix, such as 192.0.2.0/24 or 2001:db8::/32)"},
    {"MappedAddress", "[[rules]]\nto = \"::ffff:192.0.2.1\"\n", R"(p.toml:3:6: rules[0].to: "::ffff:192.0.2.1": an IPv4-mapped address; write it as IPv4: 192.0.2.1)"},
    {"AnyAndMore", "[[rules]]\nto = [\"any\", \"a.example\"]\n", R"(p.toml:3:6: rules[0].to: "any" already covers the rest of the list)"},
    // Protocols
    {"ProtocolMisspelt", "[[rules]]\nto = \"any\"\nprotocols = [\"htpp\"]\n", R"(p.toml:4:14: rules[0].protocols: "htpp": expected "tls", "quic", "http", "ssh", "dns", "tcp" or "udp" (docs/policy.md lists them all); did you mean "http"?)"},
    {"ProtocolLater", "[[rules]]\nto = \"any\"\nprotocols = [\"rtp\"]\n", R"(p.toml:4:14: rules[0].protocols: "rtp": not supported yet; use "tls", "quic", "http", "ssh", "dns", "tcp" or "udp" (docs/policy.md lists them all))"},
    {"DtlsWithoutPorts", "[[rules]]\nto = \"a.example\"\nprotocols = \"dtls\"\n", R"(p.toml:4:13: rules[0].protocols: dtls has no port of its own: "ports" is required; say "any" for every port)"},
    {"PortsOfGre", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"tls\", \"gre\"]\nports = 443\n", R"(p.toml:5:9: rules[0].ports: gre has no ports: leave "ports" out, or give it a rule of its own)"},
    {"TunnelMisspelt", "[inspect]\ntunnels = [\"vxlna\"]\n", R"(p.toml:3:12: inspect.tunnels: "vxlna": expected "gre", "ipip", "6in4", "vxlan", "geneve" or "teredo"; did you mean "vxlan"?)"},
    {"InspectKey", "[inspect]\ntunnel = \"vxlan\"\n", R"(p.toml:3:1: inspect.tunnel: unknown key; did you mean "tunnels"?)"},
    {"NoProtocols", "[[rules]]\nto = \"any\"\nprotocols = []\n", "p.toml:4:13: rules[0].protocols: an empty list matches no flow"},
    // Ports
    {"TcpWithoutPorts", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"tls\", \"tcp\"]\n", R"(p.toml:4:13: rules[0].protocols: tcp has no port of its own: "ports" is required; say "any" for every port)"},
    {"PortZero", "[[rules]]\nto = \"any\"\nports = 0\n", R"(p.toml:4:9: rules[0].ports: 0: expected a port from 1 to 65535, a range "first-last", or "any")"},
    {"PortTooLarge", "[[rules]]\nto = \"any\"\nports = [443, 65536]\n", R"(p.toml:4:15: rules[0].ports: 65536: expected a port from 1 to 65535, a range "first-last", or "any")"},
    {"PortRangeBackwards", "[[rules]]\nto = \"any\"\nports = [\"9-8\"]\n", R"(p.toml:4:10: rules[0].ports: "9-8": expected a port from 1 to 65535, a range "first-last", or "any")"},
    {"PortNotANumber", "[[rules]]\nto = \"any\"\nports = [\"https\"]\n", R"(p.toml:4:10: rules[0].ports: "https": expected a port from 1 to 65535, a range "first-last", or "any")"},
    {"PortFloat", "[[rules]]\nto = \"any\"\nports = [1.5]\n", R"(p.toml:4:10: rules[0].ports: a float: expected a port from 1 to 65535, a range "first-last", or "any")"},
    {"PortsEmpty", "[[rules]]\nto = \"any\"\nports = []\n", R"(p.toml:4:9: rules[0].ports: an empty list matches no flow; say "any" for every port)"},
    {"PortsAnyAndMore", "[[rules]]\nto = \"any\"\nports = [22, \"any\"]\n", R"(p.toml:4:14: rules[0].ports: "any" already covers the rest of the list)"},
    // Bindings, host keys, ECH
    {"BindWord", "[[rules]]\nto = \"a.example\"\nbind = \"sctrict\"\n", R"(p.toml:4:8: rules[0].bind: "sctrict": expected "strict" or "any"; did you mean "strict"?)"},
    {"BindOfADenyRule", "[[rules]]\nto = \"a.example\"\naction = \"deny\"\nbind = \"any\"\n", R"(p.toml:5:8: rules[0].bind: a deny rule has its names wherever they are claimed; leave "bind" out)"},
    {"BindAnyForSsh", "[[rules]]\nto = \"a.example\"\nprotocols = [\"tls\", \"ssh\"]\nbind = \"any\"\n", R"(p.toml:5:8: rules[0].bind: ssh carries no name, so nothing but the address can tell; use "strict", or give ssh a rule of its own)"},
    {"BindAnyForTcp", "[[rules]]\nto = [\"192.0.2.1\", \"a.example\"]\nprotocols = [\"tcp\"]\nports = 1\nbind = \"any\"\n", R"(p.toml:6:8: rules[0].bind: tcp carries no name, so nothing but the address can tell; use "strict", or give tcp a rule of its own)"},
    {"BindAnyByDefaultForUdp", "[defaults]\nbind = \"any\"\n[[rules]]\nto = \"a.example\"\nprotocols = [\"udp\"]\nports = 1\n", R"(p.toml:5:6: rules[0].to: udp carries no name, and defaults.bind is "any"; add bind = "strict" to this rule, or use an address)"},
    {"DefaultsBindWord", "[defaults]\nbind = true\n", "p.toml:3:8: defaults.bind: expected a string, got a boolean"},
    {"EchWord", "[[rules]]\nto = \"a.example\"\nech = \"stripp\"\n", R"(p.toml:4:7: rules[0].ech: "stripp": expected "strip", "deny" or "allow"; did you mean "strip"?)"},
    {"EchOfADenyRule", "[[rules]]\nto = \"a.example\"\naction = \"deny\"\nech = \"deny\"\n", R"(p.toml:5:7: rules[0].ech: a deny rule denies with and without it; leave "ech" out)"},
    {"EchOfSsh", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nech = \"deny\"\n", R"(p.toml:5:7: rules[0].ech: only hellos of tls, quic and dtls carry it; leave "ech" out)"},
    {"HostKeysOfTls", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = [\"ssh\", \"tls\"]\nhost_keys = \"x\"\n", R"(p.toml:5:1: rules[0].host_keys: only ssh has host keys: give it a rule of its own with protocols = ["ssh"])"},
    {"HostKeysOfADenyRule", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\naction = \"deny\"\nhost_keys = \"x\"\n", "p.toml:6:1: rules[0].host_keys: host keys say which servers are allowed; leave them out of a deny rule"},
    {"HostKeysEmpty", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = []\n", R"(p.toml:5:13: rules[0].host_keys: an empty list accepts no server; leave "host_keys" out for any)"},
    {"HostKeyShort", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = \"SHA256:abc\"\n", R"(p.toml:5:13: rules[0].host_keys: "SHA256:abc": expected "SHA256:" and 43 digits of base 64, as "ssh-keygen -lf" shows it, or "known_hosts:FILE")"},
    {"HostKeyMd5", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = [\"MD5:7a:47\"]\n", R"(p.toml:5:14: rules[0].host_keys: "MD5:7a:47": expected "SHA256:" and 43 digits of base 64, as "ssh-keygen -lf" shows it, or "known_hosts:FILE")"},
    {"HostKeyInFull", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdLpmqX9UlroqCmZYIsWqUTiV+nnRD4R4QaFMzYBPrM me\"\n", R"(p.toml:5:13: rules[0].host_keys: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdLpmqX9UlroqCmZYIsWqUTiV+nnRD4R4QaFMzYBPrM...": expected "SHA256:" and 43 digits of base 64, as "ssh-keygen -lf" shows it, or "known_hosts:FILE"; did you mean "SHA256:EeX7elgqQOdT8IOPueNwHKfXC9yx2FhmXaQz8vGzDso"?)"},
    {"HostKeyKind", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = [1]\n", "p.toml:5:14: rules[0].host_keys: expected a string, got an integer"},
    {"KnownHostsWithoutFolder", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = \"known_hosts:/etc/ssh/ssh_known_hosts\"\n", R"(p.toml:5:13: rules[0].host_keys: "known_hosts:/etc/ssh/ssh_known_hosts": a policy that is not a file can name no other file; list fingerprints)"},
    {"KnownHostsWithoutName", "[[rules]]\nto = \"192.0.2.1\"\nprotocols = \"ssh\"\nhost_keys = \"known_hosts:\"\n", R"(p.toml:5:13: rules[0].host_keys: "known_hosts:": expected a file after "known_hosts:")"},
    // DNS
    {"DnsIsNoTable", "dns = 1\n", "p.toml:2:7: dns: expected a table, got an integer"},
    {"UnknownDnsKey", "[dns]\nresolver = \"system\"\n", R"(p.toml:3:1: dns.resolver: unknown key; did you mean "resolvers"?)"},
    {"ResolverName", "[dns]\nresolvers = [\"system\", \"dns.example\"]\n", R"(p.toml:3:24: dns.resolvers: "dns.example": expected the address of a DNS server, without a port, or "system")"},
    {"ResolverWithPort", "[dns]\nresolvers = \"192.0.2.53:53\"\n", R"(p.toml:3:13: dns.resolvers: "192.0.2.53:53": expected the address of a DNS server, without a port, or "system")"},
    {"ResolverMapped", "[dns]\nresolvers = \"::ffff:192.0.2.53\"\n", R"(p.toml:3:13: dns.resolvers: "::ffff:192.0.2.53": an IPv4-mapped address; write it as IPv4: 192.0.2.53, or "system")"},
    {"DnsNamesWord", "[dns]\nnames = \"all\"\n", R"(p.toml:3:9: dns.names: "all": expected "policy" or "any")"},
    {"DnsEchWord", "[dns]\nech = 1\n", "p.toml:3:7: dns.ech: expected a string, got an integer"},
    {"EdnsWord", "[dns]\nedns = [\"client_subnet\"]\n", R"(p.toml:3:9: dns.edns: "client_subnet": expected "nsid", "dau", "dhu", "n3u", "client-subnet", "expire" or "cookie" (docs/policy.md lists them all); did you mean "client-subnet"?)"},
    {"EdnsCode", "[dns]\nedns = 65535\n", "p.toml:3:8: dns.edns: expected an option code from 1 to 65534, or the option's name"},
    {"BudgetRange", "[dns]\nwildcard_budget = -1\n", "p.toml:3:19: dns.wildcard_budget: expected names per hour from 1 to 1000000, or 0 for no bound"},
    {"GraceNumber", "[dns]\ngrace = 3600\n", R"(p.toml:3:9: dns.grace: 3600: expected a time of at most 24 hours, such as "90s", "15m" or "1h")"},
    {"GraceUnit", "[dns]\ngrace = \"1 h\"\n", R"(p.toml:3:9: dns.grace: "1 h": expected a time of at most 24 hours, such as "90s", "15m" or "1h")"},
    {"GraceTooLong", "[dns]\ngrace = \"25h\"\n", R"(p.toml:3:9: dns.grace: "25h": expected a time of at most 24 hours, such as "90s", "15m" or "1h")"},
    {"GraceNegative", "[dns]\ngrace = \"-1s\"\n", R"(p.toml:3:9: dns.grace: "-1s": expected a time of at most 24 hours, such as "90s", "15m" or "1h")"},
    {"MissWaitTooLong", "[dns]\nmiss_wait = \"6s\"\n", R"(p.toml:3:13: dns.miss_wait: "6s": expected a time of at most 5 seconds, such as "500ms" or "1s")"},
    {"PrivateAnyAndMore", "[dns]\nprivate = [\"a.example\", \"any\"]\n", R"(p.toml:3:25: dns.private: "any" already covers the rest of the list)"},
    {"PrivateAddress", "[dns]\nprivate = \"a..b\"\n", R"(p.toml:3:11: dns.private: "a..b": not a host name: labels of letters, digits, "-" and "_", joined by single dots)"},
    {"RebindingWord", "[dns]\nrebinding = \"deny\"\n", R"(p.toml:3:13: dns.rebinding: "deny": expected "refuse", "log" or "allow")"},
    {"RebindingExceptAny", "[dns]\nrebinding_except = \"any\"\n", R"(p.toml:3:20: dns.rebinding_except: "any": expected a name; for every name say rebinding = "allow")"},
    {"RebindingExceptRegistry", "[dns]\nrebinding_except = \"*.com\"\n", R"(p.toml:3:20: dns.rebinding_except: "*.com": "com" is a public suffix: anyone may register a name below it)"},
    {"PrivateRegistry", "[dns]\nprivate = \"*.com\"\n", R"(p.toml:3:11: dns.private: "*.com": "com" is a public suffix: anyone may register a name below it)"},
    {"ScopeResolver", "[scopes.a]\nusers = 0\nresolvers = \"system\"\n", R"(p.toml:4:13: scopes.a.resolvers: "system": expected the address of a DNS server, without a port)"},
    {"ScopeResolversEmpty", "[scopes.a]\nusers = 0\nresolvers = []\n", R"(p.toml:4:13: scopes.a.resolvers: an empty list; leave "resolvers" out for those of [dns])"},
    {"ScopeOfResolversOnly", "[scopes.a]\nresolvers = \"192.0.2.53\"\n", R"(p.toml:2:1: scopes.a: an empty scope matches no flow; expected "sources", "interfaces", "users", "groups", "cgroups", "units" or "containers")"},
    // Expiry
    {"LocalDateTime", "[[rules]]\nto = \"any\"\nexpires = 2027-01-01T00:00:00\n", "p.toml:4:11: rules[0].expires: a date and time without an offset means another moment on another host; add one, as in 2027-01-01T00:00:00Z"},
    {"LocalDate", "[[rules]]\nto = \"any\"\nexpires = 2027-01-01\n", "p.toml:4:11: rules[0].expires: a date and time without an offset means another moment on another host; add one, as in 2027-01-01T00:00:00Z"},
    {"ExpiryString", "[[rules]]\nto = \"any\"\nexpires = \"soon\"\n", "p.toml:4:11: rules[0].expires: expected a date and time with offset, such as 2027-01-01T00:00:00Z, got a string"},
    // Scopes
    {"UnknownScope", "[scopes.agent]\nusers = 0\n[[rules]]\nto = \"any\"\nscope = [\"agnet\"]\n", R"(p.toml:6:10: rules[0].scope: "agnet": no such scope; did you mean "agent"?)"},
    {"EmptyScope", "[scopes.a]\nsources = []\n", R"(p.toml:2:1: scopes.a: an empty scope matches no flow; expected "sources", "interfaces", "users", "groups", "cgroups", "units" or "containers")"},
    {"ScopeName", "[scopes.\"a b\"]\nusers = 0\n", R"(p.toml:2:9: scopes: "a b": a scope's name has letters, digits, "-" and "_")"},
    {"ScopeSource", "[scopes.a]\nsources = [\"10.0.0.1/8\"]\n", R"(p.toml:3:12: scopes.a.sources: "10.0.0.1/8": host bits are set; did you mean "10.0.0.0/8"?)"},
    {"ScopeInterface", "[scopes.a]\ninterfaces = \"a-name-beyond-15\"\n", R"(p.toml:3:14: scopes.a.interfaces: "a-name-beyond-15": not the name of a network interface)"},
    {"ScopeUser", "[scopes.a]\nusers = [\"no-such-user-here\"]\n", R"(p.toml:3:10: scopes.a.users: "no-such-user-here": this host has no such user)"},
    {"ScopeUserNumber", "[scopes.a]\nusers = [4294967295]\n", "p.toml:3:10: scopes.a.users: expected a user number from 0 to 4294967294"},
    {"ScopeUserKind", "[scopes.a]\nusers = [true]\n", "p.toml:3:10: scopes.a.users: expected a user name or number, got a boolean"},
    {"RuleScopeEmpty", "[[rules]]\nto = \"any\"\nscope = []\n", R"(p.toml:4:9: rules[0].scope: an empty list matches no flow; leave "scope" out for every flow)"},
    // Deploy
    {"HookWord", "[deploy]\nhooks = [\"input\"]\n", R"(p.toml:3:10: deploy.hooks: "input": expected "output", "forward" or "both")"},
    {"HooksEmpty", "[deploy]\nhooks = []\n", R"(p.toml:3:9: deploy.hooks: expected at least one of "output", "forward" or "both")"},
    {"ForwardWithoutInside", "[deploy]\nhooks = \"both\"\n", R"(p.toml:3:9: deploy.hooks: the forward hook needs "inside": the interfaces of the workloads, such as ["docker0"])"},
    {"QueuesRange", "[deploy]\nqueues = 65\n", R"(p.toml:3:10: deploy.queues: expected "auto" or an integer from 1 to 64)"},
    {"OnExitWord", "[deploy]\non_exit = \"close\"\n", R"(p.toml:3:11: deploy.on_exit: "close": expected "closed" or "open"; did you mean "closed"?)"},
    {"MaskGap", "[deploy]\nct_mark_mask = 0xf0f0\n", "p.toml:3:16: deploy.ct_mark_mask: expected 8 contiguous bits of 32, such as 0xff000000"},
    {"MaskTooHigh", "[deploy]\nct_mark_mask = 0xff00000000\n", "p.toml:3:16: deploy.ct_mark_mask: expected 8 contiguous bits of 32, such as 0xff000000"},
    {"ControlRelative", "[deploy]\ncontrol = \"run/x\"\n", R"(p.toml:3:11: deploy.control: "run/x": expected an absolute path of at most 107 octets)"},
    // Include
    {"UnknownPreset", "include = [\"preset:githb\"]\n", R"(p.toml:2:12: include: "preset:githb": no such preset; did you mean "github"?)"},
    {"IncludeNumber", "include = 1\n", "p.toml:2:11: include: expected a string, got an integer"},
    {"IncludeFromText", "include = \"team.toml\"\n", R"(p.toml:2:11: include: "team.toml": a policy that is not a file can include presets only)"},
    {"IncludeAbsolute", "include = \"/etc/x.toml\"\n", R"(p.toml:2:11: include: "/etc/x.toml": expected a path relative to this file)"},
    // Rules without effect
    {"DuplicateRule", "[[rules]]\nto = [\"a.example\", \"b.example\"]\n[[rules]]\nname = \"other words\"\nto = [\"B.example.\", \"a.example\", \"b.example\"]\nprotocols = [\"http\", \"tls\", \"quic\"]\n", "p.toml:4:1: rules[1]: a duplicate: it has the effect of rules[0] (p.toml:2)"},
    {"DuplicateRulePorts", "[[rules]]\nto = \"any\"\nports = \"1-10\"\n[[rules]]\nto = \"any\"\nports = [\"4-10\", 1, \"2-3\"]\n", "p.toml:5:1: rules[1]: a duplicate: it has the effect of rules[0] (p.toml:2)"},
    {"DuplicateOfPreset", "include = \"preset:npm\"\n[[rules]]\nto = [\"registry.npmjs.org\", \"registry.yarnpkg.com\"]\nprotocols = [\"http\", \"quic\", \"tls\"]\n", "p.toml:3:1: rules[0]: a duplicate: it has the effect of rules[0] (preset:npm:4)"},
    {"ShadowedByEqualDeny", "[[rules]]\nto = \"a.example\"\n[[rules]]\nto = \"a.example\"\naction = \"deny\"\n", "p.toml:2:1: rules[0]: never allows anything: deny wins, and all of it is denied by rules[1] (p.toml:4)"},
    {"ShadowedByWiderDeny", "[[rules]]\nto = [\"a.b.example\", \"*.c.example\"]\nprotocols = \"tls\"\n[[rules]]\nto = [\"*.b.example\", \".c.example\"]\naction = \"deny\"\nports = \"any\"\n", "p.toml:2:1: rules[0]: never allows anything: deny wins, and all of it is denied by rules[1] (p.toml:5)"},
    {"ShadowedByWiderPrefix", "[[rules]]\nto = [\"10.1.0.0/16\", \"10.2.3.4\"]\nprotocols = \"ssh\"\n[[rules]]\nto = \"10.0.0.0/8\"\nprotocols = \"tcp\"\nports = \"any\"\naction = \"deny\"\n", "p.toml:2:1: rules[0]: never allows anything: deny wins, and all of it is denied by rules[1] (p.toml:5)"},
    {"ShadowedByAny", "[[rules]]\nto = [\"a.example\"]\n[[rules]]\nto = \"any\"\naction = \"deny\"\n", "p.toml:2:1: rules[0]: never allows anything: deny wins, and all of it is denied by rules[1] (p.toml:4)"},
};

INSTANTIATE_TEST_SUITE_P(Policy, PolicyProblemTest, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(PolicyProblemsTest, VersionIsRequired) {
  EXPECT_THAT(problems(""), ElementsAre("p.toml:1:1: version: required; begin the file with version = 1"));
  EXPECT_THAT(problems("version = 2\n"), ElementsAre("p.toml:1:11: version: expected 1, the only version there is"));
  EXPECT_THAT(problems("version = \"1\"\n"), ElementsAre("p.toml:1:11: version: expected 1, the only version there is"));
  EXPECT_THAT(problems("version = 1\n"), IsEmpty());
}

TEST(PolicyProblemsTest, SyntaxErrorHasAPlace) {
  EXPECT_THAT(problems("version = 1\n[[rules]\n"), ElementsAre(testing::StartsWith("p.toml:2:9: not valid TOML: ")));
}

TEST(PolicyProblemsTest, AllAreReportedAtOnceInOrderOfPlace) {
  EXPECT_THAT(problems("versoin = 1\n"
                       "[defaults]\n"
                       "mode = \"x\"\n"
                       "[[rules]]\n"
                       "to = [\"*.com\", \"a b\"]\n"
                       "protocols = [\"nope\"]\n"
                       "[[rules]]\n"
                       "to = \"any\"\n"
                       "[[rules]]\n"
                       "to = \"any\"\n"),
              ElementsAre("p.toml:1:1: version: required; begin the file with version = 1",
                          "p.toml:1:1: versoin: unknown key; did you mean \"version\"?",
                          "p.toml:3:8: defaults.mode: \"x\": expected \"enforce\" or \"observe\"",
                          testing::StartsWith("p.toml:5:7: rules[0].to: \"*.com\""),
                          testing::StartsWith("p.toml:5:16: rules[0].to: \"a b\""),
                          testing::StartsWith("p.toml:6:14: rules[0].protocols: \"nope\""),
                          "p.toml:9:1: rules[2]: a duplicate: it has the effect of rules[1] (p.toml:7)"));
}

TEST(PolicyProblemsTest, AreCappedAndTheRestIsCounted) {
  std::string text = "version = 1\n[[rules]]\nto = [\n";
  for (int i = 0; i < 1'500; ++i) text += "  \"a..b\",\n";
  const auto lines = problems(text + "]\n");
  ASSERT_EQ(lines.size(), 1'001u);
  EXPECT_EQ(lines.back(), "p.toml: and 500 more problems");
}

TEST(PolicyProblemsTest, DottedKeyThatWouldExhaustTheStackIsRefused) {
  std::string key = "a";
  for (int i = 0; i < 1'000'000; ++i) key += ".a";
  EXPECT_THAT(problems("version = 1\n" + key + " = 1\n"), ElementsAre("p.toml:2:32: a dotted key of more than 16 parts"));
  EXPECT_THAT(problems("version = 1\n[" + key + "]\n"), ElementsAre("p.toml:2:33: a dotted key of more than 16 parts"));
}

TEST(PolicyProblemsTest, DotsInStringsAndCommentsAreNoKey) {
  const std::string dots(100, '.');
  EXPECT_THAT(problems("version = 1 # " + dots + "\n[[rules]]\nto = \"any\"\nname = '''it's " + dots + "\n'''\n"),
              ElementsAre(testing::HasSubstr("rules[0].name")));  // The line feed; not the dots.
  EXPECT_THAT(problems("version = 1\n[[rules]]\nto = \"any\"\nname = \"\\\"" + dots + "\"\n"), IsEmpty());
}

TEST(PolicyProblemsTest, DeepNestingIsRefused) {
  EXPECT_FALSE(problems("version = 1\nrules = " + std::string(100'000, '[') + "\n").empty());
  EXPECT_FALSE(problems("version = 1\nrules = " + std::string(200, '[') + std::string(200, ']') + "\n").empty());
}

TEST(PolicyProblemsTest, NearMissesOfRedundancyAreAccepted) {
  for (const std::string_view second : {
           "to = \"a.example\"\nprotocols = [\"tls\"]\n",                                      // Other protocols.
           "to = \"a.example\"\nports = 444\n",                                               // Other port.
           "to = \"*.a.example\"\n",                                                          // Other names.
           "to = \"a.example\"\nexpires = 2027-01-01T00:00:00Z\n",                            // Other time.
           "to = \"a.example\"\naction = \"deny\"\nprotocols = [\"tls\"]\n",                  // Denies a part.
           "to = \"*.a.example\"\naction = \"deny\"\nports = \"any\"\n",                      // Not the apex.
           "to = \"a.example\"\naction = \"deny\"\nports = 444\n",                            // Elsewhere.
           "to = \"a.example\"\naction = \"deny\"\nexpires = 2027-01-01T00:00:00Z\n",         // For a while.
           "to = \"a.example\"\naction = \"deny\"\nscope = \"s\"\n",                          // For some.
       }) {
    EXPECT_THAT(problems("version = 1\n[scopes.s]\nusers = 0\n[[rules]]\nto = \"a.example\"\n[[rules]]\n" +
                         std::string(second)),
                IsEmpty())
        << second;
  }
}

TEST(PolicyProblemsTest, WildcardOverAPrivateSuffixIsAWarning) {
  const auto policy = load("[[rules]]\nto = [\"*.github.io\", \"me.github.io\", \"*.me.github.io\"]\n");
  EXPECT_THAT(lines_of(policy->warnings()),
              ElementsAre("p.toml:3:7: rules[0].to: \"*.github.io\": anyone may become a customer of \"github.io\" and get a name below it"));
}

TEST(PolicyProblemsTest, DenyRulesMayHaveWildcardsOverPublicSuffixes) {
  for (const std::string_view order : {"to = [\"*.ru\", \".co.uk\", \"*.github.io\"]\naction = \"deny\"\n",
                                       "action = \"deny\"\nto = [\"*.ru\", \".co.uk\", \"*.github.io\"]\n"}) {
    const auto policy = load("[[rules]]\n" + std::string(order) + "[[rules]]\nto = \"any\"\n");
    EXPECT_THAT(policy->warnings(), IsEmpty());
    for (const std::string_view name : {"a.ru", "a.b.ru", "co.uk", "a.co.uk", "me.github.io"}) {
      EXPECT_FALSE(allows(*policy, {name})) << name;
    }
    for (const std::string_view name : {"ru", "xru", "uk", "github.io"}) EXPECT_TRUE(allows(*policy, {name})) << name;
  }
}

TEST(PolicyProblemsTest, TooManyScopesAreRefused) {
  std::string text = "version = 1\n";
  for (int i = 0; i < 62; ++i) text += "[scopes.s" + std::to_string(100 + i) + "]\nusers = 0\n";
  EXPECT_THAT(problems(text), ElementsAre("p.toml:124:9: scopes.s161: a policy has at most 61 scopes"));
}

}  // namespace
}  // namespace sallyport::policy
