// SSH: the client's identification string says the protocol; the address says where to. With details
// wanted, the key exchange is read as well, for as long as it is in the clear.
#include "inspector_impl.h"
#include "sallyport/parsers/ssh.h"

namespace sallyport::engine {
namespace {

// Bits of Flow::ssh_told.
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
  if (flow.final_after == 0) {
    const auto identification = parsers::read_ssh_identification(flow.client->contiguous(), false);
    if (identification.framing == Framing::kNeedMore) return;
    if (!identification.line.empty()) report_detail(flow, Detail::kClientBanner, identification.line);
    if (identification.framing != Framing::kComplete) {
      return refuse(flow, identification.unsupported ? Reason::kUnsupportedVersion : Reason::kMalformed);
    }
    if (!judge(flow, Protocol::kSsh, {})) return;
    flow.client->consume(identification.consumed);
    flow.final_after = flow.client->base();
    flow.watch = true;
  }
  // What follows names nothing.
  flow.client->skip(flow.client->contiguous().size());
}

void Inspector::Impl::read_ssh_details(Flow& flow) {
  if (flow.server == nullptr || !options_.read_details) return;
  const SideStart server = read_side(flow.server->contiguous(), true);
  const SideStart client = read_side(flow.ssh_client == nullptr ? ByteSpan{} : flow.ssh_client->contiguous(), false);
  const auto tell_once = [&](std::uint8_t bit, Detail detail, std::string_view text) {
    if ((flow.ssh_told & bit) == 0) report_detail(flow, detail, text);
    flow.ssh_told |= bit;
  };
  if (!server.banner.empty()) tell_once(kServerBannerTold, Detail::kServerBanner, server.banner);
  if (client.kex_init) tell_once(kHasshTold, Detail::kHassh, parsers::ssh_hassh(*client.kex_init).text());
  if (server.kex_init) tell_once(kHasshServerTold, Detail::kHasshServer, parsers::ssh_hassh_server(*server.kex_init).text());
  if (!client.kex_init || !server.kex_init || (flow.ssh_told & kHostKeyTold) != 0) return;
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
    const auto fingerprint = parsers::ssh_fingerprint(*key);
    constexpr std::size_t kAlgorithmPrefix = 7;  // "SHA256:"
    tell_once(kHostKeyTold, Detail::kHostKeySha256, fingerprint.text().substr(kAlgorithmPrefix));
    return;
  }
}

}  // namespace sallyport::engine
