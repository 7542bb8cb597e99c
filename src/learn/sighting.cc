#include "sallyport/learn/sighting.h"

namespace sallyport::learn {
namespace {

using engine::Detail;

// bound_names reads Detail::kBoundNames: names joined by spaces.
std::vector<DomainName> bound_names(std::string_view text) {
  std::vector<DomainName> names;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (const auto name = DomainName::parse(text.substr(0, space))) names.push_back(*name);
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return names;
}

void take_detail(Sighting& sighting, Detail detail, const std::string& text) {
  switch (detail) {
    case Detail::kBoundNames: sighting.bound = bound_names(text); break;
    case Detail::kHostKeySha256: sighting.host_key = text; break;
    case Detail::kProxyTarget: sighting.proxy_target = text; break;
    case Detail::kHttpMethod: sighting.http_method = text; break;
    case Detail::kHttpTarget: sighting.http_target = text; break;
    case Detail::kAnswer: sighting.answers.push_back(text); break;
    case Detail::kAlpn:
    case Detail::kTlsVersion:
    case Detail::kEch:
    case Detail::kJa3:
    case Detail::kJa4:
    case Detail::kQuicVersion:
    case Detail::kUserAgent:
    case Detail::kClientBanner:
    case Detail::kServerBanner:
    case Detail::kHassh:
    case Detail::kHasshServer:
    case Detail::kHostKeyType:
    case Detail::kQueryType: break;
  }
}

}  // namespace

Sighting sighting_of(const replay::FlowRow& row, const std::string& file) {
  Sighting sighting;
  sighting.key = row.key;
  sighting.protocol = row.protocol;
  sighting.tunnel = row.tunnel;
  sighting.name = row.name;
  sighting.names = row.names;
  sighting.verdict = row.verdict;
  sighting.reason = row.reason;
  sighting.rule = row.rule;
  sighting.first = sighting.last = row.time;
  sighting.owner = row.key.client.address.to_string();
  sighting.icmp_types = row.icmp_types;
  sighting.icmp_payload = row.icmp_payload;
  sighting.where = file + ", flow " + std::to_string(row.flow);
  for (const auto& [detail, text] : row.details) take_detail(sighting, detail, text);
  return sighting;
}

bool is_for_rules(Reason reason) {
  switch (reason) {
    case Reason::kNameNotAllowed:
    case Reason::kAddressNotAllowed:
    case Reason::kProtocolNotAllowed:
    case Reason::kUnknownProtocol:
    case Reason::kNoName:
    case Reason::kAddressNotBound:
    case Reason::kMethodNotAllowed:
    case Reason::kPathNotAllowed:
    case Reason::kUpgradeNotAllowed:
    case Reason::kHostKeyNotAllowed:
    case Reason::kMetadataAddress:
    case Reason::kResolverNotTrusted:
    case Reason::kTlsRequired:
    case Reason::kLookupBudget:
    case Reason::kRebinding:
    case Reason::kTransportNotAllowed:
    case Reason::kIcmpNotAllowed: return true;
    default: return false;
  }
}

}  // namespace sallyport::learn
