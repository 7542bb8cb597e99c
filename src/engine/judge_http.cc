// HTTP/1.x: each request of a connection is judged, for as long as the connection is plaintext HTTP (R5).
// The kernel gets the flow only when the protocol ends: behind a WebSocket upgrade that the server took.
#include <algorithm>
#include <utility>

#include "inspector_impl.h"
#include "sallyport/core/text.h"
#include "sallyport/core/http_path.h"

namespace sallyport::engine {
namespace {

constexpr unsigned kSwitchingProtocols = 101;  // RFC 9110 §15.2.2

Reason reason_of(parsers::HttpRequestStream::Step step, const parsers::HttpRequestHead& head) {
  using Step = parsers::HttpRequestStream::Step;
  if (head.unsupported_version) return Reason::kUnsupportedVersion;
  return step == Step::kTooLong ? Reason::kTooLong : step == Step::kAmbiguous ? Reason::kAmbiguous : Reason::kMalformed;
}

NameClaim request_claim(const parsers::HttpRequestHead& head, DomainName& storage) {
  const parsers::HttpAuthority* authority = head.name_authority();
  if (authority == nullptr) return {};
  if (authority->is_ip_literal) return {authority->host, nullptr, false};
  const auto name = DomainName::parse(authority->host);
  if (!name) return {authority->host, nullptr, true};
  storage = *name;
  return {authority->host, &storage, false};
}

// asks_for_websocket tells whether the server may go on with a WebSocket: the word is in the list, with or without a version.
bool asks_for_websocket(const parsers::HttpRequestHead& head) {
  constexpr std::string_view kWord = "websocket";
  std::string_view list = head.upgrade_protocol;
  while (!list.empty()) {
    const std::size_t end = list.find(',');
    std::string_view one = list.substr(0, end);
    while (!one.empty() && (one.front() == ' ' || one.front() == '\t')) one.remove_prefix(1);
    while (!one.empty() && (one.back() == ' ' || one.back() == '\t')) one.remove_suffix(1);
    if (equals_ignoring_case(one.substr(0, one.find('/')), kWord)) return true;
    if (end == std::string_view::npos) break;
    list.remove_prefix(end + 1);
  }
  return false;
}

// is_unread_tunnel tells the requests of HTTP/2 behind which one stream of many carries what is not followed: CONNECT, and
// extended CONNECT (RFC 8441) for anything but a WebSocket, whose frames are its own affair as over HTTP/1.
bool is_unread_tunnel(const parsers::HttpRequestHead& head) {
  return head.connect && !asks_for_websocket(head);
}

}  // namespace

// facts_of returns what rules may say of a request. The views are those of `head`, and of path_.
policy::HttpRequestFacts Inspector::Impl::facts_of(const parsers::HttpRequestHead& head) {
  policy::HttpRequestFacts facts;
  facts.method = head.method;
  facts.websocket = asks_for_websocket(head);
  if (!policy_->reads_paths() || head.path.empty()) return facts;
  const auto path = canonical_http_path(head.path, path_);
  facts.path_ambiguous = !path;
  if (path) facts.path = *path;
  return facts;
}

// read_http_step does what one step of either version's reader asks for. False: there is no more to read now.
template <typename Result>
bool Inspector::Impl::read_http_step(Flow& flow, const Result& result) {
  using Step = parsers::HttpRequestStream::Step;
  switch (result.step) {
    case Step::kNeedMore:
      return false;
    case Step::kRequest:
      if (!judge_request(flow, result.head)) {
        if (flow.stage == Protocol::kHttp2 && flow.binding_wait != BindingWait::kNone) flow.http2_waiting = result.consumed;
        return false;
      }
      flow.client->consume(result.consumed);
      return true;
    case Step::kBodyBytes:
      flow.client->consume(result.consumed);
      flow.client->skip(result.body_bytes);
      return true;
    case Step::kMalformed:
    case Step::kTooLong:
    case Step::kAmbiguous:
      refuse_request(flow, result.step, result.head);
      return false;
  }
  return false;
}

void Inspector::Impl::read_http(Flow& flow) {
  if (flow.http_phase == HttpPhase::kRefused) return read_refused_request(flow);
  if (flow.http_phase == HttpPhase::kWebSocket) return flow.client->skip(flow.client->contiguous().size());
  while (flow.client != nullptr && flow.state != FlowState::kFinal) {
    if (flow.http.awaiting_switch()) {
      if (flow.http_phase == HttpPhase::kAwaitingSwitch) return;
      // Not the first request: the server's stream was not followed, so its answer cannot be told from the
      // answers before it. Should it switch, what follows is no HTTP request and is refused.
      flow.http.resume_http();
    }
    const parsers::HttpRequestStream before = flow.http;
    if (!read_http_step(flow, flow.http.next(flow.client->contiguous()))) {
      if (flow.binding_wait != BindingWait::kNone) flow.http = before;  // It is read again.
      return;
    }
  }
}

void Inspector::Impl::refuse_request(Flow& flow, parsers::HttpRequestStream::Step step,
                                     const parsers::HttpRequestHead& head) {
  DomainName name;
  report_claim(flow, request_claim(head, name));
  refuse(flow, reason_of(step, head));
  if (flow.client == nullptr) return;
  if (head.name_authority() == nullptr && flow.http_requests == 0 && flow.stage == Protocol::kHttp) {
    flow.http_phase = HttpPhase::kRefused;  // A reader of details goes on until the name is there.
    return read_refused_request(flow);
  }
  // Nothing behind it can be told apart.
  flow.client->skip(flow.client->contiguous().size());
}

// read_refused_request looks for the name of a request that was refused before its head was whole.
void Inspector::Impl::read_refused_request(Flow& flow) {
  const ByteSpan stream = flow.client->contiguous();
  if (flow.http_requests != 0) return flow.client->skip(stream.size());
  const parsers::HttpRequestHead head = parsers::read_refused_http_head(stream);
  if (head.framing == Framing::kNeedMore) return;
  DomainName name;
  report_claim(flow, request_claim(head, name));
  ++flow.http_requests;
  flow.client->skip(stream.size());
}

// read_http2 judges each request of a connection with prior knowledge, or of one switched to h2c.
void Inspector::Impl::read_http2(Flow& flow) {
  if (flow.http2 == nullptr) flow.http2 = http2_readers_.acquire(flow.http_requests != 0 && !flow.http_connect);
  if (flow.http2 == nullptr) return refuse(flow, Reason::kStreamLimit);
  flow.watch = true;  // A refusal must know where the server's frames end.
  while (flow.client != nullptr && flow.http2 != nullptr) {
    const bool goes_on = flow.http2_waiting != 0 ? judge_waiting_request(flow)
                                                 : read_http_step(flow, flow.http2->next(flow.client->contiguous()));
    if (!goes_on) return;
    // Nothing has a name before the first request, and a header block has none before its last frame.
    const std::uint32_t requests = flow.http_connect ? flow.http2_requests : flow.http_requests;
    if (requests != 0 && !flow.http2->in_header_block()) flow.http2_judged = flow.client->base();
  }
}

bool Inspector::Impl::judge_request(Flow& flow, const parsers::HttpRequestHead& head) {
  const bool first = flow.http_requests++ == 0;
  if (flow.stage == Protocol::kHttp2) ++flow.http2_requests;
  if (first) {
    report_detail(flow, Detail::kHttpMethod, head.method);
    report_detail(flow, Detail::kHttpTarget, head.target);
    report_detail(flow, Detail::kUserAgent, head.user_agent);
  }
  DomainName name;
  // A reader of details follows a denied connection as it would an allowed one.
  const NameClaim claim = request_claim(head, name);
  if (is_guarded(flow)) {
    report_claim(flow, claim);
    if (claim.name != nullptr) flow.name = *claim.name;
    flow.has_name = claim.name != nullptr;
    flow.name_of_address = false;
    return judge_guarded_request(flow, head) && begin_request(flow, head, first, false);
  }
  const policy::HttpRequestFacts facts = facts_of(head);
  request_ = &facts;
  const bool judging = !shadow(flow);
  const bool proxied = asks_proxy(flow, head, claim);
  const bool refused = judging && flow.state == FlowState::kDenied;  // The proxy may not be asked.
  const bool allowed = !refused && (proxied ? judge_proxied(flow, head, claim) : judge(flow, Protocol::kHttp, claim));
  request_ = nullptr;
  if (flow.binding_wait != BindingWait::kNone) {
    --flow.http_requests;  // Judged again when the address is bound.
    if (flow.stage == Protocol::kHttp2) --flow.http2_requests;
    return false;
  }
  if (!allowed && !options_.read_details) return false;
  if (!proxied) {
    flow.several_names |= flow.asked.known && flow.proxy == nullptr;
    flow.asked = {};
  }
  return begin_request(flow, head, first, proxied);
}

// begin_request tells what follows a request that was judged: more requests, or what the server switches to.
bool Inspector::Impl::begin_request(Flow& flow, const parsers::HttpRequestHead& head, bool first, bool proxied) {
  flow.asked_at = flow.server_next;
  flow.asked_at_known = flow.server_next_known;
  if (flow.stage == Protocol::kHttp2) {
    if (!is_unread_tunnel(head) || shadow(flow)) return true;
    deny_flow(flow, Reason::kProtocolNotAllowed);
    return false;
  }
  if (head.connect && flow.proxy != nullptr && flow.proxy->reached && !shadow(flow)) {
    deny_flow(flow, Reason::kTunnelTooDeep);
    return false;
  }
  if (head.connect && !first && !shadow(flow)) {
    // The tunnel's beginning could not be found in a server stream that was not followed.
    deny_flow(flow, Reason::kAmbiguous);
    return false;
  }
  const bool websocket = equals_ignoring_case(head.upgrade_protocol, "websocket");
  // What a proxy's 101 begins would be for the request's target, not for the proxy, and only a tunnel remembers that. Without a
  // switch the next bytes must be a request.
  if (first && (head.connect || (head.upgrade && (!proxied || websocket)))) {
    flow.http_phase = HttpPhase::kAwaitingSwitch;
    flow.http_connect = head.connect;
    flow.http_websocket = websocket;
    flow.watch = true;
  }
  return true;
}

// judge_waiting_request judges an HTTP/2 request again whose address belonged to no name.
bool Inspector::Impl::judge_waiting_request(Flow& flow) {
  const DomainName name = flow.name;
  const parsers::HttpRequestHead& head = flow.http2->last_request();
  const policy::HttpRequestFacts facts = facts_of(head);
  request_ = &facts;
  const bool allowed = judge(flow, Protocol::kHttp, {name.text(), &name, false});
  request_ = nullptr;
  if (flow.binding_wait != BindingWait::kNone) return false;
  const std::size_t consumed = std::exchange(flow.http2_waiting, 0);
  ++flow.http_requests;
  ++flow.http2_requests;
  if (!allowed && !options_.read_details) return false;
  if (is_unread_tunnel(head) && !shadow(flow)) {
    deny_flow(flow, Reason::kProtocolNotAllowed);
    if (!options_.read_details) return false;
  }
  if (flow.client != nullptr) flow.client->consume(consumed);
  return true;
}

// read_http_server waits for the answer to an upgrade or CONNECT, and tells what the client's next bytes are.
void Inspector::Impl::read_http_server(Flow& flow) {
  if (flow.http_phase != HttpPhase::kAwaitingSwitch || flow.client == nullptr) return;
  while (flow.http.awaiting_switch() || flow.http_phase == HttpPhase::kAwaitingSwitch) {
    const auto response = parsers::parse_http_response_head(flow.server->contiguous());
    if (response.framing != Framing::kComplete) return;
    flow.server->consume(response.head_length);
    if (response.status < 200 && response.status != kSwitchingProtocols) continue;  // Interim, RFC 9110 §15.2.
    const bool switched = flow.http_connect ? response.status < 300 : response.status == kSwitchingProtocols;
    flow.http_phase = HttpPhase::kRequests;
    if (!switched) {
      flow.http.resume_http();
      if (flow.http_connect) proxy_targets_.release(flow.proxy);
    } else if (flow.http_websocket && !flow.http_connect) {
      flow.http_phase = HttpPhase::kWebSocket;
      flow.final_after = flow.client->base();
    } else {
      // A tunnel: its bytes are judged like those of a connection of their own.
      begin_tunnel(flow);
    }
    break;
  }
  read_client_stream(flow);
  if (flow.client != nullptr && flow.state == FlowState::kJudged) release_held(flow, judged_end(flow));
}

}  // namespace sallyport::engine
