// Datagrams: what each recogniser takes, that a cut or lengthened one is not taken, and that random bytes
// are nobody's.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "sallyport/parsers/infrastructure.h"
#include "sallyport/parsers/realtime.h"
#include "sallyport/parsers/recognisers.h"
#include "sallyport/parsers/vpn.h"
#include "support/dns_builder.h"

namespace sallyport::parsers {
namespace {

using namespace std::string_literals;
using Bytes = std::vector<std::uint8_t>;

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

std::string random_text(std::size_t size, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string stun_binding() {
  return "\0\1\0\x08\x21\x12\xa4\x42"s + "transaction!" + "\x80\x22\0\4abcd"s;
}

// dtls_hello makes a ClientHello record with these extensions.
std::string dtls_hello(const std::string& extensions, const std::string& cookie = "") {
  const auto prefixed = [](const std::string& text, int width) {
    std::string out;
    for (int i = width - 1; i >= 0; --i) out += static_cast<char>(text.size() >> (8 * i));
    return out + text;
  };
  const std::string body = "\xfe\xfd"s + std::string(32, 'r') + prefixed("", 1) + prefixed(cookie, 1) +
                           prefixed("\xc0\x2b"s, 2) + prefixed("\0"s, 1) + prefixed(extensions, 2);
  const std::string size = prefixed(body, 3).substr(0, 3);
  const std::string handshake = "\1"s + size + "\0\0"s + "\0\0\0"s + size + body;
  return "\x16\xfe\xff\0\0\0\0\0\0\0\0"s + prefixed(handshake, 2);
}

std::string ntp_client() {
  return "\x23\0\6\xec"s + std::string(36, '\0') + "\xe9\x12\x34\x56\x78\x9a\xbc\xde"s;
}

std::string dhcp_discover() {
  return "\1\1\6\0\x12\x34\x56\x78"s + std::string(20, '\0') + "\2\0\0\0\0\1"s + std::string(202, '\0') +
         "\x63\x82\x53\x63"s + "\x35\1\1\xff"s;
}

struct Sample {
  Protocol protocol;
  std::string datagram;
};

const std::vector<Sample>& samples() {
  static const std::vector<Sample> kSamples = {
      {Protocol::kStun, stun_binding()},
      {Protocol::kStun, "\0\1\0\x08"s + "classic-id-16byt" + "\0\3\0\4\0\0\0\0"s},
      {Protocol::kDtls, dtls_hello("")},
      {Protocol::kWireguard, "\1\0\0\0"s + random_text(144)},
      {Protocol::kWireguard, "\2\0\0\0"s + random_text(88)},
      {Protocol::kWireguard, "\4\0\0\0\x12\x34\x56\x78\1\0\0\0\0\0\0\0"s + random_text(112)},
      {Protocol::kOpenvpn, "\x38sessionX\0\0\0\0\0"s},
      {Protocol::kOpenvpn, "\x38sessionX"s + random_text(20) + "\0\0\0\1\x65\0\0\0"s + "\0\0\0\0\0"s},
      {Protocol::kOpenvpn, "\x38sessionX\0\0\0\1\x65\0\0\0"s + random_text(37)},
      {Protocol::kIke,
       "initSPI!"s + std::string(8, '\0') + "\x21\x20\x22\x08\0\0\0\0\0\0\0\x24"s + "payload!"},
      {Protocol::kIke,
       "\0\0\0\0"s + "initSPI!" + "respSPI!" + "\x2e\x20\x23\x08\0\0\0\1\0\0\0\x20"s + "body"},
      {Protocol::kIke, "initSPI!"s + std::string(8, '\0') + "\1\x10\2\0\0\0\0\0\0\0\0\x20"s + "body"},
      {Protocol::kNtp, ntp_client()},
      {Protocol::kNtp, "\x1b"s + std::string(47, '\0')},
      {Protocol::kNtp, "\x23\0\6\x20"s + std::string(36, '\0') + random_text(8)},                      // chrony's first request,
      {Protocol::kNtp, "\x23\0\6\x20"s + std::string(20, '\0') + random_text(16) + random_text(8)},  // and a later one.
      {Protocol::kDhcp, dhcp_discover()},
      {Protocol::kDhcp, "\1\x12\x34\x56\0\1\0\x0a\0\3\0\1\2\0\0\0\0\1\0\x08\0\2\0\0"s},
      {Protocol::kSnmp,
       "\x30\x26\2\1\1\4\6public\xa0\x19\2\1\1\2\1\0\2\1\0\x30\x0e\x30\x0c\6\x08\x2b\6\1\2\1\1\1\0\5\0"s},
      {Protocol::kSyslog, "<34>1 2003-10-11T22:14:15.003Z host su - ID47 - failed"s},
      {Protocol::kSyslog, "<13>Feb  5 17:32:18 host program: message"s},
      {Protocol::kSsdp, "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nST: ssdp:all\r\n\r\n"s},
      {Protocol::kSip, "OPTIONS sip:a@example.com SIP/2.0\r\nVia: x\r\n\r\n"s},
      {Protocol::kLdap,
       "\x30\x25\2\1\1\x63\x20\4\0\x0a\1\0\x0a\1\0\2\1\0\2\1\0\1\1\0\x87\x0bobjectClass\x30\0"s},
      {Protocol::kBittorrent, "d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:qe"s},
      {Protocol::kBittorrent, "\0\0\4\x17\x27\x10\x19\x80\0\0\0\0abcd"s},
      {Protocol::kBittorrent, "\x41\0\x12\x34\x55\x66\x77\x88\0\0\0\0\0\4\0\0\0\1\0\0"s},
  };
  return kSamples;
}

TEST(UdpRecognisersTest, KnowEachProtocol) {
  for (const Sample& sample : samples()) {
    EXPECT_EQ(recognise_udp(bytes_of(sample.datagram)).protocol, sample.protocol)
        << to_string(sample.protocol) << " of " << sample.datagram.size() << " bytes";
  }
}

TEST(UdpRecognisersTest, NoPrefixIsTakenForAnythingElse) {
  for (const Sample& sample : samples()) {
    for (std::size_t length = 0; length < sample.datagram.size(); ++length) {
      const Bytes prefix = bytes_of(std::string_view(sample.datagram).substr(0, length));
      const Protocol seen = recognise_udp(prefix).protocol;
      EXPECT_TRUE(seen == Protocol::kUnknown || seen == sample.protocol)
          << to_string(sample.protocol) << " taken for " << to_string(seen) << " at " << length;
    }
  }
}

TEST(UdpRecognisersTest, NetbiosNamesAreNetbios) {
  const Bytes query =
      testing::DnsMessageBuilder().flags(0x0110).question("FHEPFCELEHFCEPFFFACACACACACACABL", 32).build();
  EXPECT_EQ(recognise_udp(query).protocol, Protocol::kNetbios);
  const Bytes dns = testing::DnsMessageBuilder().question("www.example.com", 1).build();
  EXPECT_EQ(recognise_udp(dns).protocol, Protocol::kUnknown);
}

TEST(StunTest, LengthsMustFit) {
  const std::string good = stun_binding();
  EXPECT_EQ(looks_like_stun(bytes_of(good)), Likeness::kYes);
  EXPECT_EQ(looks_like_stun(bytes_of(good + "x")), Likeness::kNo);
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_EQ(looks_like_stun(bytes_of(good.substr(0, length))), Likeness::kNo) << length;
  }
  std::string overrun = good;
  overrun[23] = 5;
  EXPECT_EQ(looks_like_stun(bytes_of(overrun)), Likeness::kNo);
}

TEST(RtpTest, TwoPacketsOfOneSourceAreNeeded) {
  const Bytes first = bytes_of("\x80\0\0\1\0\0\0\xa0SSRCvoice"s);
  const Bytes second = bytes_of("\x80\0\0\2\0\0\1\x40SSRCvoice"s);
  const Bytes other = bytes_of("\x80\0\0\2\0\0\1\x40OTHRvoice"s);
  const Bytes far = bytes_of("\x80\0\x10\2\0\0\1\x40SSRCvoice"s);
  EXPECT_EQ(recognise_udp(first).protocol, Protocol::kUnknown);
  EXPECT_TRUE(recognise_udp(first).undecided);
  EXPECT_EQ(recognise_udp(second, first).protocol, Protocol::kRtp);
  EXPECT_EQ(recognise_udp(other, first).protocol, Protocol::kUnknown);
  EXPECT_EQ(recognise_udp(far, first).protocol, Protocol::kUnknown);
  EXPECT_EQ(recognise_udp(first, first).protocol, Protocol::kUnknown);
}

TEST(RtpTest, ACompoundReportIsEnough) {
  EXPECT_EQ(looks_like_rtp(bytes_of("\x80\xc9\0\1SSRC\x81\xca\0\2SSRC\1\0\0\0"s), {}), Likeness::kYes);
  EXPECT_EQ(looks_like_rtp(bytes_of("\x80\xc9\0\2SSRC"s), {}), Likeness::kNo);
  EXPECT_EQ(looks_like_rtp(bytes_of("\x81\xca\0\1SSRC"s), {}), Likeness::kNo);  // A description comes second.
}

TEST(WireguardTest, EachTypeHasItsSize) {
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string body = random_text(200);
    EXPECT_EQ(looks_like_wireguard(bytes_of(("\1\0\0\0"s + body).substr(0, size))),
              size == 148 ? Likeness::kYes : Likeness::kNo);
    EXPECT_EQ(looks_like_wireguard(bytes_of(("\2\0\0\0"s + body).substr(0, size))),
              size == 92 ? Likeness::kYes : Likeness::kNo);
  }
  EXPECT_EQ(looks_like_wireguard(bytes_of("\1\0\0\1"s + random_text(144))), Likeness::kNo);
}

TEST(SyslogTest, PrioritiesAreBounded) {
  const auto likeness = [](const std::string& text) { return looks_like_syslog(bytes_of(text)); };
  EXPECT_EQ(likeness("<191>a message"), Likeness::kYes);
  EXPECT_EQ(likeness("<192>a message"), Likeness::kNo);
  EXPECT_EQ(likeness("<013>a message"), Likeness::kNo);
  EXPECT_EQ(likeness("<>a message"), Likeness::kNo);
  EXPECT_EQ(likeness("<1a>a message"), Likeness::kNo);
  EXPECT_EQ(likeness("<13>bin\1ary...."), Likeness::kNo);
  EXPECT_EQ(likeness("<13>short"), Likeness::kNo);
}

TEST(SnmpTest, LengthsMustFit) {
  const std::string good = std::ranges::find(samples(), Protocol::kSnmp, &Sample::protocol)->datagram;
  ASSERT_EQ(looks_like_snmp(bytes_of(good)), Likeness::kYes);
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_EQ(looks_like_snmp(bytes_of(good.substr(0, length))), Likeness::kNo) << length;
  }
  EXPECT_EQ(looks_like_snmp(bytes_of(good + "x")), Likeness::kNo);
}

int taken_of(unsigned seed, unsigned zero_of_eight) {
  std::mt19937 random(seed);
  int taken = 0;
  Bytes previous;
  for (int i = 0; i < 200'000; ++i) {
    Bytes bytes(random() % 160);
    for (auto& byte : bytes)
      byte = random() % 8 < zero_of_eight ? std::uint8_t{0} : static_cast<std::uint8_t>(random());
    taken += recognise_udp(bytes, previous).protocol != Protocol::kUnknown ? 1 : 0;
    previous = bytes;
  }
  return taken;
}

TEST(UdpRecognisersTest, RandomDatagramsAreUnknown) {
  EXPECT_LE(taken_of(21, 0), 20);
}

TEST(UdpRecognisersTest, SparseRandomDatagramsAreSeldomTaken) {
  EXPECT_LE(taken_of(22, 6), 100);
}

}  // namespace
}  // namespace sallyport::parsers
