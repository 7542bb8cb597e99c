// Rules that pin SSH host keys.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "sallyport/policy/base64.h"
#include "host_keys.h"
#include "policy_support.h"
#include "ssh_keys.h"

namespace sallyport::policy {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

HostKey key_of(std::string_view base64) {
  const auto bytes = decode_base64(base64, false).value();
  HostKey key{};
  std::copy(bytes.begin(), bytes.end(), key.begin());
  return key;
}

// ssh asks for an SSH flow to an address of `name`, its host key known, pending or never to be known.
struct Ssh {
  std::string_view name;
  std::string_view key;
  bool pending = false;
  std::uint16_t port = 22;
  std::string_view address = "198.51.100.7";
  bool bound = true;
};

PolicyMatch ssh(const Policy& policy, const Ssh& flow) {
  const auto name = DomainName::parse(flow.name);
  const HostKey key = flow.key.empty() ? HostKey{} : key_of(flow.key);
  FlowQuery query;
  query.protocol = Protocol::kSsh;
  query.destination = IpAddress::parse(flow.address).value();
  query.port = flow.port;
  query.name = name ? &*name : nullptr;
  query.bound = flow.bound;
  query.host_key = flow.key.empty() ? nullptr : &key;
  query.host_key_pending = flow.pending;
  return policy.match(query);
}

std::string pinned(std::string_view to, std::string_view keys, std::string_view more = "") {
  return "[[rules]]\nto = " + std::string(to) + "\nprotocols = \"ssh\"\nhost_keys = " + std::string(keys) + "\n" + std::string(more);
}

const std::string kPin = "\"SHA256:" + std::string(kEd25519Hash) + "\"";

TEST(PolicyHostKeysTest, MatchesOnceTheKeyIsKnownToBeTheRules) {
  const auto policy = load(pinned("\"a.example\"", kPin));
  EXPECT_TRUE(policy->has_host_keys());
  const PolicyMatch pending = ssh(*policy, {"a.example", "", true});
  EXPECT_EQ(pending.action, Action::kAllow);
  EXPECT_TRUE(pending.needs_host_key);
  EXPECT_EQ(pending.rule, 0u);
  const PolicyMatch right = ssh(*policy, {"a.example", kEd25519Hash});
  EXPECT_EQ(right.action, Action::kAllow);
  EXPECT_FALSE(right.needs_host_key);
  const PolicyMatch wrong = ssh(*policy, {"a.example", kEcdsaHash});
  EXPECT_EQ(wrong.action, Action::kDeny);
  EXPECT_EQ(wrong.other_host_key, 0u);
  EXPECT_EQ(wrong.rule, kNoRule);
  const PolicyMatch never = ssh(*policy, {"a.example", ""});
  EXPECT_EQ(never.action, Action::kDeny);
  EXPECT_EQ(never.other_host_key, 0u);
}

TEST(PolicyHostKeysTest, NameMustBeBoundAsWell) {
  const auto policy = load(pinned("\"a.example\"", kPin));
  const PolicyMatch match = ssh(*policy, {.name = "a.example", .key = kEd25519Hash, .bound = false});
  EXPECT_EQ(match.action, Action::kDeny);
  EXPECT_EQ(match.unbound, 0u);
  EXPECT_EQ(match.other_host_key, kNoRule);
}

TEST(PolicyHostKeysTest, RuleWithoutKeysThatMatchesMakesThemNeedless) {
  const auto policy = load(pinned("\"a.example\"", kPin) + "[[rules]]\nto = \"198.51.100.0/24\"\nprotocols = \"tcp\"\nports = 22\n");
  const PolicyMatch pending = ssh(*policy, {"a.example", "", true});
  EXPECT_FALSE(pending.needs_host_key);
  EXPECT_EQ(pending.rule, 1u);
  EXPECT_EQ(ssh(*policy, {"a.example", kEcdsaHash}).rule, 1u);
  EXPECT_EQ(ssh(*policy, {"a.example", kEd25519Hash}).rule, 0u);
}

TEST(PolicyHostKeysTest, DenyRuleWins) {
  const auto policy = load(pinned("\"198.51.100.0/24\"", kPin) + "[[rules]]\nto = \"198.51.100.7\"\nprotocols = \"ssh\"\nports = [\"1-100\"]\naction = \"deny\"\n");
  EXPECT_EQ(ssh(*policy, {"", "", true}).rule, 1u);
  EXPECT_EQ(ssh(*policy, {"", kEd25519Hash}).action, Action::kDeny);
}

TEST(PolicyHostKeysTest, OnlySshFlowsMatch) {
  const auto policy = load(pinned("\"any\"", kPin));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kTls, 22}));
  EXPECT_FALSE(allows(*policy, {"", Protocol::kUnknown, 22}));
  EXPECT_EQ(policy->match_early(0, Transport::kTcp, IpAddress::v4(1), 22, {}).match, EarlyMatch::kUndecided);
  EXPECT_FALSE(load("[[rules]]\nto = \"any\"\nprotocols = \"ssh\"\n")->has_host_keys());
}

TEST(PolicyHostKeysTest, UnderADefaultThatAllowsKeysAreNotNeeded) {
  const auto policy = load("[defaults]\naction = \"allow\"\n" + pinned("\"a.example\"", kPin));
  EXPECT_THAT(lines_of(policy->warnings()), ElementsAre(HasSubstr("rules[0].host_keys: the default allows what this rule does not")));
  EXPECT_FALSE(ssh(*policy, {"a.example", "", true}).needs_host_key);
  EXPECT_EQ(ssh(*policy, {"a.example", kEcdsaHash}).action, Action::kAllow);
}

// KnownHostsFileTest works in a folder of its own.
class KnownHostsFileTest : public testing::Test {
 protected:
  KnownHostsFileTest() {
    std::string pattern = (fs::temp_directory_path() / "known-hosts-test-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~KnownHostsFileTest() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  LoadResult load_file(const std::string& text) {
    write("p.toml", "version = 1\n" + text);
    return load_policy_file(folder_ / "p.toml");
  }
  std::shared_ptr<const Policy> loaded(const std::string& text) {
    const auto policy = load_file(text);
    if (policy) return *policy;
    for (const std::string& line : lines_of(policy.error())) ADD_FAILURE() << line;
    return std::make_shared<Policy>();
  }
  // problems returns the errors with the folder cut off.
  std::vector<std::string> problems(const std::string& text) {
    const auto policy = load_file(text);
    std::vector<std::string> lines = policy ? std::vector<std::string>{} : lines_of(policy.error());
    for (std::string& line : lines) {
      if (line.starts_with(folder_.string())) line = line.substr(folder_.string().size() + 1);
    }
    return lines;
  }

  fs::path folder_;
};

TEST_F(KnownHostsFileTest, KeysAreOfTheNameThatTheFileHasThemFor) {
  write("keys/known_hosts", "a.example,192.0.2.1 " + std::string(kEd25519) + "\nb.example " + std::string(kEcdsa) + "\n");
  const auto policy = loaded(pinned("[\"a.example\", \"b.example\", \"192.0.2.0/24\"]", "\"known_hosts:keys/known_hosts\""));
  EXPECT_EQ(ssh(*policy, {"a.example", kEd25519Hash}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {"b.example", kEcdsaHash}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {"a.example", kEcdsaHash}).action, Action::kDeny);
  EXPECT_EQ(ssh(*policy, {"b.example", kEd25519Hash}).action, Action::kDeny);
  EXPECT_EQ(ssh(*policy, {.name = "", .key = kEd25519Hash, .address = "192.0.2.1"}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {.name = "", .key = kEd25519Hash, .address = "192.0.2.2"}).action, Action::kDeny);
  EXPECT_EQ(ssh(*policy, {.name = "", .key = kEd25519Hash, .address = "::ffff:192.0.2.1"}).action, Action::kAllow);
  EXPECT_THAT(policy->warnings(), IsEmpty());
}

TEST_F(KnownHostsFileTest, FingerprintsAndFilesAddUp) {
  write("known_hosts", "a.example " + std::string(kEcdsa) + "\n");
  const auto policy = loaded(pinned("[\"a.example\", \"b.example\"]", "[" + kPin + ", \"known_hosts:known_hosts\"]"));
  EXPECT_EQ(ssh(*policy, {"b.example", kEd25519Hash}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {"a.example", kEcdsaHash}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {"b.example", kEcdsaHash}).action, Action::kDeny);
}

TEST_F(KnownHostsFileTest, HashedHostsAreThoseOfTheRule) {
  write("known_hosts", "|1|ZHbQeFs/Rff3LlKFshHVZ48hRy4=|bJC/YWBE+dYm9Oed25qfnOvVq8Y= " + std::string(kEd25519) +
                           "\n|1|EyUcYd9/EBzOw5pmQ3ntU1wcAEA=|3zkXKjiFd852qLNuPqpHykJ5kJ4= " + std::string(kEcdsa) + "\n");
  const auto policy = loaded(pinned("[\"git.example\", \"other.example\", \"*.w.example\"]", "\"known_hosts:known_hosts\"", "ports = [22, \"2220-2223\"]\n"));
  EXPECT_EQ(ssh(*policy, {"git.example", kEd25519Hash}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {"git.example", kEcdsaHash}).action, Action::kDeny);
  EXPECT_EQ(ssh(*policy, {.name = "git.example", .key = kEcdsaHash, .port = 2222}).action, Action::kAllow);
  EXPECT_EQ(ssh(*policy, {.name = "git.example", .key = kEcdsaHash, .port = 2221}).action, Action::kDeny);
  EXPECT_EQ(ssh(*policy, {"other.example", kEd25519Hash}).action, Action::kDeny);
  EXPECT_THAT(lines_of(policy->warnings()),
              testing::UnorderedElementsAre(HasSubstr("are found for the exact names and addresses of this rule only"),
                                            HasSubstr("no key for \"other.example\": no flow to it can be allowed"), HasSubstr("ssh carries no name")));
}

TEST_F(KnownHostsFileTest, RevokedKeyOfAFileIsNotAcceptedByFingerprintEither) {
  write("known_hosts", "@revoked * " + std::string(kEd25519) + "\n");
  const auto policy = loaded(pinned("\"a.example\"", "[" + kPin + ", \"known_hosts:known_hosts\"]"));
  EXPECT_EQ(ssh(*policy, {"a.example", kEd25519Hash}).action, Action::kDeny);
  EXPECT_THAT(lines_of(policy->warnings()), ElementsAre(HasSubstr("no key for \"a.example\"")));
}

TEST_F(KnownHostsFileTest, ProblemsOfTheFileHaveItsLines) {
  write("known_hosts", "a.example " + std::string(kEd25519) + "\n@cert-authority *.example " + std::string(kEd25519) + "\nb.example junk\n");
  EXPECT_THAT(problems(pinned("\"a.example\"", "\"known_hosts:known_hosts\"") + pinned("\"b.example\"", "\"known_hosts:known_hosts\"")),
              ElementsAre("known_hosts:2:1: known_hosts: @cert-authority: host certificates are not supported; list the fingerprints of the hosts' own keys",
                          "known_hosts:3:15: known_hosts: not a key of type \"junk\" in base 64"))
      << "once, although two rules name the file";
}

TEST_F(KnownHostsFileTest, FileMustBeThere) {
  EXPECT_THAT(problems(pinned("\"a.example\"", "\"known_hosts:none\"")),
              ElementsAre("p.toml:5:13: rules[0].host_keys: \"known_hosts:none\": cannot be read: No such file or directory"));
  EXPECT_THAT(problems(pinned("\"a.example\"", "\"known_hosts:/dev/zero\"")),
              ElementsAre("p.toml:5:13: rules[0].host_keys: \"known_hosts:/dev/zero\": not a regular file"));
}

TEST_F(KnownHostsFileTest, PathStartsAtTheFileThatNamesIt) {
  write("team/known_hosts", "a.example " + std::string(kEd25519) + "\n");
  write("team/rules.toml", "version = 1\n" + pinned("\"a.example\"", "\"known_hosts:known_hosts\""));
  const auto policy = loaded("include = \"team/rules.toml\"\n");
  EXPECT_EQ(ssh(*policy, {"a.example", kEd25519Hash}).action, Action::kAllow);
}

TEST_F(KnownHostsFileTest, TriesOfHashesAreBounded) {
  std::string hashed;
  for (int i = 0; i < 16; ++i) hashed += "|1|ZHbQeFs/Rff3LlKFshHVZ48hRy4=|bJC/YWBE+dYm9Oed25qfnOvVq8Y= " + std::string(kEd25519) + "\n";
  write("known_hosts", hashed);
  EXPECT_THAT(problems(pinned("\"a.example\"", "\"known_hosts:known_hosts\"", "ports = \"any\"\n")),
              ElementsAre(HasSubstr("too many names and ports to find among 16 hashed hosts; list fewer ports")));
}

TEST_F(KnownHostsFileTest, FingerprintOfThePolicyFollowsTheFile) {
  const std::string text = pinned("\"a.example\"", "\"known_hosts:known_hosts\"");
  write("known_hosts", "a.example " + std::string(kEd25519) + "\n");
  const std::uint64_t first = loaded(text)->fingerprint();
  EXPECT_EQ(loaded(text)->fingerprint(), first);
  write("known_hosts", "a.example " + std::string(kEcdsa) + "\n");
  EXPECT_NE(loaded(text)->fingerprint(), first);
}

TEST(PolicyHostKeysTest, RulesThatDifferInTheirKeysAreNoDuplicates) {
  EXPECT_THAT(problems("version = 1\n" + pinned("\"a.example\"", kPin) + pinned("\"a.example\"", "\"SHA256:" + std::string(kEcdsaHash) + "\"")), IsEmpty());
  EXPECT_THAT(problems("version = 1\n" + pinned("\"a.example\"", kPin) + pinned("\"a.example\"", kPin)), ElementsAre(HasSubstr("a duplicate")));
}

TEST(PolicyPresetKeysTest, ForgesArePinnedOverSsh) {
  for (const auto& [preset, name, key] : {std::tuple{"github", "github.com", "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"},
                                          {"gitlab", "gitlab.com", "eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8"},
                                          {"bitbucket", "bitbucket.org", "ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM"},
                                          {"codeberg", "codeberg.org", "mIlxA9k46MmM6qdJOdMnAQpzGxF4WIVVL+fj+wZbw0g"}}) {
    const auto policy = load("include = \"preset:" + std::string(preset) + "\"\n[defaults]\nbind = \"any\"\n");
    EXPECT_EQ(ssh(*policy, {name, key}).action, Action::kAllow) << name;
    EXPECT_EQ(ssh(*policy, {name, kEd25519Hash}).action, Action::kDeny) << name;
    EXPECT_EQ(ssh(*policy, {.name = name, .key = key, .bound = false}).action, Action::kDeny) << "bound whatever the default";
  }
}

}  // namespace
}  // namespace sallyport::policy
