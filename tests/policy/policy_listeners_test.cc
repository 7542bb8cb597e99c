// [listeners]: what an entry says, and what is wrong with one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "listeners_reader.h"
#include "policy_support.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Listener entry(std::string_view text) {
  const auto listener = parse_listener(text);
  if (listener) return *listener;
  ADD_FAILURE() << text << ": " << listener.error();
  return {};
}

IpAddress at(std::string_view text) { return IpAddress::parse(text).value(); }

TEST(ListenersTest, AnEntryHasAddressPortProtocolOwnerAndNamespace) {
  const Listener one = entry("127.0.0.1:8080/tcp@web server in box");
  EXPECT_EQ(one.address, at("127.0.0.1"));
  EXPECT_EQ(one.first_port, 8080);
  EXPECT_EQ(one.last_port, 8080);
  EXPECT_EQ(one.transport, Transport::kTcp);
  EXPECT_EQ(one.owner, "web server");
  EXPECT_EQ(one.netns, "box");
  EXPECT_TRUE(one.required);
  const Listener range = entry("[2001:db8::1]:1000-2000");
  EXPECT_EQ(range.address, at("2001:db8::1"));
  EXPECT_EQ(range.last_port, 2000);
  EXPECT_FALSE(range.transport);
  EXPECT_FALSE(range.required);
  EXPECT_FALSE(entry("*:443").address);
  EXPECT_FALSE(entry("*:443-443").required);
}

TEST(ListenersTest, UnspecifiedCoversItsFamilyAlone) {
  EXPECT_TRUE(entry("0.0.0.0:1").covers(at("192.0.2.1")));
  EXPECT_TRUE(entry("0.0.0.0:1").covers(at("0.0.0.0")));
  EXPECT_FALSE(entry("0.0.0.0:1").covers(at("::")));
  EXPECT_TRUE(entry("[::]:1").covers(at("::1")));
  EXPECT_FALSE(entry("[::]:1").covers(at("127.0.0.1")));
  EXPECT_TRUE(entry("*:1").covers(at("::")));
  EXPECT_TRUE(entry("*:1").covers(at("0.0.0.0")));
  EXPECT_FALSE(entry("127.0.0.1:1").covers(at("0.0.0.0")));
  EXPECT_FALSE(entry("127.0.0.1:1").covers(at("127.0.0.2")));
}

TEST(ListenersTest, AnEntryIsForItsPortsProtocolAndNamespace) {
  EXPECT_TRUE(entry("*:10-12/udp").is_for(Transport::kUdp, 12, ""));
  EXPECT_FALSE(entry("*:10-12/udp").is_for(Transport::kUdp, 13, ""));
  EXPECT_FALSE(entry("*:10-12/udp").is_for(Transport::kUdp, 9, ""));
  EXPECT_FALSE(entry("*:10/udp").is_for(Transport::kTcp, 10, ""));
  EXPECT_TRUE(entry("*:10").is_for(Transport::kTcp, 10, ""));
  EXPECT_FALSE(entry("*:10").is_for(Transport::kTcp, 10, "box"));
  EXPECT_TRUE(entry("*:10 in b*").is_for(Transport::kTcp, 10, "box"));
  EXPECT_FALSE(entry("*:10 in *").is_for(Transport::kTcp, 10, ""));
}

TEST(ListenersTest, AUnitIsNoProcessOfThatName) {
  EXPECT_TRUE(names_owner("sshd", "sshd", "ssh.service"));
  EXPECT_FALSE(names_owner("ssh.service", "ssh.service", "evil.service"));
  EXPECT_TRUE(names_owner("ssh.service", "sshd", "ssh.service"));
  EXPECT_TRUE(names_owner("docker-*.scope", "nginx", "docker-0a.scope"));
  EXPECT_FALSE(names_owner("sshd", "", ""));
}

TEST(ListenersTest, ThePolicyTellsAbsentFromEmpty) {
  EXPECT_FALSE(load("")->listeners().declared);
  const auto empty = load("[listeners]\nallow = []\n");
  EXPECT_TRUE(empty->listeners().declared);
  EXPECT_THAT(empty->listeners().allow, IsEmpty());
  const auto full = load("[listeners]\nallow = [\n  \"*:1\",\n  \"*:2\"]\nnetns = \"all\"\ninterval = \"2s\"\n");
  EXPECT_TRUE(full->listeners().all_namespaces);
  EXPECT_EQ(full->listeners().interval, std::chrono::seconds(2));
  ASSERT_EQ(full->listeners().allow.size(), 2U);
  EXPECT_EQ(full->listeners().allow.back().line, 5U);
  EXPECT_EQ(full->listeners().allow.back().text, "*:2");
}

TEST(ListenersTest, EachProblemHasItsPlaceAndASuggestion) {
  const auto problem = [](std::string_view item) { return problems("version = 1\n[listeners]\nallow = [" + std::string(item) + "]\n"); };
  constexpr std::string_view kExpected = R"(expected an address and a port, such as "127.0.0.1:8080/tcp", "[::1]:53/udp" or "*:443")";
  const auto says = [](std::string_view text) { return ElementsAre("p.toml:3:10: listeners.allow: " + std::string(text)); };
  const std::string expected(kExpected);
  EXPECT_THAT(problem("8080"), says("8080: " + expected + R"(; did you mean "127.0.0.1:8080"?)"));
  EXPECT_THAT(problem("\"8080/tcp\""), says(R"("8080/tcp": )" + expected + R"(; did you mean "127.0.0.1:8080/tcp"?)"));
  EXPECT_THAT(problem("\":8080/tcp\""), says(R"(":8080/tcp": )" + expected + R"(; did you mean "*:8080/tcp"?)"));
  EXPECT_THAT(problem("\"a.example:80\""), says(R"("a.example:80": )" + expected));
  EXPECT_THAT(problem("\"localhost:80\""), says(R"("localhost:80": a socket has an address, not a name; did you mean "127.0.0.1:80"?)"));
  EXPECT_THAT(problem("\"::1:80\""), says(R"("::1:80": an IPv6 address stands in brackets; did you mean "[::1]:80"?)"));
  EXPECT_THAT(problem("\"[127.0.0.1]:80\""), says(R"("[127.0.0.1]:80": only IPv6 addresses stand in brackets; did you mean "127.0.0.1:80"?)"));
  EXPECT_THAT(problem("\"[::ffff:127.0.0.1]:80\""),
              says(R"("[::ffff:127.0.0.1]:80": an IPv4-mapped address; write it as IPv4; did you mean "127.0.0.1:80"?)"));
  for (const std::string item : {"*:0", "*:65536", "*:9-8", "*:http", "*:"}) {
    EXPECT_THAT(problem("\"" + item + "\""), says("\"" + item + "\": expected a port from 1 to 65535 or a range \"first-last\" behind the address"));
  }
  EXPECT_THAT(problem("\"*:80/tpc\""), says(R"("*:80/tpc": expected "/tcp", "/udp" or neither behind the port; did you mean "tcp"?)"));
  EXPECT_THAT(problem("\"*:80@\""), says(R"("*:80@": expected the name of a process or a unit behind "@")"));
  EXPECT_THAT(problem("\"*:80@systemd-resolved\""), ElementsAre(testing::HasSubstr(R"(did you mean "@systemd-resolve")")));
  EXPECT_THAT(problem("\"*:80 in \""), says(R"("*:80 in ": expected the name of a network namespace behind "in")"));
  EXPECT_THAT(problem("\"*:80\", \"*:80\""), ElementsAre(R"(p.toml:3:18: listeners.allow: "*:80": line 3 says the same)"));
  EXPECT_THAT(problem("true"), says("expected a string, got a boolean"));
}

TEST(ListenersTest, ProblemsOfTheTable) {
  EXPECT_THAT(problems("version = 1\n[listeners]\n"), ElementsAre(testing::HasSubstr("p.toml:2:1: listeners.allow: required")));
  EXPECT_THAT(problems("version = 1\nlisteners = 1\n"), ElementsAre("p.toml:2:13: listeners: expected a table, got an integer"));
  EXPECT_THAT(problems("version = 1\n[listeners]\nalow = []\nallow = []\n"), ElementsAre(R"(p.toml:3:1: listeners.alow: unknown key; did you mean "allow"?)"));
  EXPECT_THAT(problems("version = 1\n[listeners]\nallow = []\nnetns = \"al\"\n"),
              ElementsAre(R"(p.toml:4:9: listeners.netns: "al": expected "own" or "all"; did you mean "all"?)"));
  for (const std::string time : {"0s", "31s", "500ms"}) {
    EXPECT_THAT(problems("version = 1\n[listeners]\nallow = []\ninterval = \"" + time + "\"\n"),
                ElementsAre("p.toml:4:12: listeners.interval: \"" + time + "\": expected a time from 1 to 30 seconds, such as \"10s\""));
  }
}

// An entry may be cut anywhere: it is read or refused, and what is read is printed as it came.
TEST(ListenersTest, EachPrefixIsReadOrRefused) {
  const std::string whole = "[2001:db8::1]:1000-2000/udp@ssh.service in box";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::vector<char> prefix(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    const auto listener = parse_listener({prefix.data(), prefix.size()});
    EXPECT_FALSE(listener && length < std::string_view("[2001:db8::1]:1").size()) << length;
    EXPECT_EQ(listener ? listener->text : whole.substr(0, length), whole.substr(0, length));
  }
}

}  // namespace
}  // namespace sallyport::policy
