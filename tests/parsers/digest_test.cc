#include "digest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sallyport::parsers {
namespace {

template <std::size_t Size>
std::string hex(const std::array<std::uint8_t, Size>& digest) {
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 0xf];
  }
  return text;
}

TEST(DigestTest, Md5OfRfc1321) {
  std::array<std::uint8_t, 16> digest;
  md5(ByteSpan(), digest);
  EXPECT_EQ(hex(digest), "d41d8cd98f00b204e9800998ecf8427e");
  md5(as_bytes_of("message digest"), digest);
  EXPECT_EQ(hex(digest), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(DigestTest, Md5OfPartsIsThatOfTheWhole) {
  std::array<std::uint8_t, 16> digest;
  const std::array<ByteSpan, 3> parts = {as_bytes_of("message"), as_bytes_of(""), as_bytes_of(" digest")};
  md5(parts, digest);
  EXPECT_EQ(hex(digest), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(DigestTest, Sha256OfFips180) {
  std::array<std::uint8_t, 32> digest;
  sha256(as_bytes_of("abc"), digest);
  EXPECT_EQ(hex(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace sallyport::parsers
