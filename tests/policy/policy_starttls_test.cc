#include <gtest/gtest.h>

#include <string>

#include "sallyport/policy/policy_file.h"

namespace sallyport::policy {
namespace {

std::string rule(const std::string& protocols, const std::string& more) {
  return "version = 1\n[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [" + protocols + "]\n" + more;
}

std::string problems(const std::string& text) {
  const auto loaded = load_policy_text(text, "test.toml");
  std::string all;
  if (!loaded) {
    for (const Problem& problem : loaded.error()) all += problem.to_string() + "\n";
  }
  return all;
}

TEST(PolicyStarttlsTest, IsForAllowRulesOfProtocolsThatGoOverToTls) {
  EXPECT_EQ(problems(rule("\"smtp\", \"tls\"", "starttls = \"require\"\n")), "");
  EXPECT_EQ(problems(rule("\"postgresql\", \"mysql\", \"ldap\", \"xmpp\"", "starttls = \"allow\"\n")), "");
  const auto says = [](const std::string& text, const std::string& part) {
    const std::string found = problems(text);
    EXPECT_NE(found.find(part), std::string::npos) << found;
    EXPECT_NE(found.find("test.toml:5:"), std::string::npos) << found;
  };
  says(rule("\"smtp\"", "starttls = \"requires\"\n"), "did you mean \"require\"?");
  says(rule("\"tls\"", "starttls = \"require\"\n"), "leave \"starttls\" out");
  says(rule("\"smtp\", \"ssh\"", "starttls = \"require\"\n"), "ssh does not go over to TLS");
  says(rule("\"smtp\"", "starttls = \"require\"\naction = \"deny\"\n"), "leave it out of a deny rule");
}

TEST(PolicyStarttlsTest, ChangesTheFingerprintAndIsNoDuplicateOfARuleWithoutIt) {
  const auto with = load_policy_text(rule("\"smtp\"", "starttls = \"require\"\n"), "test.toml");
  const auto without = load_policy_text(rule("\"smtp\"", ""), "test.toml");
  const auto said = load_policy_text(rule("\"smtp\"", "starttls = \"allow\"\n"), "test.toml");
  ASSERT_TRUE(with && without && said);
  EXPECT_NE((*with)->fingerprint(), (*without)->fingerprint());
  EXPECT_EQ((*said)->fingerprint(), (*without)->fingerprint());
  const std::string both = rule("\"smtp\"", "starttls = \"require\"\n") + "[[rules]]\nto = [\"192.0.2.1\"]\nprotocols = [\"smtp\"]\n";
  EXPECT_EQ(problems(both), "");
  EXPECT_NE(problems(both + "starttls = \"require\"\n").find("a duplicate"), std::string::npos);
}

TEST(PolicyStarttlsTest, NeedsTlsUnlessAnotherRuleAllows) {
  FlowQuery query;
  query.protocol = Protocol::kSmtp;
  query.destination = *IpAddress::parse("192.0.2.1");
  query.port = 25;
  const auto strict = *load_policy_text(rule("\"smtp\", \"tls\"", "ports = [25]\nstarttls = \"require\"\n"), "test.toml");
  EXPECT_EQ(strict->match(query).action, Action::kAllow);
  EXPECT_TRUE(strict->match(query).needs_tls);
  const auto both = *load_policy_text(rule("\"smtp\"", "starttls = \"require\"\n") + "[[rules]]\nto = \"any\"\nprotocols = [\"smtp\"]\n", "test.toml");
  EXPECT_FALSE(both->match(query).needs_tls);
  query.protocol = Protocol::kTls;  // Of its own, or behind STARTTLS.
  EXPECT_FALSE(strict->match(query).needs_tls);
  query.upgraded_from = Protocol::kSmtp;
  EXPECT_EQ(both->match(query).action, Action::kAllow);
  EXPECT_FALSE(strict->match(query).needs_tls);
}

}  // namespace
}  // namespace sallyport::policy
