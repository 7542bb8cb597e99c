// Flow is everything that is remembered of one flow. Its pieces are plain data; what they mean to the
// verdict is in the files of this folder that change them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dns_pending.h"
#include "http2_frames.h"
#include "pools.h"
#include "proxy_target.h"
#include "sallyport/core/decision.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/protocol.h"
#include "sallyport/engine/inspector.h"
#include "sallyport/parsers/ftp.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/http2.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/ssh.h"
#include "sallyport/parsers/stun.h"
#include "sallyport/parsers/upgrade.h"
#include "wait_shares.h"

namespace sallyport::engine {

enum class FlowState : std::uint8_t {
  kUndecided,  // No verdict yet.
  kJudged,     // Allowed so far; inspection goes on, or the server's acknowledgement is awaited.
  kFinal,      // Allowed for good: the ct mark says so.
  kDenied,
};

enum class TlsPhase : std::uint8_t {
  kFirstHello,
  kServerFlight,        // The hello is judged; the server's first flight decides what comes next.
  kSecondHello,         // HelloRetryRequest was seen.
  kSecondServerFlight,
};

enum class HttpPhase : std::uint8_t {
  kRequests,
  kAwaitingSwitch,  // Upgrade or CONNECT: the server's answer decides what the bytes are.
  kWebSocket,       // The server switched; the bytes are its own affair.
  kRefused,         // Read on for the name alone (details).
};

// QuicConnection remembers what the hellos of a connection said, for when their bytes are gone: a hello that is
// read again must be the same, or the server may read a mixture of two.
struct QuicConnection {
  std::uint64_t id_hash = 0;
  std::array<std::uint64_t, 2> hello_hashes{};  // 0: none yet.
  Timestamp begun;
};

struct QuicState {
  parsers::QuicInitialKeys keys;
  std::array<std::uint8_t, kQuicConnectionIdMax> connection_id{};  // The one that `keys` come from.
  std::uint8_t connection_id_size = 0;
  std::array<std::uint8_t, kQuicConnectionIdMax> client_connection_id{};  // Where the server's packets go; a refusal's, too.
  std::uint8_t client_connection_id_size = 0;
  bool has_keys = false;
  std::optional<std::uint64_t> largest_packet_number;
  bool hello_judged = false;
  bool version_told = false;
  std::uint8_t hellos = 0;  // Whole hellos of the CRYPTO stream that is being read.
  std::uint8_t connection_count = 0;
  std::array<QuicConnection, kQuicConnectionsPerFlow> connections{};
};

// DtlsState is the ClientHello that is being put together, and what came of the first.
struct DtlsState {
  std::uint32_t length = 0;
  std::uint16_t sequence = 0;
  bool assembling = false;
  bool hello_judged = false;
  bool without_hello = false;  // It began with another message: judged by address.
};

enum class SshPhase : std::uint8_t {
  kIdentification,        // The client's identification string is not judged yet.
  kServerIdentification,  // It is, and may leave; everything behind it waits for the server's.
  kKeyExchange,           // Both are SSH; the client's NEWKEYS and what follows wait for the server's host key.
  kDone,                  // What follows names nothing.
};

struct SshState {
  SshPhase phase = SshPhase::kIdentification;
  bool server_wanted = false;     // A rule for ssh is at this port: the server is watched from the SYN on.
  bool host_key_wanted = false;   // Allowed, provided that the host key is one of the rule's.
  bool host_key_known = false;
  std::uint8_t told = 0;          // Which details were reported.
  parsers::SshKeyDigest host_key{};
  std::size_t server_identification = 0;  // Its length, in the server's window.
  std::uint64_t may_leave = 0;            // Client offset up to which bytes may leave before kDone.
  std::uint64_t server_judged = 0;        // Server offset behind what was judged.
  std::uint64_t server_acknowledged = 0;  // Server offset that the client has acknowledged.
  std::uint64_t server_end = 0;           // Server offset of its FIN; 0: none seen.
};

// UpgradeState follows a mail or FTP session to its TLS, for details only (details.cc).
struct UpgradeState {
  std::size_t read = 0;    // Bytes of the client's stream that are lines read.
  bool asked = false;      // The last line read asks for TLS.
  bool done = false;
};

// FtpState is what is due of an FTP server whose data ports are expected (judge_ftp.cc).
struct FtpState {
  std::uint8_t pending = 0;  // Commands without a reply, at most kFtpPipelineMax.
  std::uint64_t verbs = 0;   // Theirs, four bits each, the oldest lowest.
};

// IcePhase is what a UDP flow is to ICE (ice.cc).
enum class IcePhase : std::uint8_t {
  kNone,
  kServer,    // To a STUN or TURN server whose answers open the client's socket.
  kChecking,  // To a peer that has not answered a check yet: nothing but checks leave.
  kOpen,      // It has: DTLS and media may.
};

struct IceState {
  static constexpr std::size_t kIds = 4;
  IcePhase phase = IcePhase::kNone;
  bool peer_media = false;  // The peer has sent RTP or RTCP.
  bool peer_hello = false;  // It has begun DTLS: the client is the server.
  std::uint8_t next_id = 0;
  std::array<std::array<std::uint8_t, parsers::kStunIdSize>, kIds> ids{};  // Of the client's last requests; zero: none.
};

// SocksPhase is whose turn it is between a client and a SOCKS proxy that rules let it ask.
enum class SocksPhase : std::uint8_t {
  kUnread,
  kOpaque,  // No such proxy: the bytes are judged by address. Also inside a tunnel.
  kGreeting, kMethod, kAuthentication, kStatus,  // SOCKS 5: the client, the proxy, the client, the proxy.
  kRequest4, kReply4, kRequest5, kReply5,
};

constexpr bool awaits_socks_answer(SocksPhase phase) {
  return phase == SocksPhase::kMethod || phase == SocksPhase::kStatus || phase == SocksPhase::kReply4 || phase == SocksPhase::kReply5;
}

// SessionState is a session in plaintext that is followed to its upgrade to TLS (judge_upgrade.cc).
struct SessionState {
  parsers::UpgradeSession read;
  bool tls_required = false;  // policy::PolicyMatch::needs_tls
  bool upgraded = false;      // The stage is TLS that began in `read.protocol`.
  bool ended = false;         // No TLS can begin any more.
  bool begin_known = false;
  std::uint32_t begin = 0;    // What the client's first segment acknowledges: the server's answers begin there.
  bool scale_known = false;
  std::uint8_t scale = 0;     // Of the windows that the server tells (RFC 7323 §2).
};

// BindingWait is what a flow waits with until its address is bound (binding_wait.cc). It may wait once with each, in
// this order: what binds for its SYN may be another name than the one that it asks for then.
enum class BindingWait : std::uint8_t {
  kNone,
  kSyn,       // A TCP SYN is held: the address has no name that any rule for the port has.
  kDatagram,  // The same with the first datagrams of a protocol that carries no name.
  kClaim,     // The bytes name a server that is allowed, but not at this address; they are read again.
};

// IcmpState is what the requests of one identifier were, as far as they were judged.
struct IcmpState {
  std::uint32_t size = 0;      // Of the largest payload.
  std::uint16_t sequence = 0;  // Of the last request.
  std::uint8_t type = 0;
};

// AskedTarget is what a proxy was asked for, for when the flow is judged again and its ProxyTarget is given back: the name is
// Flow::name.
struct AskedTarget {
  bool known = false;    // Else the flow's server was its own target.
  bool by_name = false;  // Else `address`.
  std::uint16_t port = 0;
  IpAddress address;
};

struct Flow {
  bool open = false;  // The slot of the table is taken.
  FlowKey key;
  std::uint64_t number = 0;
  Timestamp opened;
  Timestamp last_seen;
  std::uint32_t packets = 0;              // That were inspected, both ways, and their octets; for reports.
  std::uint32_t packets_counted = 0;      // Of these, those that Counters::packets_by_protocol has.
  std::uint64_t bytes = 0;
  policy::ScopeSet scopes = 0;
  policy::GuardId guard = policy::kNoGuard;  // Its server is a guarded port of this host: no rule judges it, the guard does.
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::uint32_t client_link = 0;          // Packet::in_link of the packet that opened it.
  Protocol tunnel = Protocol::kUnknown;   // What it came in; key.tunnel is not zero then.
  std::uint64_t carrier = 0;              // Number of the flow that brought its first packet.
  Protocol carries = Protocol::kUnknown;  // The tunnel (parsers::tunnel_family) whose inside is judged.

  FlowState state = FlowState::kUndecided;
  FlowVerdict verdict = FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  RuleId own_word_rule = kNoRule;          // policy::PolicyMatch::own_word and ice, of the match that allowed it.
  RuleId ice_rule = kNoRule;
  RuleId proxy_rule = kNoRule;             // What lets its server be asked as a proxy.
  RuleId expected = kNoRule;               // It was announced: the rule of the flow that did (expected.cc).
  Protocol protocol = Protocol::kUnknown;  // For reports; the outermost one of a tunnel.
  Protocol stage = Protocol::kUnknown;     // What the bytes at the base of the client's stream are.
  bool stage_known = false;                // Detection is over for this stage.
  bool by_address = false;                 // Allowed whatever the bytes are.
  bool answers_read = false;               // The same, at a trusted resolver: its answers bind all the same.
  bool asked_again = false;                // UDP: a deny rule may have a later datagram's protocol; it stays queued.
  bool watch = false;                      // Both directions must be queued.
  bool truncated = false;                  // Bytes are missing for good; the flow cannot be judged.
  bool has_name = false;
  bool name_of_address = false;            // No bytes of it said `name`: the address is known by it.
  DomainName name;                         // The name judged last.

  // For judging it again under another policy (rejudge.cc).
  bool early = false;                      // Allowed by its address before any byte was read.
  bool offers_ech = false;                 // The hello that was judged last has encrypted_client_hello.
  bool several_names = false;              // Requests, or connections of one tuple, were for more than one name.
  std::uint8_t revoked = 0;                // Packets of a revoked TCP connection that were answered by resets, or were resets; and 1.
  AskedTarget asked;

  BindingWait binding_wait = BindingWait::kNone;
  WaitShares::Place wait_place = 0;        // Whose share the wait is counted in, while there is one.
  bool needs_binding = false;              // policy::EarlyResult::needs_binding
  BindingWait binding_waited = BindingWait::kNone;  // What it waited with last; on_miss was called.
  bool name_bound = false;                 // The address belonged to `name` when that was judged.
  BindingRef binding;                      // The one that allowed it, and when that was prolonged last.
  Timestamp binding_kept;
  Timestamp binding_deadline;
  std::uint64_t binding_tried = 0;         // NameBindings::version() when they were looked up last.

  // TCP. Offsets count from the byte behind the SYN (or from the first byte seen, `midstream`).
  bool syn_seen = false;
  bool payload_seen = false;  // Of either side.
  bool midstream = false;
  bool greeting_wanted = false;            // A rule at this port is for a protocol whose server speaks first.
  bool greeting_lost = false;              // There was no room for all of what it said before the client.
  bool server_must_confirm = false;        // It replaced a connection: its SYN-ACK must be seen before payload goes.
  bool closing = false;                    // FIN or RST was seen.
  bool ended = false;                      // Its kEnd was told: connection tracking takes it for over.
  bool client_base_known = false;
  bool server_base_known = false;
  bool server_base_guessed = false;        // By the first payload of the server that was read, for details alone.
  bool no_second_hello = false;            // TLS: no HelloRetryRequest can come any more.
  bool early_data_offered = false;         // TLS: the hello has the early_data extension.
  bool hello_retry_read = false;           // TLS: the HelloRetryRequest is consumed from `server`.
  bool hello_named = false;                // TLS, QUIC, DTLS: the first hello has a server name.
  std::uint32_t client_base = 0;           // Sequence number of client offset 0.
  std::uint32_t server_base = 0;
  std::uint64_t client_seen = 0;           // Highest client offset seen; sequence numbers are unwrapped near it.
  std::uint64_t acknowledged = 0;          // Client offset that the server has acknowledged.
  std::uint64_t left = 0;                  // Highest client offset that was let go.
  std::uint64_t final_after = 0;           // Client offset to be acknowledged before the kernel takes over.
  StreamWindow* client = nullptr;          // QUIC: the CRYPTO stream of the Initial packets. DTLS: the hello.
  StreamWindow* server = nullptr;
  StreamWindow* answers = nullptr;         // DNS over TCP: the server's stream as the client gets it (strip_ech.cc).
  bool answers_wanted = false;             // A question for keys was asked, so answers may have to be rewritten.
  std::uint64_t answers_begin = 0;         // Server offset where `answers` begin; what is before went as it was.
  bool answers_lost = false;               // A capture lacks bytes of it.
  TlsPhase tls_phase = TlsPhase::kFirstHello;
  HttpPhase http_phase = HttpPhase::kRequests;
  bool http_websocket = false;
  SocksPhase socks_phase = SocksPhase::kUnread;
  bool http_connect = false;
  std::uint32_t http_requests = 0;
  std::uint32_t http2_requests = 0;
  std::uint64_t tunnel_base = 0;           // Client offset at which a tunnel begins.
  std::uint64_t http2_judged = 0;          // Client offset behind the last request that was judged, and its frames.
  parsers::HttpRequestStream http;
  parsers::Http2RequestReader* http2 = nullptr;
  // The HTTP/2 request that waits for a binding; the reader does not go back. Its name is `name`. 0: none.
  std::size_t http2_waiting = 0;           // Bytes of its last frame, still in the window.

  ProxyTarget* proxy = nullptr;            // What the server, a proxy, is asked for (judge_proxy.cc).

  SshState ssh;
  FtpState ftp;
  SessionState session;

  // What a refusal is made from (refusals.cc).
  bool told = false;                       // The client was told of the denial in its own protocol.
  bool server_next_known = false;
  std::uint32_t server_next = 0;           // TCP: the sequence number that the client expects of the server next.
  bool server_first_known = false;         // The SYN-ACK or the ACK behind it came to the queue.
  Http2Frames server_frames;
  bool asked_at_known = false;
  std::uint32_t asked_at = 0;              // HTTP/1: server_next when the last request was let go.
  std::uint32_t server_first = 0;          // TCP: the same when its handshake was done. Differs once the server has spoken.

  // For details only: the client's stream from its beginning, and what was told of it.
  UpgradeState upgrade;
  StreamWindow* ssh_client = nullptr;

  // UDP.
  std::uint32_t datagrams = 0;
  // For details only: the beginning of the client's last datagram, while the flow is of no known protocol.
  std::array<std::uint8_t, 16> last_begin{};
  std::uint8_t last_begin_size = 0;
  QuicState quic;
  DtlsState dtls;
  IceState ice;
  IcmpState icmp;

  DnsPending::List questions;

  HeldPackets::List held;
  Timestamp hold_deadline;   // When the missing bytes must have come.
  Timestamp stall_deadline;  // When held TCP segments are dropped to let their sender go on.

  // Links of the table's lists (flow_table.h).
  struct Links {
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
    std::uint8_t list = 0;
  };
  Links age;
  Links holding;
  Links waiting;
  Links unbound;       // In the order in which their waits end.
  Links unbound_turn;  // In the order in which they were tried last.
};

}  // namespace sallyport::engine
