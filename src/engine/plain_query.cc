#include "plain_query.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "sallyport/core/domain_name.h"

namespace sallyport::engine {
namespace {

// What stub resolvers and clients ask for. Not: ANY, transfers, NULL and other types without use, private ones.
constexpr std::uint16_t kStubTypes[] = {
    1 /* A */,      2 /* NS */,         5 /* CNAME */,   6 /* SOA */,     12 /* PTR */,        15 /* MX */,
    16 /* TXT */,   28 /* AAAA */,      29 /* LOC */,    33 /* SRV */,    35 /* NAPTR */,      37 /* CERT */,
    39 /* DNAME */, 43 /* DS */,        44 /* SSHFP */,  48 /* DNSKEY */, 52 /* TLSA */,       53 /* SMIMEA */,
    59 /* CDS */,   60 /* CDNSKEY */,   61 /* OPENPGPKEY */, 64 /* SVCB */, 65 /* HTTPS */,    99 /* SPF */,
    256 /* URI */,  257 /* CAA */};
static_assert(std::is_sorted(std::begin(kStubTypes), std::end(kStubTypes)));

// EDNS options that end at the resolver, with the sizes that a query may give them.
struct HopOption {
  std::uint16_t code;
  std::size_t least;
  std::size_t most;
};
constexpr HopOption kHopOptions[] = {
    {3, 0, 0},                    // NSID, RFC 5001 §2.1
    {5, 0, 32},                   // DAU, DHU, N3U: lists of algorithms, RFC 6975
    {6, 0, 32},
    {7, 0, 32},
    {10, 8, 40},                  // COOKIE, RFC 7873 §4
    {11, 0, 0},                   // edns-tcp-keepalive, RFC 7828 §3.2.1
    {12, 0, kDnsDatagramMax},     // Padding, RFC 7830; of any value
};

bool option_passes(std::uint16_t code, std::size_t size, std::span<const std::uint16_t> more) {
  if (std::ranges::find(more, code) != more.end()) return true;
  const auto* const found = std::ranges::find(kHopOptions, code, &HopOption::code);
  return found != std::end(kHopOptions) && size >= found->least && size <= found->most;
}

Reason reason_against_edns(const parsers::DnsEdns& edns, std::span<const std::uint16_t> more_options) {
  if (edns.version != 0) return Reason::kUnsupportedVersion;
  if (edns.extended_rcode != 0) return Reason::kMalformed;
  parsers::DnsOptionReader options(edns.options);
  std::uint16_t code = 0;
  std::uint64_t seen = 0;
  for (ByteSpan value; options.next(code, value);) {
    if (!option_passes(code, value.size(), more_options)) return Reason::kQueryNotPlain;
    const std::uint64_t bit = std::uint64_t{1} << (code % 64);
    if (code < 64 && (seen & bit) != 0) return Reason::kAmbiguous;
    if (code < 64) seen |= bit;
  }
  return Reason::kNotEvaluated;
}

// Labels of services that clients look up (RFC 6335, RFC 8552) and of their transports.
constexpr std::string_view kServiceLabels[] = {
    "_autodiscover", "_caldav",   "_caldavs",    "_carddav",      "_carddavs",     "_dns",         "_gc",
    "_h323cs",       "_http",     "_https",      "_imap",         "_imaps",        "_kerberos",    "_kerberos-adm",
    "_kerberos-master", "_kpasswd", "_ldap",     "_ldaps",        "_matrix",       "_matrix-fed",  "_minecraft",
    "_mongodb",      "_mumble",   "_nfs",        "_ntp",          "_pop3",         "_pop3s",       "_quic",
    "_sctp",         "_sieve",    "_sip",        "_sips",         "_smtp",         "_stun",        "_stuns",
    "_submission",   "_submissions", "_tcp",     "_tls",          "_ts3",          "_turn",        "_turns",
    "_udp",          "_vlmcs",    "_wss",        "_xmpp-client",  "_xmpp-server",  "_xmpps-client"};
static_assert(std::is_sorted(std::begin(kServiceLabels), std::end(kServiceLabels)));

// Labels of texts about a domain as a whole: mail policies and proofs of control.
constexpr std::string_view kTextLabels[] = {"_acme-challenge", "_dmarc", "_mta-sts", "_report", "_smtp", "_tls"};
static_assert(std::is_sorted(std::begin(kTextLabels), std::end(kTextLabels)));

bool is_port_label(std::string_view label) {
  constexpr unsigned kPortMax = 65'535;
  const std::string_view digits = label.substr(1);
  if (digits.empty() || digits.size() > 5 || digits.front() == '0') return false;
  unsigned port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc{} && end == digits.data() + digits.size() && port <= kPortMax;
}

bool is_service_label(std::string_view label, std::uint16_t type) {
  if (type == parsers::kDnsTypeTxt) return std::ranges::binary_search(kTextLabels, label);
  return std::ranges::binary_search(kServiceLabels, label) || is_port_label(label);
}

bool has_service_names(std::uint16_t type) {
  constexpr std::uint16_t kTlsa = 52, kUri = 256;
  return type == parsers::kDnsTypeSrv || type == parsers::kDnsTypeHttps || type == parsers::kDnsTypeSvcb ||
         type == parsers::kDnsTypeTxt || type == kTlsa || type == kUri;
}

}  // namespace

Reason reason_against(const parsers::DnsMessage& message, std::span<const std::uint16_t> more_options) {
  const parsers::DnsHeader& header = message.header;
  if (header.is_response || header.reserved || header.rcode != 0 || header.truncated) return Reason::kMalformed;
  if (header.opcode != parsers::kDnsOpcodeQuery) return Reason::kUnsupportedVersion;
  if (header.question_count != 1 || !message.question) return Reason::kAmbiguous;
  if (header.answer_count != 0 || header.authority_count != 0) return Reason::kMalformed;
  if (header.additional_count > (message.edns.present ? 1U : 0U)) return Reason::kMalformed;
  if (!message.trailing.empty()) return Reason::kTrailingData;
  constexpr std::uint16_t kUnicastWanted = 0x8000;  // RFC 6762 §5.4: of mDNS.
  if ((message.question->dns_class & ~kUnicastWanted) != parsers::kDnsClassIn ||
      !std::ranges::binary_search(kStubTypes, message.question->type)) {
    return Reason::kQueryNotPlain;
  }
  return message.edns.present ? reason_against_edns(message.edns, more_options) : Reason::kNotEvaluated;
}

std::optional<std::string_view> host_of_service(std::string_view name, std::uint16_t type) {
  constexpr int kServiceLabelsMax = 3;
  if (!has_service_names(type)) return std::nullopt;
  std::string_view host = name;
  for (int i = 0; i < kServiceLabelsMax && host.starts_with('_'); ++i) {
    if (!is_service_label(host.substr(0, host.find('.')), type)) return std::nullopt;
    host = DomainName::parent(host);
  }
  if (host.size() == name.size() || host.empty() || host.starts_with('_')) return std::nullopt;
  return host;
}

}  // namespace sallyport::engine
