// Files, includes, presets, size.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "policy_support.h"

namespace sallyport::policy {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// PolicyFileTest works in a folder of its own.
class PolicyFileTest : public testing::Test {
 protected:
  PolicyFileTest() {
    std::string pattern = (fs::temp_directory_path() / "policy-test-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~PolicyFileTest() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  LoadResult load_file(const std::string& name) const { return load_policy_file(folder_ / name); }
  // lines returns the problems of a file, with the folder's own name cut out.
  std::vector<std::string> lines(const std::string& name) const {
    std::vector<std::string> out;
    const LoadResult result = load_file(name);
    if (result) return out;
    for (std::string line : lines_of(result.error())) {
      const std::string prefix = folder_.string() + "/";
      for (std::size_t at; (at = line.find(prefix)) != std::string::npos;) line.erase(at, prefix.size());
      out.push_back(line);
    }
    return out;
  }

  fs::path folder_;
};

TEST_F(PolicyFileTest, IncludesAreRelativeToTheIncludingFile) {
  write("main.toml",
        "version = 1\ninclude = [\"team/a.toml\", \"preset:npm\"]\n[[rules]]\nto = \"main.example\"\nscope = "
        "\"s\"\n");
  write("team/a.toml", "version = 1\ninclude = \"b.toml\"\n[[rules]]\nto = \"a.example\"\n");
  write("team/b.toml", "version = 1\n[scopes.s]\nusers = 0\n[[rules]]\nto = \"b.example\"\n");
  const auto policy = load_file("main.toml");
  ASSERT_TRUE(policy.has_value()) << lines("main.toml").front();
  const auto& rules = (*policy)->rules();
  ASSERT_EQ(rules.size(), 4u);
  EXPECT_EQ((*policy)->location(0), (folder_ / "main.toml").string() + ":3");
  EXPECT_EQ((*policy)->location(1), (folder_ / "team/a.toml").string() + ":3");
  EXPECT_EQ((*policy)->location(2), (folder_ / "team/b.toml").string() + ":4");
  EXPECT_EQ((*policy)->location(3), "preset:npm:4");
  EXPECT_TRUE(allows(**policy, {"b.example"}));
  EXPECT_TRUE(allows(**policy, {"registry.npmjs.org"}));
}

TEST_F(PolicyFileTest, FileThatIsIncludedTwiceCountsOnce) {
  write("main.toml", "version = 1\ninclude = [\"a.toml\", \"./b.toml\", \"preset:npm\", \"preset:npm\"]\n");
  write("a.toml", "version = 1\ninclude = \"b.toml\"\n");
  write("b.toml", "version = 1\n[[rules]]\nto = \"b.example\"\n");
  const auto policy = load_file("main.toml");
  ASSERT_TRUE(policy.has_value()) << lines("main.toml").front();
  EXPECT_EQ((*policy)->rules().size(), 2u);
}

TEST_F(PolicyFileTest, CycleIsRefused) {
  write("main.toml", "version = 1\ninclude = \"a.toml\"\n");
  write("a.toml", "version = 1\ninclude = \"../" + folder_.filename().string() + "/main.toml\"\n");
  EXPECT_THAT(lines("main.toml"), ElementsAre(HasSubstr("a file that includes itself")));
}

TEST_F(PolicyFileTest, DepthIsBounded) {
  for (int i = 0; i < 10; ++i) {
    write(std::to_string(i) + ".toml", "version = 1\ninclude = \"" + std::to_string(i + 1) + ".toml\"\n");
  }
  EXPECT_THAT(lines("0.toml"),
              ElementsAre("8.toml:2:11: include: \"9.toml\": includes are nested deeper than 8"));
}

TEST_F(PolicyFileTest, IncludedFileHoldsRulesAndScopesOnly) {
  write("main.toml", "version = 1\ninclude = \"a.toml\"\n");
  write("a.toml", "version = 1\n[defaults]\naction = \"allow\"\n[deploy]\nqueues = 1\n");
  EXPECT_THAT(lines("main.toml"),
              ElementsAre("a.toml:2:2: defaults: an included file may hold only rules and scopes",
                          "a.toml:4:2: deploy: an included file may hold only rules and scopes"));
}

TEST_F(PolicyFileTest, ProblemsOfAllFilesAreReported) {
  write("main.toml", "version = 1\ninclude = [\"a.toml\", \"missing.toml\", \".\"]\n[scopes.s]\nusers = 0\n");
  write("a.toml", "version = 1\n[scopes.s]\nusers = 0\n[[rules]]\nto = \"*\"\n");
  EXPECT_THAT(
      lines("main.toml"),
      ElementsAre("a.toml:2:9: scopes.s: another file of this policy has a scope of this name",
                  "a.toml:5:6: rules[0].to: \"*\": a wildcard needs a name behind it; did you mean \"any\"?",
                  "main.toml:2:22: include: \"missing.toml\": cannot be read: No such file or directory",
                  "main.toml:2:38: include: \".\": not a regular file"));
}

TEST_F(PolicyFileTest, MissingFileIsAProblemOfTheWhole) {
  EXPECT_THAT(lines("none.toml"), ElementsAre("none.toml: cannot be read: No such file or directory"));
  EXPECT_FALSE(load_policy_file("/dev/zero").has_value());
}

TEST(PolicyPresetsTest, AllLoadAloneAndTogether) {
  std::string all = "version = 1\ninclude = [";
  for (const Preset& preset : presets()) {
    const auto policy = load_policy_text(preset.text, preset.name);
    ASSERT_TRUE(policy.has_value()) << policy.error().front().to_string();
    EXPECT_FALSE((*policy)->rules().empty()) << preset.name;
    EXPECT_TRUE((*policy)->warnings().empty()) << preset.name;
    all += "\"preset:" + std::string(preset.name) + "\", ";
  }
  const auto policy = load_policy_text(all + "]\n", "all");
  ASSERT_TRUE(policy.has_value()) << policy.error().front().to_string();
  EXPECT_GE((*policy)->rules().size(), presets().size());
}

TEST(PolicyPresetsTest, NamesMayBeLookedUpWhereTheyMayBeReached) {
  for (const auto& [preset, name] : {std::pair{"github", "api.github.com"}, {"npm", "registry.npmjs.org"},
                                     {"anthropic", "api.anthropic.com"}, {"debian", "deb.debian.org"}}) {
    const auto policy = load("include = \"preset:" + std::string(preset) + "\"\n");
    EXPECT_TRUE(allows(*policy, {name})) << name;
    const DomainName asked = DomainName::parse(name).value();
    EXPECT_EQ(policy->match_question(0, &asked, {}).action, Action::kAllow);
  }
}

TEST(PolicyPresetsTest, AllowNamesOnly) {
  for (const Preset& preset : presets()) {
    if (preset.name == "lan") continue;  // Of the local network, by address.
    const auto policy = load_policy_text(preset.text, preset.name);
    ASSERT_TRUE(policy.has_value());
    const bool denies = preset.name == "public-resolvers";
    for (const RuleInfo& rule : (*policy)->rules()) EXPECT_EQ(rule.action, denies ? Action::kDeny : Action::kAllow) << preset.name;
    for (const Transport transport : {Transport::kTcp, Transport::kUdp}) {
      for (const std::uint16_t port : std::initializer_list<std::uint16_t>{22, 25, 80, 443}) {
        const auto early = (*policy)->match_early(0, transport, IpAddress::v4(0x0a000001), port, {});
        // Tailscale's relays are dialled without a lookup.
        const bool unbound = preset.name == "tailscale" && transport == Transport::kTcp && port == 443;
        EXPECT_TRUE(early.match == EarlyMatch::kDeny || early.needs_binding || unbound) << preset.name << " " << port;
      }
    }
    EXPECT_FALSE(allows(**policy, {"no-such-name.example"})) << preset.name;
  }
}

TEST(PolicyPresetsTest, PublicResolversAreDeniedByNameAndAddress) {
  const auto policy = load("include = \"preset:public-resolvers\"\n[[rules]]\nto = \"any\"\nports = \"any\"\nprotocols = [\"tcp\", \"udp\"]\n");
  for (const char* name : {"dns.google", "cloudflare-dns.com", "mozilla.cloudflare-dns.com", "dns.quad9.net", "id.dns.nextdns.io"}) {
    EXPECT_FALSE(allows(*policy, {name}));
    EXPECT_FALSE(allows(*policy, {.name = name, .port = 853}));
    EXPECT_FALSE(allows(*policy, {.name = name, .protocol = Protocol::kQuic, .port = 853, .transport = Transport::kUdp}));
  }
  for (const char* address : {"8.8.8.8", "1.1.1.1", "9.9.9.9", "2606:4700:4700::1111"}) {
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{443, 853}) {
      const auto early = policy->match_early(0, Transport::kTcp, IpAddress::parse(address).value(), port, {});
      EXPECT_EQ(early.match, EarlyMatch::kDeny) << address << " " << port;
    }
    EXPECT_TRUE(allows(*policy, {.name = "", .protocol = Protocol::kDns, .port = 53, .address = address}));
  }
  EXPECT_TRUE(allows(*policy, {"www.google.com"}));
}

TEST(PolicyPresetsTest, OnesThatAreDocumentedExist) {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  EXPECT_THAT(names, ElementsAre("anthropic", "bitbucket", "cargo", "cloudflared", "codeberg", "debian", "docker-hub", "github", "gitlab", "go",
                                 "lan", "npm", "openai", "public-resolvers", "pypi", "tailscale", "ubuntu"));
  const auto policy = load("include = \"preset:github\"\n");
  EXPECT_TRUE(allows(*policy, {"github.com"}));
  EXPECT_TRUE(allows(*policy, {"raw.githubusercontent.com"}));
  EXPECT_EQ(ask(*policy, {"github.com", Protocol::kSsh, 22}).other_host_key, 1u) << "not without a key of its own";
}

TEST(PolicyPresetsTest, EmbeddedPolicyObservesAndDenies) {
  const auto policy = embedded_policy();
  EXPECT_EQ(policy->defaults().mode, Mode::kObserve);
  EXPECT_EQ(policy->defaults().action, Action::kDeny);
  EXPECT_TRUE(policy->deploy().hook_output);
  EXPECT_FALSE(policy->deploy().hook_forward);
  EXPECT_TRUE(policy->rules().empty());
  EXPECT_EQ(embedded_policy(), policy);
}

TEST(PolicySizeTest, ManyNamesLoadAndAreFound) {
  constexpr int kNames = 200'000;
  std::string text = "[[rules]]\nto = [\n";
  for (int i = 0; i < kNames; ++i) {
    text += "\"" + std::string(i % 2 == 0 ? "" : "*.") + "n" + std::to_string(i) + ".example.org\",\n";
  }
  const auto policy = load(text + "]\n");
  for (int i = 0; i < kNames; i += 997) {
    const std::string name = "n" + std::to_string(i) + ".example.org";
    EXPECT_EQ(allows(*policy, {name}), i % 2 == 0) << name;
    EXPECT_EQ(allows(*policy, {"a.b." + name}), i % 2 != 0) << name;
  }
  EXPECT_FALSE(allows(*policy, {"n200000.example.org"}));
}

TEST(PolicySizeTest, RulesAreBounded) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "[[rules]]\nto = \"n" + std::to_string(i) + ".example\"\n";
  EXPECT_EQ(load(text)->rules().size(), 10'000u);
  EXPECT_THAT(problems("version = 1\n" + text + "[[rules]]\nto = \"any\"\n"),
              ElementsAre("p.toml:20002:1: rules[10000]: a policy has at most 10000 rules"));
}

TEST(PolicySizeTest, PortRangesAreBounded) {
  std::string text = "version = 1\n";
  for (int rule = 0; rule < 65; ++rule) {
    text += "[[rules]]\nto = \"n" + std::to_string(rule) + ".example\"\nports = [";
    for (int port = 0; port < 256; ++port) text += std::to_string(1 + 2 * port) + ",";
    text += "]\n";
  }
  EXPECT_THAT(problems(text), ElementsAre(HasSubstr("the rules of a policy have at most 16384 port ranges")));
  EXPECT_THAT(problems("version = 1\n[[rules]]\nto = \"any\"\nports = [" +
                       [] {
                         std::string list;
                         for (int port = 1; port <= 257; ++port) list += std::to_string(port) + ",";
                         return list;
                       }() +
                       "]\n"),
              ElementsAre("p.toml:4:9: rules[0].ports: a rule has at most 256 ports and ranges"));
}

}  // namespace
}  // namespace sallyport::policy
