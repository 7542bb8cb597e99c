// DTLS: each ClientHello of a flow is put together from its fragments and judged, until the server accepts
// one. A HelloVerifyRequest or HelloRetryRequest makes the client send it again; the name must stay the same.
#include "inspector_impl.h"

namespace sallyport::engine {

Decision Inspector::Impl::dtls_datagram(Flow& flow, const Packet& packet, ByteSpan datagram) {
  if (shadow(flow) && flow.dtls.hello_judged) {
    return flow.state == FlowState::kDenied ? denied(flow) : pass(flow, Reason::kFlowAllowed);
  }
  parsers::DtlsFragmentReader fragments(datagram);
  parsers::DtlsFragment fragment;
  bool good = true;
  while (good && fragments.next(fragment)) {
    if (fragment.type == parsers::kTlsClientHello) {
      good = read_dtls_fragment(flow, fragment);
    } else if (!flow.dtls.hello_judged && !flow.dtls.assembling) {
      flow.dtls.hello_judged = flow.dtls.without_hello = true;
      good = judge(flow, Protocol::kDtls, {});
    }
  }
  if (good && fragments.malformed()) refuse(flow, Reason::kMalformed);
  if (flow.state == FlowState::kDenied) return refusal_of(flow);
  if (flow.dtls.assembling || !flow.dtls.hello_judged) {
    if (flow.binding_wait != BindingWait::kNone) return hold_unbound(flow, packet);
    if (flow.held.count >= kQuicInitialsPerFlowMax) return deny_flow(flow, Reason::kHoldLimit);
    return hold(flow, packet, 0);
  }
  flow.watch = true;
  release_held(flow, UINT64_MAX);
  return pass(flow, flow.reason);
}

// read_dtls_fragment puts a fragment where it belongs. False: the flow is denied now.
bool Inspector::Impl::read_dtls_fragment(Flow& flow, const parsers::DtlsFragment& fragment) {
  DtlsState& dtls = flow.dtls;
  // A second message follows only an answer to the first whole one; and what was judged is not read anew.
  if (flow.client != nullptr &&
      (fragment.sequence < dtls.sequence || (dtls.assembling && fragment.sequence != dtls.sequence))) {
    refuse(flow, Reason::kAmbiguous);
    return false;
  }
  if (flow.client == nullptr || fragment.sequence != dtls.sequence) {
    windows_.release(flow.client);
    flow.client = windows_.acquire(0);
    dtls.assembling = true;
    dtls.sequence = fragment.sequence;
    dtls.length = fragment.length;
  }
  if (flow.client == nullptr) {
    refuse(flow, Reason::kStreamLimit);
    return false;
  }
  if (fragment.length != dtls.length || fragment.length > kClientHelloMax) {
    refuse(flow, fragment.length > kClientHelloMax ? Reason::kTooLong : Reason::kMalformed);
    return false;
  }
  const auto put = flow.client->put(fragment.offset, fragment.bytes);
  if (put.put != StreamWindow::Put::kOk || put.stored_end != fragment.offset + fragment.bytes.size()) {
    refuse(flow, put.put == StreamWindow::Put::kConflict ? Reason::kRetransmissionDiffers : Reason::kStreamLimit);
    return false;
  }
  // The bytes stay: a fragment that is sent again must be the same.
  if (!dtls.assembling || flow.client->contiguous().size() < dtls.length) return true;
  dtls.assembling = false;
  return read_dtls_hello(flow);
}

bool Inspector::Impl::read_dtls_hello(Flow& flow) {
  const auto hello = parsers::parse_dtls_client_hello(flow.client->contiguous());
  if (!hello || hello->ech_kind == parsers::EchKind::kInner) {
    refuse(flow, Reason::kMalformed);
    return false;
  }
  if (flow.dtls.hello_judged) {
    if (shadow(flow)) return true;
    if (same_name(flow, *hello) && !denies_ech(*hello, flow.rule)) return true;
    refuse(flow, same_name(flow, *hello) ? Reason::kEchDenied : Reason::kHelloChanged);
    return false;
  }
  report_hello(flow, *hello, parsers::HelloTransport::kDtls);
  DomainName name;
  const bool allowed = judge(flow, Protocol::kDtls, claim_of(flow, *hello, name));
  flow.dtls.hello_judged = flow.binding_wait == BindingWait::kNone;
  return allowed;
}

}  // namespace sallyport::engine
