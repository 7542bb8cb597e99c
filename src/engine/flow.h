// Flow is everything that is remembered of one flow. Its pieces are plain data; what they mean to the
// verdict is in the files of this folder that change them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "pools.h"
#include "sallyport/core/decision.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/protocol.h"
#include "sallyport/engine/inspector.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/http2.h"
#include "sallyport/parsers/quic.h"

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

// UpgradeState follows a mail or FTP session to its TLS, for details only (details.cc).
struct UpgradeState {
  std::size_t read = 0;    // Bytes of the client's stream that are lines read.
  bool asked = false;      // The last line read asks for TLS.
  bool done = false;
};

struct Flow {
  FlowKey key;
  std::uint64_t number = 0;
  Timestamp opened;
  Timestamp last_seen;
  policy::ScopeSet scopes = 0;
  std::optional<std::uint32_t> uid;
  Protocol tunnel = Protocol::kUnknown;   // What it came in; key.tunnel is not zero then.
  std::uint64_t carrier = 0;              // Number of the flow that brought its first packet.
  Protocol carries = Protocol::kUnknown;  // The tunnel (parsers::tunnel_family) whose inside is judged.

  FlowState state = FlowState::kUndecided;
  FlowVerdict verdict = FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  Protocol protocol = Protocol::kUnknown;  // For reports; the outermost one of a tunnel.
  Protocol stage = Protocol::kUnknown;     // What the bytes at the base of the client's stream are.
  bool stage_known = false;                // Detection is over for this stage.
  bool by_address = false;                 // Allowed whatever the bytes are.
  bool watch = false;                      // Both directions must be queued.
  bool truncated = false;                  // Bytes are missing for good; the flow cannot be judged.
  bool has_name = false;
  DomainName name;                         // The name judged last.

  // TCP. Offsets count from the byte behind the SYN (or from the first byte seen, `midstream`).
  bool syn_seen = false;
  bool midstream = false;
  bool server_must_confirm = false;        // It replaced a connection: its SYN-ACK must be seen before payload goes.
  bool closing = false;                    // FIN or RST was seen.
  bool client_base_known = false;
  bool server_base_known = false;
  bool no_second_hello = false;            // TLS: no HelloRetryRequest can come any more.
  bool early_data_offered = false;         // TLS: the hello has the early_data extension.
  bool hello_retry_read = false;           // TLS: the HelloRetryRequest is consumed from `server`.
  std::uint32_t client_base = 0;           // Sequence number of client offset 0.
  std::uint32_t server_base = 0;
  std::uint64_t client_seen = 0;           // Highest client offset seen; sequence numbers are unwrapped near it.
  std::uint64_t acknowledged = 0;          // Client offset that the server has acknowledged.
  std::uint64_t final_after = 0;           // Client offset to be acknowledged before the kernel takes over.
  StreamWindow* client = nullptr;          // QUIC: the CRYPTO stream of the Initial packets. DTLS: the hello.
  StreamWindow* server = nullptr;
  TlsPhase tls_phase = TlsPhase::kFirstHello;
  HttpPhase http_phase = HttpPhase::kRequests;
  bool http_websocket = false;
  bool http_connect = false;
  std::uint32_t http_requests = 0;
  std::uint32_t http2_requests = 0;
  std::uint64_t tunnel_base = 0;           // Client offset at which a tunnel begins.
  std::uint64_t http2_judged = 0;          // Client offset behind the last request that was judged, and its frames.
  parsers::HttpRequestStream http;
  parsers::Http2RequestReader* http2 = nullptr;

  // For details only: the client's stream from its beginning, and what was told of it.
  UpgradeState upgrade;
  StreamWindow* ssh_client = nullptr;
  std::uint8_t ssh_told = 0;

  // UDP.
  std::uint32_t datagrams = 0;
  // For details only: the beginning of the client's last datagram, while the flow is of no known protocol.
  std::array<std::uint8_t, 16> last_begin{};
  std::uint8_t last_begin_size = 0;
  QuicState quic;
  DtlsState dtls;

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
};

}  // namespace sallyport::engine
