// The first key exchange of a connection, both sides together, up to the server's host key.
#include <algorithm>

#include "sallyport/parsers/ssh.h"

namespace sallyport::parsers {
namespace {

using Step = SshExchange::Step;

// says_nothing tells the messages that either side may send at any time and that change nothing (RFC 4253 §11).
bool says_nothing(std::uint8_t type) {
  return type == kSshMsgIgnore || type == kSshMsgUnimplemented || type == kSshMsgDebug;
}

Step step_of(Framing framing) {
  return framing == Framing::kTooLong ? Step::kTooLong : Step::kMalformed;
}

// KexInit is the KEXINIT that a side's packets begin with.
struct KexInit {
  Step step = Step::kNeedMore;
  std::optional<SshKexInit> message;
  std::size_t consumed = 0;
};

KexInit read_kex_init(ByteSpan stream) {
  const SshPacket packet = read_ssh_packet(stream);
  if (packet.framing == Framing::kNeedMore) return {};
  if (packet.framing != Framing::kComplete) return {step_of(packet.framing), {}, 0};
  const auto message = parse_ssh_kexinit(packet.payload);  // Of this type alone.
  if (!message) return {Step::kMalformed, {}, 0};
  return {Step::kNeedMore, *message, packet.consumed};
}

// read_client moves over the packets that the server must have.
Step read_client(ByteSpan stream, SshExchange& out) {
  for (int i = 0; i < kSshExchangePacketsMax; ++i) {
    const SshPacket packet = read_ssh_packet(stream.subspan(out.client_read));
    out.client_incomplete = packet.framing == Framing::kNeedMore;
    if (out.client_incomplete) return Step::kNeedMore;
    if (packet.framing != Framing::kComplete) return step_of(packet.framing);
    const bool of_method = packet.type >= kSshMsgKexFirst && packet.type <= kSshMsgKexLast;
    // NEWKEYS, behind which all is encrypted, or what may not stand here: it waits.
    if (!of_method && !says_nothing(packet.type) && packet.type != kSshMsgDisconnect) return Step::kNeedMore;
    out.client_read += packet.consumed;
  }
  return Step::kTooLong;
}

// read_server looks for the message with the host key.
Step read_server(ByteSpan stream, std::string_view method, SshExchange& out) {
  bool group_seen = !ssh_is_group_exchange(method);
  for (int i = 0; i < kSshExchangePacketsMax; ++i) {
    const SshPacket packet = read_ssh_packet(stream.subspan(out.server_read));
    out.server_incomplete = packet.framing == Framing::kNeedMore;
    if (out.server_incomplete) return Step::kNeedMore;
    if (packet.framing != Framing::kComplete) return step_of(packet.framing);
    if (packet.type == kSshMsgDisconnect) return Step::kNeedMore;  // Nothing comes any more.
    out.server_read += packet.consumed;
    if (says_nothing(packet.type)) continue;
    if (!group_seen) {
      if (packet.type != kSshMsgKexGexGroup) return Step::kMalformed;
      group_seen = true;
      continue;
    }
    const auto host_key = ssh_host_key(packet, method);
    if (!host_key) return Step::kMalformed;
    out.host_key = *host_key;
    return Step::kHostKey;
  }
  return Step::kTooLong;
}

}  // namespace

bool ssh_kex_is_read(std::string_view kex_method) {
  constexpr std::string_view kFamilies[] = {
      "diffie-hellman-group",  // RFC 4253 §8, 8268; with "-exchange": RFC 4419
      "ecdh-sha2-",            // RFC 5656 §4
      "curve25519-sha256",     // RFC 8731; with "@libssh.org" before it
      "curve448-sha512",
      "sntrup761x25519-sha512",  // OpenSSH; hybrids are shaped like RFC 5656 §4
      "sntrup4591761x25519-sha512@tinyssh.org",
      "mlkem768x25519-sha256",
      "mlkem768nistp256-sha256",
      "mlkem1024nistp384-sha384",
  };
  return std::any_of(std::begin(kFamilies), std::end(kFamilies),
                     [&](std::string_view family) { return kex_method.starts_with(family); });
}

SshExchange read_ssh_exchange(ByteSpan client, ByteSpan server) {
  SshExchange out;
  const KexInit from_client = read_kex_init(client);
  const KexInit from_server = read_kex_init(server);
  out.client_incomplete = from_client.step == Step::kNeedMore && !from_client.message;
  out.server_incomplete = from_server.step == Step::kNeedMore && !from_server.message;
  if (from_client.step != Step::kNeedMore || from_server.step != Step::kNeedMore) {
    out.step = from_client.step != Step::kNeedMore ? from_client.step : from_server.step;
    return out;
  }
  out.client_read = from_client.consumed;
  out.server_read = from_server.consumed;
  if (from_server.message && from_server.message->first_kex_packet_follows) {
    out.step = Step::kAmbiguous;
    return out;
  }
  if (from_client.message) out.step = read_client(client, out);
  if (out.step != Step::kNeedMore || !from_client.message || !from_server.message) return out;
  const std::string_view method = ssh_kex_method(*from_client.message, *from_server.message);
  out.step = ssh_kex_is_read(method) ? read_server(server, method, out) : Step::kUnknownMethod;
  return out;
}

}  // namespace sallyport::parsers
