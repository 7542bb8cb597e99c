#include "sallyport/netfilter/rule_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "sallyport/policy/policy_file.h"

namespace sallyport::netfilter {
namespace {

using testing::HasSubstr;
using testing::Not;

struct GoldenCase {
  const char* name;
  policy::Mode mode;
  bool output;
  bool forward;
  Family family;
  unsigned queues;
  bool tunnels = false;
  bool icmp = false;
  const char* cgroup = "";
  bool guards = false;
};

RulePlan plan_of(const GoldenCase& golden) {
  RulePlan plan;
  plan.mode = golden.mode;
  plan.output = golden.output;
  plan.forward = golden.forward;
  if (golden.forward) plan.inside = {"docker0", "br-lan"};
  plan.generation = golden.mode == policy::Mode::kObserve ? kObserveGeneration : Generation{9};
  plan.queues = golden.queues;
  if (golden.tunnels) plan.ip_protocols = {4, 47};
  if (golden.icmp) {
    plan.ip_protocols = {1, 51, 58, 132};
    plan.icmp_types = {8, 13, 128};
  }
  if (golden.guards) {
    const auto listener = [](const char* address, std::uint16_t port) {
      const IpAddress ip = IpAddress::parse(address).value();
      return policy::GuardListener{ip, ip.is_v4(), ip.is_v6(), port};
    };
    plan.guards.push_back({{listener("127.0.0.1", 8080), listener("::1", 8080)}, {}, {}});
    plan.guards.push_back({{{std::nullopt, true, true, 9000}}, {"lo", "wg0"}, {}});
    plan.guards.push_back({{{std::nullopt, true, false, 9001}},
                           {"wg0"},
                           {IpPrefix::parse("10.0.0.0/8").value(), IpPrefix::parse("2001:db8::/32").value()}});
    plan.guards.push_back({{listener("10.0.0.1", 9002), listener("2001:db8::1", 9002)}, {}, {IpPrefix::parse("10.0.0.0/8").value()}});
  }
  plan.cgroup = golden.cgroup;
  if (!plan.cgroup.empty()) plan.first_queue = 256;
  return plan;
}

constexpr auto kEnforce = policy::Mode::kEnforce;
constexpr auto kObserve = policy::Mode::kObserve;
constexpr GoldenCase kGolden[] = {
    {"enforce-output-v4", kEnforce, true, false, Family::kIpv4, 4},
    {"enforce-output-v6", kEnforce, true, false, Family::kIpv6, 1},
    {"enforce-forward-v4", kEnforce, false, true, Family::kIpv4, 2},
    {"enforce-forward-v6", kEnforce, false, true, Family::kIpv6, 2},
    {"enforce-both-v4", kEnforce, true, true, Family::kIpv4, 2},
    {"enforce-both-tunnels-v4", kEnforce, true, true, Family::kIpv4, 2, true},
    {"enforce-both-icmp-v4", kEnforce, true, true, Family::kIpv4, 2, false, true},
    {"enforce-both-icmp-v6", kEnforce, true, true, Family::kIpv6, 2, false, true},
    {"observe-both-icmp-v6", kObserve, true, true, Family::kIpv6, 2, false, true},
    {"observe-output-v4", kObserve, true, false, Family::kIpv4, 2},
    {"observe-output-v6", kObserve, true, false, Family::kIpv6, 2},
    {"observe-forward-v4", kObserve, false, true, Family::kIpv4, 1},
    {"enforce-cgroup-v4", kEnforce, true, false, Family::kIpv4, 2, false, false, "user.slice/sallyport-run-7"},
    {"enforce-cgroup-v6", kEnforce, true, false, Family::kIpv6, 1, false, false, "user.slice/app-\\x2d \"a\".scope/sallyport-run-7"},
    {"enforce-guards-v4", kEnforce, true, false, Family::kIpv4, 2, false, false, "", true},
    {"enforce-guards-v6", kEnforce, true, true, Family::kIpv6, 1, false, false, "", true},
    {"enforce-guards-forward-v4", kEnforce, false, true, Family::kIpv4, 1, false, false, "", true},
    {"observe-guards-v4", kObserve, true, false, Family::kIpv4, 1, false, false, "", true},
    {"observe-cgroup-v4", kObserve, true, false, Family::kIpv4, 1, false, false, "sallyport-run-7"},
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class GoldenRulesTest : public testing::TestWithParam<GoldenCase> {};

// With SALLYPORT_WRITE_GOLDEN set the files are written instead; read the difference before committing it.
TEST_P(GoldenRulesTest, TextIsAsRecorded) {
  const std::string path =
      std::string(SALLYPORT_SOURCE_DIR) + "/tests/netfilter/golden/" + GetParam().name + ".rules";
  const std::string text = restore_text(plan_of(GetParam()), GetParam().family);
  if (std::getenv("SALLYPORT_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  const std::string recorded{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(lines_of(text), lines_of(recorded));
  EXPECT_FALSE(recorded.empty()) << path;
}

TEST_P(GoldenRulesTest, ObservingNeverStopsAPacketAndEnforcingNeverBypasses) {
  const std::string text = restore_text(plan_of(GetParam()), GetParam().family);
  ASSERT_THAT(text, HasSubstr("NFQUEUE"));
  for (const std::string& line : lines_of(text)) {
    if (GetParam().mode == kObserve) {
      EXPECT_THAT(line, Not(HasSubstr("DROP")));
      EXPECT_THAT(line, Not(HasSubstr("REJECT")));
      if (line.find("NFQUEUE") != std::string::npos) {
        EXPECT_THAT(line, HasSubstr("--queue-bypass"));
      }
    } else if (!line.starts_with("-A SALLYPORT-LISTED ") && !line.starts_with("-A SALLYPORT-GATED ")) {
      EXPECT_THAT(line, Not(HasSubstr("--queue-bypass")));
    }
  }
}

// Connection tracking ignores the SYN of a connection on an entry that it still holds: it would pass by the mark of the one before.
TEST_P(GoldenRulesTest, NoSynGoesByWhatWasAllowedBeforeIt) {
  const RulePlan plan = plan_of(GetParam());
  std::ostringstream allow;
  allow << std::hex << " --mark 0x" << plan.mark.encode(FlowMark::kAllow, plan.generation) << "/0x" << plan.mark.mask() << ' ';
  std::size_t let_go = 0, forgets = 0;
  for (const std::string& line : lines_of(restore_text(plan, GetParam().family))) {
    if (line.find(allow.str()) == std::string::npos) continue;
    if (line.ends_with("-j CONNMARK --set-xmark 0x0/0xff000000")) {
      EXPECT_THAT(line, HasSubstr(" -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m connmark"));
      ++forgets;
    } else if (line.ends_with("-j RETURN")) {
      const bool other = line.find(" ! -p tcp ") != std::string::npos || line.starts_with("-A SALLYPORT-EVAL -p ");
      EXPECT_TRUE(other || line.contains(" -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m connmark")) << line;
      ++let_go;
    }
  }
  EXPECT_GE(let_go, 2U);
  EXPECT_GE(forgets, 1U);
}

TEST_P(GoldenRulesTest, AnInjectedMarkCountsOnlyFromTheServicesUserAndNeverWhenObserving) {
  RulePlan plan = plan_of(GetParam());
  plan.service_uid = 993;
  const std::string text = restore_text(plan, GetParam().family);
  std::size_t matches = 0;
  for (const std::string& line : lines_of(text)) {
    if (line.find("--mark 0x1d000000") == std::string::npos && line.find("--notrack") == std::string::npos) continue;
    ++matches;
    if (line.starts_with("-A SALLYPORT-IN -i lo -p tcp -m tcp --tcp-flags RST RST ")) continue;  // Stripped at OUTPUT if anyone else set it.
    EXPECT_THAT(line, HasSubstr(" -m owner --uid-owner 993 "));
  }
  EXPECT_EQ(matches != 0, GetParam().mode == kEnforce);
  EXPECT_EQ(text.find("*raw") != std::string::npos, GetParam().mode == kEnforce);
}

TEST_P(GoldenRulesTest, EveryHookHasOneJumpAndEveryTargetIsDeclared) {
  const RulePlan plan = plan_of(GetParam());
  const std::vector<std::string> lines = lines_of(restore_text(plan, GetParam().family));
  std::size_t tables = 0;
  std::vector<std::string> declared;
  std::vector<std::string> entered;
  for (const std::string& line : lines) {
    if (line.starts_with('*')) {
      ++tables;
      declared.clear();
      entered.clear();
    }
    if (line.starts_with(':')) declared.push_back(line.substr(1, line.find(' ') - 1));
    if (line.starts_with("-I ")) {
      const std::string hook = line.substr(3, line.find(' ', 3) - 3);
      EXPECT_EQ(std::ranges::count(entered, hook), 0) << line;
      entered.push_back(hook);
      EXPECT_TRUE(line.starts_with("-I " + hook + " 1 ")) << line;
    }
    if (line.starts_with("-A ")) {
      EXPECT_TRUE(line.starts_with("-A SALLYPORT-")) << line;
    }
    const std::size_t target = line.rfind(' ') + 1;
    if (line.compare(target, kChainPrefix.size(), kChainPrefix) == 0 && !line.starts_with(':')) {
      EXPECT_EQ(std::ranges::count(declared, line.substr(target)), 1) << line;
    }
  }
  EXPECT_EQ(tables, tables_of(plan).size());
}

INSTANTIATE_TEST_SUITE_P(Plans, GoldenRulesTest, testing::ValuesIn(kGolden), [](const auto& golden) {
  std::string name = golden.param.name;
  std::ranges::replace(name, '-', '_');
  return name;
});

constexpr const char* kSaved = R"(# Generated by iptables-save v1.8.9 (nf_tables)
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [5:300]
:DOCKER-USER - [0:0]
:SALLYPORT-CREATED - [0:0]
:SALLYPORT-OUT - [0:0]
:SALLYPORT-OLD - [0:0]
-A OUTPUT -j SALLYPORT-OUT
-A OUTPUT -p tcp -m tcp --dport 80 -j DROP
-A OUTPUT -j SALLYPORT-OUT
-A OUTPUT -m comment --comment "not -j SALLYPORT-OUT" -j ACCEPT
-A OUTPUT -m comment --comment "x -j SALLYPORT-OUT"
-A SALLYPORT-CREATED -m comment --comment table
-A SALLYPORT-CREATED -m comment --comment "chain:OUTPUT"
-A SALLYPORT-OUT -o lo -j RETURN
-A SALLYPORT-OUT -j SALLYPORT-OLD
COMMIT
)";

TEST(TableStateTest, FindsWhatIsOursAndNothingElse) {
  const std::vector<TableState> states = read_table_states(kSaved);
  ASSERT_EQ(states.size(), 1U);
  EXPECT_EQ(states[0].table, "filter");
  EXPECT_THAT(states[0].jumps, testing::ElementsAre("OUTPUT -j SALLYPORT-OUT", "OUTPUT -j SALLYPORT-OUT"));
  EXPECT_THAT(states[0].chains, testing::ElementsAre("SALLYPORT-CREATED", "SALLYPORT-OUT", "SALLYPORT-OLD"));
  EXPECT_TRUE(states[0].created.table);
  EXPECT_THAT(states[0].created.base_chains, testing::ElementsAre("OUTPUT"));
}

TEST(TableStateTest, AnEmptyRulesetHasNothingOfOurs) {
  EXPECT_TRUE(read_table_states("").empty());
  EXPECT_TRUE(read_table_states("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n").empty());
}

TEST(TableStateTest, RulesAreToldFromEmptyTables) {
  EXPECT_FALSE(has_rules(""));
  EXPECT_FALSE(has_rules("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"));
  EXPECT_TRUE(has_rules("*filter\n:INPUT DROP [0:0]\nCOMMIT\n"));
  EXPECT_TRUE(has_rules("*filter\n:INPUT ACCEPT [0:0]\n:OWN - [0:0]\nCOMMIT\n"));
  EXPECT_TRUE(has_rules("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n"));
}

TEST(RestoreTextTest, ReplacesEveryStaleJumpInTheSameTransaction) {
  const std::vector<TableState> present = read_table_states(kSaved);
  const GoldenCase golden{"", kEnforce, true, false, Family::kIpv4, 1};
  const std::vector<std::string> lines = lines_of(restore_text(plan_of(golden), Family::kIpv4, present));
  const auto filter = std::ranges::find(lines, "*filter");
  ASSERT_NE(filter, lines.end());
  const auto commit = std::find(filter, lines.end(), "COMMIT");
  EXPECT_EQ(std::count(filter, commit, "-D OUTPUT -j SALLYPORT-OUT"), 2);
  EXPECT_EQ(std::count(filter, commit, "-I OUTPUT 1 -j SALLYPORT-OUT"), 1);
  EXPECT_EQ(std::count(filter, commit, "-X SALLYPORT-OLD"), 1);
  EXPECT_EQ(std::count(filter, commit, "-X SALLYPORT-OUT"), 0);
  // What the first run created is still known to the last.
  EXPECT_EQ(std::count(filter, commit, "-A SALLYPORT-CREATED -m comment --comment table"), 1);
  EXPECT_EQ(std::count(filter, commit, "-A SALLYPORT-CREATED -m comment --comment chain:OUTPUT"), 1);
}

TEST(RestoreTextTest, ATableThatThePlanDoesNotUseIsCleared) {
  const std::vector<TableState> present =
      read_table_states("*raw\n:OUTPUT ACCEPT [0:0]\n:SALLYPORT-OLD - [0:0]\n-A OUTPUT -j SALLYPORT-OLD\nCOMMIT\n");
  const GoldenCase golden{"", kObserve, false, true, Family::kIpv4, 1};
  EXPECT_THAT(restore_text(plan_of(golden), Family::kIpv4, present),
              HasSubstr("*raw\n-D OUTPUT -j SALLYPORT-OLD\n-F SALLYPORT-OLD\n-X SALLYPORT-OLD\nCOMMIT\n"));
}

// Nothing but bare acknowledgements comes from a server that a mail's body is sent to.
TEST(RestoreTextTest, AcknowledgementsOfServersThatSpeakFirstAreAllQueued) {
  const auto sampled = [](std::string_view ports) {
    const auto policy = policy::load_policy_text("version = 1\n[[rules]]\nto = [\"mail.example\"]\nprotocols = [\"smtp\"]\nports = " + std::string(ports) + "\n", "p.toml");
    EXPECT_TRUE(policy);
    const auto plan = plan_rules(**policy, kEnforce, 1);
    EXPECT_TRUE(plan);
    std::vector<std::string> found;
    for (const std::string& line : lines_of(restore_text(*plan, Family::kIpv4))) {
      const std::size_t end = line.find(" -m bpf");
      if (line.starts_with("-A SALLYPORT-REPLY") && line.find("--probability 0.9") != std::string::npos) found.push_back(line.substr(0, end));
    }
    return found;
  };
  EXPECT_THAT(sampled("[25, 587, 588]"), testing::ElementsAre("-A SALLYPORT-REPLY -p tcp -m tcp --sport 0:24", "-A SALLYPORT-REPLY -p tcp -m tcp --sport 26:586",
                                                              "-A SALLYPORT-REPLY -p tcp -m tcp --sport 589:65535"));
  EXPECT_THAT(sampled("\"any\""), testing::ElementsAre("-A SALLYPORT-REPLY -p tcp -m tcp --sport 0:0"));
}

TEST(RestoreTextTest, AWorkloadsQuestionToThisHostIsJudgedWithAndWithoutTheOutputHook) {
  for (const bool output : {false, true}) {
    const std::string text = restore_text(plan_of({"", kEnforce, output, true, Family::kIpv4, 1}), Family::kIpv4);
    EXPECT_THAT(text, HasSubstr("-A SALLYPORT-IN -p udp -m udp --dport 53 -g SALLYPORT-ASK\n"));
    EXPECT_THAT(text, HasSubstr("-A SALLYPORT-ASK -i docker0 -p tcp -g SALLYPORT-EVAL\n"));
    EXPECT_THAT(text, HasSubstr("-A SALLYPORT-ANSWER -o br-lan -g SALLYPORT-REPLY\n"));
  }
}

TEST(GuardRulesTest, OnlyWhoIsListedByAddressPassesWithoutAReader) {
  const std::string text = restore_text(plan_of({"", kEnforce, true, false, Family::kIpv4, 1, false, false, "", true}), Family::kIpv4);
  EXPECT_THAT(text, HasSubstr("-A SALLYPORT-IN -d 127.0.0.1 -p tcp -m tcp --dport 8080 -g SALLYPORT-GATE\n"));
  EXPECT_THAT(text, HasSubstr("-A SALLYPORT-IN -p tcp -m tcp --dport 9000 -g SALLYPORT-GATE\n")) << "interfaces alone list nobody by address";
  EXPECT_THAT(text, HasSubstr("-A SALLYPORT-IN -p tcp -m tcp --dport 9001 -g SALLYPORT-GATE-2\n"));
  EXPECT_THAT(text, HasSubstr("-A SALLYPORT-GATE-2 -i wg0 -g SALLYPORT-GATE-2-SRC\n"));
  EXPECT_THAT(text, HasSubstr("-A SALLYPORT-GATE-2-SRC -s 10.0.0.0/8 -g SALLYPORT-LISTED\n"));
  EXPECT_THAT(text, HasSubstr("-A SALLYPORT-GATE-3 -s 10.0.0.0/8 -g SALLYPORT-LISTED\n"));
  EXPECT_THAT(text, Not(HasSubstr("2001:db8")));
  std::size_t bypasses = 0;
  for (const std::string& line : lines_of(text)) {
    if (line.find("--queue-bypass") == std::string::npos) continue;
    ++bypasses;
    EXPECT_TRUE(line.starts_with("-A SALLYPORT-LISTED ") || line.find("--tcp-flags RST RST") != std::string::npos) << line;
  }
  EXPECT_EQ(bypasses, 2U);
}

TEST(GuardRulesTest, ACommandsOwnRulesTouchNobodysPorts) {
  const std::string text = restore_text(plan_of({"", kEnforce, true, false, Family::kIpv4, 1, false, false, "sallyport-run-7", true}), Family::kIpv4);
  EXPECT_THAT(text, Not(HasSubstr("GATE")));
}

TEST(RemovalTextTest, DeletesJumpsThenChainsOfOurs) {
  EXPECT_EQ(removal_text(read_table_states(kSaved)),
            "*filter\n"
            "-D OUTPUT -j SALLYPORT-OUT\n"
            "-D OUTPUT -j SALLYPORT-OUT\n"
            "-F SALLYPORT-OUT\n"
            "-F SALLYPORT-OLD\n"
            "-X SALLYPORT-OUT\n"
            "-X SALLYPORT-OLD\n"
            "COMMIT\n")
      << "the record of what was created stays until that is gone";
  EXPECT_EQ(removal_text(read_table_states("*filter\n:SALLYPORT-CREATED - [0:0]\nCOMMIT\n")),
            "*filter\n-F SALLYPORT-CREATED\n-X SALLYPORT-CREATED\nCOMMIT\n");
  EXPECT_EQ(removal_text({}), "");
}

TEST(RestoreTextTest, UsesTheConfiguredMarkBits) {
  GoldenCase golden{"", kEnforce, true, false, Family::kIpv4, 1};
  RulePlan plan = plan_of(golden);
  plan.mark = MarkField::from_mask(0x00ff0000).value();
  const std::string text = restore_text(plan, Family::kIpv4);
  EXPECT_THAT(text, HasSubstr("--set-xmark 0x0/0xff0000\n"));
  EXPECT_THAT(text, HasSubstr("-m connmark --mark 0x290000/0xff0000 -j RETURN"));
  EXPECT_THAT(text, Not(HasSubstr("000000")));
}

}  // namespace
}  // namespace sallyport::netfilter
