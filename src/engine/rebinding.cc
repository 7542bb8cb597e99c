// DNS rebinding: an answer that gives a public name an address of this network would let a page or program that trusts the name
// reach what is inside. In place of such an answer its client gets NXDOMAIN, with the reason as an Extended DNS Error. Over UDP
// the datagram is made anew; in a stream the refusal is as long as the answer was (strip_ech.cc).
#include <algorithm>

#include "inspector_impl.h"
#include "notice_text.h"
#include "replaced_packet.h"
#include "sallyport/refusal/dns.h"

namespace sallyport::engine {
namespace {

// An answer may be shorter than the reason. It grows by no more than what every client takes (RFC 1035 §4.2.1); nobody is sent
// one who has not asked, so there is nothing to amplify.
constexpr std::size_t kRefusalUdpMax = 512;

std::size_t write_refusal(refusal::Buffer out, const parsers::DnsMessage& message, const IpAddress& address, const refusal::DnsRefusal& how) {
  std::array<char, refusal::kNoticeTextMax> chars;
  NoticeText text(chars);
  IpAddress::Text storage;
  text << "sallyport: " << message.question->name.text().substr(0, DomainName::kMaxLength) << " has the address " << address.text(storage)
       << ", which is not public (dns.rebinding)";
  const refusal::Notice notice = {.text = text.from(0), .name = {}, .scope = {}, .rule = {}, .reason = {}};
  return dns_refusal_instead(out, notice, message.bytes, how);
}

// first_of_hints returns the first address hint of an HTTPS or SVCB record that is `bad`, whatever the record's target is.
template <typename Bad>
std::optional<IpAddress> first_of_hints(const parsers::DnsMessage& message, const parsers::DnsRecord& record, Bad&& bad) {
  const auto binding = parsers::parse_service_binding(message, record);
  if (!binding) return std::nullopt;
  parsers::DnsSvcParamReader params(*binding);
  parsers::DnsSvcParam param;
  while (params.next(param)) {
    const std::size_t size = param.key == parsers::kSvcParamIpv4Hint ? 4 : param.key == parsers::kSvcParamIpv6Hint ? 16 : 0;
    for (std::size_t at = 0; size != 0 && at + size <= param.value.size(); at += size) {
      const auto address = IpAddress::from_bytes(param.value.subspan(at, size));
      if (address && bad(*address)) return address;
    }
  }
  return std::nullopt;
}

}  // namespace

// gives_addresses tells the questions whose answers lead their clients to addresses.
bool Inspector::Impl::gives_addresses(const parsers::DnsQuestion& question) {
  switch (question.type) {
    case parsers::kDnsTypeA:
    case parsers::kDnsTypeAaaa:
    case parsers::kDnsTypeHttps:
    case parsers::kDnsTypeSvcb:
    case parsers::kDnsTypeSrv:
    case parsers::kDnsTypeMx: return true;
    default: return false;
  }
}

// rebound_address returns an address that makes the answer one of rebinding. It is looked for in every record, at the end of the
// aliases or not: clients differ in what they follow. What counts is the name that was asked for, as that is what is trusted.
std::optional<IpAddress> Inspector::Impl::rebound_address(const parsers::DnsMessage& message) const {
  if (!message.header.is_response || !message.question || policy_->dns().rebinding == policy::Rebinding::kAllow) return std::nullopt;
  if (!gives_addresses(*message.question)) return std::nullopt;  // Who asks for other types takes no address from the answer.
  const DomainName name = bound_name(*message.question).value_or(DomainName{});
  const auto bad = [&](const IpAddress& address) { return is_rebinding(address, name, *policy_); };
  parsers::DnsRecordReader records(message);
  parsers::DnsRecord record;
  while (records.next(record)) {
    if (record.dns_class != parsers::kDnsClassIn) continue;
    if (const auto address = parsers::address_of(record); address && bad(*address)) return address;
    if (record.type != parsers::kDnsTypeHttps && record.type != parsers::kDnsTypeSvcb) continue;
    if (const auto address = first_of_hints(message, record, bad)) return address;
  }
  return std::nullopt;
}

bool Inspector::Impl::refuses_rebinding() const { return policy_->dns().rebinding == policy::Rebinding::kRefuse; }

// report_rebinding tells of one answer. The flow goes on as it was: its next question is judged for itself.
void Inspector::Impl::report_rebinding(const Flow& flow, const parsers::DnsMessage& message, const IpAddress& address) {
  FlowEvent& event = report(flow, FlowEvent::Kind::kVerdict, message.question->name.text());
  event.verdict = refuses_rebinding() ? FlowVerdict::kDeny : FlowVerdict::kAllow;
  event.reason = Reason::kRebinding;
  event.rule = kNoRule;
  event.answer = address;
}

// refuse_answer makes the refusal of a datagram. Where that cannot be, in a tunnel, the answer is dropped.
Decision Inspector::Impl::refuse_answer(const Flow& flow, const Packet& packet, const parsers::IpPacket& ip) {
  const Decision dropped{.reason = Reason::kRebinding};
  if (observing() || flow.key.tunnel != 0 || ip.truncated) return dropped;
  const auto message = parsers::parse_dns_message(ip.payload);
  const auto address = message ? rebound_address(*message) : std::nullopt;
  if (!address) return dropped;
  std::array<std::uint8_t, refusal::kRefusalMax> out;
  const std::size_t most = std::clamp(ip.payload.size(), kRefusalUdpMax, out.size());
  const std::size_t size = write_refusal(out, *message, *address, {.rcode = refusal::DnsRcode::kNxDomain, .size_max = most});
  if (size == 0 || !replace_datagram(replacement_, packet.bytes, ip, ByteSpan(out).first(size))) return dropped;
  replacement = replacement_;
  return pass(flow, Reason::kRebinding);
}

// refuse_answer writes the refusal over an answer of a stream. True: it did; false: the answer is none of rebinding.
bool Inspector::Impl::refuse_answer(std::span<std::uint8_t> bytes) {
  const auto message = parsers::parse_dns_message(bytes);
  const auto address = message ? rebound_address(*message) : std::nullopt;
  if (!address) return false;
  const refusal::DnsRefusal how = {.rcode = refusal::DnsRcode::kNxDomain, .size_max = bytes.size(), .fill = true};
  const std::span<std::uint8_t> out = std::span(refused_).first(bytes.size());
  if (write_refusal(out, *message, *address, how) == 0) std::ranges::fill(out, std::uint8_t{0});
  std::ranges::copy(out, bytes.begin());
  return true;
}

}  // namespace sallyport::engine
