// Each recogniser of a stream by itself, over every prefix: "no" and "yes" are final, as the header says that
// no continuation of a "no" can be the protocol. And each recogniser of a datagram, which never waits.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/database.h"
#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/http2.h"
#include "sallyport/parsers/infrastructure.h"
#include "sallyport/parsers/likeness.h"
#include "sallyport/parsers/messaging.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/realtime.h"
#include "sallyport/parsers/ssh.h"
#include "sallyport/parsers/tls_handshake.h"
#include "sallyport/parsers/vpn.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

using OfStream = Likeness (*)(ByteSpan);
constexpr OfStream kOfStreams[] = {
    looks_like_tls,    looks_like_http1, looks_like_http2,           looks_like_ssh,  looks_like_postgresql,
    looks_like_redis,  looks_like_mqtt,  looks_like_amqp,            looks_like_xmpp, looks_like_stun_tcp,
    looks_like_smb,    looks_like_ldap,  looks_like_netbios_session, looks_like_bittorrent,
    looks_like_openvpn_tcp, looks_like_change_cipher_spec,
};
constexpr OfStream kOfDatagrams[] = {
    looks_like_quic,   looks_like_ntp,     looks_like_dhcp, looks_like_snmp,      looks_like_syslog,
    looks_like_ssdp,   looks_like_netbios, looks_like_sip,  looks_like_bittorrent_udp, looks_like_stun,
    looks_like_openvpn, looks_like_wireguard, looks_like_ike,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kPrefixMax = 400;
  const ByteSpan bytes(data, size);
  for (const OfStream looks_like : kOfStreams) {
    Likeness seen = Likeness::kMaybe;
    for (std::size_t length = 0; length <= std::min(size, kPrefixMax); ++length) {
      const std::vector<std::uint8_t> prefix(data, data + length);
      const Likeness now = looks_like(prefix);
      check(seen == Likeness::kMaybe || now == seen);
      seen = now;
    }
    (void)looks_like(bytes);
  }
  for (const OfStream looks_like : kOfDatagrams) (void)looks_like(bytes);
  const ByteSpan first = bytes.first(size / 2);
  const ByteSpan second = bytes.subspan(size / 2);
  (void)looks_like_mysql(first, second);
  (void)looks_like_rdp(first, second);
  (void)looks_like_socks(first, second);
  (void)looks_like_rtp(first, second);
  return 0;
}
