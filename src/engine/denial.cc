#include "sallyport/engine/denial.h"

#include <utility>

namespace sallyport::engine {
namespace {

// why_not_request is for the rule that lacks nothing but this request.
Reason why_not_request(policy::RequestFit fit) {
  switch (fit) {
    case policy::RequestFit::kMethod: return Reason::kMethodNotAllowed;
    case policy::RequestFit::kPath: return Reason::kPathNotAllowed;
    case policy::RequestFit::kAmbiguousPath: return Reason::kAmbiguous;
    case policy::RequestFit::kUpgrade: return Reason::kUpgradeNotAllowed;
    case policy::RequestFit::kFits: return Reason::kNotEvaluated;
  }
  std::unreachable();
}

}  // namespace

Reason why_denied(const policy::PolicyMatch& match, const Denied& flow) {
  const bool ambiguous = match.request_fit == policy::RequestFit::kAmbiguousPath;
  if (match.rule != kNoRule) return ambiguous ? Reason::kAmbiguous : Reason::kRuleDenies;
  if (match.metadata) return Reason::kMetadataAddress;
  if (match.other_host_key != kNoRule) return Reason::kHostKeyNotAllowed;
  if (match.unbound != kNoRule) return Reason::kAddressNotBound;
  if (match.other_request != kNoRule && match.request_fit != policy::RequestFit::kFits) return why_not_request(match.request_fit);
  if (flow.lacks_binding) return Reason::kAddressNotBound;
  const bool has_ports = flow.transport == Transport::kTcp || flow.transport == Transport::kUdp;
  const bool icmp = flow.transport == Transport::kIcmp || flow.transport == Transport::kIcmpv6;
  if (icmp && match.nearest_icmp) return Reason::kIcmpNotAllowed;
  if (!has_ports) return Reason::kTransportNotAllowed;
  if (flow.protocol == Protocol::kUnknown) return Reason::kUnknownProtocol;
  if (match.nearest != kNoRule) return Reason::kProtocolNotAllowed;
  if (flow.has_name) return Reason::kNameNotAllowed;
  return carries_name(flow.protocol) && !flow.has_claim ? Reason::kNoName : Reason::kAddressNotAllowed;
}

}  // namespace sallyport::engine
