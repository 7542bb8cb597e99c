#include "sallyport/pcap/link_layer.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sallyport::pcap {
namespace {

constexpr int kHeadersMax = 16;  // Tags, labels and encapsulations in one frame; real ones have up to five.

// Link types: https://www.tcpdump.org/linktypes.html; libpcap gives the DLT_ value where the two differ.
constexpr int kDltNull = 0;
constexpr int kDltEthernet = 1;
constexpr int kDltPpp = 9;
constexpr int kDltRawLinux = 12;
constexpr int kDltRawOpenBsd = 14;
constexpr int kDltPppSerial = 50;
constexpr int kDltPppEther = 51;
constexpr int kDltRaw = 101;
constexpr int kDltCHdlc = 104;
constexpr int kDltLoop = 108;
constexpr int kDltLinuxSll = 113;
constexpr int kDltPppWithDirection = 204;
constexpr int kDltIpv4 = 228;
constexpr int kDltIpv6 = 229;
constexpr int kDltNflog = 239;
constexpr int kDltLinuxSll2 = 276;

// Ethertypes: IEEE 802 Numbers (IANA).
constexpr std::uint16_t kEthertypeMin = 0x0600;  // Below: an IEEE 802.3 length.
constexpr std::uint16_t kEthertypeIpv4 = 0x0800;
constexpr std::uint16_t kEthertypeIpv6 = 0x86dd;
constexpr std::uint16_t kEthertypeVlan = 0x8100;
constexpr std::uint16_t kEthertypeProviderVlan = 0x88a8;
constexpr std::uint16_t kEthertypeOldProviderVlan = 0x9100;
constexpr std::uint16_t kEthertypeMpls = 0x8847;
constexpr std::uint16_t kEthertypeMplsMulticast = 0x8848;
constexpr std::uint16_t kEthertypePppoeSession = 0x8864;
constexpr std::uint16_t kEthertypeCiscoMetadata = 0x8909;
constexpr std::uint16_t kEthertypeTransparentBridging = 0x6558;
// Linux cooked captures put these in the protocol field (if_ether.h: ETH_P_802_3, ETH_P_802_2).
constexpr std::uint16_t kLinux8023 = 0x0001;
constexpr std::uint16_t kLinux8022 = 0x0004;

// PPP protocol numbers, RFC 1332, RFC 5072, RFC 3032 §4.3.
constexpr std::uint16_t kPppIpv4 = 0x0021;
constexpr std::uint16_t kPppIpv6 = 0x0057;
constexpr std::uint16_t kPppMpls = 0x0281;

enum class Next : std::uint8_t { kIp, kEthernet, kEthertype, kMpls, kPppoe, kPpp, kLlc };

// Step is where the walk stands: what comes next, and for kEthertype which one.
struct Step {
  Next next = Next::kIp;
  std::uint16_t ethertype = 0;
};
using StepResult = std::expected<Step, LinkError>;

constexpr StepResult cut() { return std::unexpected(LinkError::kCut); }
constexpr StepResult not_ip() { return std::unexpected(LinkError::kNotIp); }

StepResult ethernet(ByteReader& in) {
  std::uint16_t type = 0;
  if (!in.skip(12) || !in.read_u16(type)) return cut();
  if (type < kEthertypeMin) return Step{Next::kLlc, 0};
  return Step{Next::kEthertype, type};
}

StepResult ethertype(ByteReader& in, std::uint16_t type) {
  std::uint16_t inner = 0;
  switch (type) {
    case kEthertypeIpv4:
    case kEthertypeIpv6: return Step{Next::kIp, 0};
    case kEthertypeVlan:
    case kEthertypeProviderVlan:
    case kEthertypeOldProviderVlan:
      if (!in.skip(2) || !in.read_u16(inner)) return cut();
      // IEEE 802.1Q: a tagged 802.3 frame carries its length behind the tag.
      return inner < kEthertypeMin ? Step{Next::kLlc, 0} : Step{Next::kEthertype, inner};
    case kEthertypeCiscoMetadata:  // Version, length, one option of four bytes, ethertype.
      if (!in.skip(6) || !in.read_u16(inner)) return cut();
      return Step{Next::kEthertype, inner};
    case kEthertypeMpls:
    case kEthertypeMplsMulticast: return Step{Next::kMpls, 0};
    case kEthertypePppoeSession: return Step{Next::kPppoe, 0};
    case kEthertypeTransparentBridging: return Step{Next::kEthernet, 0};
    default: return not_ip();
  }
}

// RFC 3032 §2.1. Nothing in the label stack says what it carries; routers guess by the first nibble
// (RFC 4928 §3): 4 and 6 are IP, 0 is a pseudowire's control word (RFC 4385) with Ethernet behind it.
StepResult mpls(ByteReader& in) {
  std::uint32_t entry = 0;
  for (int labels = 0; labels < kHeadersMax; ++labels) {
    if (!in.read_u32(entry)) return cut();
    if ((entry & 0x100) == 0) continue;
    if (in.empty()) return cut();
    const unsigned nibble = in.rest()[0] >> 4;
    if (nibble == 4 || nibble == 6) return Step{Next::kIp, 0};
    if (nibble == 0 && !in.skip(4)) return cut();
    return Step{Next::kEthernet, 0};
  }
  return std::unexpected(LinkError::kTooManyHeaders);
}

StepResult pppoe(ByteReader& in) {
  std::uint8_t version_type = 0;
  std::uint8_t code = 0;
  if (!in.read_u8(version_type) || !in.read_u8(code) || !in.skip(4)) return cut();
  if (version_type != 0x11 || code != 0) return not_ip();  // RFC 2516 §4
  return Step{Next::kPpp, 0};
}

StepResult ppp(ByteReader& in) {
  if (in.empty()) return cut();
  if (in.rest()[0] == 0xff && !in.skip(2)) return cut();  // Address and control, RFC 1662 §3.1.
  if (in.empty()) return cut();
  std::uint16_t protocol = 0;
  if ((in.rest()[0] & 1) != 0) {  // Compressed protocol field, RFC 1661 §6.5.
    std::uint8_t low = 0;
    if (!in.read_u8(low)) return cut();
    protocol = low;
  } else if (!in.read_u16(protocol)) {
    return cut();
  }
  switch (protocol) {
    case kPppIpv4:
    case kPppIpv6: return Step{Next::kIp, 0};
    case kPppMpls: return Step{Next::kMpls, 0};
    default: return not_ip();
  }
}

StepResult llc(ByteReader& in) {
  std::uint8_t dsap = 0;
  std::uint8_t ssap = 0;
  std::uint8_t control = 0;
  std::uint32_t organisation = 0;
  std::uint16_t type = 0;
  if (!in.read_u8(dsap) || !in.read_u8(ssap) || !in.read_u8(control)) return cut();
  if (control != 0x03) return not_ip();
  if (dsap == 0x06 && ssap == 0x06) return Step{Next::kIp, 0};  // RFC 948
  if (dsap != 0xaa || ssap != 0xaa) return not_ip();
  if (!in.read_u24(organisation) || !in.read_u16(type)) return cut();
  // RFC 1042, and the bridge-tunnel encapsulation of IEEE 802.1H.
  if (organisation != 0 && organisation != 0x0000f8) return not_ip();
  return Step{Next::kEthertype, type};
}

// The address family is in the byte order of the machine that captured; its numbers differ by system.
StepResult null_loop(ByteReader& in) {
  std::uint32_t family = 0;
  if (!in.read_u32(family)) return cut();
  if (family > 0xffff) family = std::byteswap(family);
  switch (family) {
    case 2:               // AF_INET everywhere.
    case 10:              // AF_INET6: Linux,
    case 23:              // Windows,
    case 24:              // NetBSD, OpenBSD,
    case 28:              // FreeBSD,
    case 30: return Step{Next::kIp, 0};  // macOS.
    default: return not_ip();
  }
}

// Linux cooked captures: `type` is an ethertype or one of Linux's own numbers below it.
StepResult cooked(std::uint16_t type) {
  if (type == kLinux8023 || type == kLinux8022) return Step{Next::kLlc, 0};
  if (type < kEthertypeMin) return not_ip();
  return Step{Next::kEthertype, type};
}

StepResult linux_sll(ByteReader& in) {
  std::uint16_t type = 0;
  if (!in.skip(14) || !in.read_u16(type)) return cut();
  return cooked(type);
}

StepResult linux_sll2(ByteReader& in) {
  std::uint16_t type = 0;
  if (!in.read_u16(type) || !in.skip(18)) return cut();
  return cooked(type);
}

// NFLOG: family, version, resource id, then attributes whose length and type are in the byte order of
// the reading machine (libpcap turns them). The payload attribute must be found within the frame.
StepResult nflog(ByteReader& in) {
  constexpr std::uint16_t kPayload = 9;  // NFULA_PAYLOAD
  std::uint8_t family = 0;
  std::uint8_t version = 0;
  if (!in.read_u8(family) || !in.read_u8(version) || !in.skip(2)) return cut();
  if (version != 0 || (family != 2 && family != 10)) return not_ip();
  const auto u16 = [&in](std::size_t at, bool turned) {
    std::uint16_t value = 0;
    std::memcpy(&value, in.rest().data() + at, sizeof value);
    return turned ? std::byteswap(value) : value;
  };
  // A pcapng section of the other byte order has them as they were written. Attributes are short, and so is the
  // first of them, which tells the order.
  const bool turned = in.size() >= 4 && u16(0, false) > in.size() && u16(0, true) <= in.size();
  while (in.size() >= 4) {  // Every turn takes at least four bytes.
    const std::uint16_t length = u16(0, turned);
    const std::uint16_t type = u16(2, turned);
    if (length < 4) return cut();
    if ((type & 0x7fff) == kPayload) return in.skip(4), Step{Next::kIp, 0};
    if (!in.skip(std::min<std::size_t>((length + 3u) & ~3u, in.size()))) return cut();
  }
  return cut();
}

StepResult cisco_hdlc(ByteReader& in) {
  std::uint16_t type = 0;
  if (!in.skip(2) || !in.read_u16(type)) return cut();
  return Step{Next::kEthertype, type};
}

StepResult ppp_serial(ByteReader& in) {
  if (in.empty()) return cut();
  // 0x0f and 0x8f are Cisco HDLC's addresses, which share this link type.
  const bool cisco = in.rest()[0] == 0x0f || in.rest()[0] == 0x8f;
  return cisco ? cisco_hdlc(in) : ppp(in);
}

StepResult first_step(int link_type, ByteReader& in) {
  switch (link_type) {
    case kDltEthernet: return Step{Next::kEthernet, 0};
    case kDltNull:
    case kDltLoop: return null_loop(in);
    case kDltRawLinux:
    case kDltRawOpenBsd:
    case kDltRaw:
    case kDltIpv4:
    case kDltIpv6: return Step{Next::kIp, 0};
    case kDltPpp: return Step{Next::kPpp, 0};
    case kDltPppWithDirection: return in.skip(1) ? StepResult(Step{Next::kPpp, 0}) : cut();
    case kDltPppSerial: return ppp_serial(in);
    case kDltPppEther: return Step{Next::kPppoe, 0};
    case kDltCHdlc: return cisco_hdlc(in);
    case kDltLinuxSll: return linux_sll(in);
    case kDltLinuxSll2: return linux_sll2(in);
    case kDltNflog: return nflog(in);
    default: return std::unexpected(LinkError::kUnknownLinkType);
  }
}

StepResult advance(const Step& step, ByteReader& in) {
  switch (step.next) {
    case Next::kEthernet: return ethernet(in);
    case Next::kEthertype: return ethertype(in, step.ethertype);
    case Next::kMpls: return mpls(in);
    case Next::kPppoe: return pppoe(in);
    case Next::kPpp: return ppp(in);
    case Next::kLlc: return llc(in);
    case Next::kIp: return step;
  }
  return not_ip();
}

// ip_length returns the packet's length by its own header, or `wire_rest` where the header leaves it open
// (segmentation offload writes zero; so does an IPv6 jumbogram) or contradicts itself.
std::size_t ip_length(ByteSpan packet, std::size_t wire_rest) {
  constexpr std::size_t kIpv4Header = 20;
  constexpr std::size_t kIpv6Header = 40;
  const unsigned version = packet[0] >> 4;
  if (version == 4 && packet.size() >= kIpv4Header) {
    const std::size_t total = std::size_t{packet[2]} << 8 | packet[3];
    const std::size_t header = std::size_t{packet[0] & 0x0fu} * 4;
    return total >= std::max(header, kIpv4Header) ? total : wire_rest;
  }
  if (version == 6 && packet.size() >= kIpv6Header) {
    const std::size_t payload = std::size_t{packet[4]} << 8 | packet[5];
    constexpr std::uint8_t kNoNextHeader = 59;  // RFC 8200 §4.7
    if (payload == 0 && packet[6] != kNoNextHeader) return wire_rest;
    return kIpv6Header + payload;
  }
  return wire_rest;
}

}  // namespace

std::expected<IpSpan, LinkError> find_ip(int link_type, ByteSpan frame, std::uint32_t wire_length) {
  ByteReader in(frame);
  StepResult step = first_step(link_type, in);
  for (int headers = 0; step && step->next != Next::kIp; ++headers) {
    if (headers == kHeadersMax) return std::unexpected(LinkError::kTooManyHeaders);
    step = advance(*step, in);
  }
  if (!step) return std::unexpected(step.error());
  const ByteSpan rest = in.rest();
  if (rest.empty()) return std::unexpected(LinkError::kCut);
  const unsigned version = rest[0] >> 4;
  if (version != 4 && version != 6) return std::unexpected(LinkError::kNotIp);
  const std::size_t missing = wire_length > frame.size() ? wire_length - frame.size() : 0;
  const std::size_t length = ip_length(rest, rest.size() + missing);
  return IpSpan{rest.first(std::min(length, rest.size())), static_cast<std::uint32_t>(length)};
}

}  // namespace sallyport::pcap
