#include "settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "sallyport/policy/policy_file.h"

namespace sallyport::doctor {
namespace {

using testing::HasSubstr;

// Host is one made of files.
class Host {
 public:
  Host& file(const std::string& path, const std::string& text) {
    files_[path] = text;
    return *this;
  }
  ReadFile read() const {
    return [this](const std::string& path) -> std::optional<std::string> {
      const auto found = files_.find(path);
      if (found == files_.end()) return std::nullopt;
      return found->second;
    };
  }

 private:
  std::map<std::string, std::string> files_;
};

std::shared_ptr<const policy::Policy> policy_of(const std::string& text) {
  const auto loaded = policy::load_policy_text("version = 1\n" + text, "p.toml");
  if (loaded) return *loaded;
  ADD_FAILURE() << loaded.error().front().to_string();
  return nullptr;
}

// level_of returns the level of the first finding whose text has the words.
std::string level_of(const std::vector<Finding>& findings, const std::string& words) {
  for (const Finding& finding : findings) {
    if (finding.text.find(words) != std::string::npos) return std::string(to_string(finding.level));
  }
  return "none";
}

const std::string kNet = "/proc/sys/net/netfilter/";

TEST(SettingsTest, ANearlyFullConntrackTableIsAWarning) {
  const auto policy = policy_of("");
  Host host;
  EXPECT_EQ(level_of(conntrack_findings(host.read(), *policy), "not in use yet"), "NOTE");
  host.file(kNet + "nf_conntrack_max", "1000\n").file(kNet + "nf_conntrack_count", "10\n");
  EXPECT_EQ(level_of(conntrack_findings(host.read(), *policy), "10 of 1000"), "OK");
  host.file(kNet + "nf_conntrack_count", "800\n").file(kNet + "nf_conntrack_tcp_loose", "1\n");
  EXPECT_EQ(level_of(conntrack_findings(host.read(), *policy), "800 of 1000"), "WARN");
  EXPECT_EQ(level_of(conntrack_findings(host.read(), *policy), "tcp_loose"), "NOTE");
  host.file(kNet + "nf_conntrack_max", "0\n").file(kNet + "nf_conntrack_count", "rubbish");
  EXPECT_EQ(level_of(conntrack_findings(host.read(), *policy), "not in use yet"), "NOTE");
}

TEST(SettingsTest, AGatewayThatDoesNotForwardIsAWarning) {
  const auto policy = policy_of("[deploy]\nhooks = [\"forward\"]\ninside = [\"br0\", \"gone0\"]\n");
  Host host;
  host.file("/proc/sys/net/ipv4/ip_forward", "0\n").file("/proc/net/if_inet6", "");
  EXPECT_EQ(level_of(routing_findings(host.read(), policy->deploy()), "does not forward"), "WARN");
  host.file("/proc/sys/net/ipv4/ip_forward", "1\n");
  EXPECT_EQ(level_of(routing_findings(host.read(), policy->deploy()), "this host forwards"), "OK");
  host.file("/sys/class/net/br0", "").file("/sys/class/net/br0/bridge", "");
  EXPECT_EQ(level_of(bridge_findings(host.read(), policy->deploy()), "is switched, and not seen"), "NOTE");
  EXPECT_EQ(level_of(bridge_findings(host.read(), policy->deploy()), "no such interface now: gone0"), "NOTE");
  host.file("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n");
  EXPECT_EQ(level_of(bridge_findings(host.read(), policy->deploy()), "br_netfilter is on"), "NOTE");
}

TEST(SettingsTest, AResolverThatThePolicyDoesNotTrustIsAWarning) {
  Host host;
  host.file("/etc/resolv.conf", "nameserver 192.0.2.53\n");
  EXPECT_EQ(level_of(resolver_findings(host.read(), *policy_of("")), "192.0.2.53"), "OK");
  EXPECT_EQ(level_of(resolver_findings(host.read(), *policy_of("[dns]\nresolvers = [\"192.0.2.1\"]\n")), "192.0.2.53"), "WARN");
  EXPECT_EQ(level_of(resolver_findings(Host().read(), *policy_of("")), "names no server"), "WARN");
  host.file("/etc/systemd/resolved.conf", "[Resolve]\nDNSOverTLS=yes\n");
  EXPECT_EQ(level_of(resolver_findings(host.read(), *policy_of("")), "asks over TLS"), "NOTE");
}

TEST(SettingsTest, EnginesWhoseContainersNobodySeesAreNoted) {
  Host host;
  host.file("/run/docker.sock", "").file("/proc/self/mountinfo", "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(level_of(host_findings(host.read(), *policy_of("")), "Docker"), "NOTE");
  EXPECT_EQ(level_of(host_findings(host.read(), *policy_of("")), "cgroup v2 is mounted"), "OK");
  EXPECT_EQ(level_of(host_findings(Host().read(), *policy_of("")), "no cgroup v2"), "NOTE");
  Host unmounted;
  unmounted.file("/proc/filesystems", "nodev\tcgroup\nnodev\tcgroup2\n\text4\n");
  EXPECT_EQ(level_of(host_findings(unmounted.read(), *policy_of("")), "cgroup v2 is not mounted here"), "OK");
}

TEST(ReportTest, TheWorstLevelAndTheCountsAreTold) {
  const std::vector<Finding> findings = {{Level::kOk, "kernel", "Linux", ""}, {Level::kWarn, "marks", "a rule", "a mask"}};
  EXPECT_EQ(worst(findings), Level::kWarn);
  EXPECT_EQ(worst({}), Level::kOk);
  EXPECT_EQ(findings_table(findings, false), "OK    kernel  Linux\nWARN  marks   a rule\n              -> a mask\n\n1 ok, 0 to note, 1 warnings, 0 failures\n");
  EXPECT_EQ(findings_json(findings, "1.0"),
            R"({"version":"1.0","worst":"warn","findings":[{"level":"ok","check":"kernel","text":"Linux"},{"level":"warn","check":"marks","text":"a rule","advice":"a mask"}]})");
}

TEST(ReportTest, WhatOthersWroteIsPrintable) {
  EXPECT_EQ(printable("a\x1b[31m\nb\xff"), "a?[31m?b?");
  EXPECT_THAT(printable(std::string(500, 'x')), HasSubstr("..."));
}

}  // namespace
}  // namespace sallyport::doctor
