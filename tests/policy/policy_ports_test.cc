// Ports of a rule: ranges work for every word that has ports, and "any" is every port, spelled out.
#include <gtest/gtest.h>

#include <string>

#include "policy_support.h"
#include "rule.h"

namespace sallyport::policy {
namespace {

class PolicyPortsTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  const RuleWord& word() const { return kRuleWords[GetParam()]; }
  // mdns and llmnr are for addresses of the local network alone.
  bool has_ports() const {
    return (word().on_tcp || word().on_udp) && word().protocol != Protocol::kMdns && word().protocol != Protocol::kLlmnr;
  }
  std::shared_ptr<const Policy> with_ports(const std::string& ports) const {
    return load("[[rules]]\nto = [\"192.0.2.0/24\", \"2001:db8::/32\"]\nprotocols = [\"" + std::string(word().word) + "\"]\nports = " + ports + "\n");
  }
  // allowed asks on each of the word's transports, in both families; they must agree.
  bool allowed(const Policy& policy, std::uint16_t port) const {
    int yes = 0, asked = 0;
    for (const Transport transport : {Transport::kTcp, Transport::kUdp}) {
      if (transport == Transport::kTcp ? !word().on_tcp : !word().on_udp) continue;
      for (const std::string_view address : {"192.0.2.1", "2001:db8::1"}) {
        ++asked;
        yes += allows(policy, {"", word().protocol, port, address, 0, transport}) ? 1 : 0;
      }
    }
    EXPECT_TRUE(yes == 0 || yes == asked) << word().word << " on " << port;
    return yes == asked;
  }
};

TEST_P(PolicyPortsTest, RangesAndSinglePortsAreExact) {
  if (!has_ports()) return;
  const auto policy = with_ports("[\"20000-20010\", 30000, \"65530-65535\"]");
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{20'000, 20'005, 20'010, 30'000, 65'530, 65'535}) {
    EXPECT_TRUE(allowed(*policy, port)) << port;
  }
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{19'999, 20'011, 29'999, 30'001, 65'529, 1}) {
    EXPECT_FALSE(allowed(*policy, port)) << port;
  }
}

TEST_P(PolicyPortsTest, AnyIsEveryPort) {
  if (!has_ports()) return;
  const auto policy = with_ports("\"any\"");
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{1, 53, 443, 20'000, 65'535}) EXPECT_TRUE(allowed(*policy, port)) << port;
}

std::string word_of(const ::testing::TestParamInfo<std::size_t>& parameter) {
  std::string text(kRuleWords[parameter.param].word);
  std::erase(text, '-');
  return text;
}
INSTANTIATE_TEST_SUITE_P(Words, PolicyPortsTest, ::testing::Range(std::size_t{0}, kRuleWords.size()), word_of);

}  // namespace
}  // namespace sallyport::policy
