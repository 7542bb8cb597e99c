// Every bound of the inspector, with its reason. What happens at a bound is a Reason (core/reason.h),
// fails closed in enforce mode, and has a row in docs/limits.md.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "sallyport/core/time.h"

namespace sallyport {

// --- TLS -------------------------------------------------------------------------------------------
inline constexpr std::size_t kTlsPlaintextMax = 16'384;    // RFC 8446 §5.1
inline constexpr std::size_t kClientHelloMax = 16'384;     // Real ones stay below 3 kB, post-quantum included.
inline constexpr std::size_t kTlsRecordsPerHelloMax = 512;  // One-byte records are a game, not a client.

// --- Streams ---------------------------------------------------------------------------------------
// A window keeps the bytes being judged and, behind them, those that were judged and could be
// retransmitted. A power of two, so that a stream offset maps to its place by a mask.
inline constexpr std::size_t kStreamWindowSize = 32'768;
// What may be ahead of the judged bytes: one full ClientHello over several records with their headers.
inline constexpr std::size_t kStreamAheadMax = kClientHelloMax + 5 * kTlsRecordsPerHelloMax;
static_assert((kStreamWindowSize & (kStreamWindowSize - 1)) == 0);
static_assert(kStreamAheadMax < kStreamWindowSize, "undecided bytes must fit beside some history");
inline constexpr std::size_t kStreamRangesMax = 32;  // Islands of out-of-order bytes in one stream.
// Judged pieces with free bytes between them (chunk heads, record headers) that a retransmission is compared with.
inline constexpr std::size_t kStreamHistoryRangesMax = 128;

// --- HTTP ------------------------------------------------------------------------------------------
inline constexpr std::size_t kHttpHeadMax = 16'384;  // nginx and Apache stop at 8 kB a line by default.
inline constexpr std::size_t kHttpFieldsMax = 128;
inline constexpr std::size_t kHttpEmptyLinesMax = 8;  // Before a request; RFC 9112 §2.2 asks for one.
inline constexpr std::size_t kHttpChunkLineMax = 256;
inline constexpr std::size_t kHttpMethodMax = 24;  // UPDATEREDIRECTREF (RFC 4437) has 17.
inline constexpr std::size_t kHttp2FrameMax = 16'384;      // RFC 9113 §4.2: of frames that carry fields.
inline constexpr std::size_t kHttp2FieldsMax = 64;
inline constexpr std::size_t kHttp2FieldListMax = 16'384;  // RFC 9113 §6.5.2: 32 more for each field.
inline constexpr std::size_t kHttp2ContinuationsMax = 16;  // Of one block; many of them are an attack.
static_assert(kHttp2FrameMax + 9 <= kStreamAheadMax, "a HEADERS frame must fit before it is judged");
static_assert(kHttpHeadMax + 2 * kHttpEmptyLinesMax <= kStreamAheadMax, "a head and the empty lines before it, too");

inline constexpr std::size_t kHttp2ReadersPerWorker = 128;  // Plaintext HTTP/2 connections at a time, 90 kB each.

// --- DNS -------------------------------------------------------------------------------------------
inline constexpr std::size_t kDnsRecordsMax = 256;      // Records read from one message.
inline constexpr std::size_t kDnsPointersMax = 64;      // Compression jumps in one name.
inline constexpr std::size_t kDnsQueryMax = 4'096;      // A query over TCP.
inline constexpr std::size_t kDnsDatagramMax = 1'232;   // A query over UDP; with a padding of 128 real ones have 256.
// Distinct names below wildcards that are remembered for their budgets, and budgets, of all workers for an hour; 9 MB.
inline constexpr std::size_t kBudgetNames = 262'144;
inline constexpr std::size_t kBudgetCounts = 4'096;

// --- Bindings --------------------------------------------------------------------------------------
inline constexpr std::size_t kBindings = 65'536;          // Of all workers; 22 MB.
inline constexpr std::size_t kBindingsPerName = 64;       // Large services answer with a dozen at a time.
inline constexpr std::size_t kBindingsPerAddress = 256;   // One address of a CDN has many names.
inline constexpr std::size_t kNamesTriedPerAddress = 32;  // Of which a flow without a name tries the newest.
inline constexpr Duration kBindingTtlMin = std::chrono::seconds(60);
inline constexpr Duration kBindingTtlMax = std::chrono::hours(24);
inline constexpr Duration kBindingKeptMax = std::chrono::hours(24);  // Behind the last answer, however much it is used.
inline constexpr Duration kDistrustedKept = std::chrono::minutes(1);
inline constexpr Duration kBindingKeptAgain = std::chrono::seconds(1);  // Between two prolongations by one flow.
// Questions without an answer; the oldest is forgotten. Resolver libraries ask hundreds over one socket.
inline constexpr std::size_t kDnsPendingPerFlow = 512;
inline constexpr std::size_t kDnsPendingPerWorker = 16'384;  // 1 MB.
inline constexpr std::size_t kAnswerAddressesMax = 64;       // Bound from one answer.
inline constexpr Duration kDnsAnswerTime = std::chrono::seconds(15);
inline constexpr std::size_t kDnsChainMax = 16;           // CNAMEs from the question to its addresses.

// --- Own look-ups ----------------------------------------------------------------------------------
inline constexpr std::size_t kResolverNames = 4'096;     // Kept warm; further ones are looked up on a miss.
inline constexpr std::size_t kResolverMisses = 1'024;    // Waiting for the resolver's thread. A power of two.
inline constexpr std::size_t kResolverMissNames = 256;   // Looked up for one miss, the longest untouched first.
inline constexpr std::size_t kResolverMissPorts = 256;   // Scopes and ports whose last miss is remembered.
inline constexpr std::size_t kResolverLookups = 32;      // Names under way; each is two questions, A and AAAA.
inline constexpr std::size_t kResolverChannels = 4;      // Sockets that they are spread over.
static_assert(kResolverLookups * 2 / kResolverChannels <= kDnsPendingPerFlow,
              "the inspector must not forget our own questions");
inline constexpr Duration kResolverMissAgain = std::chrono::milliseconds(250);  // Between misses of one port.
inline constexpr Duration kResolverAskAgain = std::chrono::seconds(1);          // Between look-ups of one name.
inline constexpr Duration kResolverBackOffMin = std::chrono::seconds(5);
inline constexpr Duration kResolverBackOffMax = std::chrono::minutes(5);
inline constexpr std::size_t kResolvConfMax = 65'536;          // Of one file that lists resolvers.
inline constexpr std::size_t kBindingsFileMax = 64u << 20;     // kBindings of the longest names are 25 MB.

// TCP connections that others had opened to this host before it was watched, and that are known over a restart; 5 MB.
inline constexpr std::size_t kIncomingKept = 65'536;
inline constexpr std::size_t kFlowsSaved = 131'072;  // Allowed connections whose names are known over a restart; some 20 MB of file.

// --- ICMP ------------------------------------------------------------------------------------------
inline constexpr std::uint32_t kIcmpPayloadDefault = 56;  // Octets behind the header: what ping(8) sends; more is a choice.
// How far the sequence numbers of one identifier may go on at once; a monitor may count over all of its hosts.
inline constexpr std::uint32_t kIcmpSequenceStep = 1'024;

// --- SSH -------------------------------------------------------------------------------------------
inline constexpr std::size_t kSshIdentificationMax = 255;  // RFC 4253 §4.2, CR LF included.

// --- Expected flows --------------------------------------------------------------------------------
inline constexpr std::size_t kFtpPipelineMax = 16;   // Commands without a reply; further ones are held.
inline constexpr Duration kFtpDataTime = std::chrono::seconds(30);    // From the announcement to the connection.
inline constexpr Duration kIceSocketTime = std::chrono::seconds(60);  // From the STUN server's last answer to the peer.
inline constexpr std::size_t kIcePeersPerSocket = 16;                 // Within kIceSocketTime.
inline constexpr std::size_t kIceCheckMax = 548;     // Octets of a check, RFC 8489 §6.1: what passes where the MTU is not known.
inline constexpr std::uint32_t kIceChecksMax = 256;  // Datagrams to a peer that has not answered; browsers send five a second.
inline constexpr std::size_t kExpectationsPerClient = 64;  // Of one address and user; announced and not used yet, or open sockets.
inline constexpr std::size_t kExpectationSets = 256;       // Of all workers, 64 each: 2.6 MB.

// --- Upgrades to TLS -------------------------------------------------------------------------------
inline constexpr std::size_t kUpgradeLineMax = 12'288;  // RFC 4954 §4: of a SASL exchange; commands have 512.
inline constexpr std::size_t kUpgradePlainMax = 512;    // RFC 5321 §4.5.3.1.4: a line, or element, before TLS that is required.
inline constexpr std::size_t kImapTagMax = 32;  // Clients count: "a001". RFC 9051 sets no limit.
inline constexpr std::uint16_t kUpgradeUnansweredMax = 4'096;  // Commands sent ahead of their answers (RFC 2920).
inline constexpr std::size_t kUpgradeElementMax = 16'384;  // RFC 6120 §13.12: XMPP's servers take 10,000 or more.
inline constexpr std::size_t kUpgradeMessageMax = 4'096;   // LDAP's StartTLS and its answer, MySQL's greeting.
static_assert(kUpgradeElementMax <= kStreamAheadMax && kUpgradeMessageMax <= kStreamAheadMax);
static_assert(kUpgradeLineMax <= kStreamAheadMax, "a line must fit before it is judged");

// --- QUIC ------------------------------------------------------------------------------------------
inline constexpr std::size_t kQuicConnectionIdMax = 20;     // RFC 9000 §17.2
inline constexpr std::size_t kQuicInitialsPerFlowMax = 32;  // Datagrams held until the hello is whole.
inline constexpr std::size_t kQuicFramesPerPacketMax = 512;
inline constexpr std::size_t kQuicPacketsPerDatagramMax = 16;  // Clients coalesce three or four.
// Connections on one tuple whose hellos are remembered, and for how long: a server gives a handshake up sooner.
inline constexpr std::size_t kQuicConnectionsPerFlow = 8;
inline constexpr Duration kQuicConnectionMemory = std::chrono::seconds(30);

// --- Held packets ----------------------------------------------------------------------------------
// A hello in one-byte segments must still fit in one flow's share (R14).
inline constexpr std::size_t kHeldPacketsPerFlow = 2'048;
inline constexpr std::size_t kHeldPacketsPerWorker = 8'192;
inline constexpr std::size_t kQueueLengthMax = 16'384;  // NFQA_CFG_QUEUE_MAXLEN of each queue.
static_assert(kHeldPacketsPerWorker * 2 <= kQueueLengthMax, "held packets must leave room in the queue");
// Flows that wait for a binding, and as many packets held for them; the other half is for hellos and requests.
inline constexpr std::size_t kAwaitingPerWorker = kHeldPacketsPerWorker / 2;
inline constexpr std::size_t kAwaitingPerClient = kAwaitingPerWorker / 8;  // Of one address and user.
inline constexpr Duration kHoldTime = std::chrono::seconds(5);
// A held segment counts against its socket's share of queued packets (TCP small queues): a local sender
// with a long round trip stops after two or three. After this long without an end the segments are
// dropped, their bytes remembered; the sender goes on, and TCP sends the dropped ones again.
inline constexpr Duration kHoldStall = std::chrono::milliseconds(40);
static_assert(kHoldStall * 10 < kHoldTime);

// --- Flows -----------------------------------------------------------------------------------------
inline constexpr std::size_t kFlowsPerWorker = 65'536;
static_assert(kAwaitingPerWorker * 2 <= kFlowsPerWorker, "flows that wait must leave room in the table");
inline constexpr std::size_t kStreamWindowsPerWorker = 8'192;  // Flows with undecided or history bytes.
inline constexpr std::size_t kProxyTargetsPerWorker = kStreamWindowsPerWorker / 2;  // Each such flow has two windows; 1.2 MB.
// SYN seen, nothing else: pools and browsers open connections ahead. First to go but for what the kernel has anyway.
inline constexpr Duration kTcpUndecidedTimeout = std::chrono::minutes(15);
inline constexpr Duration kTcpIdleTimeout = std::chrono::hours(2);
inline constexpr Duration kUdpIdleTimeout = std::chrono::seconds(300);  // Longer than conntrack's 120 s.
inline constexpr Duration kCensusInterval = std::chrono::seconds(10);  // Between two looks at what the kernel passes alone.
inline constexpr int kCensusShare = 200;  // Of a look's own time passes at least that many times until the next.
inline constexpr std::size_t kCgroupsKept = 256;  // Paths of cgroups that a worker remembers.
inline constexpr Duration kDeniedFlowTimeout = std::chrono::seconds(30);

// --- Listening sockets -----------------------------------------------------------------------------
inline constexpr std::size_t kListeningSocketsMax = 16'384;  // Of one network namespace; a busy host has a few hundred.
inline constexpr std::size_t kNamespacesMax = 512;           // Network namespaces beside the program's own; one for each container.
inline constexpr std::size_t kOwnerDescriptorsMax = 1'000'000;  // Looked at for whose a socket is: a second or two.

// --- Policy ----------------------------------------------------------------------------------------
// An operator writes a policy, so these bound mistakes and generated lists rather than attacks.
inline constexpr std::size_t kPolicyFileMax = 256u << 20;     // About eight million names.
inline constexpr std::size_t kPolicyTargetsMax = 16'000'000;  // Entries of all `to` lists together.
inline constexpr std::size_t kNat64PrefixesMax = 8;           // Looked at for each IPv6 flow.
inline constexpr std::size_t kListenersMax = 4'096;           // Entries of listeners.allow.
inline constexpr std::size_t kPolicyRulesMax = 10'000;
inline constexpr std::size_t kPolicyPortsPerRuleMax = 256;      // Entries of one `ports` list.
inline constexpr std::size_t kPolicyPortRangesMax = 16'384;     // Of all rules; bounds the early table.
inline constexpr std::size_t kPolicyScopeEntriesMax = 4'096;    // Of all scopes.
inline constexpr std::size_t kPolicyIncludesMax = 256;          // Files and presets of one policy.
inline constexpr std::size_t kPolicyIncludeDepthMax = 8;
inline constexpr std::size_t kPolicyProblemsMax = 1'000;        // Reported; the rest is counted.
inline constexpr std::size_t kPolicyKeyPartsMax = 16;           // Of one dotted key; the parser recurses.
inline constexpr std::size_t kPolicyTextMax = 128;              // Octets of a rule's or scope's name.
inline constexpr std::size_t kPolicyMethodsPerRuleMax = 64;
inline constexpr std::size_t kPolicyPathsPerRuleMax = 256;
inline constexpr std::size_t kGuardsMax = 64;  // Of a policy; each has chains of its own in the kernel.
// Entries of one guard's lists. The rules in the kernel grow with their sum.
inline constexpr std::size_t kGuardListenersMax = 64;
inline constexpr std::size_t kGuardHostsMax = 256;
inline constexpr std::size_t kGuardOriginsMax = 256;
inline constexpr std::size_t kGuardInterfacesMax = 32;
inline constexpr std::size_t kGuardSourcesMax = 256;
// Regular expressions of all `paths`; each has an automaton of at most this much memory (octets) and a program of at most
// so many instructions: 64 MiB if all of them grew to their bounds.
inline constexpr std::size_t kPolicyPatternsMax = 256;
inline constexpr std::size_t kPolicyPatternMemory = 256u << 10;
inline constexpr int kPolicyPatternProgramMax = 2'000;
inline constexpr int kPolicyPatternProgramsMax = 8'000;       // Of all expressions: the work for one octet of a path.
inline constexpr std::size_t kPolicyPatternPathMax = 2'048;  // Octets of a path that expressions are compared with.
inline constexpr std::size_t kKnownHostsFileMax = 4u << 20;     // Octets.
inline constexpr std::size_t kKnownHostsLinesMax = 20'000;
inline constexpr std::size_t kKnownHostsLineMax = 16'384;       // A key of 16,384 bits has 2,800 octets of base 64.
// Hashes of hosts tried while a policy is loaded: about a second.
inline constexpr std::size_t kPolicyHostHashesMax = 1'000'000;
// Look-ups spent on finding allow rules that a deny rule covers; past it such rules go unreported.
inline constexpr std::size_t kPolicyCoverLookupsMax = 4'000'000;

// --- Events ------------------------------------------------------------------------------------------
inline constexpr std::size_t kEventOutputsMax = 8;              // Of a policy; each has a thread.
inline constexpr std::size_t kEventsPerWorker = 4'096;          // On their way from a worker to the log.
inline constexpr std::size_t kEventBufferBytes = 4u << 20;      // Lines that wait for one output.
inline constexpr std::size_t kEventFoldsMax = 4'096;            // Denials that are told apart while their repetitions are counted.
inline constexpr Duration kEventProcessWait = std::chrono::milliseconds(100);  // A line waits for whose the flow is.
inline constexpr std::size_t kProcessAnswersKept = 8'192;       // Flows whose process is remembered.
inline constexpr std::size_t kProcessQuestionsPerWorker = 1'024;

// --- Refusals ----------------------------------------------------------------------------------------
// A client that is told no in words goes on to its next name; one that asks this often is not listening.
inline constexpr std::uint32_t kRefusalsPerSecond = 50;
inline constexpr std::uint32_t kRefusalBurst = 200;
inline constexpr std::size_t kRefusalSources = 1'024;    // Buckets of a worker that sources share by a keyed hash.
inline constexpr std::size_t kLastWordsMax = 2'048;      // Clients of a worker that were told and are not reset yet.
// A client reads what it was told within this time, and is reset then: it may go on writing, or the words may be lost.
inline constexpr Duration kRefusalEndsAfter = std::chrono::milliseconds(250);
inline constexpr std::size_t kRefusalBytesPerCall = 65'536;  // Of the packets that one call makes: about 50 refusals.

// --- What the operator sees (src/daemon/flow_book.h) ---------------------------------------------------
inline constexpr std::size_t kFlowBookLive = 65'536;    // Living flows, about half a kilobyte each.
inline constexpr std::size_t kFlowBookEnded = 4'096;    // Flows that ended last.
inline constexpr std::size_t kFlowBookEvents = 4'096;   // Events that can be asked for by their id.
inline constexpr std::size_t kFlowBookDenied = 1'024;   // Names whose denials are counted.
inline constexpr std::size_t kFlowAnswerMax = 512u << 10;  // Octets of rows in one answer; the rest is asked for again.
inline constexpr std::size_t kWatchChangesMax = 200;    // Changed flows in one frame of a live view.

}  // namespace sallyport
