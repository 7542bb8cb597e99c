#include "private_network.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "sallyport/netfilter/command.h"
#include "sallyport/resolver/resolv_conf.h"

namespace sallyport::daemon {
namespace {

using Words = std::vector<std::string>;
using Outcome = std::expected<void, std::string>;
constexpr const char* kForwarding = "/proc/sys/net/ipv4/ip_forward";
constexpr const char* kLinkPrefix = "spr";
constexpr const char* kClosed = "not_a_router";  // Chain of a run that found forwarding off.
constexpr int kCandidates = 64;

Outcome run(const Words& words, const std::string& input = {}) {
  const auto result = netfilter::run_command(words, input);
  if (!result) return std::unexpected(result.error());
  if (result->exit_code == 0) return {};
  std::string text = result->errors.substr(0, result->errors.find('\n'));
  std::string command;
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + word;
  return std::unexpected(command + ": " + text);
}

Outcome run_all(const std::vector<Words>& commands) {
  for (const Words& words : commands) {
    if (Outcome done = run(words); !done) return done;
  }
  return {};
}

std::string output_of(const Words& words) {
  const auto result = netfilter::run_command(words);
  return result && result->exit_code == 0 ? result->output : std::string();
}

bool write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  return file.flush().good();
}

// is_free tells that no route but the default one leads to the subnet, and none to a part of it.
bool is_free(const std::string& subnet) {
  const std::string over = output_of({"ip", "-4", "route", "show", "table", "all", "match", subnet});
  std::size_t begin = 0;
  while (begin < over.size()) {
    const std::size_t end = std::min(over.find('\n', begin), over.size());
    if (!std::string_view(over).substr(begin, end - begin).starts_with("default")) return false;
    begin = end + 1;
  }
  return output_of({"ip", "-4", "route", "show", "table", "all", "root", subnet}).empty();
}

// others_run tells whether another run's interface is here, which needs forwarding as this one did.
bool others_run(const std::string& own) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/sys/net/ipv4/conf", error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kLinkPrefix) && name != own) return true;
  }
  return false;
}

std::vector<Words> forward_rules(const NetworkPlan& plan, const char* action) {
  // At the chain's end: what the administrator refuses stays refused, and a policy of DROP does not stop this.
  return {{"iptables", "-w", "5", action, "FORWARD", "-i", plan.host_link, "-s", plan.subnet, "-j", "ACCEPT"},
          {"iptables", "-w", "5", action, "FORWARD", "-o", plan.host_link, "-d", plan.subnet, "-m", "conntrack", "--ctstate",
           "RELATED,ESTABLISHED", "-j", "ACCEPT"}};
}

Outcome set_up_host(const NetworkPlan& plan) {
  const Outcome linked = run_all({{"ip", "addr", "add", plan.base + "1/30", "dev", plan.host_link},
                                  {"ip", "link", "set", plan.host_link, "up"},
                                  {"ip", "route", "add", plan.base + "4/30", "via", plan.base + "2", "dev", plan.host_link}});
  if (!linked) return linked;
  std::string rules = "table ip " + plan.table + " { chain out { type nat hook postrouting priority 100; ip saddr " + plan.subnet +
                      " oifname != \"" + plan.host_link + "\" masquerade; }; }\n";
  if (plan.forwarding_was_off) {
    // What was no router forwards for runs alone; each has the rule, as the others may end before it.
    const std::string ours = std::string("\"") + kLinkPrefix + "*\"";
    rules += "table ip " + plan.table + " { chain " + kClosed + " { type filter hook forward priority -1; iifname != " + ours + " oifname != " + ours +
             " drop; }; }\n";
  }
  if (const Outcome done = run({"nft", "-f", "-"}, rules); !done) return done;
  if (plan.forward_chain) {
    if (const Outcome done = run_all(forward_rules(plan, "-A")); !done) return done;
  }
  if (plan.forwarding_was_off && !write_text(kForwarding, "1\n")) return std::unexpected("cannot set net.ipv4.ip_forward");
  return {};
}

}  // namespace

Namespace::Namespace(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

Namespace::~Namespace() {
  if (fd_ >= 0) ::close(fd_);
}

Outcome Namespace::enter() const {
  if (fd_ >= 0 && ::setns(fd_, CLONE_NEWNET) == 0) return {};
  return std::unexpected(std::string("cannot enter a network namespace: ") + std::strerror(errno));
}

std::expected<NetworkPlan, std::string> NetworkPlan::make(const policy::Dns& dns) {
  NetworkPlan plan;
  const std::string number = std::to_string(::getpid());
  plan.host_link = kLinkPrefix + number;
  plan.table = "sallyport_run_" + number;
  plan.resolv_conf_path = "/run/sallyport-run-" + number + ".resolv.conf";
  for (int i = 0; i < kCandidates && plan.subnet.empty(); ++i) {
    const std::string base = "10.213." + std::to_string((::getpid() + i) % 256) + '.';
    if (!is_free(base + "0/29")) continue;
    plan.base = base;
    plan.subnet = base + "0/29";
  }
  if (plan.subnet.empty()) return std::unexpected("no free subnet in 10.213.0.0/16 for the command's network");
  const resolver::SystemResolvers system = resolver::read_system_resolvers(resolver::read_small_file);
  std::vector<std::string> servers;
  const auto add = [&](const IpAddress& address) {
    if (address.is_v4() && address.bytes()[0] != 127) servers.push_back(address.to_string());
  };
  if (dns.system_resolvers) {
    std::ranges::for_each(system.asked, add);
    if (servers.empty()) std::ranges::for_each(system.trusted, add);
  }
  if (servers.empty()) std::ranges::for_each(dns.resolvers, add);
  if (servers.empty()) {
    return std::unexpected("this host's resolver is on a loopback address, which --netns cannot reach, and no file tells whom it asks; "
                           "give IPv4 addresses in [dns] resolvers");
  }
  for (const std::string& server : servers) plan.resolv_conf += "nameserver " + server + '\n';
  std::ifstream forwarding(kForwarding);
  // On, but by a run that is here now: the last one resets it.
  plan.forwarding_was_off = forwarding.get() == '0' || output_of({"nft", "list", "chains", "ip"}).find(std::string("chain ") + kClosed) != std::string::npos;
  // Naming the table would make iptables-nft create it.
  const std::string rules = output_of({"iptables-save"});
  const std::size_t filter = rules.find("*filter");
  const std::string_view table = filter == std::string::npos ? std::string_view() : std::string_view(rules).substr(filter);
  plan.forward_chain = table.find("\n-A FORWARD ") != std::string_view::npos || table.find("\n:FORWARD DROP") != std::string_view::npos;
  return plan;
}

Outcome enter_own_namespace() {
  if (::unshare(CLONE_NEWNET) == 0) return {};
  return std::unexpected(std::string("cannot make a network namespace: ") + std::strerror(errno));
}

Outcome join(const NetworkPlan& plan, pid_t host, pid_t command) {
  const Namespace gateway;
  const Namespace outside("/proc/" + std::to_string(host) + "/ns/net");
  const Namespace inside("/proc/" + std::to_string(command) + "/ns/net");
  const std::string to_host = std::to_string(host), to_command = std::to_string(command);
  Outcome done = run_all({{"ip", "link", "set", "lo", "up"},
                          {"ip", "link", "add", "up0", "type", "veth", "peer", "name", plan.host_link, "netns", to_host},
                          {"ip", "link", "add", kGatewayInside, "type", "veth", "peer", "name", "eth0", "netns", to_command},
                          {"ip", "addr", "add", plan.base + "2/30", "dev", "up0"},
                          {"ip", "addr", "add", plan.base + "5/30", "dev", kGatewayInside},
                          {"ip", "link", "set", "up0", "up"},
                          {"ip", "link", "set", kGatewayInside, "up"}});
  if (done && !write_text(kForwarding, "1\n")) done = std::unexpected("cannot set net.ipv4.ip_forward of the gateway");
  if (done) done = inside.enter();
  if (done) {
    done = run_all({{"ip", "link", "set", "lo", "up"},
                    {"ip", "addr", "add", plan.base + "6/30", "dev", "eth0"},
                    {"ip", "link", "set", "eth0", "up"},
                    {"ip", "route", "add", "default", "via", plan.base + "5"}});
  }
  if (done) done = outside.enter();
  if (done) done = set_up_host(plan);
  if (const Outcome back = gateway.enter(); !back) return back;
  if (done) done = run({"ip", "route", "add", "default", "via", plan.base + "1"});
  if (done && !write_text(plan.resolv_conf_path, plan.resolv_conf)) done = std::unexpected("cannot write " + plan.resolv_conf_path);
  return done;
}

Outcome cut() {
  // It goes with the command's namespace, which may be on its way out just now.
  const auto linked = [] { return ::access((std::string("/proc/sys/net/ipv4/conf/") + kGatewayInside).c_str(), F_OK) == 0; };
  const Outcome removed = linked() ? run({"ip", "link", "del", kGatewayInside}) : Outcome();
  return linked() ? removed : Outcome();
}

std::string undo(const NetworkPlan& plan) {
  std::string errors;
  const auto note = [&](const Outcome& done) {
    if (!done) errors += (errors.empty() ? "" : "; ") + done.error();
  };
  const auto reset_forwarding = [&] {
    if (plan.forwarding_was_off && !others_run(plan.host_link) && !write_text(kForwarding, "0\n")) note(std::unexpected("cannot reset net.ipv4.ip_forward"));
  };
  reset_forwarding();  // Before the table that keeps this host from being a router.
  if (output_of({"nft", "list", "tables", "ip"}).find(plan.table + '\n') != std::string::npos) note(run({"nft", "delete", "table", "ip", plan.table}));
  if (plan.forward_chain) {
    for (const Words& rule : forward_rules(plan, "-C")) {
      if (!run(rule)) continue;
      Words removal = rule;
      removal[3] = "-D";
      note(run(removal));
    }
  }
  // It goes with the gateway's namespace, which may be on its way out just now.
  const auto linked = [&] { return ::access(("/proc/sys/net/ipv4/conf/" + plan.host_link).c_str(), F_OK) == 0; };
  if (const Outcome removed = linked() ? run({"ip", "link", "del", plan.host_link}) : Outcome(); linked()) note(removed);
  reset_forwarding();  // Another run may have ended at the same time.
  (void)::unlink(plan.resolv_conf_path.c_str());
  return errors;
}

}  // namespace sallyport::daemon
