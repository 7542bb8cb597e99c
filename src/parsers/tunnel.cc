#include "sallyport/parsers/tunnel.h"

#include <algorithm>
#include <array>

#include "sallyport/core/ip_address.h"

namespace sallyport::parsers {
namespace {

constexpr std::uint16_t kIpv4Type = 0x0800, kArpType = 0x0806, kBridgeType = 0x6558, kIpv6Type = 0x86dd,
                        kErspanType = 0x88be, kErspan3Type = 0x22eb;  // IEEE 802 Numbers (IANA)
constexpr std::size_t kIpv4HeaderMin = 20, kIpv6Header = 40, kEthernetHeader = 14;
constexpr std::size_t kEthernetFrameMin = 60;  // IEEE 802.3 §4.2.3.3, without the checksum.

// GRE flags, RFC 2784 §2.1 and RFC 2890 §2.
constexpr std::uint16_t kGreChecksum = 0x8000, kGreKey = 0x2000, kGreSequence = 0x1000,
                        kGreVersion = 0x0007;
// RFC 2784 §2.1: a receiver discards what has one of these bits and does not implement RFC 1701.
constexpr std::uint16_t kGreOldBits = 0x4f00;
constexpr std::uint16_t kGreReserved = 0x00f8;

constexpr std::uint64_t kKeyedSegment = std::uint64_t{1} << 32, kBridgedSegment = std::uint64_t{1} << 33;

using Error = TunnelError;
using Result = std::expected<TunnelContent, TunnelError>;

// Rest is what is left to read: the captured bytes and how many there were.
struct Rest {
  ByteReader in;
  std::size_t size = 0;

  bool skip(std::size_t length) {
    if (!in.skip(length)) return false;
    size -= length;
    return true;
  }
  bool cut() const { return in.size() < size; }
  Error shortage() const { return cut() ? Error::kCut : Error::kMalformed; }
};

constexpr std::uint16_t u16_at(ByteSpan bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

// ip_length returns the length that an IP header gives; 0 where it leaves it open (segmentation offload, and the
// jumbograms of RFC 2675), none where the header is no IP header.
std::expected<std::size_t, Error> ip_length(const Rest& rest) {
  const ByteSpan bytes = rest.in.rest();
  if (bytes.empty()) return std::unexpected(rest.shortage());
  const unsigned version = bytes[0] >> 4;
  if (version == 4) {
    if (bytes.size() < kIpv4HeaderMin) return std::unexpected(rest.shortage());
    const std::size_t header = std::size_t{bytes[0] & 0x0fu} * 4;
    const std::size_t total = u16_at(bytes, 2);
    if (header < kIpv4HeaderMin || (total != 0 && total < header)) return std::unexpected(Error::kMalformed);
    return total;
  }
  if (version != 6) return std::unexpected(Error::kNotRead);
  if (bytes.size() < kIpv6Header) return std::unexpected(rest.shortage());
  const std::size_t payload = u16_at(bytes, 4);
  constexpr std::uint8_t kNoNextHeader = 59;
  if (payload == 0 && bytes[6] != kNoNextHeader) return 0;
  return kIpv6Header + payload;
}

// is_neighbour_discovery tells what RFC 4861 §4.1 to §4.4 sends on a link: from next door (a hop limit that no
// router has touched), to the link.
bool is_neighbour_discovery(ByteSpan packet) {
  constexpr std::size_t kSizeMax = 256;  // Real ones have one or two options of eight bytes, or a prefix of 32.
  constexpr std::uint8_t kIcmpv6 = 58, kRouterSolicitation = 133, kNeighbourAdvertisement = 136;
  if (packet.size() <= kIpv6Header || packet.size() > kSizeMax || packet[0] >> 4 != 6) return false;
  if (packet[6] != kIcmpv6 || packet[7] != 255) return false;
  const bool to_link = (packet[24] == 0xfe && (packet[25] & 0xc0) == 0x80) || (packet[24] == 0xff && packet[25] == 0x02);
  return to_link && packet[kIpv6Header] >= kRouterSolicitation && packet[kIpv6Header] <= kNeighbourAdvertisement;
}

// ip_inside takes an IP packet that must fill what is left, but for `padding` bytes at most.
Result ip_inside(const Rest& rest, std::uint64_t segment, std::size_t padding = 0) {
  const auto length = ip_length(rest);
  if (!length) return std::unexpected(length.error());
  const std::size_t total = *length == 0 ? rest.size : *length;
  if (total > rest.size) return std::unexpected(Error::kMalformed);
  if (rest.size - total > padding) return std::unexpected(Error::kTrailing);
  TunnelContent content;
  content.packet = rest.in.rest().first(std::min(total, rest.in.size()));
  content.wire_size = total;
  content.segment = segment;
  content.control = is_neighbour_discovery(content.packet);
  return content;
}

// RFC 826 for IPv4 over Ethernet: 28 bytes, of which none is free.
bool is_arp(ByteSpan body) {
  constexpr std::array<std::uint8_t, 6> kEthernetAndIpv4 = {0, 1, 0x08, 0x00, 6, 4};
  constexpr std::size_t kArpSize = 28;
  return body.size() >= kArpSize && std::equal(kEthernetAndIpv4.begin(), kEthernetAndIpv4.end(), body.begin()) &&
         body[6] == 0 && (body[7] == 1 || body[7] == 2);
}

// frame_inside takes an Ethernet frame without tags: what a tag means is the receiver's own affair (RFC 7348 §6.1).
Result frame_inside(Rest rest, std::uint64_t segment) {
  const std::size_t frame = rest.size;
  const ByteSpan header = rest.in.rest();
  if (header.size() < kEthernetHeader) return std::unexpected(rest.shortage());
  const std::uint16_t type = u16_at(header, kEthernetHeader - 2);
  (void)rest.skip(kEthernetHeader);
  const std::size_t padding = frame <= kEthernetFrameMin ? kEthernetFrameMin : 0;
  if (type == kIpv4Type || type == kIpv6Type) {
    if (!rest.in.empty() && rest.in.rest()[0] >> 4 != (type == kIpv4Type ? 4 : 6)) {
      return std::unexpected(Error::kMalformed);
    }
    return ip_inside(rest, segment | kBridgedSegment, padding);
  }
  if (type != kArpType) return std::unexpected(Error::kNotRead);
  if (!is_arp(rest.in.rest())) return std::unexpected(rest.cut() ? Error::kCut : Error::kNotRead);
  if (frame > kEthernetFrameMin) return std::unexpected(Error::kTrailing);
  TunnelContent content;
  content.control = true;
  return content;
}

Result typed_inside(const Rest& rest, std::uint16_t type, std::uint64_t segment) {
  if (type == kBridgeType) return frame_inside(rest, segment);
  if (type != kIpv4Type && type != kIpv6Type) return std::unexpected(Error::kNotRead);
  if (!rest.in.empty() && rest.in.rest()[0] >> 4 != (type == kIpv4Type ? 4 : 6)) {
    return std::unexpected(Error::kMalformed);
  }
  return ip_inside(rest, segment);
}

Result open_gre(Rest rest) {
  constexpr std::size_t kFieldSize = 4;  // Of checksum with its reserved half, key, and sequence number each.
  std::uint16_t flags = 0;
  std::uint16_t type = 0;
  std::uint64_t segment = 0;
  ByteReader look = rest.in;
  if (!look.read_u16(flags) || !look.read_u16(type)) return std::unexpected(rest.shortage());
  if ((flags & kGreVersion) != 0) return std::unexpected(Error::kNotRead);  // RFC 2637: PPP, often encrypted.
  if ((flags & kGreOldBits) != 0) return std::unexpected(Error::kMalformed);
  (void)rest.skip(4);
  if ((flags & kGreChecksum) != 0 && !rest.skip(kFieldSize)) return std::unexpected(rest.shortage());
  if ((flags & kGreKey) != 0) {
    std::uint32_t key = 0;
    look = rest.in;
    if (!look.read_u32(key)) return std::unexpected(rest.shortage());
    (void)rest.skip(kFieldSize);
    segment = kKeyedSegment | key;
  }
  if ((flags & kGreSequence) != 0 && !rest.skip(kFieldSize)) return std::unexpected(rest.shortage());
  return typed_inside(rest, type, segment);
}

Result open_vxlan(Rest rest) {
  constexpr std::uint32_t kFlags = 0x08000000;  // RFC 7348 §5: the I flag; everything else is reserved.
  std::uint32_t flags = 0;
  std::uint32_t network = 0;
  ByteReader look = rest.in;
  if (!look.read_u32(flags) || !look.read_u32(network)) return std::unexpected(rest.shortage());
  if (flags != kFlags || (network & 0xff) != 0) return std::unexpected(Error::kMalformed);
  (void)rest.skip(8);
  return frame_inside(rest, network >> 8);
}

Result open_geneve(Rest rest) {
  std::uint8_t version_and_length = 0;
  std::uint8_t flags = 0;
  std::uint16_t type = 0;
  std::uint32_t network = 0;
  ByteReader look = rest.in;
  if (!look.read_u8(version_and_length) || !look.read_u8(flags) || !look.read_u16(type) || !look.read_u32(network)) {
    return std::unexpected(rest.shortage());
  }
  // RFC 8926 §3.4: version 0; O: a control packet, C: critical options; the rest is reserved.
  if (version_and_length >> 6 != 0 || (flags & 0x3f) != 0 || (network & 0xff) != 0) {
    return std::unexpected(Error::kMalformed);
  }
  if ((flags & 0x80) != 0) return std::unexpected(Error::kNotRead);
  const std::size_t options = std::size_t{version_and_length & 0x3fu} * 4;
  if (!rest.skip(8 + options)) return std::unexpected(rest.shortage());
  return typed_inside(rest, type, network >> 8);
}

// skip_teredo_indications steps over the authentication and origin encapsulations, RFC 4380 §5.1.1, which come in
// this order and at most once.
bool skip_teredo_indications(Rest& rest) {
  ByteReader look = rest.in;
  std::uint16_t type = 0;
  if (!look.read_u16(type)) return true;
  if (type == 0x0001) {
    constexpr std::size_t kNonceAndConfirmation = 8 + 1;
    std::uint8_t identifier_length = 0;
    std::uint8_t authentication_length = 0;
    if (!look.read_u8(identifier_length) || !look.read_u8(authentication_length)) return false;
    if (!rest.skip(4u + identifier_length + authentication_length + kNonceAndConfirmation)) return false;
    look = rest.in;
    if (!look.read_u16(type)) return true;
  }
  constexpr std::size_t kOriginSize = 8;
  return type != 0x0000 || rest.skip(kOriginSize);
}

bool is_bubble(ByteSpan packet) {
  constexpr std::uint8_t kNoNextHeader = 59;  // RFC 4380 §2.8
  return packet.size() == kIpv6Header && packet[6] == kNoNextHeader;
}

Result open_teredo(Rest rest) {
  if (!skip_teredo_indications(rest)) return std::unexpected(rest.shortage());
  if (rest.in.size() < 2) return std::unexpected(rest.shortage());  // An indication could begin there.
  if (rest.in.rest()[0] >> 4 != 6) return std::unexpected(Error::kMalformed);
  auto content = ip_inside(rest, 0);
  if (content && is_bubble(content->packet)) content->control = true;
  return content;
}

// whole takes a datagram for what it is; recognisers know no other length than that of the bytes.
Rest whole(ByteSpan datagram) { return {ByteReader(datagram), datagram.size()}; }

// frame_could_be tells whether an Ethernet frame, perhaps cut, begins as one that carries ARP or IP.
bool frame_could_be(ByteSpan frame) {
  if (frame.size() <= kEthernetHeader) return false;
  const std::uint16_t type = u16_at(frame, kEthernetHeader - 2);
  const unsigned nibble = frame[kEthernetHeader] >> 4;
  return (type == kIpv4Type && nibble == 4) || (type == kIpv6Type && nibble == 6) ||
         (type == kArpType && is_arp(frame.subspan(kEthernetHeader)));
}

bool is_teredo_address(ByteSpan address) {
  const bool teredo = address[0] == 0x20 && address[1] == 0x01 && address[2] == 0 && address[3] == 0;  // §2.6
  constexpr std::array<std::uint8_t, 8> kLinkLocal = {0xfe, 0x80};  // RFC 4291 §2.5.6
  return teredo || std::equal(kLinkLocal.begin(), kLinkLocal.end(), address.begin());
}

// are_trailers tells whether bytes are the trailers of RFC 6081 §4: type, length, value.
bool are_trailers(ByteReader in) {
  while (!in.empty()) {  // Every turn takes at least two bytes.
    std::uint8_t type = 0;
    ByteReader value;
    if (!in.read_u8(type) || !in.read_prefixed<1>(value)) return false;
  }
  return true;
}

}  // namespace

Likeness looks_like_vxlan(ByteSpan datagram) {
  constexpr std::array<std::uint8_t, 4> kFlags = {0x08, 0, 0, 0};
  constexpr std::size_t kHeader = 8;
  const bool yes = datagram.size() > kHeader && std::equal(kFlags.begin(), kFlags.end(), datagram.begin()) &&
                   datagram[7] == 0 && frame_could_be(datagram.subspan(kHeader));
  return yes ? Likeness::kYes : Likeness::kNo;
}

Likeness looks_like_geneve(ByteSpan datagram) {
  constexpr std::size_t kHeader = 8;
  if (datagram.size() < kHeader) return Likeness::kNo;
  if (u16_at(datagram, 2) != kBridgeType) return open_geneve(whole(datagram)) ? Likeness::kYes : Likeness::kNo;
  const std::size_t options = std::size_t{datagram[0] & 0x3fu} * 4;
  const bool yes = datagram[0] >> 6 == 0 && (datagram[1] & 0x3f) == 0 && datagram[7] == 0 &&
                   datagram.size() > kHeader + options && frame_could_be(datagram.subspan(kHeader + options));
  return yes ? Likeness::kYes : Likeness::kNo;
}

Likeness looks_like_teredo(ByteSpan datagram) {
  Rest rest = whole(datagram);
  if (!skip_teredo_indications(rest)) return Likeness::kNo;
  const ByteSpan packet = rest.in.rest();
  if (packet.size() < kIpv6Header || packet[0] >> 4 != 6) return Likeness::kNo;
  if (!is_teredo_address(packet.subspan(8, 16)) && !is_teredo_address(packet.subspan(24, 16))) return Likeness::kNo;
  const std::size_t length = kIpv6Header + u16_at(packet, 4);
  if (length >= packet.size()) return Likeness::kYes;  // Whole, or cut by the capture.
  return are_trailers(ByteReader(packet.subspan(length))) ? Likeness::kYes : Likeness::kNo;
}

Protocol name_ip_protocol(std::uint8_t ip_protocol, ByteSpan payload) {
  constexpr std::uint8_t kEsp = 50, kAh = 51, kSctp = 132;  // RFC 4303, RFC 4302, RFC 9260
  switch (ip_protocol) {
    case kEsp: return Protocol::kEsp;
    case kAh: return Protocol::kAh;
    case kSctp: return Protocol::kSctp;
    default: return name_raw_tunnel(ip_protocol, payload);
  }
}

Protocol name_raw_tunnel(std::uint8_t ip_protocol, ByteSpan payload) {
  if (ip_protocol == kIpipProtocol) return Protocol::kIpip;
  if (ip_protocol == kSixInFourProtocol) return Protocol::kSixInFour;
  if (ip_protocol != kGreProtocol) return Protocol::kUnknown;
  if (payload.size() < 4) return Protocol::kGre;
  const std::uint16_t flags = u16_at(payload, 0);
  const std::uint16_t type = u16_at(payload, 2);
  if (type == kErspanType || type == kErspan3Type) return Protocol::kErspan;
  // RFC 7637 §3.2: the key is there, checksum and sequence number are not.
  const bool nvgre = type == kBridgeType && (flags & ~kGreReserved) == kGreKey;
  return nvgre ? Protocol::kNvgre : Protocol::kGre;
}

Protocol tunnel_at_home(std::uint16_t port) {
  switch (port) {
    case kVxlanPort: return Protocol::kVxlan;
    case kGenevePort: return Protocol::kGeneve;
    case kTeredoPort: return Protocol::kTeredo;
    default: return Protocol::kUnknown;
  }
}

Protocol tunnel_family(Protocol protocol) {
  switch (protocol) {
    case Protocol::kGre:
    case Protocol::kNvgre:
    case Protocol::kErspan: return Protocol::kGre;
    case Protocol::kIpip:
    case Protocol::kSixInFour:
    case Protocol::kVxlan:
    case Protocol::kGeneve:
    case Protocol::kTeredo: return protocol;
    default: return Protocol::kUnknown;
  }
}

Result open_tunnel(Protocol family, ByteSpan payload, std::size_t size) {
  const Rest rest{ByteReader(payload), std::max(size, payload.size())};
  const auto version_is = [&](unsigned version) { return !payload.empty() && payload[0] >> 4 == version; };
  switch (family) {
    case Protocol::kGre: return open_gre(rest);
    case Protocol::kVxlan: return open_vxlan(rest);
    case Protocol::kGeneve: return open_geneve(rest);
    case Protocol::kTeredo: return open_teredo(rest);
    case Protocol::kIpip: return version_is(4) ? ip_inside(rest, 0) : Result(std::unexpected(Error::kMalformed));
    case Protocol::kSixInFour: return version_is(6) ? ip_inside(rest, 0) : Result(std::unexpected(Error::kMalformed));
    default: return std::unexpected(Error::kNotRead);
  }
}

}  // namespace sallyport::parsers
