// [[guards]]: what they hold, what they match, and what is said of mistakes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

std::string guard_of_listener(std::string_view listen) {
  return "[[guards]]\nlisten = " + std::string(listen) + "\nhosts = [\"localhost\"]\n";
}

const Guard& only(const std::shared_ptr<const Policy>& policy) {
  EXPECT_EQ(policy->guards().size(), 1u);
  return policy->guards()[0];
}

TEST(GuardsTest, AGuardHasWhatItsTableSays) {
  const auto policy = load(
      "[[guards]]\nname = \"MCP gateway\"\nlisten = [\"127.0.0.1:8080\", \"[::1]:8080\"]\n"
      "hosts = [\"LocalHost.\", \"127.0.0.1\", \"::1\", \"gateway.tailnet.example\", \"b\xC3\xBC" "cher.example\"]\n"
      "origins = [\"localhost\", \"https://App.example:8443\", \"chrome-extension://abcdef\"]\n"
      "interfaces = [\"lo\", \"wg0\"]\nsources = [\"127.0.0.0/8\", \"100.64.0.0/10\"]\n");
  const Guard& guard = only(policy);
  EXPECT_EQ(guard.name, "MCP gateway");
  EXPECT_EQ(guard.listen.size(), 2u);
  EXPECT_EQ(guard.hosts.size(), 5u);
  EXPECT_EQ(guard.origins.size(), 3u);
  EXPECT_THAT(guard.interfaces, ElementsAre("lo", "wg0"));
  EXPECT_EQ(guard.sources.size(), 2u);
  EXPECT_EQ(policy->location(policy->rule_of(0)), "p.toml:2");
  EXPECT_TRUE(guard.has_host("xn--bcher-kva.example"));
}

TEST(GuardsTest, AListenerCoversItsAddressAndPortAlone) {
  const auto policy = load(guard_of_listener("[\"127.0.0.1:8080\", \"[::1]:8080\"]"));
  EXPECT_EQ(policy->guard_of(ip("127.0.0.1"), 8080), 0);
  EXPECT_EQ(policy->guard_of(ip("::ffff:127.0.0.1"), 8080), 0);
  EXPECT_EQ(policy->guard_of(ip("::1"), 8080), 0);
  EXPECT_EQ(policy->guard_of(ip("127.0.0.2"), 8080), kNoGuard);
  EXPECT_EQ(policy->guard_of(ip("127.0.0.1"), 8081), kNoGuard);
}

TEST(GuardsTest, AnUnspecifiedAddressCoversWhatASocketBoundToItDoes) {
  for (const char* both : {"\"*:80\"", "\"[::]:80\""}) {
    const auto policy = load(guard_of_listener(both));
    EXPECT_EQ(policy->guard_of(ip("192.0.2.1"), 80), 0) << both;
    EXPECT_EQ(policy->guard_of(ip("2001:db8::1"), 80), 0) << both;
    EXPECT_EQ(policy->guard_of(ip("192.0.2.1"), 80, true), kNoGuard) << "in a capture nothing tells which address is local";
  }
  const auto v4 = load(guard_of_listener("\"0.0.0.0:80\""));
  EXPECT_EQ(v4->guard_of(ip("192.0.2.1"), 80), 0);
  EXPECT_EQ(v4->guard_of(ip("2001:db8::1"), 80), kNoGuard);
}

TEST(GuardsTest, HostsAreComparedInTheirCanonicalForm) {
  const auto policy = load("[[guards]]\nlisten = \"*:80\"\nhosts = [\"localhost\", \"127.0.0.1\", \"[::1]\"]\n");
  const Guard& guard = only(policy);
  for (const char* host : {"localhost", "LOCALHOST", "localhost.", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(guard.has_host(host)) << host;
  }
  for (const char* host : {"", ".", "localhost..", "xlocalhost", "localhost.evil.example", "127.0.0.2", "127.1", "2130706433", "0x7f000001",
                           "127.0.0.1.", "::2", "user@localhost", "localhost:80", "local host", "[::1]"}) {
    EXPECT_FALSE(guard.has_host(host)) << host;
  }
}

TEST(GuardsTest, AnOriginIsListedByHostOrAsAWhole) {
  const auto policy = load("[[guards]]\nlisten = \"*:80\"\nhosts = [\"localhost\"]\n"
                           "origins = [\"localhost\", \"::1\", \"https://app.example\", \"vscode-webview://one\"]\n");
  const Guard& guard = only(policy);
  for (const char* origin : {"http://localhost", "https://localhost:3000", "HTTP://LocalHost", "http://[::1]:8080", "https://app.example",
                             "https://app.example:443", "vscode-webview://one"}) {
    EXPECT_TRUE(guard.has_origin(origin)) << origin;
  }
  for (const char* origin : {"", "null", "NULL", "file://", "file:///", "localhost", "//localhost", "http://", "http://localhost/", "http://localhost:",
                             "http://localhost:0", "http://localhost:080", "http://localhost:65536", "http://localhost:80x", "http://localhost?x",
                             "ftp://localhost", "chrome-extension://localhost", "http://app.example", "https://app.example:8443",
                             "https://app.example.evil.example", "https://evil.example", "http://user@localhost", "http://localhost http://localhost",
                             "http://localhost, http://evil.example", "http://[::1", "http://[localhost]", "http://::1", "vscode-webview://two",
                             "http://127.0.0.1", "1http://localhost", "http:/localhost", "://localhost"}) {
    EXPECT_FALSE(guard.has_origin(origin)) << origin;
  }
}

TEST(GuardsTest, WithoutOriginsNoneIsListed) {
  EXPECT_FALSE(only(load(guard_of_listener("\"*:80\""))).has_origin("http://localhost"));
}

TEST(GuardsTest, InterfacesAndSourcesMustBothFit) {
  const auto policy = load(guard_of_listener("\"*:80\"") + "interfaces = [\"wg0\"]\nsources = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n");
  const Guard& guard = only(policy);
  EXPECT_TRUE(guard.reaches("wg0", ip("10.1.2.3")));
  EXPECT_TRUE(guard.reaches("wg0", ip("::ffff:10.1.2.3")));
  EXPECT_TRUE(guard.reaches("wg0", ip("2001:db8::9")));
  EXPECT_FALSE(guard.reaches("wg0", ip("11.1.2.3")));
  EXPECT_FALSE(guard.reaches("eth0", ip("10.1.2.3")));
  EXPECT_FALSE(guard.reaches("", ip("10.1.2.3"))) << "an interface that is not known is none of those listed";
  EXPECT_TRUE(only(load(guard_of_listener("\"*:80\""))).reaches("", ip("11.1.2.3")));
}

TEST(GuardsTest, AServiceWithASocketAloneHasNoHosts) {
  const auto policy = load("[[guards]]\nname = \"agent\"\nunix_socket = \"/run/agent.sock\"\nprocess = \"agentd\"\n");
  EXPECT_EQ(only(policy).unix_socket, "/run/agent.sock");
  EXPECT_EQ(only(policy).process, "agentd");
  EXPECT_EQ(policy->guard_of(ip("127.0.0.1"), 80), kNoGuard);
}

TEST(GuardsTest, MistakesAreTold) {
  const auto of = [](const std::string& guard) { return problems("version = 1\n[[guards]]\n" + guard); };
  EXPECT_THAT(of("listen = \"127.0.0.1:8080\"\n"), ElementsAre(HasSubstr("p.toml:2:1: guards[0].hosts: required")));
  EXPECT_THAT(of("hosts = \"localhost\"\n"), ElementsAre(HasSubstr("p.toml:2:1: guards[0].listen: required")));
  EXPECT_THAT(of("listen = []\nhosts = \"localhost\"\n"), ElementsAre(HasSubstr("p.toml:3:10: guards[0].listen: an empty list")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = []\n"), ElementsAre(HasSubstr("guards[0].hosts: an empty list")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = [\"a\", 7]\n"), ElementsAre(HasSubstr("p.toml:4:15: guards[0].hosts: expected a string")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"*.a.example\"\n"), ElementsAre(HasSubstr("whole names")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"localhost:80\"\n"), ElementsAre(HasSubstr("without a port")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"http://localhost\"\n"), ElementsAre(HasSubstr("a URL")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"::ffff:127.0.0.1\"\n"), ElementsAre(HasSubstr("write it as IPv4: 127.0.0.1")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\norigins = \"null\"\n"), ElementsAre(HasSubstr("cannot be listed")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\norigins = \"https://a/x\"\n"), ElementsAre(HasSubstr("guards[0].origins")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\nsources = \"10.0.0.1/8\"\n"), ElementsAre(HasSubstr("host bits are set")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\ninterfaces = \"a/b\"\n"), ElementsAre(HasSubstr("not the name of a network interface")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\ninterfaces = \"-j\"\n"), ElementsAre(HasSubstr("not the name of a network interface")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\norigin = \"a\"\n"), ElementsAre(HasSubstr("unknown key; did you mean \"origins\"?")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\nprocess = \"x\"\n"), ElementsAre(HasSubstr("belongs to \"unix_socket\"")));
  EXPECT_THAT(of("listen = \"*:80\"\nhosts = \"a\"\nunix_socket = \"/x\"\n"), ElementsAre(HasSubstr("no port then")));
  EXPECT_THAT(of("unix_socket = \"/x\"\nhosts = \"a\"\n"), ElementsAre(HasSubstr("says nothing of a service that has no port")));
  EXPECT_THAT(of("unix_socket = \"x\"\n"), ElementsAre(HasSubstr("absolute path")));
  EXPECT_EQ(problems("version = 1\nguards = 1\n").size(), 1u);
  EXPECT_EQ(problems("version = 1\nguards = [1]\n").size(), 1u);
}

TEST(GuardsTest, MistakesOfListenersAreTold) {
  for (const char* wrong : {"\"8080\"", "\"127.0.0.1\"", "\"127.0.0.1:\"", "\"127.0.0.1:0\"", "\"127.0.0.1:65536\"", "\"127.0.0.1:080\"", "\"localhost:80\"",
                            "\"::1:80\"", "\"[127.0.0.1]:80\"", "\"[::1:80\"", "\"[::ffff:1.2.3.4]:80\"", "\"*:53\"", "8080", "[\"*:80\", \"127.0.0.1:80\"]",
                            "[\"[::]:80\", \"0.0.0.0:80\"]"}) {
    const auto lines = problems("version = 1\n" + guard_of_listener(wrong));
    EXPECT_THAT(lines, ElementsAre(HasSubstr("guards[0].listen: "))) << wrong;
  }
  EXPECT_THAT(problems("version = 1\n" + guard_of_listener("[\"0.0.0.0:80\", \"[::1]:80\"]")), IsEmpty());
}

TEST(GuardsTest, TwoGuardsMayNotHaveOnePort) {
  EXPECT_THAT(problems("version = 1\n" + guard_of_listener("\"127.0.0.1:80\"") + guard_of_listener("\"*:80\"")),
              ElementsAre("p.toml:5:1: guards[1].listen: the guard in line 2 has one of these addresses and ports already"));
  EXPECT_THAT(problems("version = 1\n" + guard_of_listener("\"127.0.0.1:80\"") + guard_of_listener("\"127.0.0.2:80\"")), IsEmpty());
}

TEST(GuardsTest, EverythingInAGuardIsPartOfTheFingerprint) {
  const std::string base = guard_of_listener("\"127.0.0.1:80\"");
  const auto print = [](const std::string& text) { return load(text)->fingerprint(); };
  EXPECT_NE(print(base), print(""));
  EXPECT_EQ(print(base), print("[[guards]]\nhosts = \"localhost\"\nname = \"a\"\nlisten = \"127.0.0.1:80\"\n"));
  std::vector<std::uint64_t> all = {print(base), print(guard_of_listener("\"127.0.0.1:81\"")), print(guard_of_listener("\"*:80\"")),
                                    print(guard_of_listener("\"0.0.0.0:80\""))};
  for (const char* more : {"origins = \"localhost\"\n", "origins = \"http://localhost\"\n", "origins = \"http://localhost:81\"\n", "interfaces = \"lo\"\n",
                           "sources = \"127.0.0.0/8\"\n", "sources = \"127.0.0.1\"\n"}) {
    all.push_back(print(base + more));
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
}

}  // namespace
}  // namespace sallyport::policy
