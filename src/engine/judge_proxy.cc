// Proxies (rule key `proxy`). What a CONNECT, a SOCKS request or a request in absolute form asks for is judged like a
// connection of its own to that name or address and port; and so is what the tunnel carries then. The proxy looks a name up,
// so a name that it was asked for counts as bound, and what runs inside must be for that very name.
#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "inspector_impl.h"
#include "sallyport/core/text.h"
#include "sallyport/parsers/socks.h"

namespace sallyport::engine {
namespace {

using parsers::HttpTargetForm;

// port_of returns the port that CONNECT or a request in absolute form is for; nullopt: of a scheme that is not read here.
std::optional<std::uint16_t> port_of(const parsers::HttpRequestHead& head) {
  constexpr std::uint16_t kHttpPort = 80, kHttpsPort = 443;
  if (head.connect) return head.authority->port;
  const std::string_view scheme = head.target.substr(0, head.target.find(':'));
  if (equals_ignoring_case(scheme, "http")) return head.authority->port.value_or(kHttpPort);
  if (equals_ignoring_case(scheme, "https")) return head.authority->port.value_or(kHttpsPort);
  return std::nullopt;
}

// reason_of tells why a deny rule has a request.
Reason reason_of(const policy::PolicyMatch& match) {
  return match.request_fit == policy::RequestFit::kAmbiguousPath ? Reason::kAmbiguous : Reason::kRuleDenies;
}

}  // namespace

ProxyTargetText::ProxyTargetText(const ProxyTarget& target) {
  const auto put = [this](std::string_view part) { size_ += part.copy(text_.data() + size_, text_.size() - size_); };
  if (target.by_name()) {
    put(target.name.text());
  } else {
    char address[INET6_ADDRSTRLEN] = "";
    const bool is_v6 = target.address.is_v6();
    inet_ntop(is_v6 ? AF_INET6 : AF_INET, target.address.bytes().data(), address, sizeof address);
    if (is_v6) put("[");
    put(address);
    if (is_v6) put("]");
  }
  put(":");
  const auto end = std::to_chars(text_.data() + size_, text_.data() + text_.size(), target.port);
  size_ = static_cast<std::size_t>(end.ptr - text_.data());
}

IpAddress Inspector::Impl::target_address(const Flow& flow) {
  return flow.proxy != nullptr ? flow.proxy->address : flow.key.server.address;
}

std::uint16_t Inspector::Impl::target_port(const Flow& flow) {
  return flow.proxy != nullptr ? flow.proxy->port : flow.key.server.port;
}

bool Inspector::Impl::bound_to_target(const Flow& flow, const DomainName& name) const {
  if (flow.proxy != nullptr && flow.proxy->by_name()) return flow.proxy->name == name;
  return bindings_->bound(policy_->plain(target_address(flow)), name, view_of(flow), now_);
}

std::size_t Inspector::Impl::names_of_target(const Flow& flow) {
  if (flow.proxy == nullptr || !flow.proxy->by_name()) {
    return bindings_->names_of(policy_->plain(target_address(flow)), view_of(flow), now_, names_);
  }
  names_[0] = flow.proxy->name;
  return 1;
}

bool Inspector::Impl::any_name_of_target(const Flow& flow, bool (*chosen)(void*, const DomainName&), void* context) const {
  if (flow.proxy != nullptr && flow.proxy->by_name()) return chosen(context, flow.proxy->name);
  return bindings_->any_name_of(policy_->plain(target_address(flow)), view_of(flow), now_, chosen, context);
}

// match_every_name asks for the target's address and for each of its names. A deny rule wins, then what the address allows, then
// the first name that is allowed, which is counted as used.
policy::PolicyMatch Inspector::Impl::match_every_name(Flow& flow, const policy::FlowQuery& query) {
  struct Question {
    const policy::Policy& policy;
    policy::FlowQuery query;
    policy::PolicyMatch match;
    DomainName name = {};
    bool denied = false;
  } question{*policy_, query, policy_->match(query)};
  if (denies_by_rule(question.match)) return question.match;
  const auto denies_name = [](void* context, const DomainName& name) {
    Question& asked = *static_cast<Question*>(context);
    asked.query.name = &name;
    const policy::PolicyMatch match = asked.policy.match(asked.query);
    asked.denied = denies_by_rule(match);
    if (asked.denied || (match.action == policy::Action::kAllow && asked.match.action == policy::Action::kDeny)) {
      asked.match = match;
      asked.name = name;
    }
    return asked.denied;
  };
  (void)any_name_of_target(flow, denies_name, &question);
  if (question.match.action == policy::Action::kAllow && !question.name.empty()) use_binding(flow, question.name);
  return question.match;
}

// is_proxy tells whether a rule lets the flow's server be asked as a proxy, by its address or by one of the names of that.
// Where a rule denies that for any of these, the flow is denied.
bool Inspector::Impl::is_proxy(Flow& flow, Protocol protocol, const NameClaim& claim) {
  if (!policy_->has_proxies() || flow.proxy != nullptr || shadow(flow)) return false;
  policy::FlowQuery query = query_of(flow, protocol);
  query.proxy = query.bound = query.claimed = true;
  const policy::PolicyMatch match = match_every_name(flow, query);
  if (match.action == policy::Action::kAllow) {
    flow.proxy_rule = match.rule;
    return true;
  }
  if (match.rule == kNoRule) return false;
  if (!claim.text.empty()) report_claim(flow, claim);
  flow.has_name = claim.name != nullptr;
  if (claim.name != nullptr) flow.name = *claim.name;
  deny_flow(flow, reason_of(match), match.rule);
  return false;
}

// set_target remembers what a proxy is asked for. False: it cannot, and the flow is denied.
bool Inspector::Impl::set_target(Flow& flow, std::string_view host, std::optional<IpAddress> address, std::uint16_t port) {
  const auto name = address ? std::nullopt : DomainName::parse(host);
  flow.has_name = name.has_value();
  if (name) flow.name = *name;
  if ((!address && !name) || port == 0) {
    deny_flow(flow, address || name ? Reason::kMalformed : Reason::kNameInvalid);
    return false;
  }
  flow.proxy = proxy_targets_.acquire();
  if (flow.proxy == nullptr) {
    deny_flow(flow, Reason::kStreamLimit);
    return false;
  }
  if (name) flow.proxy->name = *name;
  if (address) flow.proxy->address = address->unmapped();
  flow.proxy->port = port;
  report_detail(flow, Detail::kProxyTarget, ProxyTargetText(*flow.proxy).view());
  return true;
}

// judge_target_early is to a tunnel what judge_early and gate_syn are to a connection: it refuses what nothing in the tunnel
// could make allowed. The verdict is told once that is judged.
bool Inspector::Impl::judge_target_early(Flow& flow) {
  const ProxyTarget& target = *flow.proxy;
  const policy::EarlyResult early =
      target.by_name() ? policy_->match_named_early(flow.scopes, target.name, target.port, now_)
                       : policy_->match_early(flow.scopes, Transport::kTcp, target.address, target.port, now_, policy::Via::kProxy);
  Reason reason = Reason::kNotEvaluated;
  if (flow.midstream) {
    reason = Reason::kMidstream;
  } else if (early.match == policy::EarlyMatch::kDeny) {
    reason = early.rule != kNoRule ? Reason::kRuleDenies
             : early.metadata      ? Reason::kMetadataAddress
             : target.by_name()    ? Reason::kNameNotAllowed
                                   : Reason::kAddressNotAllowed;
  } else if (early.needs_binding && !names_cover(flow)) {
    reason = Reason::kAddressNotBound;
  }
  if (reason != Reason::kNotEvaluated) {
    deny_flow(flow, reason, early.rule);
    return false;
  }
  if (request_ != nullptr) {  // The CONNECT itself, too.
    policy::FlowQuery query = query_of(flow, Protocol::kHttp);
    query.connect = query.bound = query.claimed = true;
    if (target.by_name()) query.name = &target.name;
    const policy::PolicyMatch match = match_every_name(flow, query);
    if (denies_by_rule(match)) {
      deny_flow(flow, reason_of(match), match.rule);
      return false;
    }
  }
  await_proxy(flow);
  return true;
}

// await_proxy lets what was read leave, without a verdict yet.
void Inspector::Impl::await_proxy(Flow& flow) {
  flow.state = FlowState::kJudged;
  flow.reason = Reason::kAwaitingServer;
  flow.watch = true;
  touch(flow);
}

// asks_proxy tells the requests that a proxy is asked with, where the server may be asked as one.
bool Inspector::Impl::asks_proxy(Flow& flow, const parsers::HttpRequestHead& head, const NameClaim& claim) {
  const bool form = head.target_form == HttpTargetForm::kAuthority || head.target_form == HttpTargetForm::kAbsolute;
  return form && flow.stage == Protocol::kHttp && is_proxy(flow, Protocol::kHttp, claim);
}

// judge_proxied judges a request by what the proxy is asked for.
bool Inspector::Impl::judge_proxied(Flow& flow, const parsers::HttpRequestHead& head, const NameClaim& claim) {
  report_claim(flow, claim);
  const std::optional<std::uint16_t> port = port_of(head);
  if (!port) {
    deny_flow(flow, Reason::kProtocolNotAllowed);
    return false;
  }
  const std::optional<IpAddress> address = head.authority->is_ip_literal ? IpAddress::parse(head.authority->host) : std::nullopt;
  const bool same_place = flow.asked.known && flow.asked.port == *port && flow.asked.address == address.value_or(IpAddress()).unmapped();
  flow.several_names |= flow.verdict == FlowVerdict::kAllow && !same_place;
  note_another_name(flow, claim);
  if (!set_target(flow, head.authority->host, address, *port)) return false;
  if (head.connect) return judge_target_early(flow);
  const bool allowed = judge_claim(flow, Protocol::kHttp, claim);
  remember_target(flow);
  flow.name_bound = false;  // The next request may be for the proxy itself.
  proxy_targets_.release(flow.proxy);
  return allowed;
}

// begin_tunnel makes what follows a connection of its own.
void Inspector::Impl::begin_tunnel(Flow& flow) {
  flow.stage = Protocol::kUnknown;
  flow.stage_known = false;
  flow.final_after = 0;
  flow.tunnel_base = flow.client->base();
  flow.tls_phase = TlsPhase::kFirstHello;
  if (flow.proxy == nullptr || flow.proxy->reached) return;
  flow.proxy->reached = true;
  flow.needs_binding = false;
  flow.http_requests = 0;
  flow.socks_phase = SocksPhase::kOpaque;
  flow.ssh.server_wanted = policy_->ssh_at(flow.scopes, flow.proxy->port, now_);
  flow.greeting_wanted = policy_->greeting_at(flow.scopes, flow.proxy->port, now_);
}

// differs_from_target tells that a claim inside a tunnel is for another name than the tunnel was asked for.
bool Inspector::Impl::differs_from_target(const Flow& flow, const NameClaim& claim) {
  if (flow.proxy == nullptr || !flow.proxy->reached || !flow.proxy->by_name() || claim.text.empty()) return false;
  return claim.name == nullptr || *claim.name != flow.proxy->name;
}

// read_socks lets a client and its proxy agree on how it says who it is, and judges what it asks for.
void Inspector::Impl::read_socks(Flow& flow) {
  if (flow.socks_phase == SocksPhase::kUnread) {
    const bool proxy = !flow.midstream && is_proxy(flow, Protocol::kSocks, {});
    if (flow.state == FlowState::kDenied) return;
    if (!proxy) flow.socks_phase = SocksPhase::kOpaque;
    else flow.socks_phase = flow.client->contiguous()[0] == parsers::kSocks5 ? SocksPhase::kGreeting : SocksPhase::kRequest4;
  }
  if (flow.socks_phase == SocksPhase::kOpaque || shadow(flow)) return read_opaque(flow, Protocol::kSocks);
  const ByteSpan stream = flow.client->contiguous();
  parsers::SocksMessage message;
  switch (flow.socks_phase) {
    case SocksPhase::kGreeting: message = parsers::read_socks5_greeting(stream); break;
    case SocksPhase::kAuthentication: message = parsers::read_socks5_authentication(stream); break;
    case SocksPhase::kRequest4:
    case SocksPhase::kRequest5: return judge_socks_request(flow);
    case SocksPhase::kUnread:
    case SocksPhase::kOpaque:
    case SocksPhase::kMethod:
    case SocksPhase::kStatus:
    case SocksPhase::kReply4:
    case SocksPhase::kReply5: return;  // It is the proxy's turn.
  }
  if (message.framing == Framing::kNeedMore) return;
  if (message.framing != Framing::kComplete) return refuse(flow, Reason::kMalformed);
  flow.client->consume(message.length);
  flow.socks_phase = flow.socks_phase == SocksPhase::kGreeting ? SocksPhase::kMethod : SocksPhase::kStatus;
  await_proxy(flow);
}

void Inspector::Impl::judge_socks_request(Flow& flow) {
  const bool is_5 = flow.socks_phase == SocksPhase::kRequest5;
  const auto request = parsers::read_socks_request(flow.client->contiguous(), is_5 ? parsers::kSocks5 : parsers::kSocks4);
  if (request.framing == Framing::kNeedMore) return;
  if (request.framing != Framing::kComplete) return refuse(flow, Reason::kMalformed);
  // BIND and UDP ASSOCIATE would open ways that nothing here sees.
  if (request.command != parsers::SocksCommand::kConnect) return refuse(flow, Reason::kProtocolNotAllowed);
  if (!set_target(flow, request.name, request.address, request.port)) return;
  report_name(flow, flow.has_name ? flow.name.text() : request.name);
  if (!judge_target_early(flow)) return;
  flow.client->consume(request.length);
  flow.socks_phase = is_5 ? SocksPhase::kReply5 : SocksPhase::kReply4;
}

// read_socks_server reads the proxy's next answer, if it is its turn.
void Inspector::Impl::read_socks_server(Flow& flow) {
  if (flow.client == nullptr || shadow(flow)) return;
  const ByteSpan stream = flow.server->contiguous();
  parsers::SocksMessage message;
  SocksPhase next = SocksPhase::kRequest5;
  switch (flow.socks_phase) {
    case SocksPhase::kMethod: message = parsers::read_socks5_method(stream); break;
    case SocksPhase::kStatus: message = parsers::read_socks5_status(stream); break;
    case SocksPhase::kReply4: message = parsers::read_socks_reply(stream, parsers::kSocks4); break;
    case SocksPhase::kReply5: message = parsers::read_socks_reply(stream, parsers::kSocks5); break;
    case SocksPhase::kUnread:
    case SocksPhase::kOpaque:
    case SocksPhase::kGreeting:
    case SocksPhase::kAuthentication:
    case SocksPhase::kRequest4:
    case SocksPhase::kRequest5: return;
  }
  if (message.framing == Framing::kNeedMore) return;
  if (message.framing != Framing::kComplete) return refuse(flow, Reason::kMalformed);
  if (flow.socks_phase == SocksPhase::kMethod) {
    if (message.answer == parsers::kSocksUserPassword) {
      next = SocksPhase::kAuthentication;
    } else if (message.answer != parsers::kSocksNoAuthentication && message.answer != parsers::kSocksNoMethod) {
      return refuse(flow, Reason::kProtocolNotAllowed);  // GSSAPI would wrap all that follows.
    }
  }
  // Refused by the proxy: there is nothing that the client could send now.
  const bool says_no = flow.socks_phase == SocksPhase::kMethod ? message.answer == parsers::kSocksNoMethod : message.answer != 0;
  if (says_no) return;
  flow.server->consume(message.length);
  if (flow.socks_phase == SocksPhase::kReply4 || flow.socks_phase == SocksPhase::kReply5) {
    begin_tunnel(flow);
  } else {
    flow.socks_phase = next;
  }
  read_client_stream(flow);
  if (flow.client != nullptr && flow.state == FlowState::kJudged) release_held(flow, judged_end(flow));
}

}  // namespace sallyport::engine
