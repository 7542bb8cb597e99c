#include "rule_readings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sallyport::doctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using Kind = MarkUse::Kind;

constexpr std::uint32_t kField = 0xff000000;

// disturbances returns how many rules of a save disturb our field.
std::size_t disturbances(const std::string& save, std::uint32_t field = kField) {
  std::size_t count = 0;
  for (const MarkUse& use : mark_uses_of_save("*mangle\n" + save + "\nCOMMIT\n")) count += disturbs(use, field).empty() ? 0U : 1U;
  return count;
}

TEST(RuleReadingsTest, MarksOfWellBehavedToolsDisturbNobody) {
  EXPECT_EQ(disturbances("-A ts-forward -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000"), 0U);
  EXPECT_EQ(disturbances("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"), 0U);
  EXPECT_EQ(disturbances("-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0"), 0U);
  EXPECT_EQ(disturbances("-A PREROUTING -j MARK --set-xmark 0xca6c/0xffffffff"), 0U);  // Clears our bits, which are empty there.
  EXPECT_EQ(disturbances("-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff0000 --ctmask 0xff0000"), 0U);
}

TEST(RuleReadingsTest, UnmaskedCopiesBetweenTheMarksDisturb) {
  EXPECT_EQ(disturbances("-A PREROUTING -p udp -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff"), 1U);
  EXPECT_EQ(disturbances("-A POSTROUTING -m mark --mark 0xca6c -p udp -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff"), 1U);
  EXPECT_EQ(disturbances("-A PREROUTING -j CONNMARK --save-mark"), 1U);
  EXPECT_EQ(disturbances("-A OUTPUT -j CONNMARK --set-xmark 0x1/0xffffffff"), 1U);
  EXPECT_EQ(disturbances("-A OUTPUT -j MARK --set-xmark 0x6d6f6c65/0xffffffff"), 1U);  // Mullvad's.
  EXPECT_EQ(disturbances("-A OUTPUT -j MARK --set-xmark 0x6d6f6c65/0xffffffff", 0x0000ff00), 1U);
  EXPECT_EQ(disturbances("-A OUTPUT -j MARK --set-xmark 0x1/0xffffffff", 0x0000ff00), 0U);
}

TEST(RuleReadingsTest, OurOwnRulesAreNobodysFault) {
  EXPECT_EQ(disturbances("-A SALLYPORT-VERDICT -j CONNMARK --save-mark --nfmask 0xff000000 --ctmask 0xff000000"), 0U);
  EXPECT_THAT(queue_rules_of_save("*filter\n-A SALLYPORT-EVAL -j NFQUEUE --queue-num 0\nCOMMIT\n"), IsEmpty());
}

constexpr const char* kNft = R"(table inet site {
	set admins {
		type ipv4_addr
	}
	flowtable ft {
		hook ingress priority filter
		devices = { eth0, eth1 }
	}
	chain out {
		type filter hook output priority 10; policy drop;
		ct mark set 0x00000005 comment "whole"
		meta mark set ct mark
		ct mark set mark and 0xff
		ct mark set ct mark and 0xff00ffff or 0x00040000
		meta mark set 0x0000ca6c
		meta mark set mark or 0x4000
		ip protocol tcp flow add @ft
		tcp dport 80 queue num 3 bypass
	}
}
table ip filter {
	chain OUTPUT {
		type filter hook output priority filter; policy drop;
		ct mark set 0x00000001
		queue num 9
	}
}
table inet firewalld {
}
)";

TEST(RuleReadingsTest, MarksOfNftablesAreReadAndThoseOfIptablesLeftToItsSave) {
  const std::vector<MarkUse> uses = mark_uses_of_nft(kNft);
  ASSERT_EQ(uses.size(), 6U);
  EXPECT_EQ(uses[0].kind, Kind::kSetCt);
  EXPECT_EQ(uses[0].mask, ~0U);
  EXPECT_EQ(uses[1].kind, Kind::kRestore);
  EXPECT_EQ(uses[2].kind, Kind::kSave);
  EXPECT_EQ(uses[2].mask, 0xffU);
  EXPECT_EQ(uses[3].kind, Kind::kSetCt);
  EXPECT_EQ(uses[3].mask, 0x00ff0000U);
  EXPECT_EQ(uses[4].kind, Kind::kSetPacket);
  EXPECT_EQ(uses[5].mask, 0x4000U);
  std::size_t count = 0;
  for (const MarkUse& use : uses) count += disturbs(use, kField).empty() ? 0U : 1U;
  EXPECT_EQ(count, 2U);
}

TEST(RuleReadingsTest, FlowtablesQueuesAndDropsOfNftablesAreSeen) {
  EXPECT_THAT(flowtables(kNft), ElementsAre("inet site ft"));
  EXPECT_THAT(queue_rules_of_nft(kNft), ElementsAre(HasSubstr("inet site out: tcp dport 80 queue num 3")));
  EXPECT_THAT(dropping_chains(kNft), ElementsAre("inet site out"));
  EXPECT_THAT(tools_of_nft(kNft), ElementsAre("firewalld"));
}

TEST(RuleReadingsTest, ToolsAreKnownByTheirChains) {
  EXPECT_THAT(tools_of_save("*filter\n:ufw-user-input - [0:0]\n:DOCKER-USER - [0:0]\n:KUBE-FORWARD - [0:0]\n:ts-input - [0:0]\n:MYSITE - [0:0]\n"
                            "-A X -m comment --comment \"wg-quick(8) rule for wg0\" -j DROP\nCOMMIT\n"),
              UnorderedElementsAre("ufw", "Docker", "kube-proxy", "Tailscale", "wg-quick"));
  EXPECT_EQ(foreign_rules("*filter\n-A X -j Y\n-A SALLYPORT-OUT -j DROP\n-A OUTPUT -j SALLYPORT-OUT\nCOMMIT\n"), 1U);
}

TEST(RuleReadingsTest, RoutingRulesOnOurBits) {
  const char* rules = "0:\tfrom all lookup local\n32764:\tnot from all fwmark 0xca6c lookup 51820\n5210:\tfrom all fwmark 0x80000/0xff0000 lookup main\n"
                      "9:\tfrom all fwmark 0x1000000/0xf000000 lookup 7\n";
  EXPECT_THAT(fwmark_rules(rules, kField), ElementsAre(HasSubstr("0xca6c"), HasSubstr("lookup 7")));
}

// Nothing of what others may have written crashes, and no prefix of it.
TEST(RuleReadingsTest, OddTextIsLeftOut) {
  const std::string odd = std::string(kNft) + "}\n}\n}\nchain\nchain {\nflowtable {\n{\nct mark set \nmeta mark set and\nmark set 0x\ntable  {\n" +
                          "*filter\n-A X -j\n-A X -j MARK --set-xmark\n-A X -j MARK --set-xmark /\n-A X -j CONNMARK --save-mark --ctmask 99999999999\n:\n" +
                          "9: fwmark\n9: fwmark 0x/0x\n" + std::string(3, '\0') + "\x1b[31m";
  for (std::size_t length = 0; length <= odd.size(); ++length) {
    const std::vector<char> prefix(odd.begin(), odd.begin() + static_cast<std::ptrdiff_t>(length));
    const std::string_view text(prefix.data(), prefix.size());
    (void)mark_uses_of_nft(text);
    (void)mark_uses_of_save(text);
    (void)queue_rules_of_nft(text);
    (void)queue_rules_of_save(text);
    (void)tools_of_nft(text);
    (void)tools_of_save(text);
    (void)flowtables(text);
    (void)dropping_chains(text);
    (void)fwmark_rules(text, kField);
  }
  EXPECT_THAT(mark_uses_of_save("*mangle\n-A X -j MARK --set-xmark /\n-A X -j MARK --set-xmark zz\nCOMMIT\n"), IsEmpty());
}

}  // namespace
}  // namespace sallyport::doctor
