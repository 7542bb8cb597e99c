// known_hosts files as ssh-keygen writes them, and the keys that rules take from them.
#include "known_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sallyport/policy/base64.h"
#include "ssh_keys.h"

namespace sallyport::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Parsed {
  std::vector<KnownHostsLine> lines;
  std::vector<std::string> errors;
};

Parsed parse(const std::string& text) {
  Parsed out;
  out.lines = parse_known_hosts(text, [&](Position position, std::string message) {
    out.errors.push_back(std::to_string(position.line) + ":" + std::to_string(position.column) + ": " + message);
  });
  return out;
}

TEST(Base64Test, ReadsCanonicalTextsOnly) {
  EXPECT_THAT(decode_base64("AQID", true).value(), ElementsAre(1, 2, 3));
  EXPECT_THAT(decode_base64("AQI=", true).value(), ElementsAre(1, 2));
  EXPECT_THAT(decode_base64("AQ==", true).value(), ElementsAre(1));
  EXPECT_THAT(decode_base64("AQI", false).value(), ElementsAre(1, 2));
  EXPECT_THAT(decode_base64("", true).value(), IsEmpty());
  for (const char* text : {"AQI", "AQ=", "AQ", "AR==", "AQJ=", "A===", "A=ID", "AQ==AQID", "AQ-D", "AQID\n"})
    EXPECT_FALSE(decode_base64(text, true)) << text;
  for (const char* text : {"AQI=", "A", "AR"}) EXPECT_FALSE(decode_base64(text, false)) << text;
  for (std::size_t size = 0; size < 40; ++size) {
    std::vector<std::uint8_t> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 + size);
    EXPECT_EQ(decode_base64(encode_base64(bytes), false), bytes);
  }
}

TEST(KnownHostsTest, KeyHasTheFingerprintThatSshKeygenShows) {
  const Parsed file = parse("# comment\n\n  \t\ngit.example " + std::string(kEd25519) + " comment here\r\ngit.example\t" + std::string(kEcdsa));
  ASSERT_EQ(file.lines.size(), 2u);
  EXPECT_THAT(file.errors, IsEmpty());
  EXPECT_EQ(encode_base64(file.lines[0].key), kEd25519Hash);
  EXPECT_EQ(encode_base64(file.lines[1].key), kEcdsaHash);
}

TEST(KnownHostsTest, PatternsAreLowerCaseAndCanonical) {
  const Parsed file = parse("Git.Example.,!bad.*,[A.Example]:2222,[b.example]:22,2001:DB8:0:0::1,[2001:db8::2]:2222 " + std::string(kEd25519));
  ASSERT_EQ(file.lines.size(), 1u);
  EXPECT_THAT(file.lines[0].patterns,
              ElementsAre(HostPattern{"git.example", false}, HostPattern{"bad.*", true}, HostPattern{"[a.example]:2222", false},
                          HostPattern{"b.example", false}, HostPattern{"2001:db8::1", false}, HostPattern{"[2001:db8::2]:2222", false}));
}

TEST(KnownHostsTest, HashedHostsAreFound) {
  const Parsed file = parse("|1|ZHbQeFs/Rff3LlKFshHVZ48hRy4=|bJC/YWBE+dYm9Oed25qfnOvVq8Y= " + std::string(kEd25519) +
                            "\n|1|EyUcYd9/EBzOw5pmQ3ntU1wcAEA=|3zkXKjiFd852qLNuPqpHykJ5kJ4= " + std::string(kEcdsa));
  ASSERT_EQ(file.lines.size(), 2u);
  EXPECT_TRUE(file.lines[0].patterns.empty());
  EXPECT_TRUE(file.lines[0].hashed->is("git.example"));
  EXPECT_FALSE(file.lines[0].hashed->is("[git.example]:2222"));
  EXPECT_FALSE(file.lines[0].hashed->is("git.exampl"));
  EXPECT_TRUE(file.lines[1].hashed->is("[git.example]:2222"));
}

TEST(KnownHostsTest, RevokedLinesAreMarked) {
  const Parsed file = parse("@revoked * " + std::string(kEd25519));
  ASSERT_EQ(file.lines.size(), 1u);
  EXPECT_TRUE(file.lines[0].revoked);
}

TEST(KnownHostsTest, EachProblemHasItsLine) {
  const std::string key(kEd25519);
  const Parsed file = parse("a.example " + key + "\n" +                                       // 1
                            "@cert-authority *.a.example " + key + "\n" +                     // 2
                            "@other a.example " + key + "\n" +                                // 3
                            "|1|AAAA|AAAA " + key + "\n" +                                    // 4
                            "|2|ZHbQeFs/Rff3LlKFshHVZ48hRy4=|bJC/YWBE+dYm9Oed25qfnOvVq8Y= " + key + "\n" +  // 5
                            "a.example,,b.example " + key + "\n" +                            // 6
                            "a.example\n" +                                                   // 7
                            "a.example 1024 35 1234567\n" +                                   // 8
                            "a.example ssh-ed25519\n" +                                       // 9
                            "a.example ssh-rsa " + key.substr(12) + "\n" +                    // 10
                            "  a.example ssh-ed25519 AAAA*\n" +                               // 11
                            "! " + key + "\n" +                                               // 12
                            "b.example " + key + "\n");
  EXPECT_EQ(file.lines.size(), 2u);
  EXPECT_THAT(file.errors,
              ElementsAre("2:1: @cert-authority: host certificates are not supported; list the fingerprints of the hosts' own keys",
                          "3:1: \"@other\": expected \"@revoked\" or a host",
                          "4:1: not a hashed host: expected |1|salt|hash, both of 20 octets in base 64",
                          "5:1: not a hashed host: expected |1|salt|hash, both of 20 octets in base 64",
                          "6:1: expected hosts, joined by single commas", "7:10: expected a key type such as \"ssh-ed25519\"",
                          "8:11: a key of SSH version 1, which no rule can be about", "9:22: not a key of type \"ssh-ed25519\" in base 64",
                          "10:19: not a key of type \"ssh-rsa\" in base 64", "11:25: not a key of type \"ssh-ed25519\" in base 64",
                          "12:1: expected hosts, joined by single commas"));
}

TEST(KnownHostsTest, SizesAreBounded) {
  EXPECT_THAT(parse("a.example ssh-rsa " + std::string(20'000, 'A')).errors, ElementsAre("1:1: longer than 16384 octets"));
  EXPECT_THAT(parse(std::string(20'001, '\n')).errors, ElementsAre(HasSubstr("at most 20000 lines")));
  EXPECT_THAT(parse(std::string(20'000, '\n')).errors, IsEmpty());
}

TEST(KnownHostsTest, NoPrefixOfAFileGivesAnotherKey) {
  const std::string text = "git.example,[a.example]:22 " + std::string(kEcdsa);
  for (std::size_t length = 0; length < text.size(); ++length) {
    const std::vector<char> prefix(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    const auto lines = parse_known_hosts({prefix.data(), prefix.size()}, [](Position, const std::string&) {});
    EXPECT_TRUE(lines.empty()) << length;
  }
}

HostKey key_of(std::uint8_t value) {
  HostKey key{};
  key.fill(value);
  return key;
}

TEST(HostKeysTest, LineIsForTheHostsOfItsPatterns) {
  HostKeys keys;
  keys.add(key_of(1), {{"a.example", false}});
  keys.add(key_of(2), {{"*.b.example", false}, {"bad.b.example", true}});
  keys.add(key_of(3), {{"[a.example]:2222", false}});
  keys.add(key_of(4), {{"h?.c.example", false}});
  keys.add(key_of(5));
  keys.add(key_of(1), {{"second.example", false}});
  keys.seal();
  EXPECT_TRUE(keys.accepts(key_of(1), "a.example", 22));
  EXPECT_TRUE(keys.accepts(key_of(1), "second.example", 22));
  EXPECT_FALSE(keys.accepts(key_of(1), "b.example", 22)) << "one name's key is not another's";
  EXPECT_FALSE(keys.accepts(key_of(1), "a.example", 2222)) << "a host without a port is at port 22";
  EXPECT_TRUE(keys.accepts(key_of(3), "a.example", 2222));
  EXPECT_FALSE(keys.accepts(key_of(3), "a.example", 22));
  EXPECT_TRUE(keys.accepts(key_of(2), "x.y.b.example", 22));
  EXPECT_FALSE(keys.accepts(key_of(2), "bad.b.example", 22));
  EXPECT_FALSE(keys.accepts(key_of(2), "b.example", 22));
  EXPECT_TRUE(keys.accepts(key_of(4), "h1.c.example", 22));
  EXPECT_FALSE(keys.accepts(key_of(4), "h12.c.example", 22));
  EXPECT_TRUE(keys.accepts(key_of(5), "any.example", 1));
  EXPECT_FALSE(keys.accepts(key_of(6), "a.example", 22));
}

TEST(HostKeysTest, RevokedKeyIsNeverAccepted) {
  HostKeys keys;
  keys.add(key_of(1));
  keys.add(key_of(2), {{"*", false}});
  keys.revoke(key_of(1));
  keys.revoke(key_of(2));
  keys.seal();
  EXPECT_FALSE(keys.accepts(key_of(1), "a.example", 22));
  EXPECT_FALSE(keys.accepts(key_of(2), "a.example", 22));
  EXPECT_FALSE(keys.knows("a.example", 22));
}

TEST(HostKeysTest, ManyStarsEnd) {
  HostKeys keys;
  std::string pattern;
  for (int i = 0; i < 300; ++i) pattern += "*a";
  keys.add(key_of(1), {{pattern + "b", false}});
  keys.seal();
  EXPECT_FALSE(keys.accepts(key_of(1), std::string(253, 'a'), 22));
}

}  // namespace
}  // namespace sallyport::policy
