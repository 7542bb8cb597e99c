// DNS messages (RFC 1035), their framing over TCP, EDNS (RFC 6891) and service bindings (RFC 9460).
// mDNS (RFC 6762) and LLMNR (RFC 4795) have the same form: the caller tells them apart by port and address.
//
// Everything here is a pure function over a span, without allocation. Spans in results are views into the
// input and are valid for as long as the input is. Names are copied, because compression scatters them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/parse_error.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

inline constexpr std::size_t kDnsHeaderSize = 12;      // RFC 1035 §4.1.1
inline constexpr std::size_t kDnsNameWireMax = 255;    // RFC 1035 §2.3.4, length octets and root included.
inline constexpr std::size_t kDnsLabelMax = 63;        // RFC 1035 §2.3.4
inline constexpr std::size_t kDnsMessageMax = 65'535;  // RFC 1035 §4.2.2
// A name of four labels with every octet escaped as \DDD, and the dots between them.
inline constexpr std::size_t kDnsNameTextMax = (kDnsNameWireMax - 5) * 4 + 3;

// Values of DnsQuestion::type and DnsRecord::type (IANA "DNS Parameters").
inline constexpr std::uint16_t kDnsTypeA = 1;
inline constexpr std::uint16_t kDnsTypeNs = 2;
inline constexpr std::uint16_t kDnsTypeCname = 5;
inline constexpr std::uint16_t kDnsTypeSoa = 6;
inline constexpr std::uint16_t kDnsTypePtr = 12;
inline constexpr std::uint16_t kDnsTypeMx = 15;
inline constexpr std::uint16_t kDnsTypeTxt = 16;
inline constexpr std::uint16_t kDnsTypeAaaa = 28;
inline constexpr std::uint16_t kDnsTypeSrv = 33;
inline constexpr std::uint16_t kDnsTypeDname = 39;
inline constexpr std::uint16_t kDnsTypeOpt = 41;
inline constexpr std::uint16_t kDnsTypeSvcb = 64;
inline constexpr std::uint16_t kDnsTypeHttps = 65;
inline constexpr std::uint16_t kDnsTypeIxfr = 251;
inline constexpr std::uint16_t kDnsTypeAxfr = 252;
inline constexpr std::uint16_t kDnsTypeAny = 255;

inline constexpr std::uint16_t kDnsClassIn = 1;

// Values of DnsHeader::opcode.
inline constexpr std::uint8_t kDnsOpcodeQuery = 0;
inline constexpr std::uint8_t kDnsOpcodeIquery = 1;  // RFC 3425: obsolete.
inline constexpr std::uint8_t kDnsOpcodeStatus = 2;
inline constexpr std::uint8_t kDnsOpcodeNotify = 4;  // RFC 1996
inline constexpr std::uint8_t kDnsOpcodeUpdate = 5;  // RFC 2136
inline constexpr std::uint8_t kDnsOpcodeDso = 6;     // RFC 8490: no sections; TLVs follow the header.

// DnsName is a domain name in presentation form without the final dot, ASCII letters in lower case. Octets
// outside 0x21..0x7e are written \DDD, a dot or backslash inside a label \. and \\. The root is ".".
struct DnsName {
  std::array<char, kDnsNameTextMax> chars;  // Only the first `size` are set.
  std::uint16_t size = 0;
  std::uint8_t labels = 0;  // Without the root.
  // Every label is of letters, digits, hyphen and underscore, and it is not the root. DomainName::parse
  // takes such a text, unless it ends like an IPv4 address.
  bool is_host_name = false;

  // Only what is set is copied: the array is a thousand characters long.
  DnsName() {}  // NOLINT: `chars` stays unset on purpose.
  DnsName(const DnsName& other);
  DnsName& operator=(const DnsName& other);

  std::string_view text() const { return {chars.data(), size}; }
  bool is_root() const { return labels == 0; }
  friend bool operator==(const DnsName& a, const DnsName& b) { return a.text() == b.text(); }
};

struct DnsHeader {
  std::uint16_t id = 0;
  bool is_response = false;  // QR
  std::uint8_t opcode = 0;
  bool authoritative = false;        // AA
  bool truncated = false;            // TC
  bool recursion_desired = false;    // RD
  bool recursion_available = false;  // RA
  bool reserved = false;             // Z, must be zero.
  bool authentic_data = false;       // AD
  bool checking_disabled = false;    // CD
  std::uint8_t rcode = 0;            // The low four bits; the rest is DnsEdns::extended_rcode.
  std::uint16_t question_count = 0;
  std::uint16_t answer_count = 0;
  std::uint16_t authority_count = 0;
  std::uint16_t additional_count = 0;
};

struct DnsQuestion {
  DnsName name;
  std::uint16_t type = 0;
  std::uint16_t dns_class = 0;  // mDNS: the top bit asks for a unicast answer.
};

enum class DnsSection : std::uint8_t { kAnswer, kAuthority, kAdditional };

struct DnsRecord {
  DnsName name;
  std::uint16_t type = 0;
  std::uint16_t dns_class = 0;  // OPT: the UDP payload size. mDNS: the top bit flushes caches.
  std::uint32_t ttl = 0;        // Seconds as sent (OPT: flags). RFC 2181 §8: the top bit set means 0.
  ByteSpan rdata;
  std::size_t rdata_offset = 0;  // From the beginning of the message.
  DnsSection section = DnsSection::kAnswer;
};

// DnsEdns is what the OPT record says (RFC 6891 §6.1).
struct DnsEdns {
  bool present = false;
  std::uint16_t udp_size = 0;
  std::uint8_t extended_rcode = 0;
  std::uint8_t version = 0;
  bool dnssec_ok = false;
  ByteSpan options;  // Well-formed; see DnsOptionReader.
};

// DnsMessage is a message whose every question and record was walked: the readers below cannot fail on it.
// Record data is not looked into, save the list of EDNS options; address_of() and its kin do that.
struct DnsMessage {
  ByteSpan bytes;
  DnsHeader header;
  std::optional<DnsQuestion> question;  // The first one.
  DnsEdns edns;
  std::size_t records_offset = 0;  // Where the answer section begins.
  ByteSpan trailing;               // What stands behind the last record (with opcode DSO: its TLVs).
};

// parse_dns_message reads one whole message (over TCP: without its length).
//   kMalformed   a shortage, a bad label, a pointer that does not point backwards, a name over 255 octets, a
//                second OPT, or an OPT that breaks RFC 6891 §6.1.
//   kTooLong     more than kDnsRecordsMax questions and records, or kDnsPointersMax pointers in one name.
std::expected<DnsMessage, ParseError> parse_dns_message(ByteSpan message);

// read_first_dns_question reads the header and one question, whatever stands behind: for reports, never for a
// decision. nullopt: there is no question, or it is cut or malformed.
std::optional<DnsQuestion> read_first_dns_question(ByteSpan message);

// DnsQuestionReader walks all questions of a message, DnsRecordReader all records of its three sections.
// next() fills `out` and returns true, or returns false at the end. The message must outlive the reader.
class DnsQuestionReader {
 public:
  explicit DnsQuestionReader(const DnsMessage& message);
  bool next(DnsQuestion& out);

 private:
  ByteSpan message_;
  std::size_t offset_ = kDnsHeaderSize;
  std::size_t left_ = 0;
};

class DnsRecordReader {
 public:
  explicit DnsRecordReader(const DnsMessage& message);
  bool next(DnsRecord& out);

 private:
  ByteSpan message_;
  std::size_t offset_ = 0;
  std::array<std::size_t, 3> left_{};
};

// DnsOptionReader walks DnsEdns::options.
class DnsOptionReader {
 public:
  explicit DnsOptionReader(ByteSpan options) : in_(options) {}
  bool next(std::uint16_t& code, ByteSpan& value);

 private:
  ByteReader in_;
};

// address_of returns the address of an A or AAAA record of class IN, or nullopt.
std::optional<IpAddress> address_of(const DnsRecord& record);

// target_of returns the name inside an NS, CNAME, PTR, MX, SRV, DNAME, SVCB or HTTPS record, or nullopt
// when the record is of another type or its data is malformed. A root target of SVCB and HTTPS means the
// owner itself, or with priority 0 that there is no service (RFC 9460 §2.5).
std::optional<DnsName> target_of(const DnsMessage& message, const DnsRecord& record);

// Values of DnsSvcParam::key (RFC 9460 §14.3.2).
inline constexpr std::uint16_t kSvcParamAlpn = 1;
inline constexpr std::uint16_t kSvcParamPort = 3;
inline constexpr std::uint16_t kSvcParamIpv4Hint = 4;
inline constexpr std::uint16_t kSvcParamEch = 5;
inline constexpr std::uint16_t kSvcParamIpv6Hint = 6;

struct DnsSvcParam {
  std::uint16_t key = 0;
  ByteSpan value;
  std::size_t value_offset = 0;  // From the beginning of the message.
};

struct DnsServiceBinding {
  std::uint16_t priority = 0;  // 0: alias.
  DnsName target;
  ByteSpan params;                // Well-formed, keys strictly ascending (RFC 9460 §2.2).
  std::size_t params_offset = 0;  // From the beginning of the message.
};

// parse_service_binding reads the data of an SVCB or HTTPS record.
std::expected<DnsServiceBinding, ParseError> parse_service_binding(const DnsMessage& message,
                                                                   const DnsRecord& record);

// DnsSvcParamReader walks the parameters of a service binding.
class DnsSvcParamReader {
 public:
  explicit DnsSvcParamReader(const DnsServiceBinding& binding)
      : in_(binding.params), end_offset_(binding.params_offset + binding.params.size()) {}
  bool next(DnsSvcParam& out);

 private:
  ByteReader in_;
  std::size_t end_offset_ = 0;
};

// DnsTcpMessage is one message of a DNS stream (RFC 1035 §4.2.2). `message` and `consumed` (length octets
// included) are set with kComplete alone.
struct DnsTcpMessage {
  Framing framing = Framing::kNeedMore;
  ByteSpan message;
  std::size_t consumed = 0;
};

// read_dns_tcp_message reads the message at the beginning of `stream`. kMalformed: shorter than a header.
// kTooLong: longer than message_max (a query: kDnsQueryMax; an answer: kDnsMessageMax).
DnsTcpMessage read_dns_tcp_message(ByteSpan stream, std::size_t message_max);

// looks_like_dns tells by the bytes alone whether a datagram is a DNS message: a sane header, questions (or,
// without any, records) of known types and classes, and everything walks to the end. kMaybe: it is cut off,
// and was one up to there. Neither the reserved bit nor trailing bytes speak against it: DnsHeader::reserved
// and DnsMessage::trailing tell of them. NetBIOS names, which have the same form, are not DNS.
Likeness looks_like_dns(ByteSpan message);

// looks_like_dns_tcp tells the same of the first bytes of a stream. It answers kYes once the first question
// is whole.
Likeness looks_like_dns_tcp(ByteSpan stream, std::size_t message_max = kDnsQueryMax);

// dns_type_name returns the mnemonic of a type ("AAAA"), or "TYPE65280" (RFC 3597 §5) written into `buffer`.
using DnsTypeBuffer = std::array<char, 9>;
std::string_view dns_type_name(std::uint16_t type, DnsTypeBuffer& buffer);

}  // namespace sallyport::parsers
