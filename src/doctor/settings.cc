#include "settings.h"

#include <algorithm>
#include <charconv>

#include "sallyport/resolver/resolv_conf.h"

namespace sallyport::doctor {
namespace {

std::optional<std::uint64_t> number(const ReadFile& read, const std::string& path) {
  const std::optional<std::string> text = read(path);
  std::uint64_t value = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), value).ec != std::errc()) return std::nullopt;
  return value;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kMax = 160;
  std::string line(text.substr(0, kMax));
  if (text.size() > kMax) line += "...";
  std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f; }, '?');
  return line;
}

std::vector<Finding> conntrack_findings(const ReadFile& read, const policy::Policy& policy) {
  std::vector<Finding> findings;
  const std::string net = "/proc/sys/net/netfilter/";
  const auto most = number(read, net + "nf_conntrack_max");
  const auto count = number(read, net + "nf_conntrack_count");
  if (!most || !count) {
    return {{Level::kNote, "conntrack", "connection tracking is not in use yet; the rules will load it", ""}};
  }
  const std::string used = std::to_string(*count) + " of " + std::to_string(*most) + " entries in use";
  if (*most != 0 && *count >= *most / 5 * 4) {
    findings.push_back({Level::kWarn, "conntrack", used + ": when it is full the kernel drops new connections",
                        "sysctl -w net.netfilter.nf_conntrack_max=" + std::to_string(*most * 4)});
  } else {
    findings.push_back({Level::kOk, "conntrack", used, ""});
  }
  if (const auto loose = number(read, net + "nf_conntrack_tcp_loose"); loose && *loose != 0 && policy.deploy().hook_output) {
    findings.push_back({Level::kNote, "conntrack",
                        "tcp_loose is on: after `conntrack -F` a server's packet can make the kernel take the server for the opener",
                        "sysctl -w net.netfilter.nf_conntrack_tcp_loose=0"});
  }
  if (const auto liberal = number(read, net + "nf_conntrack_tcp_be_liberal"); liberal && *liberal != 0) {
    findings.push_back({Level::kNote, "conntrack", "tcp_be_liberal is on: segments outside of the window are tracked as if they were inside", ""});
  }
  if (const auto acct = number(read, net + "nf_conntrack_acct"); acct && *acct == 0) {
    findings.push_back({Level::kNote, "conntrack", "the kernel does not count bytes per connection (nf_conntrack_acct=0): nothing here needs it", ""});
  }
  if (const auto idle = number(read, net + "nf_conntrack_tcp_timeout_established"); idle && *idle < 7'200) {
    findings.push_back({Level::kNote, "conntrack",
                        "idle TCP connections are forgotten after " + std::to_string(*idle) + " s: the next packet of one is in its middle (midstream)",
                        "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=432000"});
  }
  return findings;
}

std::vector<Finding> bridge_findings(const ReadFile& read, const policy::Deploy& deploy) {
  std::vector<Finding> findings;
  if (!deploy.hook_forward) return findings;
  std::vector<std::string> bridges;
  std::vector<std::string> missing;
  for (const std::string& name : deploy.inside) {
    if (read("/sys/class/net/" + name + "/bridge")) bridges.push_back(name);
    if (!read("/sys/class/net/" + name)) missing.push_back(name);
  }
  if (!missing.empty()) {
    findings.push_back({Level::kNote, "inside", "no such interface now: " + list_of(missing) + "; rules for it take effect when it comes", ""});
  }
  const auto calls = number(read, "/proc/sys/net/bridge/bridge-nf-call-iptables");
  if (bridges.empty()) return findings;
  if (calls && *calls != 0) {
    findings.push_back({Level::kNote, "bridge", "br_netfilter is on: what workloads of " + list_of(bridges) + " say to each other goes through the rules, "
                        "but is not judged (it stays behind the inside interface)", ""});
  } else {
    findings.push_back({Level::kNote, "bridge", list_of(bridges) + ": what its workloads say to each other is switched, and not seen", ""});
  }
  return findings;
}

std::vector<Finding> routing_findings(const ReadFile& read, const policy::Deploy& deploy) {
  std::vector<Finding> findings;
  if (deploy.hook_forward) {
    for (const auto& [path, name] : {std::pair{"/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"},
                                     std::pair{"/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"}}) {
      const auto on = number(read, path);
      if (on && *on == 0) {
        findings.push_back({Level::kWarn, "forwarding", std::string("the forward hook is wanted and the host does not forward (") + name + " = 0)",
                            std::string("sysctl -w ") + name + "=1"});
      }
    }
    if (findings.empty()) findings.push_back({Level::kOk, "forwarding", "this host forwards", ""});
  }
  const auto all = number(read, "/proc/sys/net/ipv4/conf/all/rp_filter");
  if (all) {
    const char* words[] = {"off", "strict", "loose"};
    findings.push_back({Level::kOk, "rp_filter", std::string(*all < 3 ? words[*all] : "unknown") +
                        (deploy.hook_forward ? "; inside interfaces are checked by a rule of ours in any case" : ""), ""});
  }
  if (!read("/proc/net/if_inet6")) {
    findings.push_back({Level::kNote, "ipv6", "this kernel has no IPv6: IPv4 rules only", ""});
  } else {
    const auto disabled = number(read, "/proc/sys/net/ipv6/conf/all/disable_ipv6");
    findings.push_back({Level::kOk, "ipv6", disabled && *disabled != 0 ? "disabled by sysctl; the rules are there all the same" : "judged like IPv4", ""});
  }
  return findings;
}

std::vector<Finding> resolver_findings(const ReadFile& read, const policy::Policy& policy) {
  std::vector<Finding> findings;
  const auto by_name = [&](const char* path) { return read(path); };
  const resolver::SystemResolvers system = resolver::read_system_resolvers(by_name);
  std::string servers;
  for (const IpAddress& address : system.asked) servers += (servers.empty() ? "" : ", ") + address.to_string();
  const policy::Dns& dns = policy.dns();
  if (system.asked.empty()) {
    const bool needed = dns.system_resolvers && dns.resolvers.empty();
    findings.push_back({needed ? Level::kWarn : Level::kNote, "resolver", "/etc/resolv.conf names no server" +
                        std::string(needed ? ": rules by name bind no address" : ""), needed ? "name them in [dns] resolvers" : ""});
  } else {
    const bool trusted = dns.system_resolvers || std::ranges::all_of(system.asked, [&](const IpAddress& address) {
                           return std::ranges::find(dns.resolvers, address) != dns.resolvers.end();
                         });
    findings.push_back({trusted ? Level::kOk : Level::kWarn, "resolver", "this host asks " + servers + (trusted ? "" : ", which [dns] resolvers does not list: its questions are refused"),
                        trusted ? "" : "add them, or \"system\", to [dns] resolvers"});
  }
  const std::string advice = resolver::stub_advice(system, dns.resolvers, dns.system_resolvers);
  if (!advice.empty()) findings.push_back({Level::kNote, "resolver", printable(advice), ""});
  for (const char* path : {"/etc/systemd/resolved.conf", "/run/systemd/resolved.conf"}) {
    const std::optional<std::string> text = read(path);
    if (!text) continue;
    for (const char* word : {"\nDNSOverTLS=yes", "\nDNSOverTLS=opportunistic"}) {
      if (("\n" + *text).find(word) == std::string::npos) continue;
      findings.push_back({Level::kNote, "resolver", std::string(path) + ": systemd-resolved asks over TLS; of its own questions only addresses are seen, "
                          "and answers are read where programs ask the stub", "allow its servers on port 853, and have [dns] resolvers list 127.0.0.53"});
      break;
    }
  }
  return findings;
}

std::vector<Finding> host_findings(const ReadFile& read, const policy::Policy& policy) {
  std::vector<Finding> findings;
  const std::string mounts = read("/proc/self/mountinfo").value_or("");
  const bool mounted = mounts.find(" - cgroup2 ") != std::string::npos;
  const bool known = mounted || read("/proc/filesystems").value_or("").find("\tcgroup2\n") != std::string::npos;
  findings.push_back({known ? Level::kOk : Level::kNote, "cgroup",
                      mounted ? "cgroup v2 is mounted"
                      : known ? "cgroup v2 is not mounted here: the program mounts it for itself alone"
                              : "no cgroup v2: no scopes by cgroup, unit or container, and no `run -- COMMAND`",
                      ""});
  std::vector<std::string> engines;
  for (const auto& [path, name] : {std::pair{"/run/docker.sock", "Docker"}, std::pair{"/run/podman/podman.sock", "Podman"},
                                   std::pair{"/run/containerd/containerd.sock", "containerd"}, std::pair{"/run/crio/crio.sock", "CRI-O"}}) {
    if (read(path)) engines.emplace_back(name);
  }
  if (!engines.empty()) {
    findings.push_back({policy.deploy().hook_forward ? Level::kOk : Level::kNote, "containers", "running: " + list_of(engines) +
                        (policy.deploy().hook_forward ? "" : "; what bridged containers send is forwarded, and only the forward hook sees it"),
                        policy.deploy().hook_forward ? "" : "deploy.hooks = [\"output\", \"forward\"] and inside = [\"docker0\"], and each other bridge"});
  }
  const bool systemd = read("/run/systemd/system").has_value();
  findings.push_back({Level::kOk, "systemd", systemd ? "runs this host" : "does not run this host: start the service by other means, before the network", ""});
  return findings;
}

}  // namespace sallyport::doctor
