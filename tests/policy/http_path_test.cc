// The canonical form of an HTTP request's path.
#include "sallyport/core/http_path.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace sallyport {
namespace {

std::optional<std::string> canonical(const std::string& path) {
  // Blocks of the exact size, so that a read or write too far is seen.
  const std::vector<char> exact(path.begin(), path.end());
  std::vector<char> storage(3 * path.size() + 1);
  const auto out = canonical_http_path({exact.data(), exact.size()}, storage);
  return out ? std::optional<std::string>(*out) : std::nullopt;
}

TEST(HttpPathTest, KeepsAPlainPath) {
  for (const char* path : {"/", "/api", "/api/", "/api/v1/items.json", "/~user/a-b_c", "/@scope:x/$a&b='(c)*+,!"}) {
    EXPECT_EQ(canonical(path), path);
  }
}

TEST(HttpPathTest, SpellsEachOctetInOneWay) {
  EXPECT_EQ(canonical("/%61pi/%7Euser/%2d%41"), "/api/~user/-A");
  EXPECT_EQ(canonical("/a%21%28b%40c"), "/a!(b@c");
  EXPECT_EQ(canonical("/a%20b/%c3%bc"), "/a%20b/%C3%BC");
  EXPECT_EQ(canonical("/a\"<b>{c}|^`"), "/a%22%3Cb%3E%7Bc%7D%7C%5E%60");
  EXPECT_EQ(canonical("/100%25"), "/100%25");
  EXPECT_EQ(canonical("/%3f%23"), "/%3F%23") << "they belong to the path";
}

TEST(HttpPathTest, RemovesDotSegments) {
  EXPECT_EQ(canonical("/a/./b"), "/a/b");
  EXPECT_EQ(canonical("/a/b/../c"), "/a/c");
  EXPECT_EQ(canonical("/a/b/.."), "/a/");
  EXPECT_EQ(canonical("/a/b/."), "/a/b/");
  EXPECT_EQ(canonical("/a/.."), "/");
  EXPECT_EQ(canonical("/."), "/");
  EXPECT_EQ(canonical("/a/b/../../c/d/.."), "/c/");
  EXPECT_EQ(canonical("/.a/..b/c../..."), "/.a/..b/c../...");
}

TEST(HttpPathTest, HasNoFormForWhatTwoServersCouldReadDifferently) {
  for (const char* path :
       {"", "api", "*", "/..", "/../a", "/a/../..", "/a/../../b", "/%2e", "/a/%2e%2e/b", "/a/.%2e/b", "/a/%2E./b", "/a%2fb", "/a%2Fb",
        "/a\\b", "/a%5cb", "/a%00b", "/a%0ab", "/a%7f", "/%", "/%4", "/%zz", "/a%4", "/%u002f", "/%252e", "/%252fetc", "/%25%32%66",
        "//", "//a", "/a//b", "/a;b=c/d", "/a%3bb", "/%c0%af", "/%C0%AE%C0%AE", "/%ff", "/a%f8b"}) {
    EXPECT_EQ(canonical(path), std::nullopt) << path;
  }
}

TEST(HttpPathTest, HasNoFormForWhatIsNotUtf8) {
  for (const char* path : {"/%e0%80%ae", "/%e0%80%af", "/%e0%9f%bf", "/%f0%80%80%ae", "/%f0%8f%bf%bf", "/%ae", "/a%80b", "/%c2", "/%c2/x", "/%c2a",
                           "/%e2%82", "/%e2%82/%ac", "/%e2%82a", "/%f0%9f%98", "/%ed%a0%80", "/%f4%90%80%80", "/%f5%80%80%80", "/%c3%bc%bc", "/\xe0\x80\xae",
                           "/\xc3", "/\xc3%80\x80"}) {
    EXPECT_EQ(canonical(path), std::nullopt) << path;
  }
  EXPECT_EQ(canonical("/%e0%a0%80%ed%9f%bf%f0%90%80%80%f4%8f%bf%bf%c2%80"), "/%E0%A0%80%ED%9F%BF%F0%90%80%80%F4%8F%BF%BF%C2%80");
  EXPECT_EQ(canonical("/\xc3%bc/\xe2\x82\xac"), "/%C3%BC/%E2%82%AC") << "whichever of them are encoded";
}

TEST(HttpPathTest, HasNoFormThatDoesNotFit) {
  std::array<char, 4> storage;
  EXPECT_EQ(canonical_http_path("/abc", storage), "/abc");
  EXPECT_FALSE(canonical_http_path("/abcd", storage));
  EXPECT_FALSE(canonical_http_path("/a\"", std::span(storage)));
  EXPECT_FALSE(canonical_http_path("/a/..", std::span(storage).first(1))) << "it needs room while it is written";
}

TEST(HttpPathTest, TheFormOfAFormIsItself) {
  std::mt19937 random(7);
  const std::string alphabet = "/./..%2eaA%25;\\\"~ü%41";
  std::size_t forms = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string path = "/";
    const std::size_t length = random() % 12;
    for (std::size_t j = 0; j < length; ++j) path += alphabet[random() % alphabet.size()];
    const auto once = canonical(path);
    if (!once) continue;
    ++forms;
    EXPECT_EQ(canonical(*once), once) << path;
    EXPECT_LE(once->size(), 3 * path.size());
    EXPECT_EQ(once->find("/../"), std::string::npos);
    EXPECT_EQ(once->find("//"), std::string::npos);
  }
  EXPECT_GT(forms, 1'000U);
}

TEST(HttpPathTest, APrefixEndsWithASegment) {
  EXPECT_TRUE(has_path_prefix("/api", "/api"));
  EXPECT_TRUE(has_path_prefix("/api/x", "/api"));
  EXPECT_FALSE(has_path_prefix("/apis", "/api"));
  EXPECT_TRUE(has_path_prefix("/api/", "/api/"));
  EXPECT_TRUE(has_path_prefix("/api/x", "/api/"));
  EXPECT_FALSE(has_path_prefix("/api", "/api/"));
  EXPECT_TRUE(has_path_prefix("/x", "/"));
}

}  // namespace
}  // namespace sallyport
