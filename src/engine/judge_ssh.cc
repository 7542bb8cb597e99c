// SSH: the client's identification string says the protocol, the address says where to, and the server must answer
// with an identification string of its own. Where the rule has host keys, or details are wanted, the key exchange is
// read as well, for as long as it is in the clear.
#include "inspector_impl.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/ssh.h"

namespace sallyport::engine {
namespace {

// Bits of SshState::told.
constexpr std::uint8_t kServerBannerTold = 1, kHasshTold = 2, kHasshServerTold = 4, kHostKeyTold = 8;

// KexInit finds the identification string and the KEXINIT at the beginning of one side's stream.
struct SideStart {
  std::string_view banner;
  std::optional<parsers::SshKexInit> kex_init;
  ByteSpan rest;  // Behind the KEXINIT.
};

SideStart read_side(ByteSpan stream, bool from_server) {
  SideStart side;
  const auto identification = parsers::read_ssh_identification(stream, from_server);
  side.banner = identification.line;
  if (identification.framing != Framing::kComplete) return side;
  const ByteSpan packets = stream.subspan(identification.consumed);
  const parsers::SshPacket packet = parsers::read_ssh_packet(packets);
  if (packet.framing != Framing::kComplete || packet.type != parsers::kSshMsgKexInit) return side;
  if (const auto kex_init = parsers::parse_ssh_kexinit(packet.payload)) side.kex_init = *kex_init;
  side.rest = packets.subspan(packet.consumed);
  return side;
}

}  // namespace

void Inspector::Impl::read_ssh(Flow& flow) {
  if (flow.ssh.phase == SshPhase::kIdentification) judge_ssh_client(flow);
  if (flow.ssh.phase == SshPhase::kIdentification) return;
  if (shadow(flow) || flow.ssh.phase == SshPhase::kDone) {
    flow.client->skip(flow.client->contiguous().size());
  } else {
    judge_ssh_server(flow);
  }
}

// judge_ssh_client judges the client's identification string, which may leave then.
void Inspector::Impl::judge_ssh_client(Flow& flow) {
  const auto identification = parsers::read_ssh_identification(flow.client->contiguous(), false);
  if (identification.framing == Framing::kNeedMore) return;
  if (!identification.line.empty()) report_detail(flow, Detail::kClientBanner, identification.line);
  if (identification.framing != Framing::kComplete) {
    return refuse(flow, identification.unsupported ? Reason::kUnsupportedVersion : Reason::kMalformed);
  }
  if (!judge(flow, Protocol::kSsh, {})) return;
  flow.client->consume(identification.consumed);
  flow.final_after = flow.ssh.may_leave = flow.client->base();
  flow.watch = true;
  const bool server_counts = flow.ssh.server_wanted || flow.ssh.host_key_wanted;
  flow.ssh.phase = server_counts ? SshPhase::kServerIdentification : SshPhase::kDone;
}

// awaits_ssh_server tells whether the server's bytes are part of the judgement, or may become it.
bool Inspector::Impl::awaits_ssh_server(const Flow& flow) {
  if (flow.state == FlowState::kFinal || flow.state == FlowState::kDenied) return false;
  if (flow.stage_known && flow.stage != Protocol::kSsh) return false;
  return flow.ssh.server_wanted || flow.ssh.host_key_wanted;
}

// judge_ssh_server reads on after either side's stream has grown.
void Inspector::Impl::judge_ssh_server(Flow& flow) {
  if (flow.client == nullptr || flow.server == nullptr || shadow(flow)) return;
  if (flow.ssh.phase == SshPhase::kServerIdentification) {
    const ByteSpan stream = flow.server->contiguous();
    const auto identification = parsers::read_ssh_identification(stream, true);
    if (identification.framing == Framing::kNeedMore) {
      // Lines before the string are allowed, and a web server's answer consists of lines.
      const bool ended = flow.ssh.server_end != 0 && flow.server->base() + stream.size() == flow.ssh.server_end;
      const bool other = parsers::looks_like_http1_response(stream) == parsers::Likeness::kYes;
      if (other || (ended && !stream.empty())) refuse_ssh_server(flow, Reason::kProtocolNotAllowed);
      return;
    }
    if (identification.framing != Framing::kComplete) {
      return refuse_ssh_server(flow, identification.unsupported ? Reason::kUnsupportedVersion : Reason::kProtocolNotAllowed);
    }
    if (!judge(flow, Protocol::kSsh, {})) return;
    flow.ssh.server_identification = identification.consumed;
    flow.ssh.server_judged = flow.server->base() + identification.consumed;
    if (!flow.ssh.host_key_wanted) return end_ssh(flow);
    flow.ssh.phase = SshPhase::kKeyExchange;
  }
  if (flow.ssh.phase == SshPhase::kKeyExchange) judge_ssh_exchange(flow);
}

// judge_ssh_exchange lets the client's part of the key exchange go, so that the server can answer, and judges the
// host key in the answer.
void Inspector::Impl::judge_ssh_exchange(Flow& flow) {
  using Step = parsers::SshExchange::Step;
  const ByteSpan client = flow.client->contiguous();
  const ByteSpan server = flow.server->contiguous();
  const parsers::SshExchange exchange = parsers::read_ssh_exchange(client, server.subspan(flow.ssh.server_identification));
  flow.ssh.may_leave = flow.client->base() + exchange.client_read;
  switch (exchange.step) {
    case Step::kNeedMore:
      if ((exchange.client_incomplete && client.size() >= kStreamAheadMax) ||
          (exchange.server_incomplete && server.size() >= kStreamAheadMax)) {
        refuse(flow, Reason::kTooLong);
      }
      return;
    case Step::kMalformed: return refuse(flow, Reason::kMalformed);
    case Step::kTooLong: return refuse(flow, Reason::kTooLong);
    case Step::kAmbiguous: return refuse(flow, Reason::kAmbiguous);
    case Step::kUnknownMethod: return refuse(flow, Reason::kHostKeyNotAllowed);
    case Step::kHostKey: break;
  }
  flow.ssh.host_key = parsers::ssh_key_digest(exchange.host_key);
  flow.ssh.host_key_known = true;
  if (const auto type = parsers::ssh_key_type(exchange.host_key)) report_detail(flow, Detail::kHostKeyType, *type);
  report_detail(flow, Detail::kHostKeySha256, parsers::ssh_fingerprint(flow.ssh.host_key).text().substr(parsers::kSshFingerprintPrefix));
  flow.ssh.told |= kHostKeyTold;
  if (!judge(flow, Protocol::kSsh, {})) return;
  flow.ssh.server_judged = flow.server->base() + flow.ssh.server_identification + exchange.server_read;
  flow.client->consume(exchange.client_read);  // Another method in its place would have given another key.
  flow.final_after = flow.client->base();
  end_ssh(flow);
}

// refuse_ssh_server ends a flow whose server is no SSH server, unless a rule allows it whatever the bytes are.
void Inspector::Impl::refuse_ssh_server(Flow& flow, Reason reason) {
  const policy::PolicyMatch match = this->match(flow, Protocol::kUnknown, {});
  if (match.action != policy::Action::kAllow) return refuse(flow, reason);
  allow_flow(flow, reason_to_allow(match), match.rule);
  end_ssh(flow);
}

void Inspector::Impl::end_ssh(Flow& flow) {
  flow.ssh.phase = SshPhase::kDone;
  flow.client->skip(flow.client->contiguous().size());
}

void Inspector::Impl::read_ssh_details(Flow& flow) {
  if (flow.server == nullptr || !options_.read_details) return;
  const SideStart server = read_side(flow.server->contiguous(), true);
  const SideStart client = read_side(flow.ssh_client == nullptr ? ByteSpan{} : flow.ssh_client->contiguous(), false);
  const auto tell_once = [&](std::uint8_t bit, Detail detail, std::string_view text) {
    if ((flow.ssh.told & bit) == 0) report_detail(flow, detail, text);
    flow.ssh.told |= bit;
  };
  if (!server.banner.empty()) tell_once(kServerBannerTold, Detail::kServerBanner, server.banner);
  if (client.kex_init) tell_once(kHasshTold, Detail::kHassh, parsers::ssh_hassh(*client.kex_init).text());
  if (server.kex_init) tell_once(kHasshServerTold, Detail::kHasshServer, parsers::ssh_hassh_server(*server.kex_init).text());
  if (!client.kex_init || !server.kex_init || (flow.ssh.told & kHostKeyTold) != 0) return;
  const std::string_view method = parsers::ssh_kex_method(*client.kex_init, *server.kex_init);
  constexpr int kPacketsSearched = 4;  // Group exchange sends its group first.
  ByteSpan rest = server.rest;
  for (int i = 0; i < kPacketsSearched; ++i) {
    const parsers::SshPacket packet = parsers::read_ssh_packet(rest);
    if (packet.framing != Framing::kComplete) return;
    rest = rest.subspan(packet.consumed);
    const auto key = parsers::ssh_host_key(packet, method);
    if (!key) continue;
    if (const auto type = parsers::ssh_key_type(*key)) report_detail(flow, Detail::kHostKeyType, *type);
    tell_once(kHostKeyTold, Detail::kHostKeySha256, parsers::ssh_fingerprint(*key).text().substr(parsers::kSshFingerprintPrefix));
    return;
  }
}

}  // namespace sallyport::engine
