// Reason is the closed list of why a packet or flow got its verdict. Each value has a log word, a
// counter (by its index) and a row in docs/decisions.md; a test compares the list with the page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sallyport {

enum class Reason : std::uint8_t {
  kNotEvaluated,
  // The flow goes on.
  kRuleAllows,
  kDefaultAllows,
  kConnecting,
  kNeedMoreData,
  kAwaitingServer,
  kAwaitingBinding,
  kNoPayload,
  kFlowAllowed,
  kReply,
  kTunnelControl,
  kExpected,
  // The policy says no.
  kRuleDenies,
  kNameNotAllowed,
  kAddressNotAllowed,
  kProtocolNotAllowed,
  kUnknownProtocol,
  kNoName,
  kAddressNotBound,
  kHostKeyNotAllowed,
  kMethodNotAllowed,
  kPathNotAllowed,
  kUpgradeNotAllowed,
  kNameDiffers,
  kMetadataAddress,
  kResolverNotTrusted,
  kTlsRequired,
  kEchDenied,
  kQuicDenied,
  kLookupBudget,
  kQueryNotPlain,
  kRebinding,
  kFtpOtherAddress,
  kIcePeerNotConfirmed,
  kFlowDenied,
  // The bytes are not acceptable.
  kMalformed,
  kAmbiguous,
  kTooLong,
  kUnsupportedVersion,
  kNameInvalid,
  kRetransmissionDiffers,
  kHelloChanged,
  kStaleSegment,
  kUrgentData,
  kPayloadNotExpected,
  kQuicShortHeader,
  kQuicInitialUndecryptable,
  kTrailingData,
  // The packet cannot be judged.
  kMidstream,
  kReplyWithoutFlow,
  kReplyMisplaced,
  kAnswerNotAsked,
  kUnparsablePacket,
  kFragment,
  kTruncated,
  kTransportNotAllowed,
  kTunnelNotRead,
  kTunnelTooDeep,
  kIcmpNotAllowed,
  kIcmpError,
  kIcmpSequence,
  // A bound was reached.
  kHoldTimeout,
  kHoldLimit,
  kWaitLimit,
  kStreamLimit,
  kIcePeerLimit,
  kFlowTableFull,
};
inline constexpr std::size_t kReasonCount = static_cast<std::size_t>(Reason::kFlowTableFull) + 1;

struct ReasonInfo {
  std::string_view word;  // In events, metrics and transcripts.
  std::string_view text;  // For people.
};

inline constexpr std::array<ReasonInfo, kReasonCount> kReasonInfo = {{
    {"not_evaluated", "the packet was not judged; it is dropped"},
    {"rule_allows", "an allow rule matches and no deny rule does"},
    {"default_allows", "no rule matches and the default is to allow"},
    {"connecting", "a connection attempt that some rule may allow once its name is seen"},
    {"need_more_data", "the message that carries the name is not complete yet; the packet is held"},
    {"awaiting_server", "allowed; the kernel takes over once the server has acknowledged the judged bytes"},
    {"awaiting_binding", "the address belongs to no allowed name yet; the names are looked up again"},
    {"no_payload", "a segment without payload says nothing and may pass"},
    {"flow_allowed", "the flow was allowed earlier"},
    {"reply", "a packet of the server's direction"},
    {"tunnel_control", "what the ends of a tunnel find each other with: ARP, neighbour discovery, a Teredo bubble"},
    {"expected", "a flow that an allowed one announced: an FTP data connection, or a peer of an ICE socket"},
    {"rule_denies", "a deny rule matches"},
    {"name_not_allowed", "no rule allows this name with this protocol and port"},
    {"address_not_allowed", "no rule allows this address and port"},
    {"protocol_not_allowed", "no rule allows this protocol to this destination"},
    {"unknown_protocol", "the bytes are no known protocol and no rule allows the address for any"},
    {"no_name", "the message carries no name and no rule allows the address"},
    {"address_not_bound", "the name is allowed, but no trusted resolver gave this address for it"},
    {"host_key_not_allowed", "the server's host key is none of those that the rule has"},
    {"method_not_allowed", "the rule for this host has other HTTP methods"},
    {"path_not_allowed", "the rule for this host has other paths"},
    {"upgrade_not_allowed", "the rule for this host allows no WebSocket"},
    {"name_differs", "what is inside a proxy's tunnel is for another name than the tunnel was asked for"},
    {"metadata_address", "the address of a cloud's metadata service, which no rule names"},
    {"resolver_not_trusted", "a DNS server that is not among the policy's resolvers"},
    {"tls_required", "mail, login or data in plaintext, where the rule wants TLS first"},
    {"ech_denied", "the hello carries Encrypted Client Hello, which the policy denies"},
    {"quic_denied", "the policy denies QUIC, so that clients use TCP"},
    {"lookup_budget", "too many distinct names below a wildcard were asked for"},
    {"query_not_plain", "a DNS query with a type, class or option that no resolver library needs"},
    {"rebinding", "an answer that gives a public name an address that is not"},
    {"ftp_other_address", "an FTP data connection to another host than the two of the control connection, or to a system port"},
    {"ice_peer_not_confirmed", "something else than an ICE check for a peer that has answered none yet"},
    {"flow_denied", "the flow was denied earlier"},
    {"malformed", "the message breaks its standard"},
    {"ambiguous", "two readers could read the message differently"},
    {"too_long", "the message is longer than any honest one"},
    {"unsupported_version", "a protocol version that is not read"},
    {"name_invalid", "the name is not a host name in any canonical form"},
    {"retransmission_differs", "a segment repeats judged bytes with other content"},
    {"hello_changed", "the second ClientHello names another server than the first"},
    {"stale_segment", "a segment from before the bytes that are remembered; it is dropped"},
    {"urgent_data", "urgent data in a flow that is not judged yet"},
    {"payload_not_expected", "payload in a segment that must carry none"},
    {"quic_short_header", "a short header packet of a connection whose Initial was not seen"},
    {"quic_initial_undecryptable", "an Initial packet that its own keys do not open"},
    {"trailing_data", "bytes behind the end of the message"},
    {"midstream", "payload of a connection whose beginning was not seen"},
    {"reply_without_flow", "a server's packet for a flow that is not known"},
    {"reply_misplaced", "a server's packet that came in by the interface that the client is behind"},
    {"answer_not_asked", "a DNS answer to no question that is open"},
    {"unparsable_packet", "not a well-formed IP packet with a known transport"},
    {"fragment", "an IP fragment that was not reassembled"},
    {"truncated", "the packet was cut before it was judged"},
    {"transport_not_allowed", "an IP protocol that no rule allows"},
    {"tunnel_not_read", "a packet of a tunnel that is looked into, with nothing inside that can be judged"},
    {"tunnel_too_deep", "a tunnel within a tunnel that is looked into"},
    {"icmp_not_allowed", "an ICMP message of a type, or with more payload, than the rules allow there"},
    {"icmp_error", "an ICMP error or a message to routers or neighbours that a client made; never forwarded"},
    {"icmp_sequence", "an ICMP sequence number that goes on from none, or a reply to a request that was not let through"},
    {"hold_timeout", "the rest of the message did not come in time"},
    {"hold_limit", "too many packets are held"},
    {"wait_limit", "too many flows of this client, or of all, wait for their address to be looked up"},
    {"stream_limit", "too many undecided streams or too many gaps in one"},
    {"ice_peer_limit", "too many peers of one ICE socket, or checks to one that does not answer"},
    {"flow_table_full", "too many flows"},
}};

constexpr std::string_view to_string(Reason reason) {
  return kReasonInfo[static_cast<std::size_t>(reason)].word;
}

}  // namespace sallyport
