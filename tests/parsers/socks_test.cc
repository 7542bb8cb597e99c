// SOCKS 4, 4a and 5 before the tunnel.
#include "sallyport/parsers/socks.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "support/prefixes.h"

namespace sallyport::parsers {
namespace {

using namespace std::string_literals;
using sallyport::testing::exact_prefix;

std::vector<std::uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }

// expect_whole_only tells that every shorter prefix asks for more and that what stands behind is not read.
template <typename Read>
void expect_whole_only(const std::string& message, Read&& read) {
  const auto all = bytes(message);
  for (std::size_t length = 0; length < all.size(); ++length) {
    const auto prefix = exact_prefix(all, length);
    EXPECT_EQ(read(ByteSpan(prefix)).framing, Framing::kNeedMore) << length;
  }
  const auto more = bytes(message + "more");
  const auto result = read(ByteSpan(more));
  EXPECT_EQ(result.framing, Framing::kComplete);
  EXPECT_EQ(result.length, all.size());
}

SocksRequest request5(const std::string& text) { return read_socks_request(as_bytes_of(text), kSocks5); }
SocksRequest request4(const std::string& text) { return read_socks_request(as_bytes_of(text), kSocks4); }

const std::string kByName = "\x05\x01\x00\x03\x0cgood.example\x01\xbb"s;
const std::string kByIpv4 = "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"s;
const std::string kByIpv6 = "\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x16"s;
const std::string kSocks4Address = "\x04\x01\x00\x50\xc0\x00\x02\x01user\0"s;
const std::string kSocks4aName = "\x04\x01\x01\xbb\0\0\0\x01user\0good.example\0"s;

TEST(SocksTest, EachMessageIsReadWholeAndNothingBehindIt) {
  expect_whole_only("\x05\x02\x00\x02"s, read_socks5_greeting);
  expect_whole_only("\x05\x02"s, read_socks5_method);
  expect_whole_only("\x01\x04user\x06secret"s, read_socks5_authentication);
  expect_whole_only("\x01\x00\x00"s, read_socks5_authentication);
  expect_whole_only("\x01\x00"s, read_socks5_status);
  const auto request = [](std::uint8_t version) { return [version](ByteSpan span) { return read_socks_request(span, version); }; };
  for (const std::string& text : {kByName, kByIpv4, kByIpv6}) expect_whole_only(text, request(kSocks5));
  for (const std::string& text : {kSocks4Address, kSocks4aName}) expect_whole_only(text, request(kSocks4));
  const auto reply = [](std::uint8_t version) { return [version](ByteSpan span) { return read_socks_reply(span, version); }; };
  expect_whole_only("\x05\x00\x00\x01\0\0\0\0\0\0"s, reply(kSocks5));
  expect_whole_only("\x05\x00\x00\x03\x02xy\0\0"s, reply(kSocks5));
  expect_whole_only("\x05\x05\x00\x04"s + std::string(18, '\0'), reply(kSocks5));
  expect_whole_only("\x00\x5a\0\0\0\0\0\0"s, reply(kSocks4));
}

TEST(SocksTest, ARequestSaysNameOrAddressAndPort) {
  EXPECT_EQ(request5(kByName).name, "good.example");
  EXPECT_FALSE(request5(kByName).address);
  EXPECT_EQ(request5(kByName).port, 443);
  EXPECT_EQ(request5(kByIpv4).address, IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(request5(kByIpv4).port, 80);
  EXPECT_EQ(request5(kByIpv6).address, IpAddress::parse("2001:db8::1"));
  EXPECT_EQ(request5(kByIpv6).port, 22);
  EXPECT_EQ(request4(kSocks4Address).address, IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(request4(kSocks4aName).name, "good.example");
  EXPECT_FALSE(request4(kSocks4aName).address);
  EXPECT_EQ(request4(kSocks4aName).port, 443);
  EXPECT_EQ(request5("\x05\x01\x00\x03\x09"s + "192.0.2.1" + "\x00\x50"s).address, IpAddress::parse("192.0.2.1")) << "a literal as a name";
  EXPECT_EQ(request5("\x05\x01\x00\x03\x03::1\x00\x50"s).address, IpAddress::parse("::1"));
}

TEST(SocksTest, TheCommandIsTold) {
  EXPECT_EQ(request5("\x05\x02"s + kByIpv4.substr(2)).command, SocksCommand::kBind);
  EXPECT_EQ(request5("\x05\x03"s + kByIpv4.substr(2)).command, SocksCommand::kUdpAssociate);
  EXPECT_EQ(request4("\x04\x02"s + kSocks4Address.substr(2)).command, SocksCommand::kBind);
}

TEST(SocksTest, WhatBreaksTheFormIsMalformed) {
  const auto malformed = [](Framing framing) { return framing == Framing::kMalformed; };
  EXPECT_TRUE(malformed(read_socks5_greeting(as_bytes_of("\x05\x00"s)).framing));
  EXPECT_TRUE(malformed(read_socks5_greeting(as_bytes_of("\x04"s)).framing));
  EXPECT_TRUE(malformed(read_socks5_authentication(as_bytes_of("\x05"s)).framing));
  EXPECT_TRUE(malformed(read_socks5_status(as_bytes_of("\x05"s)).framing));
  EXPECT_TRUE(malformed(read_socks5_method(as_bytes_of("H"s)).framing));
  EXPECT_TRUE(malformed(read_socks_reply(as_bytes_of("\x04"s), kSocks4).framing));
  EXPECT_TRUE(malformed(read_socks_reply(as_bytes_of("\x00"s), kSocks5).framing));
  EXPECT_TRUE(malformed(request5("\x04\x01"s).framing));
  EXPECT_TRUE(malformed(request4("\x05\x01"s).framing));
  EXPECT_TRUE(malformed(request5("\x05\x04"s + kByIpv4.substr(2)).framing)) << "no such command";
  EXPECT_TRUE(malformed(request5("\x05\x00"s + kByIpv4.substr(2)).framing));
  EXPECT_TRUE(malformed(request4("\x04\x03"s + kSocks4Address.substr(2)).framing)) << "only SOCKS 5 has it";
  EXPECT_TRUE(malformed(request5("\x05\x01\x01"s).framing)) << "the reserved octet";
  EXPECT_TRUE(malformed(request5("\x05\x01\x00\x02"s).framing)) << "no such address type";
  EXPECT_TRUE(malformed(request5("\x05\x01\x00\x03\x00"s).framing)) << "an empty name";
  EXPECT_TRUE(malformed(request4("\x04\x01\x00\x50\0\0\0\x01\0\0"s).framing)) << "an empty name";
  EXPECT_TRUE(malformed(request4("\x04\x01\x00\x50\xc0\0\2\1"s + std::string(256, 'u')).framing)) << "a user name without end";
}

TEST(SocksTest, OnlyOneAnswerBeginsATunnel) {
  EXPECT_EQ(read_socks_reply(as_bytes_of("\x00\x5a\0\0\0\0\0\0"s), kSocks4).answer, 0);
  for (const int code : {0, 1, 89, 91, 92, 93, 255}) {
    const std::string reply = "\x00"s + static_cast<char>(code) + std::string(6, '\0');
    EXPECT_NE(read_socks_reply(as_bytes_of(reply), kSocks4).answer, 0) << code;
  }
  EXPECT_EQ(read_socks_reply(as_bytes_of("\x05\x05\x00\x01\0\0\0\0\0\0"s), kSocks5).answer, 5);
}

}  // namespace
}  // namespace sallyport::parsers
