// The parts of the inspector. inspector.cc holds the entry points, time-outs and reports; tcp.cc and
// udp.cc the two transports; judge_*.cc one protocol each. All of them work on one Flow at a time.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "dns_answers.h"
#include "dns_pending.h"
#include "flow_table.h"
#include "last_words.h"
#include "pools.h"
#include "refusal_budget.h"
#include "sallyport/engine/denial.h"
#include "sallyport/engine/inspector.h"
#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/dns_ech.h"
#include "sallyport/parsers/dtls.h"
#include "sallyport/parsers/fingerprint.h"
#include "sallyport/parsers/http1.h"
#include "sallyport/parsers/icmp.h"
#include "sallyport/parsers/ip_packet.h"
#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/tls_handshake.h"
#include "sallyport/refusal/quic.h"
#include "wait_shares.h"

namespace sallyport::engine {

inline constexpr std::uint16_t kFirstUserPort = 1024;  // Below are the system ports, RFC 6335 §6.

// reason_to_allow is why a PolicyMatch or EarlyResult allows.
template <typename Match>
constexpr Reason reason_to_allow(const Match& match) {
  if (match.bypass) return Reason::kBypass;
  return match.rule == kNoRule ? Reason::kDefaultAllows : Reason::kRuleAllows;
}

// NameClaim is the name that a message says it is for, as far as it says one.
struct NameClaim {
  std::string_view text;  // As sent, for reports; empty when there is none.
  const DomainName* name = nullptr;  // Canonical, or null.
  bool invalid = false;   // Text that is no host name and no IP literal.
  bool ech = false;       // The hello carries encrypted_client_hello.
};

class Inspector::Impl {
 public:
  explicit Impl(const InspectorOptions& options);

  Decision inspect(const Packet& packet, const policy::Policy& policy, Timestamp now);
  void expire(const policy::Policy& policy, Timestamp now);
  void finish(const policy::Policy& policy, Timestamp now);
  bool rejudge(const policy::Policy& before, const policy::Policy& policy, Timestamp now, const InterfaceOf& interface_of);

  void remember(std::vector<RememberedFlow>& flows);
  void recall(std::span<const RememberedFlow> flows, const policy::Policy& policy, Timestamp now);

  void heed(std::span<const Sighting> sightings, Timestamp seen, const policy::Policy& policy, Timestamp now);

  void set_owner_of(std::function<FlowOwner(const FlowKey&, const Packet&)> owner_of) { options_.owner_of = std::move(owner_of); }

  std::vector<Remark> remarks;
  RejudgeCounts rejudge_counts;
  std::vector<Release> releases;
  std::vector<FlowEvent> events;
  std::vector<Injection> injections;
  std::optional<std::uint64_t> last_flow;
  std::optional<std::uint64_t> last_inner_flow;
  std::uint32_t last_inner_size = 0;
  ByteSpan replacement;  // Of the packet inspected last; within replacement_.
  Counters counters;

 private:
  // inspector.cc -------------------------------------------------------------------------------------
  void begin_call(const policy::Policy& policy, Timestamp now);
  Decision inspect_packet(const Packet& packet);
  Decision as_enforced(Decision decision);
  Flow* open_flow(const Packet& packet, const FlowKey& key);
  void close_flow(Flow& flow);
  static bool is_misplaced(const Flow& flow, const Packet& packet);
  policy::ScopeSet scopes_of(const Packet& packet, const FlowKey& key) const;
  void touch(Flow& flow);
  static AgeClass age_class_of(const Flow& flow);
  bool observing() const;
  void expire_waiting(Flow& flow);
  void drop_stalled();

  // A flow's verdict. allow_flow and deny_flow tell it once (and again when it turns).
  void allow_flow(Flow& flow, Reason reason, RuleId rule);
  Decision deny_flow(Flow& flow, Reason reason, RuleId rule = kNoRule);
  // denied answers a packet of a denied flow; refusal_of the packet that the verdict is about.
  Decision denied(const Flow& flow) const;
  Decision refusal_of(const Flow& flow) const;
  // judge asks the policy for one claim. True: allowed; false: the flow is denied now. In a shadow reading
  // (the flow is decided, and read on for details) it only reports the name and answers true.
  bool judge(Flow& flow, Protocol protocol, const NameClaim& claim);
  static void note_another_name(Flow& flow, const NameClaim& claim);
  bool judge_claim(Flow& flow, Protocol protocol, const NameClaim& claim);
  bool judge_early(Flow& flow, const Packet& packet);
  void refuse(Flow& flow, Reason reason);
  bool shadow(const Flow& flow) const;
  void set_protocol(Flow& flow, Protocol protocol);
  void report_name(Flow& flow, std::string_view text);
  void report_detail(Flow& flow, Detail detail, std::string_view text);
  FlowEvent& report(const Flow& flow, FlowEvent::Kind kind, std::string_view text);
  std::string_view keep(std::string_view text);

  // Held packets.
  bool push_held(Flow& flow, const Packet& packet, std::uint64_t end);
  void note(const Decision& decision);
  void note_releases();
  void note_gauges();
  Decision hold(Flow& flow, const Packet& packet, std::uint64_t end);
  void release_held(Flow& flow, std::uint64_t up_to);
  void drop_held(Flow& flow, Reason reason);
  void give_back_windows(Flow& flow);

  // rejudge.cc: another policy ------------------------------------------------------------------------
  // Standing is what the new policy says of a flow that the former one allowed.
  enum class Standing : std::uint8_t {
    kKept,
    kRevoked,
    kForgotten,  // Judged anew with its next packet: datagrams of which each one may begin a flow.
  };
  void rejudge_flow(Flow& flow, const InterfaceOf& interface_of);
  policy::ScopeSet scopes_again(const Flow& flow, const InterfaceOf& interface_of) const;
  void count_verdict(const Flow& flow);
  RuleId successor_of(RuleId rule) const;
  void rejudge_undecided(Flow& flow);
  Standing standing_of(Flow& flow, RuleId successor);
  Standing standing_early(Flow& flow, RuleId successor);
  Standing standing_expected(Flow& flow);
  Standing standing_by_bytes(Flow& flow, RuleId successor);
  Standing standing_negotiation(Flow& flow);
  Standing standing_guarded(Flow& flow);
  bool request_judged(const Flow& flow) const;
  bool proxy_allowed(Flow& flow);
  policy::PolicyMatch match_remembered(Flow& flow, Protocol protocol);
  void revoke(Flow& flow, RuleId rule);
  void remark(const Flow& flow, FlowMark mark, bool cut = false, bool passed = false);
  static void remember_target(Flow& flow);
  Decision revoked_packet(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);

  // bindings.cc: whether a name belongs to the flow's address -------------------------------------------
  policy::View view_of(const Flow& flow) const { return policy_->view_of(flow.scopes); }
  // trusts tells whether the flow's server is a resolver that its view believes.
  bool trusts(const Flow& flow) const;
  // reads_answers tells whether what a flow is answered must be read though its bytes do not matter to its verdict.
  bool reads_answers(const Flow& flow) const;
  // is_own tells the flows of this process's own look-ups.
  bool is_own(const Flow& flow) const;
  policy::FlowQuery query_of(const Flow& flow, Protocol protocol) const;
  policy::PolicyMatch match(Flow& flow, Protocol protocol, const NameClaim& claim);
  RuleId denier_of_address(const Flow& flow, Protocol protocol);
  policy::PolicyMatch allower_of_address(const Flow& flow, Protocol protocol, DomainName& name);
  policy::PolicyMatch match_names_of_address(Flow& flow, Protocol protocol, policy::PolicyMatch match, bool has_claim);
  Reason why_denied(const Flow& flow, Protocol protocol, const NameClaim& claim, const policy::PolicyMatch& match);
  bool names_cover(const Flow& flow);
  bool may_reach(const Flow& flow);
  void use_binding(Flow& flow, const DomainName& name);
  // keep_binding prolongs what allowed a flow that goes on, with its packets.
  void keep_binding(Flow& flow);
  void report_bound_names(Flow& flow, std::size_t count);

  // binding_wait.cc: flows that wait for a binding ------------------------------------------------------
  // gate_syn answers for a SYN to an address that belongs to no name of the port's rules; nullopt: it may go on.
  std::optional<Decision> gate_syn(Flow& flow, const Packet& packet, bool has_payload);
  // await_binding gives kAwaitingBinding when the flow waits (or goes on waiting), else why it does not: nothing to wait
  // for, or no room.
  Reason await_binding(Flow& flow, BindingWait what);
  static bool may_await_binding(const Flow& flow, const NameClaim& claim);
  Decision hold_unbound(Flow& flow, const Packet& packet);
  void end_binding_wait(Flow& flow);
  void retry_bindings();
  void retry_binding(Flow& flow);
  void retry_claim(Flow& flow);
  void refuse_held(Flow& flow, Reason reason);

  // refusals.cc: what a denied client is told --------------------------------------------------------------
  // tell answers whether the client was told in words; a flow that is denied now still has its windows.
  bool tell(Flow& flow);
  bool may_inject(const Flow& flow) const;
  bool tell_client(const Flow& flow, ByteSpan words);
  void end_told();
  static bool answer_is_due(const Flow& flow);
  void tell_server(const Flow& flow);
  std::size_t injected_size() const;
  bool heard_server(const Flow& flow) const;
  std::size_t tcp_words(Flow& flow, refusal::Buffer out);
  std::size_t udp_words(Flow& flow, refusal::Buffer out);
  std::size_t dns_words(refusal::Buffer out, const refusal::Notice& notice, ByteSpan query, bool over_tcp);
  bool inject(std::size_t size, bool to_client);
  static void note_acknowledged(Flow& flow, const parsers::IpPacket& ip);
  static void note_delivered(Flow& flow, const parsers::IpPacket& ip);
  // refusal_notice.cc: the words. The notice is valid until the next call.
  refusal::Notice notice_of(const Flow& flow);
  ByteSpan refused_query(const Flow& flow) const;

  // tcp.cc -------------------------------------------------------------------------------------------
  Decision tcp(const Packet& packet, const parsers::IpPacket& ip);
  void note_packet(Flow& flow, const Packet& packet);
  // count_packets counts those of a flow that are not counted yet, under what its bytes are by now.
  void count_packets(Flow& flow);
  void count_noted_packets();
  Decision tcp_syn(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision tcp_from_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision tcp_from_server(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision client_payload(Flow& flow, const Packet& packet, ByteSpan payload, std::uint64_t offset);
  void turn_if_misread(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  static bool repeats_syn(const Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  bool may_begin_anew(const Flow& flow, const Packet& packet) const;
  Decision pass(const Flow& flow, Reason reason) const;
  void become_final(Flow& flow);
  static bool waits_for_itself(const Flow& flow, std::uint64_t judged);
  static std::uint64_t judged_end(const Flow& flow);
  void read_client_stream(Flow& flow);
  void read_stage(Flow& flow);
  // read_server_stream answers false when bytes that are awaited could not be kept: the server must send them again.
  bool read_server_stream(Flow& flow, const parsers::IpPacket& ip);
  static bool awaits_greeting(const Flow& flow);
  void read_greeting(Flow& flow);
  void finish_if_acknowledged(Flow& flow);
  bool detect_stage(Flow& flow);
  void forget_unasked_answers(Flow& flow);
  void read_acknowledgement(Flow& flow, const parsers::IpPacket& ip);
  Decision reset_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);

  // judge_tls.cc, judge_http.cc, judge_dns.cc, judge_ssh.cc -------------------------------------------
  void read_tls(Flow& flow);
  bool read_tls_hello(Flow& flow);
  void skip_tls_records(Flow& flow);
  void read_tls_server(Flow& flow);
  void report_hello(Flow& flow, const parsers::ClientHello& hello, parsers::HelloTransport transport);
  static NameClaim claim_of(const Flow& flow, const parsers::ClientHello& hello, DomainName& storage);
  static bool names_own_address(const Flow& flow, std::string_view text);
  bool same_name(const Flow& flow, const parsers::ClientHello& hello) const;
  bool denies_ech(const parsers::ClientHello& hello, RuleId rule) const;
  void read_http(Flow& flow);
  void read_http2(Flow& flow);
  template <typename Result>
  bool read_http_step(Flow& flow, const Result& result);  // judge_http.cc alone uses it.
  bool judge_request(Flow& flow, const parsers::HttpRequestHead& head);
  bool judge_waiting_request(Flow& flow);
  bool begin_request(Flow& flow, const parsers::HttpRequestHead& head, bool first, bool proxied);
  void refuse_request(Flow& flow, parsers::HttpRequestStream::Step step, const parsers::HttpRequestHead& head);
  void read_http_server(Flow& flow);
  policy::HttpRequestFacts facts_of(const parsers::HttpRequestHead& head);
  // guard.cc: flows that come in for a guarded port
  static bool is_guarded(const Flow& flow) { return flow.guard != policy::kNoGuard; }
  policy::GuardId guard_of(const Packet& packet, const FlowKey& key) const;
  void set_owner(Flow& flow, const Packet& packet);
  bool judge_guard_early(Flow& flow, const Packet& packet);
  bool judge_guarded_request(Flow& flow, const parsers::HttpRequestHead& head);
  void refuse_unguarded_stage(Flow& flow);
  // judge_proxy.cc: what a proxy is asked for. The target is the server where there is no proxy.
  static IpAddress target_address(const Flow& flow);
  static std::uint16_t target_port(const Flow& flow);
  bool bound_to_target(const Flow& flow, const DomainName& name) const;
  std::size_t names_of_target(const Flow& flow);  // Into names_.
  bool any_name_of_target(const Flow& flow, bool (*chosen)(void*, const DomainName&), void* context) const;
  policy::PolicyMatch match_every_name(Flow& flow, const policy::FlowQuery& query);
  bool is_proxy(Flow& flow, Protocol protocol, const NameClaim& claim);
  bool set_target(Flow& flow, std::string_view host, std::optional<IpAddress> address, std::uint16_t port);
  bool judge_target_early(Flow& flow);
  void await_proxy(Flow& flow);
  bool asks_proxy(Flow& flow, const parsers::HttpRequestHead& head, const NameClaim& claim);
  bool judge_proxied(Flow& flow, const parsers::HttpRequestHead& head, const NameClaim& claim);
  void begin_tunnel(Flow& flow);
  static bool differs_from_target(const Flow& flow, const NameClaim& claim);
  void read_socks(Flow& flow);
  void judge_socks_request(Flow& flow);
  void read_socks_server(Flow& flow);
  void read_dns_stream(Flow& flow);
  bool judge_dns(Flow& flow, ByteSpan message);
  // Lookup is what the policy says of a question.
  struct Lookup {
    policy::PolicyMatch match;
    DomainName name;             // Empty: the name is outside the host name alphabet.
    std::string_view budget_of;  // Whose budget it counts in; empty: none's. Of the policy, or of `name`.
    bool trusted = false;        // The server is.
  };
  policy::PolicyMatch match_lookup(const Flow& flow, const DomainName* name, bool trusted) const;
  void look_up(const Flow& flow, const parsers::DnsQuestion& question, Lookup& lookup) const;
  bool judge_question(Flow& flow, const parsers::DnsQuestion& question);
  void report_question(Flow& flow, ByteSpan message);
  void report_dns(Flow& flow, ByteSpan message);
  // judge_answer.cc
  enum class Answer : std::uint8_t { kTaken, kNotAsked, kUnreadable, kRebinding };
  void note_question(Flow& flow, const parsers::DnsMessage& message);
  void note_datagram(Flow& flow, ByteSpan datagram);
  Answer take_answer(Flow& flow, ByteSpan message);
  void bind_answer(const Flow& flow, const parsers::DnsMessage& message);
  Decision dns_answer(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  void read_dns_server(Flow& flow);
  DnsPending::Question question_key(const parsers::DnsMessage& message) const;
  void read_ssh(Flow& flow);
  void judge_ssh_client(Flow& flow);
  void judge_ssh_server(Flow& flow);
  void judge_ssh_exchange(Flow& flow);
  void refuse_ssh_server(Flow& flow, Reason reason);
  void end_ssh(Flow& flow);
  void read_ssh_answer(Flow& flow);
  static bool awaits_ssh_server(const Flow& flow);
  void read_ssh_details(Flow& flow);
  void read_opaque(Flow& flow, Protocol protocol);

  // expected.cc: flows that another one announced --------------------------------------------------------
  static Expectations::Owner owner_of(const Flow& flow) { return {flow.scopes, flow.uid}; }
  bool take_expected_connection(Flow& flow, const policy::EarlyResult& early);
  // take_expected_peer judges the first datagram of a flow. True: it is decided.
  bool take_expected_peer(Flow& flow, ByteSpan datagram);
  bool may_be_expected_peer(const Flow& flow, ByteSpan datagram) const;
  // judge_ftp.cc
  static bool follows_ftp(const Flow& flow);
  bool read_ftp_command(Flow& flow, ByteSpan line);
  bool read_ftp_reply(Flow& flow, ByteSpan line);
  bool expect_ftp_data(Flow& flow, const IpAddress& address, std::uint16_t port);
  // ice.cc
  void note_stun_request(Flow& flow, ByteSpan datagram);
  void take_stun_answer(Flow& flow, ByteSpan datagram);
  Decision ice_datagram(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision ice_answer(Flow& flow, const parsers::IpPacket& ip);
  Decision ice_check(Flow& flow, ByteSpan datagram);
  Decision ice_dtls(Flow& flow, const Packet& packet, ByteSpan datagram);
  // judge_upgrade.cc: plaintext that TLS may begin in
  void read_session(Flow& flow);
  bool begin_session(Flow& flow);
  bool read_session_server(Flow& flow);
  bool read_session_answer(Flow& flow, std::uint64_t offset, ByteSpan payload);
  void begin_session_tls(Flow& flow);
  void end_session(Flow& flow);
  static bool follows_session(const Flow& flow);
  static ByteSpan readable_of(const Flow& flow);
  void read_acknowledged_body(Flow& flow);
  static void note_window_scale(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  void narrow_window(const Flow& flow, const Packet& packet, const parsers::IpPacket& ip);

  // rebinding.cc
  static bool gives_addresses(const parsers::DnsQuestion& question);
  std::optional<IpAddress> rebound_address(const parsers::DnsMessage& message) const;
  bool refuses_rebinding() const;
  void report_rebinding(const Flow& flow, const parsers::DnsMessage& message, const IpAddress& address);
  Decision refuse_answer(const Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  bool refuse_answer(std::span<std::uint8_t> message);

  // strip_ech.cc
  bool strips_ech(const Flow& flow) const;
  bool refuses_in_stream(const Flow& flow) const;
  bool must_be_whole(const Flow& flow, const parsers::DnsQuestion& question) const;
  parsers::EchStrip rewrite_answer(Flow& flow, std::span<std::uint8_t> message);
  bool strips_answer(const Flow& flow, ByteSpan message) const;
  parsers::EchStrip strip_answer(Flow& flow, std::span<std::uint8_t> message);
  Decision strip_datagram(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision strip_segment(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  void expect_answers(Flow& flow, const parsers::DnsQuestion& question);
  Reason read_answers(Flow& flow);
  std::span<std::uint8_t> copy_packet(const Packet& packet);

  // details.cc: what a report tells beside the verdict -----------------------------------------------
  void read_details(Flow& flow);
  void read_last_details(Flow& flow);
  void read_mail_upgrade(Flow& flow);
  void read_refused_request(Flow& flow);
  void read_two_datagrams(Flow& flow, ByteSpan datagram);
  void report_claim(Flow& flow, const NameClaim& claim);

  // udp.cc, quic.cc, dtls.cc ----------------------------------------------------------------------------------
  Decision udp(const Packet& packet, const parsers::IpPacket& ip);
  Decision udp_from_client(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision udp_from_server(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);
  Decision quic_datagram(Flow& flow, const Packet& packet, ByteSpan datagram);
  Decision refuse_quic_version(Flow& flow, ByteSpan datagram);
  void name_unknown_version(Flow& flow, ByteSpan datagram);
  void refuse_google(Flow& flow, const std::optional<std::string_view>& server_name);
  void report_quic_version(Flow& flow, std::uint32_t version);
  enum class QuicRead : std::uint8_t { kIncomplete, kJudged, kDropPacket, kUnknownVersion, kDenied };
  QuicRead read_quic_packet(Flow& flow, const parsers::QuicLongHeader& header);
  bool open_initial(Flow& flow, const parsers::QuicLongHeader& header, parsers::QuicPlaintext& plaintext);
  QuicRead read_crypto_stream(Flow& flow);
  QuicRead compare_with_memory(Flow& flow, ByteSpan hello);
  static bool half_read(const Flow& flow);
  Decision dtls_datagram(Flow& flow, const Packet& packet, ByteSpan datagram);
  bool read_dtls_fragment(Flow& flow, const parsers::DtlsFragment& fragment);
  bool read_dtls_hello(Flow& flow);
  bool judge_on_link(Flow& flow);
  Decision dns_datagram(Flow& flow, const parsers::IpPacket& ip);
  // judge_datagram.cc
  bool refuses_quic(Flow& flow);
  bool refuses_short_header(Flow& flow);
  bool denies_datagram(Flow& flow, Protocol protocol);
  Decision opaque_datagram(Flow& flow, const Packet& packet, const parsers::IpPacket& ip);

  // tunnel.cc: transports without ports, and what is inside tunnels -----------------------------------
  // Inside tells what the packet that is being judged came in.
  struct Inside {
    std::uint64_t id = 0;  // Of the tunnel and its segment; 0: in none.
    Protocol tunnel = Protocol::kUnknown;
    std::uint64_t carrier = 0;
    policy::ScopeSet scopes = 0;
  };
  Decision other_transport(const Packet& packet, const parsers::IpPacket& ip);
  // icmp.cc
  Decision icmp(const Packet& packet, const parsers::IpPacket& ip);
  Decision icmp_request(const Packet& packet, const parsers::IpPacket& ip, const parsers::IcmpMessage& message);
  Decision icmp_reply(const Packet& packet, const parsers::IpPacket& ip, const parsers::IcmpMessage& message);
  Protocol carried_by_datagram(const FlowKey& key, ByteSpan datagram) const;
  Decision look_inside(const Flow& carrier, const Packet& packet, const parsers::IpPacket& ip);
  std::uint64_t tunnel_id(const Flow& carrier, const parsers::IpPacket& ip, std::uint64_t segment) const;

  InspectorOptions options_;
  FlowTable table_;
  WindowPool windows_;
  HeldPackets held_;
  WaitShares awaiting_;  // Of the table and of held_.
  DnsPending questions_;
  std::shared_ptr<NameBindings> bindings_;
  std::array<DomainName, kNamesTriedPerAddress> names_;  // Of the address that is being judged.
  AnswerAddresses answer_;
  Http2Pool http2_readers_;
  ProxyTargetPool proxy_targets_;
  std::array<char, kHttpHeadMax> path_{};  // Of the request that is being judged, canonical.
  parsers::QuicInitialOpener quic_opener_;
  parsers::Fingerprinter fingerprinter_;
  std::array<std::uint8_t, parsers::kTlsScratchSize> scratch_{};
  std::uint64_t next_number_ = 0;
  const std::shared_ptr<LookupBudget> budget_;
  const std::shared_ptr<Expectations> expectations_;
  std::vector<std::uint8_t> replacement_;
  RefusalBudget refusal_budget_;
  LastWordsQueue last_words_;
  refusal::QuicCloser quic_closer_;
  std::vector<std::uint8_t> injected_;      // The packets of `injections`, one behind the other.
  std::array<char, refusal::kNoticeTextMax> notice_text_{};
  std::array<char, 256> notice_name_{};
  std::vector<std::uint8_t> refused_;  // Room for an answer of a stream.

  // Of the current call.
  Flow* noted_ = nullptr;  // Whose packet it is, while it is not counted.
  const policy::Policy* policy_ = nullptr;
  Timestamp now_;
  const policy::Policy* before_ = nullptr;  // While flows are judged again: who judged them.
  bool rejudging_ = false;
  bool other_terms_ = false;  // The policies differ, or a rule has expired since `judged_at_`.
  std::optional<Timestamp> judged_at_;  // When all flows were judged last; the first call, before that.
  bool no_more_request_terms_ = false;  // Policy::denies_no_more_requests
  std::size_t next_slot_ = 0;           // Of the table, to be judged again.
  RuleId denier_ = kNoRule;             // Why a flow is revoked.
  const policy::HttpRequestFacts* request_ = nullptr;  // Of the judgement that is under way.
  Inside inside_;
  ByteSpan datagram_;        // UDP: the client's, while it is judged.
  std::vector<char> texts_;  // What the events' texts point into.
};

// unwrap turns a sequence number into the stream offset nearest to `near`, `base` being the number of offset 0. Negative:
// before the stream.
inline std::int64_t unwrap(std::uint32_t sequence, std::uint32_t base, std::uint64_t near) {
  const std::uint32_t near_sequence = base + static_cast<std::uint32_t>(near);
  return static_cast<std::int64_t>(near) + static_cast<std::int32_t>(sequence - near_sequence);
}

// increment adds to a counter that only this thread writes: no lock prefix on the packet path.
inline void increment(std::atomic<std::uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace sallyport::engine
