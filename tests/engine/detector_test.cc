// What real programs send first, the rare forms too: each is known by its bytes, wherever it is cut nobody else claims
// it, and random bytes are nobody's.
#include "detector.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "support/packet_builder.h"

namespace sallyport::engine {
namespace {

using namespace std::string_literals;

using testing::Bytes;
using testing::bytes_of;

const FlowKey kUdpKey{Transport::kUdp, 17, testing::endpoint("10.0.0.1", 40'000), testing::endpoint("192.0.2.1", 7'777)};

struct Sample {
  const char* what;
  Protocol protocol;
  std::string bytes;
};

std::string filled(std::size_t size, char c = 'x') { return std::string(size, c); }

std::string be(std::size_t value, int width) {
  std::string out;
  for (int i = width - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  return out;
}

// ber writes one element of X.690 with a short or two-octet length.
std::string ber(char tag, const std::string& content) {
  return tag + (content.size() < 128 ? be(content.size(), 1) : "\x82" + be(content.size(), 2)) + content;
}

std::string mysql_greeting(const std::string& version) {
  const std::string body = "\x0a"s + version + "\0"s + "\x08\0\0\0"s + "saltsalt"s + "\0"s + "\xff\xf7"s + filled(30);
  return std::string(1, static_cast<char>(body.size())) + "\0\0\0"s + body;
}

std::string startup(const std::string& version, const std::string& parameters) {
  const std::string body = version + parameters + "\0"s;
  return be(body.size() + 4, 4) + body;
}

std::string rdp_request(const std::string& variable) {
  return "\3\0"s + be(11 + variable.size(), 2) + be(6 + variable.size(), 1) + "\xe0\0\0\0\0\0"s + variable;
}

std::string framed(const std::string& packet) { return be(packet.size(), 2) + packet; }

std::vector<Sample> client_streams() {
  const std::string ssh_kexinit = "\0\0\0\x14\4\x14"s;
  const std::string openvpn_v2 = "\x38sessionX\0\0\0\0\0"s;
  const std::string negotiation = "\1\0\x08\0\3\0\0\0"s;
  return {
      {"HTTP/1.0 without a field", Protocol::kHttp, "GET / HTTP/1.0\r\n\r\n"},
      {"absolute form", Protocol::kHttp, "GET http://a.example/ HTTP/1.1\r\n"},
      {"OPTIONS *", Protocol::kHttp, "OPTIONS * HTTP/1.1\r\n"},
      {"WebDAV", Protocol::kHttp, "PROPFIND /dav/ HTTP/1.1\r\n"},
      {"WebDAV with a hyphen", Protocol::kHttp, "VERSION-CONTROL /dav/ HTTP/1.1\r\n"},
      {"CalDAV", Protocol::kHttp, "MKCALENDAR /me HTTP/1.1\r\n"},
      {"UPnP events", Protocol::kHttp, "SUBSCRIBE /event HTTP/1.1\r\n"},
      {"Outlook Anywhere", Protocol::kHttp, "RPC_IN_DATA /rpc/rpcproxy.dll HTTP/1.1\r\n"},
      {"a cache's own", Protocol::kHttp, "PURGE /x HTTP/1.1\r\n"},
      {"empty lines first", Protocol::kHttp, "\r\n\r\nGET / HTTP/1.1\r\n"},
      {"HTTP/2", Protocol::kHttp2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {"SSH 1.99", Protocol::kSsh, "SSH-1.99-Cisco-1.25\r\n"},
      {"SSH with LF alone", Protocol::kSsh, "SSH-2.0-libssh\n"},
      {"SSH with its KEXINIT behind", Protocol::kSsh, "SSH-2.0-Go\r\n" + ssh_kexinit},
      {"SMTP", Protocol::kSmtp, "EHLO [192.0.2.1]\r\n"},
      {"LMTP", Protocol::kSmtp, "LHLO client\r\n"},
      {"SMTP, pipelined", Protocol::kSmtp, "EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"},
      {"MQTT 3.1", Protocol::kMqtt, "\x10\x14\0\6MQIsdp\3\2\0\x3c\0\6client"s},
      {"MQTT 3.1.1", Protocol::kMqtt, "\x10\x13\0\4MQTT\4\2\0\x3c\0\7client1"s},
      {"MQTT 3.1.1 without a client id", Protocol::kMqtt, "\x10\x0c\0\4MQTT\4\2\0\x3c\0\0"s},
      {"MQTT 5", Protocol::kMqtt, "\x10\x18\0\4MQTT\5\2\0\x3c\5\x11\0\0\0\x1e\0\6client"s},
      {"PostgreSQL 3.0", Protocol::kPostgresql, startup("\0\3\0\0"s, "user\0a\0"s)},
      {"PostgreSQL 3.2", Protocol::kPostgresql, startup("\0\3\0\2"s, "user\0a\0_pq_.x\0y\0"s)},
      {"PostgreSQL 2.0", Protocol::kPostgresql, "\0\0\1\x28\0\2\0\0"s + "template1"s + std::string(55, '\0') + "me"s + std::string(222, '\0')},
      {"PostgreSQL SSLRequest", Protocol::kPostgresql, "\0\0\0\x08\x04\xd2\x16\x2f"s},
      {"PostgreSQL SSLRequest and TLS at once", Protocol::kPostgresql, "\0\0\0\x08\x04\xd2\x16\x2f\x16\3\1\2\0"s},
      {"PostgreSQL GSSENCRequest", Protocol::kPostgresql, "\0\0\0\x08\x04\xd2\x16\x30"s},
      {"PostgreSQL CancelRequest", Protocol::kPostgresql, "\0\0\0\x10\x04\xd2\x16\x2e\0\0\1\0abcd"s},
      {"PostgreSQL 3.2 CancelRequest, a longer key", Protocol::kPostgresql, "\0\0\0\x2c\x04\xd2\x16\x2e\0\0\1\0"s + filled(32)},
      {"SMB1", Protocol::kSmb, "\0\0\0\x85\xffSMBr"s},
      {"SMB2", Protocol::kSmb, "\0\0\0\xf8\xfeSMB\x40\0"s},
      {"SMB3, encrypted", Protocol::kSmb, "\0\0\0\xf8\xfdSMB"s},
      {"RDP with a cookie", Protocol::kRdp, rdp_request("Cookie: mstshash=user\r\n" + negotiation)},
      {"RDP with a routing token", Protocol::kRdp, rdp_request("Cookie: msts=3640205228.15629.0000\r\n" + negotiation)},
      {"RDP with negotiation alone", Protocol::kRdp, rdp_request(negotiation)},
      {"RDP with a correlation id", Protocol::kRdp, rdp_request("\1\x08\x08\0\x0b\0\0\0\6\0\x24\0"s + filled(32))},
      {"SOCKS4", Protocol::kSocks, "\4\1\0\x50\xc6\x33\x64\7user\0"s},
      {"SOCKS4a", Protocol::kSocks, "\4\1\1\xbb\0\0\0\1\0a.example\0"s},
      {"SOCKS5", Protocol::kSocks, "\5\3\0\1\2"s},
      {"SIP over TCP", Protocol::kSip, "INVITE sip:bob@b.example SIP/2.0\r\n"},
      {"SIP keep-alive first", Protocol::kSip, "\r\n\r\nREGISTER sips:b.example SIP/2.0\r\n"},
      {"OpenVPN", Protocol::kOpenvpn, framed(openvpn_v2)},
      {"OpenVPN, key method 1", Protocol::kOpenvpn, framed("\x08sessionX\0\0\0\0\0"s)},
      {"STUN over TCP", Protocol::kStun, "\0\1\0\0\x21\x12\xa4\x42"s + "transaction!"},
      {"Redis", Protocol::kRedis, "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"},
      {"BitTorrent", Protocol::kBittorrent, "\x13" "BitTorrent protocol" + filled(8, '\0')},
      {"LDAP StartTLS", Protocol::kLdap, ber(0x30, "\2\1\1"s + ber(0x77, ber('\x80', "1.3.6.1.4.1.1466.20037")))},
      {"syslog over TCP, RFC 5424 with octet counts", Protocol::kSyslog,
       "62 <34>1 2026-10-11T22:14:15.003Z host su 77 ID47 - 'su root' failed"},
      {"syslog over TCP, one line a message", Protocol::kSyslog, "<34>Oct 11 22:14:15 mymachine su: 'su root' failed\n"},
      {"NetBIOS session", Protocol::kNetbios, "\x81\0\0\x44\x20"s + filled(32, 'C') + "\0\x20"s + filled(32, 'A') + "\0"s},
      {"AMQP 0-9-1", Protocol::kAmqp, "AMQP\0\0\x09\1"s},
      {"XMPP", Protocol::kXmpp, "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>"},
      {"DNS over TCP", Protocol::kDns, framed("\1\2\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\x41\0\1"s)},
      {"DNS over TCP, the root's servers", Protocol::kDns, framed("\1\2\0\0\0\1\0\0\0\0\0\0\0\0\2\0\1"s)},
      {"SSLv2 hello", Protocol::kTls, "\x80\x2e\1\0\2\0\x15\0\0\0\x10"s + filled(37)},
  };
}

TEST(DetectorTest, KnowsWhatClientsSendFirst) {
  for (const Sample& sample : client_streams()) {
    const Detection detection = detect_stream(bytes_of(sample.bytes));
    EXPECT_EQ(to_string(detection.protocol), to_string(sample.protocol)) << sample.what;
    EXPECT_TRUE(detection.known) << sample.what;
  }
}

TEST(DetectorTest, NoPrefixOfAStreamIsTakenForAnotherProtocol) {
  for (const Sample& sample : client_streams()) {
    for (std::size_t length = 0; length < sample.bytes.size(); ++length) {
      const Detection detection = detect_stream(bytes_of(sample.bytes.substr(0, length)));
      EXPECT_TRUE(!detection.known || detection.protocol == sample.protocol)
          << sample.what << " at " << length << " is " << to_string(detection.protocol);
    }
  }
}

struct Session {
  const char* what;
  Protocol protocol;
  std::string client, server;
};

TEST(DetectorTest, KnowsWhatServersSayFirst) {
  const std::vector<Session> sessions = {
      {"SMTP of many lines", Protocol::kSmtp, "EHLO a\r\n", "220-mx.example ESMTP\r\n220-No spam\r\n220 go\r\n"},
      {"SMTP, no client yet", Protocol::kSmtp, "", "220 mx.example ESMTP Exim 4.96 Sun, 22 Nov 2026\r\n"},
      {"SMTP that is busy", Protocol::kSmtp, "", "421 mx.example ESMTP Service not available\r\n"},
      {"SMTP that refuses", Protocol::kSmtp, "EHLO a\r\n", "554 mx.example No SMTP service here\r\n"},
      {"LMTP", Protocol::kSmtp, "", "220 mail.example LMTP Dovecot ready\r\n"},
      {"FTP of many lines", Protocol::kFtp, "USER ftp\r\n", "220-Welcome\r\n\r\n free text\r\n220 ready\r\n"},
      {"FTP, lower case", Protocol::kFtp, "user ftp\r\n", "220 ProFTPD Server\r\n"},
      {"FTP, AUTH first", Protocol::kFtp, "AUTH SSL\r\n", "220 ready\r\n"},
      {"FTP that is full", Protocol::kFtp, "", "421 Too many FTP connections\r\n"},
      {"IMAP with capabilities", Protocol::kImap, "", "* OK [CAPABILITY IMAP4rev1 LOGIN-REFERRALS ID] Dovecot ready.\r\n"},
      {"IMAP, authenticated", Protocol::kImap, "", "* PREAUTH IMAP4rev2 server ready\r\n"},
      {"IMAP that refuses", Protocol::kImap, "", "* BYE Too many connections\r\n"},
      {"IMAP, an odd tag", Protocol::kImap, "A.1-x ID NIL\r\n", "* OK ready\r\n"},
      {"IMAP, a command of an extension", Protocol::kImap, "1 COMPRESS DEFLATE\r\n", "* OK ready\r\n"},
      {"POP3", Protocol::kPop3, "", "+OK POP3 server ready <1896.697170952@dbc.example>\r\n"},
      {"POP3 that refuses", Protocol::kPop3, "USER a\r\n", "-ERR too many connections\r\n"},
      {"POP3, upper and lower case", Protocol::kPop3, "Capa\r\n", "+OK\r\n"},
      {"MySQL 5", Protocol::kMysql, "", mysql_greeting("5.7.44-log")},
      {"MariaDB", Protocol::kMysql, "", mysql_greeting("5.5.5-10.11.6-MariaDB-0+deb12u1")},
      {"MySQL that refuses", Protocol::kMysql, "", "\x18\0\0\0\xff\x6a\4Host is not allowed.."s},
      {"SSH behind lines of text", Protocol::kSsh, "", "Welcome\r\nto this host\r\nSSH-2.0-OpenSSH_9.9\r\n"},
      {"SSH 1.99", Protocol::kSsh, "", "SSH-1.99-OpenSSH_3.9p1\n"},
      {"XMPP", Protocol::kXmpp, "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", ""},
      {"HTTP answer alone", Protocol::kHttp, "", "HTTP/1.1 200 OK\r\n"},
  };
  for (const Session& session : sessions) {
    EXPECT_EQ(to_string(detect_server(bytes_of(session.client), bytes_of(session.server))), to_string(session.protocol))
        << session.what;
  }
}

std::string dns_query(const std::string& flags, const std::string& question, const std::string& additional = "") {
  return "\1\2"s + flags + "\0\1\0\0\0\0"s + be(additional.empty() ? 0 : 1, 2) + question + additional;
}

std::string ntp(char first) { return first + "\0\6\xec"s + std::string(36, '\0') + "\xe9\x12\x34\x56\x78\x9a\xbc\xde"s; }

std::string openvpn_reset(char opcode) { return opcode + "sessionX\0\0\0\0\0"s; }

std::string snmp(char version, char pdu_tag) {
  const std::string pdu = ber(pdu_tag, "\2\1\7\2\1\0\2\1\0"s + ber(0x30, ber(0x30, ber(6, "\x2b\6\1\2\1\1") + "\5\0"s)));
  return ber(0x30, "\2\1"s + version + ber(4, "public") + pdu);
}

std::string dtls_record(const std::string& version, const std::string& message) {
  return "\x16"s + version + std::string(8, '\0') + be(message.size(), 2) + message;
}

std::string dtls_handshake(char type, const std::string& body) {
  return type + be(body.size(), 3) + "\0\0"s + "\0\0\0"s + be(body.size(), 3) + body;
}

std::vector<Sample> datagrams() {
  const std::string question = "\3www\7example\3com\0\0\1\0\1"s;
  const std::string binary_label = "\4\0\xff" "a.\3com\0\0\x10\0\1"s;
  const std::string cookie_option = "\0\0\x29\4\xd0\0\0\0\0\0\x0c\0\x0a\0\x08"s + "cookie!!";
  const std::string hello_body = "\xfe\xfd"s + filled(32) + "\0\0\0\2\xc0\x2b\1\0"s;
  const std::string hello13 = "\xfe\xfd"s + filled(32) + "\0\0\0\2\x13\1\1\0\0\7\0\x2b\0\3\2\xfe\xfc"s;
  const std::string with_cookie = "\xfe\xfd"s + filled(32) + "\0\x14"s + filled(20, 'c') + "\0\2\xc0\x2b\1\0"s;
  const std::string quic_initial = "\xc0\0\0\0\1\x08" "destconn\0\0\x44\x9e"s;
  return {
      {"DNS", Protocol::kDns, dns_query("\1\0"s, question)},
      {"DNS with an EDNS cookie", Protocol::kDns, dns_query("\1\0"s, question, cookie_option)},
      {"DNS for the root", Protocol::kDns, dns_query("\0\0"s, "\0\0\2\0\1"s)},
      {"DNS with a binary label", Protocol::kDns, dns_query("\1\0"s, binary_label)},
      {"DNS NOTIFY", Protocol::kDns, dns_query("\x24\0"s, "\7example\3com\0\0\6\0\1"s)},
      {"DNS UPDATE", Protocol::kDns, "\1\2\x28\0\0\1\0\0\0\1\0\0\7example\3com\0\0\6\0\1\1a\7example\3com\0\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"s},
      {"DNS CHAOS", Protocol::kDns, dns_query("\1\0"s, "\7version\4bind\0\0\x10\0\3"s)},
      {"STUN", Protocol::kStun, "\0\1\0\0\x21\x12\xa4\x42"s + "transaction!"},
      {"STUN of RFC 3489", Protocol::kStun, "\0\1\0\0"s + "classic-id-16byt"},
      {"STUN of RFC 3489, answer", Protocol::kStun, "\1\1\0\x0c"s + "classic-id-16byt" + "\0\1\0\x08\0\1\x9c\x40\xc0\0\2\1"s},
      {"TURN allocate", Protocol::kStun, "\0\3\0\x08\x21\x12\xa4\x42"s + "transaction!" + "\0\x19\0\4\x11\0\0\0"s},
      {"DTLS 1.0", Protocol::kDtls, dtls_record("\xfe\xff", dtls_handshake(1, hello_body))},
      {"DTLS 1.2", Protocol::kDtls, dtls_record("\xfe\xfd", dtls_handshake(1, hello_body))},
      {"DTLS 1.3", Protocol::kDtls, dtls_record("\xfe\xfd", dtls_handshake(1, hello13))},
      {"DTLS with a cookie", Protocol::kDtls, dtls_record("\xfe\xfd", dtls_handshake(1, with_cookie))},
      {"DTLS HelloVerifyRequest", Protocol::kDtls, dtls_record("\xfe\xff", dtls_handshake(3, "\xfe\xff\x14"s + filled(20)))},
      {"QUIC", Protocol::kQuic, quic_initial + filled(1'200 - quic_initial.size())},
      {"QUIC, an unknown version of the reserved form", Protocol::kQuic, "\xc0\x1a\x2a\x3a\x4a\x08" "destconn\0"s + filled(1'200)},
      {"NTP 1", Protocol::kNtp, ntp(0x0b)},
      {"NTP 2", Protocol::kNtp, ntp(0x13)},
      {"NTP 3", Protocol::kNtp, ntp(0x1b)},
      {"NTP 4", Protocol::kNtp, ntp(0x23)},
      {"NTP 4, clock not set", Protocol::kNtp, ntp(static_cast<char>(0xe3))},
      {"NTP 4, chrony", Protocol::kNtp, "\x23\0\6\x20"s + std::string(36, '\0') + "\xef\x9c\xed\x16\xaf\x09\x12\x6b"s},
      {"NTP control, readvar", Protocol::kNtp, "\x16\2\0\1\0\0\0\0\0\0\0\0"s},
      {"NTP private, monlist", Protocol::kNtp, "\x17\0\3\x2a\0\0\0\0"s},
      {"NTP private, monlist padded", Protocol::kNtp, "\x17\0\3\x2a"s + std::string(188, '\0')},
      {"DHCPv6 solicit", Protocol::kDhcp, "\1\xab\xcd\xef\0\1\0\x0a\0\3\0\1\2\0\0\0\0\1\0\x08\0\2\0\0"s},
      {"DHCPv6 information request", Protocol::kDhcp, "\x0b\xab\xcd\xef\0\1\0\x0a\0\3\0\1\2\0\0\0\0\1\0\6\0\4\0\x17\0\x18"s},
      {"BOOTP without options", Protocol::kDhcp, "\1\1\6\0\x12\x34\x56\x78"s + std::string(20, '\0') + "\2\0\0\0\0\1"s + std::string(202, '\0') + "\x63\x82\x53\x63\xff"s + std::string(59, '\0')},
      {"WireGuard initiation", Protocol::kWireguard, "\1\0\0\0"s + filled(144)},
      {"OpenVPN hard reset, method 1", Protocol::kOpenvpn, openvpn_reset(0x08)},
      {"OpenVPN hard reset, version 2", Protocol::kOpenvpn, openvpn_reset(0x38)},
      {"OpenVPN hard reset, version 3", Protocol::kOpenvpn, "\x50sessionX\0\0\0\1\x65\0\0\0"s + filled(32 + 5 + 300)},
      {"IKEv2", Protocol::kIke, "initSPI!"s + std::string(8, '\0') + "\x21\x20\x22\x08\0\0\0\0\0\0\0\x24"s + "payload!"},
      {"IKEv2 behind the non-ESP marker", Protocol::kIke, "\0\0\0\0initSPI!respSPI!\x2e\x20\x23\x08\0\0\0\1\0\0\0\x20"s + "body"},
      {"IKEv1 aggressive", Protocol::kIke, "initSPI!"s + std::string(8, '\0') + "\1\x10\4\0\0\0\0\0\0\0\0\x20"s + "body"},
      {"SNMP 1", Protocol::kSnmp, snmp('\0', static_cast<char>(0xa0))},
      {"SNMP 2c bulk", Protocol::kSnmp, snmp('\1', static_cast<char>(0xa5))},
      {"SNMP 3 discovery", Protocol::kSnmp,
       ber(0x30, "\2\1\3"s + ber(0x30, "\2\1\1\2\3\0\xff\xe3\4\1\4\2\1\3"s) + ber(4, ber(0x30, "\4\0\2\1\0\2\1\0\4\0\4\0\4\0"s)) +
                     ber(0x30, "\4\0\4\0"s + ber(static_cast<char>(0xa0), "\2\1\1\2\1\0\2\1\0\x30\0"s)))},
      {"syslog, RFC 3164", Protocol::kSyslog, "<34>Oct 11 22:14:15 mymachine su: 'su root' failed"},
      {"syslog, RFC 5424", Protocol::kSyslog, "<165>1 2026-10-11T22:14:15.003Z host evntslog - ID47 [a@1 b=\"c\"] \xef\xbb\xbftext"},
      {"syslog with a line end", Protocol::kSyslog, "<13>Nov 22 10:00:00 host app: text\n"},
      {"SSDP search", Protocol::kSsdp, "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n"},
      {"SSDP search, spaces and case", Protocol::kSsdp, "M-SEARCH * HTTP/1.1\r\nHost:239.255.255.250:1900\r\nst:upnp:rootdevice\r\nMan:\"ssdp:discover\"\r\n\r\n"},
      {"SSDP notify", Protocol::kSsdp, "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n\r\n"},
      {"SSDP answer", Protocol::kSsdp, "HTTP/1.1 200 OK\r\nST: ssdp:all\r\nUSN: uuid:1\r\n\r\n"},
      {"SIP", Protocol::kSip, "OPTIONS sip:b.example SIP/2.0\r\nVia: SIP/2.0/UDP a.example\r\n\r\n"},
      {"SIP answer", Protocol::kSip, "SIP/2.0 100 Trying\r\n\r\n"},
      {"NetBIOS name query", Protocol::kNetbios, "\1\2\1\x10\0\1\0\0\0\0\0\0\x20"s + filled(32, 'C') + "\0\0\x20\0\1"s},
      {"BitTorrent DHT", Protocol::kBittorrent, "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"},
      {"RTCP", Protocol::kRtp, "\x80\xc8\0\6SSRC"s + filled(20)},
  };
}

TEST(DetectorTest, KnowsDatagrams) {
  for (const Sample& sample : datagrams()) {
    EXPECT_EQ(to_string(detect_datagram(bytes_of(sample.bytes), kUdpKey)), to_string(sample.protocol)) << sample.what;
  }
}

// Cut datagrams are no whole messages: whatever is still known is no other protocol.
TEST(DetectorTest, NoPrefixOfADatagramIsTakenForAnotherProtocol) {
  for (const Sample& sample : datagrams()) {
    for (std::size_t length = 0; length < sample.bytes.size(); ++length) {
      const Protocol seen = detect_datagram(bytes_of(sample.bytes.substr(0, length)), kUdpKey);
      EXPECT_TRUE(seen == Protocol::kUnknown || seen == sample.protocol)
          << sample.what << " at " << length << " is " << to_string(seen);
    }
  }
}

TEST(DetectorTest, TellsMulticastNamesByTheirPorts) {
  const Bytes query = bytes_of(dns_query("\0\0"s, "\4host\5local\0\0\1\0\1"s));
  const auto on_port = [&](std::uint16_t port) {
    return detect_datagram(query, {Transport::kUdp, 17, testing::endpoint("10.0.0.1", 40'000), testing::endpoint("224.0.0.251", port)});
  };
  EXPECT_EQ(on_port(5'353), Protocol::kMdns);
  EXPECT_EQ(on_port(5'355), Protocol::kLlmnr);
  EXPECT_EQ(on_port(53), Protocol::kDns);
}

// A name for noise is worse than none. The figure is in docs/identification.md.
TEST(DetectorTest, RandomBytesAreUnknown) {
  constexpr int kCount = 200'000;
  std::mt19937 random(20'261'122);
  int datagrams_named = 0;
  int streams_named = 0;
  for (int i = 0; i < kCount; ++i) {
    Bytes bytes(1 + random() % 600);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    datagrams_named += detect_datagram(bytes, kUdpKey) != Protocol::kUnknown ? 1 : 0;
    const Detection detection = detect_stream(bytes);
    streams_named += detection.known && detection.protocol != Protocol::kUnknown ? 1 : 0;
  }
  EXPECT_EQ(datagrams_named, 0);
  EXPECT_EQ(streams_named, 0);
}

}  // namespace
}  // namespace sallyport::engine
