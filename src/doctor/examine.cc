#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "rule_readings.h"
#include "sallyport/netfilter/command.h"
#include "sallyport/netfilter/kernel_probe.h"
#include "sallyport/netfilter/queue_stats.h"
#include "sallyport/netfilter/rule_snapshot.h"
#include "settings.h"

namespace sallyport::doctor {
namespace {

using netfilter::Backend;
using netfilter::BackendState;
using netfilter::run_command;

constexpr std::size_t kShown = 3;  // Of rules that are alike.

std::optional<std::string> read_host(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode)) return std::string();
  constexpr std::size_t kMax = 1 << 20;
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::string text(kMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::string output_of(const std::vector<std::string>& command) {
  const auto result = run_command(command);
  return result && result->exit_code == 0 ? result->output : std::string();
}

// Examination gathers findings in the order in which they are printed.
class Examination {
 public:
  explicit Examination(const Patient& patient) : patient_(patient), deploy_(patient.policy->deploy()), root_(::geteuid() == 0) {}

  std::vector<Finding> run() {
    kernel();
    if (root_) {
      queue();
      ctnetlink();
      backends();
      rules();
      ruleset_ = output_of({"nft", "list", "ruleset"});
      ours();
      queues_of_others();
      marks();
      tools();
      offloads();
    } else {
      add(Level::kNote, "root", "not root: the kernel, the rules and the queues were not asked", "sudo sallyport doctor");
    }
    take(conntrack_findings(read_host, *patient_.policy));
    take(bridge_findings(read_host, deploy_));
    take(routing_findings(read_host, deploy_));
    take(resolver_findings(read_host, *patient_.policy));
    if (root_) sockets();
    take(host_findings(read_host, *patient_.policy));
    service();
    return std::move(findings_);
  }

 private:
  void add(Level level, const char* check, std::string text, std::string advice = {}) {
    findings_.push_back({level, check, std::move(text), std::move(advice)});
  }
  void take(std::vector<Finding> more) { std::ranges::move(more, std::back_inserter(findings_)); }

  void kernel() {
    utsname name{};
    ::uname(&name);
    add(Level::kOk, "kernel", printable(std::string(name.sysname) + ' ' + name.release + ' ' + name.machine));
  }

  void queue() {
    const netfilter::QueueProbe probe = netfilter::probe_queue();
    if (!probe.error.empty()) {
      add(Level::kFail, "nfqueue", "no queue can be bound: " + printable(probe.error), "modprobe nfnetlink_queue");
      return;
    }
    if (!probe.gso || !probe.uid_gid) {
      add(Level::kFail, "nfqueue", std::string("the kernel is too old: no ") + (probe.gso ? "F_UID_GID" : "F_GSO") + " (Linux 3.10, 3.14)");
      return;
    }
    add(Level::kOk, "nfqueue", "a queue was bound, with GSO and owners" + std::string(probe.fail_open ? "" : "; no fail-open"));
    add(probe.conntrack ? Level::kOk : Level::kNote, "nfqueue",
        probe.conntrack ? "the kernel tells conntrack facts with each packet" :
                          "the kernel tells no conntrack facts with packets (NETFILTER_NETLINK_GLUE_CT): chosen: verdicts and directions go by marks");
  }

  void ctnetlink() {
    const auto probed = netfilter::probe_ctnetlink();
    if (probed) return add(Level::kOk, "conntrack", "connection tracking can be read and marked (ctnetlink)");
    add(Level::kFail, "conntrack", "connection tracking cannot be read, and an enforcing service does not start: " + printable(probed.error()),
        "modprobe nf_conntrack_netlink");
  }

  void backends() {
    nft_ = netfilter::read_backend(Backend::kNft);
    legacy_ = netfilter::read_backend(Backend::kLegacy);
    const auto chosen = netfilter::RuleInstaller::open();
    if (!chosen) {
      add(Level::kFail, "iptables", printable(chosen.error()), "apt-get install iptables");
      return;
    }
    backend_ = chosen->backend();
    const bool nft_rules = netfilter::has_rules(nft_.saved4) || netfilter::has_rules(nft_.saved6);
    const bool legacy_rules = netfilter::has_rules(legacy_.saved4) || netfilter::has_rules(legacy_.saved6);
    std::string why = !nft_.installed ? "the other is not installed" : !legacy_.installed ? "the only one" : *backend_ == Backend::kLegacy ? "only it has rules"
                      : nft_rules ? "it has rules" : "no other has rules";
    add(Level::kOk, "iptables", "chosen: " + std::string(to_string(*backend_)) + " (" + why + ")");
    if (nft_rules && legacy_rules) {
      add(Level::kWarn, "iptables", "iptables-nft and iptables-legacy both have rules: a packet goes through both, and neither tool sees the other's",
          "iptables-legacy-save shows them; move them over, then iptables-legacy -F");
    }
    for (const BackendState* state : {&nft_, &legacy_}) {
      if (!state->error.empty()) add(Level::kWarn, "iptables", "cannot be read: " + printable(state->error));
      for (const std::string* text : {&state->saved4, &state->saved6}) {
        for (const std::string& table : netfilter::read_snapshot(*text).unreadable) {
          add(Level::kFail, "iptables", "table " + printable(table) + " has native nftables rules that iptables cannot read, so ours cannot be put there",
              "put those rules into a table of their own: nft list table ip " + printable(table));
        }
      }
    }
  }

  void rules() {
    if (!backend_) return;
    auto plan = netfilter::plan_rules(*patient_.policy, patient_.mode, patient_.queues);
    if (!plan) return add(Level::kFail, "rules", printable(plan.error()));
    for (const Backend backend : {Backend::kNft, Backend::kLegacy}) {
      const BackendState& state = backend == Backend::kNft ? nft_ : legacy_;
      const bool chosen = backend == *backend_;
      if (!chosen && !state.in_use) continue;  // Trying would load its modules.
      const auto tried = netfilter::probe_rules(backend, *plan);
      const std::string name(to_string(backend));
      if (tried) {
        add(Level::kOk, "rules", name + ": the policy's rules were applied in a namespace of their own, and a packet went round");
      } else {
        add(chosen ? Level::kFail : Level::kNote, "rules", name + ": " + printable(tried.error()),
            chosen ? "the kernel lacks a match or target, or modprobe may not load it: sallyport rules print shows the rules" : "");
      }
    }
  }

  // chosen_save returns what is in the tables where ours are, or would be.
  const BackendState& chosen_state() const { return backend_.value_or(Backend::kNft) == Backend::kNft ? nft_ : legacy_; }

  void ours() {
    std::size_t jumps = 0;
    bool behind = false;
    for (const std::string* text : {&chosen_state().saved4, &chosen_state().saved6}) {
      const netfilter::RuleSnapshot snapshot = netfilter::read_snapshot(*text);
      for (const auto& [name, hook] : snapshot.hooks) {
        ++jumps;
        if (hook.above.empty()) continue;
        behind = true;
        add(Level::kWarn, "jumps", "our jump in " + name.first + ' ' + name.second + " stands behind: " + printable(hook.above),
            "a running service puts it back; what puts that rule there again and again must stop");
      }
    }
    if (jumps == 0) {
      add(Level::kOk, "jumps", "no rules of ours are in place");
    } else if (!behind) {
      add(Level::kOk, "jumps", "our rules are in place, first in " + std::to_string(jumps) + " chains");
    }
  }

  void queues_of_others() {
    for (const netfilter::QueueStats& stats : netfilter::read_queue_stats()) {
      const std::string holder = netfilter::queue_holder(stats.queue);
      const bool mine = holder.starts_with("sallyport ");
      const bool wanted = stats.queue < patient_.queues;
      if (mine) {
        add(Level::kOk, "queues", "queue " + std::to_string(stats.queue) + " is held by " + printable(holder));
      } else {
        add(wanted ? Level::kFail : Level::kNote, "queues", "queue " + std::to_string(stats.queue) + " is held by " + printable(holder) + (wanted ? ": the service needs it" : ""),
            wanted ? "give that program a queue from 64 on, or stop it" : "");
      }
    }
    std::vector<std::string> rules = queue_rules_of_nft(ruleset_);
    for (const BackendState* state : {&nft_, &legacy_}) {
      for (const std::string* text : {&state->saved4, &state->saved6}) std::ranges::move(queue_rules_of_save(*text), std::back_inserter(rules));
    }
    listed(rules, Level::kWarn, "queues", "another program judges packets by a queue, too: ",
           "an accept of its queue ends the rules of that chain; have its rules stand behind ours, in another chain or table");
  }

  // listed adds the first few of them, and how many more there are.
  void listed(const std::vector<std::string>& what, Level level, const char* check, const std::string& before, const std::string& advice) {
    for (std::size_t i = 0; i < std::min(what.size(), kShown); ++i) {
      std::string text = before + printable(what[i]);
      if (i + 1 == kShown && what.size() > kShown) text += " (and " + std::to_string(what.size() - kShown) + " more)";
      add(level, check, std::move(text), i == 0 ? advice : std::string());
    }
  }

  void marks() {
    std::vector<std::string> found;
    const std::uint32_t field = deploy_.ct_mark_mask;
    const auto look = [&](const std::vector<MarkUse>& uses) {
      for (const MarkUse& use : uses) {
        const std::string why = disturbs(use, field);
        if (!why.empty()) found.push_back(why + ": " + use.rule);
      }
    };
    look(mark_uses_of_nft(ruleset_));
    for (const BackendState* state : {&nft_, &legacy_}) {
      for (const std::string* text : {&state->saved4, &state->saved6}) look(mark_uses_of_save(*text));
    }
    char mask[16];
    std::snprintf(mask, sizeof mask, "0x%08x", field);
    listed(found, Level::kWarn, "marks", "a rule ", "give that rule a mask without our bits (" + std::string(mask) + "), or choose others by deploy.ct_mark_mask");
    if (found.empty()) add(Level::kOk, "marks", std::string("nobody's rules write into our bits of the mark, ") + mask);
    std::vector<std::string> routes = fwmark_rules(output_of({"ip", "rule"}) + output_of({"ip", "-6", "rule"}), field);
    std::erase_if(routes, [](const std::string& rule) { return rule.find('/') == std::string::npos; });  // Of the whole mark: ours are off by then.
    listed(routes, Level::kWarn, "marks", "a routing rule looks at our bits of the packet mark: ", "choose other bits by deploy.ct_mark_mask");
  }

  void tools() {
    std::set<std::string> names = tools_of_nft(ruleset_);
    std::size_t count = 0;
    for (const BackendState* state : {&nft_, &legacy_}) {
      for (const std::string* text : {&state->saved4, &state->saved6}) {
        names.merge(tools_of_save(*text));
        count += foreign_rules(*text);
      }
    }
    std::string text = std::to_string(count) + " rules of others by iptables";
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    if (!list.empty()) text += "; seen: " + list;
    add(Level::kOk, "others", text, list.empty() ? "" : "docs/coexistence.md says what to know of each");
    if (names.contains("Cilium")) {
      add(Level::kWarn, "others", "Cilium routes by BPF programs that may pass packets around these rules", "run sallyport inside of the pod's network namespace");
    }
  }

  void offloads() {
    listed(flowtables(ruleset_), Level::kWarn, "offload", "a flowtable takes flows away from these rules once it knows them: ",
           "exclude what is judged from `flow add`: ct mark and 0xe0000000 == 0x20000000 are allowed flows");
    const auto links = nlohmann::json::parse(output_of({"ip", "-j", "-d", "link"}), nullptr, false);
    std::vector<std::string> programs;
    if (links.is_array()) {
      for (const auto& link : links) {
        if (link.is_object() && link.contains("xdp") && link.contains("ifname") && link["ifname"].is_string()) programs.push_back("XDP on " + link["ifname"].get<std::string>());
      }
    }
    const auto disciplines = nlohmann::json::parse(output_of({"tc", "-j", "qdisc", "show"}), nullptr, false);
    if (disciplines.is_array()) {
      for (const auto& each : disciplines) {
        if (each.is_object() && each.value("kind", nlohmann::json()) == "clsact" && each.contains("dev") && each["dev"].is_string()) {
          programs.push_back("tc (clsact) on " + each["dev"].get<std::string>());
        }
      }
    }
    listed(programs, Level::kNote, "offload", "a program may redirect packets around these rules: ", "bpftool net, tc filter show dev DEV egress");
    if (programs.empty() && flowtables(ruleset_).empty()) add(Level::kOk, "offload", "no flowtable, no XDP or tc program takes packets around the rules");
    listed(dropping_chains(ruleset_), Level::kNote, "others", "nftables chain that drops what it does not accept, whatever is allowed here: ", "");
  }

  void sockets() {
    const std::optional<bool> destroys = netfilter::probe_socket_destroy();
    if (!destroys) return;
    add(*destroys ? Level::kOk : Level::kNote, "sockets", *destroys ? "the kernel ends TCP sockets on request" :
        "the kernel does not end TCP sockets on request (INET_DIAG_DESTROY): a connection that lost its permission is reset by its next packet");
  }

  void service() {
    const std::string& path = deploy_.control;
    const std::string folder = std::filesystem::path(path).parent_path();
    struct stat status{};
    if (::stat(folder.c_str(), &status) != 0) {
      add(Level::kNote, "control", printable(folder) + " is not there yet: the service makes it, for its socket and its state");
    } else if ((status.st_mode & S_IWOTH) != 0) {
      add(Level::kFail, "control", printable(folder) + " can be written to by everybody: the socket and the state in it could be replaced", "chmod o-w " + printable(folder));
    } else {
      add(Level::kOk, "control", printable(folder) + " is there");
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (path.size() < sizeof address.sun_path && fd >= 0) {
      std::memcpy(address.sun_path, path.data(), path.size());
      const bool runs = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
      add(Level::kOk, "service", runs ? "it runs, and listens at " + printable(path) : "nothing listens at " + printable(path));
    }
    if (fd >= 0) ::close(fd);
    const bool group = ::getgrnam("sallyport") != nullptr;
    add(Level::kOk, "group", group ? "group sallyport is there: its members may use the control socket" : "no group sallyport: root alone may use the control socket");
  }

  const Patient& patient_;
  const policy::Deploy& deploy_;
  bool root_;
  BackendState nft_, legacy_;
  std::optional<Backend> backend_;
  std::string ruleset_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> examine(const Patient& patient) {
  return Examination(patient).run();
}

}  // namespace sallyport::doctor
