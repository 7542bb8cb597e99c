#include "sallyport/parsers/recognisers.h"

#include "sallyport/parsers/database.h"
#include "sallyport/parsers/dtls.h"
#include "sallyport/parsers/infrastructure.h"
#include "sallyport/parsers/mail.h"
#include "sallyport/parsers/messaging.h"
#include "sallyport/parsers/realtime.h"
#include "sallyport/parsers/tunnel.h"
#include "sallyport/parsers/vpn.h"

namespace sallyport::parsers {
namespace {

// Candidates collects the answers of recognisers over the same bytes.
class Candidates {
 public:
  void add(Protocol protocol, Likeness likeness) {
    if (likeness == Likeness::kMaybe) open_ = true;
    if (likeness != Likeness::kYes) return;
    conflict_ = conflict_ || (sure_ != Protocol::kUnknown && sure_ != protocol);
    sure_ = protocol;
  }

  Recognition result() const {
    if (conflict_) return {};
    if (sure_ != Protocol::kUnknown) return {sure_, false};
    return {Protocol::kUnknown, open_};
  }

 private:
  Protocol sure_ = Protocol::kUnknown;
  bool conflict_ = false;
  bool open_ = false;
};

void ask_client_first(Candidates& candidates, ByteSpan client, ByteSpan server) {
  candidates.add(Protocol::kStun, looks_like_stun_tcp(client));
  candidates.add(Protocol::kOpenvpn, looks_like_openvpn_tcp(client));
  candidates.add(Protocol::kBittorrent, looks_like_bittorrent(client));
  candidates.add(Protocol::kMqtt, looks_like_mqtt(client));
  candidates.add(Protocol::kAmqp, looks_like_amqp(client));
  candidates.add(Protocol::kXmpp, looks_like_xmpp(client));
  candidates.add(Protocol::kSip, looks_like_sip(client));
  candidates.add(Protocol::kRedis, looks_like_redis(client));
  candidates.add(Protocol::kPostgresql, looks_like_postgresql(client));
  candidates.add(Protocol::kSmb, looks_like_smb(client));
  candidates.add(Protocol::kNetbios, looks_like_netbios_session(client));
  candidates.add(Protocol::kRdp, looks_like_rdp(client, server));
  candidates.add(Protocol::kSocks, looks_like_socks(client, server));
  candidates.add(Protocol::kLdap, looks_like_ldap(client));
  candidates.add(Protocol::kSyslog, looks_like_syslog_tcp(client));
}

}  // namespace

Recognition recognise_tcp(ByteSpan client, ByteSpan server) {
  Candidates candidates;
  candidates.add(Protocol::kSmtp, looks_like_smtp(client, server));
  candidates.add(Protocol::kFtp, looks_like_ftp(client, server));
  candidates.add(Protocol::kImap, looks_like_imap(client, server));
  candidates.add(Protocol::kPop3, looks_like_pop3(client, server));
  // MySQL's client is silent until it is greeted.
  if (client.empty() || !server.empty()) candidates.add(Protocol::kMysql, looks_like_mysql(client, server));
  // A server that speaks to a silent client speaks none of the others.
  if (!client.empty() || server.empty()) ask_client_first(candidates, client, server);
  return candidates.result();
}

Recognition recognise_tcp_client(ByteSpan client) {
  Candidates candidates;
  candidates.add(Protocol::kSmtp, looks_like_smtp(client, {}));
  ask_client_first(candidates, client, {});
  return candidates.result();
}

Recognition recognise_udp(ByteSpan datagram, ByteSpan previous) {
  Candidates candidates;
  candidates.add(Protocol::kStun, looks_like_stun(datagram));
  candidates.add(Protocol::kDtls, looks_like_dtls(datagram));
  candidates.add(Protocol::kWireguard, looks_like_wireguard(datagram));
  candidates.add(Protocol::kOpenvpn, looks_like_openvpn(datagram));
  candidates.add(Protocol::kIke, looks_like_ike(datagram));
  candidates.add(Protocol::kNtp, looks_like_ntp(datagram));
  candidates.add(Protocol::kDhcp, looks_like_dhcp(datagram));
  candidates.add(Protocol::kSnmp, looks_like_snmp(datagram));
  candidates.add(Protocol::kSyslog, looks_like_syslog(datagram));
  candidates.add(Protocol::kNetbios, looks_like_netbios(datagram));
  candidates.add(Protocol::kSsdp, looks_like_ssdp(datagram));
  candidates.add(Protocol::kBittorrent, looks_like_bittorrent_udp(datagram));
  candidates.add(Protocol::kVxlan, looks_like_vxlan(datagram));
  candidates.add(Protocol::kGeneve, looks_like_geneve(datagram));
  candidates.add(Protocol::kTeredo, looks_like_teredo(datagram));
  // A datagram is whole: what is cut off in it is something else.
  const auto whole = [](Likeness likeness) { return likeness == Likeness::kYes ? likeness : Likeness::kNo; };
  candidates.add(Protocol::kSip, whole(looks_like_sip(datagram)));
  candidates.add(Protocol::kLdap, whole(looks_like_ldap(datagram)));
  if (candidates.result().protocol != Protocol::kUnknown) return candidates.result();
  candidates.add(Protocol::kRtp,
                 previous.empty() ? looks_like_rtp(datagram, {}) : looks_like_rtp(previous, datagram));
  return candidates.result();
}

}  // namespace sallyport::parsers
