// DNS as a way out: which questions pass, and what answers lose.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/parsers/dns.h"
#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {


constexpr std::uint16_t kA = 1, kTxt = 16, kSrv = 33, kTlsa = 52, kHttps = 65;
const auto kClient = endpoint("10.0.0.1", 40'000);
const auto kResolver = endpoint("192.0.2.53", 53);
const auto kOther = endpoint("192.0.2.54", 53);

std::string policy(const std::string& dns = "", const std::string& rules = "") {
  return "version = 1\n[dns]\nresolvers = [\"192.0.2.53\", \"2001:db8::53\"]\n" + dns +
         "\n[[rules]]\nto = [\"good.example\", \"*.wild.example\"]\nprotocols = [\"tls\"]\n" + rules;
}

DnsMessageBuilder query(std::string_view name, std::uint16_t type = kA) { return DnsMessageBuilder(7).question(name, type); }

class DnsEgressTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{policy()};

  static Outcome ask(InspectorHarness& fw, const DnsMessageBuilder& message, const Endpoint& server = kResolver) {
    return fw.client(PacketBuilder::udp(kClient, server).payload(ByteSpan(message.build())).build());
  }
  Outcome ask(const DnsMessageBuilder& message, const Endpoint& server = kResolver) { return ask(fw_, message, server); }
  void expect_passes(const DnsMessageBuilder& message) { EXPECT_EQ(ask(message).decision.verdict, Verdict::kAccept); }
  void expect_refused(const DnsMessageBuilder& message, Reason reason, const Endpoint& server = kResolver) {
    const auto outcome = ask(message, server);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kDrop);
    EXPECT_EQ(to_string(outcome.decision.reason), to_string(reason));
  }
};

TEST_F(DnsEgressTest, NamesThatARuleHasMayBeAskedAtTrustedResolversOnly) {
  expect_passes(query("good.example"));
  expect_passes(query("GooD.eXample"));
  expect_passes(query("a.b.wild.example", 28));
  expect_refused(query("evil.example"), Reason::kNameNotAllowed);
  expect_refused(query("good.example.corp.example"), Reason::kNameNotAllowed);
  expect_refused(query("1.2.0.192.in-addr.arpa", 12), Reason::kNameNotAllowed);
  expect_refused(query("localhost"), Reason::kNameNotAllowed);
  expect_refused(query("."), Reason::kAddressNotAllowed);
  expect_refused(query("good.example"), Reason::kResolverNotTrusted, kOther);
}

TEST_F(DnsEgressTest, ARuleForDnsByAddressAllowsAnyNameAtThatServerAlone) {
  InspectorHarness fw(policy("", "[[rules]]\nto = [\"192.0.2.54\"]\nprotocols = [\"dns\"]\n"));
  EXPECT_EQ(ask(fw, query("evil.example"), kOther).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("evil.example")).decision.verdict, Verdict::kDrop);
}

TEST_F(DnsEgressTest, ARuleForDnsByNameCountsAtTrustedResolvers) {
  InspectorHarness fw(policy("", "[[rules]]\nto = [\"*.2.0.192.in-addr.arpa\"]\nprotocols = [\"dns\"]\nbind = \"strict\"\n"));
  EXPECT_EQ(ask(fw, query("1.2.0.192.in-addr.arpa", 12)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("1.2.0.192.in-addr.arpa", 12), kOther).decision.reason, Reason::kResolverNotTrusted);
}

TEST_F(DnsEgressTest, ADenyRuleTakesALookupAway) {
  InspectorHarness fw(policy("", "[[rules]]\nto = [\"bad.wild.example\"]\nprotocols = [\"dns\"]\naction = \"deny\"\n"));
  EXPECT_EQ(ask(fw, query("ok.wild.example")).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("bad.wild.example")).decision.reason, Reason::kRuleDenies);
  EXPECT_EQ(ask(fw, query("_443._https.bad.wild.example", kHttps)).decision.reason, Reason::kRuleDenies);
}

TEST_F(DnsEgressTest, AnyNameMeansAnyNameAtTrustedResolvers) {
  InspectorHarness fw(policy("names = \"any\""));
  EXPECT_EQ(ask(fw, query("evil.example")).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("evil.example", 255)).decision.reason, Reason::kQueryNotPlain);
  EXPECT_EQ(ask(fw, query("evil.example"), kOther).decision.reason, Reason::kResolverNotTrusted);
}

TEST_F(DnsEgressTest, AScopesOwnResolversAreTheOnlyOnesItMayAsk) {
  InspectorHarness fw("version = 1\n[dns]\nresolvers = [\"192.0.2.53\"]\n[scopes.agent]\nsources = [\"10.0.0.0/8\"]\n"
                      "resolvers = [\"192.0.2.54\"]\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\"]\n");
  EXPECT_EQ(ask(fw, query("good.example"), kOther).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("good.example")).decision.reason, Reason::kResolverNotTrusted);
}

TEST_F(DnsEgressTest, OnlyPlainQueriesPass) {
  for (const std::uint16_t type : {std::uint16_t{255}, std::uint16_t{252}, std::uint16_t{251}, std::uint16_t{10}}) {
    expect_refused(query("good.example", type), Reason::kQueryNotPlain);
  }
  expect_refused(DnsMessageBuilder(7).question("good.example", kA, 3), Reason::kQueryNotPlain);
  expect_refused(query("good.example").trailing({1, 2, 3}), Reason::kTrailingData);
  expect_refused(query("good.example").question("good.example", 28), Reason::kAmbiguous);
  expect_refused(query("good.example").opcode(4), Reason::kUnsupportedVersion);
  expect_refused(query("good.example").edns(1'232, false, {}, 1), Reason::kUnsupportedVersion);
  expect_refused(query("good.example").a("good.example", "192.0.2.1"), Reason::kMalformed);
  expect_refused(query("good.example").record(DnsMessageBuilder::Section::kAdditional, "x.example", kTxt, 1, 0, {1, 'x'}),
                 Reason::kMalformed);
  expect_refused(query("good.example", 65'280), Reason::kQueryNotPlain);
}

TEST_F(DnsEgressTest, OptionsThatEndAtTheResolverPass) {
  expect_passes(query("good.example").edns(1'232, true, {{10, Bytes(8, 1)}, {12, Bytes(40, 0)}, {11, {}}, {3, {}}, {5, {8, 13}}}));
  expect_passes(query("good.example").edns(1'232, false, {{10, Bytes(24, 1)}}));
  expect_refused(query("good.example").edns(1'232, false, {{8, {0, 1, 24, 0, 192, 0, 2}}}), Reason::kQueryNotPlain);
  expect_refused(query("good.example").edns(1'232, false, {{65'001, {1}}}), Reason::kQueryNotPlain);
  expect_refused(query("good.example").edns(1'232, false, {{3, {1}}}), Reason::kQueryNotPlain);
  expect_refused(query("good.example").edns(1'232, false, {{10, Bytes(100, 1)}}), Reason::kQueryNotPlain);
  expect_refused(query("good.example").edns(1'232, false, {{10, Bytes(8, 1)}, {10, Bytes(8, 2)}}), Reason::kAmbiguous);
  expect_refused(query("good.example").edns(1'232, false, {{12, Bytes(1'300, 0)}}), Reason::kTooLong);
}

TEST_F(DnsEgressTest, AnOptionThatThePolicyListsPasses) {
  InspectorHarness fw(policy("edns = [8]"));
  const auto with_subnet = query("good.example").edns(1'232, false, {{8, {0, 1, 24, 0, 192, 0, 2}}});
  EXPECT_EQ(ask(fw, with_subnet).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("good.example").edns(1'232, false, {{9, {1}}})).decision.reason, Reason::kQueryNotPlain);
}

TEST_F(DnsEgressTest, ANameThatBorrowsFromTheHeaderIsRefused) {
  expect_passes(query("good.example"));
  const Bytes bytes = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4, 'g', 'o', 'o', 'd', 0xc0, 0, 0, 1, 0, 1};
  const auto outcome = fw_.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(bytes)).build());
  EXPECT_EQ(outcome.decision.reason, Reason::kMalformed);
}

TEST_F(DnsEgressTest, AServiceOfAnAllowedHostMayBeAskedFor) {
  expect_passes(query("_8443._https.good.example", kHttps));
  expect_passes(query("_ldap._tcp.good.example", kSrv));
  expect_passes(query("_443._tcp.good.example", kTlsa));
  expect_passes(query("_dmarc.good.example", kTxt));
  expect_refused(query("_8443._https.good.example", kA), Reason::kNameNotAllowed);
  expect_refused(query("_https.evil.example", kHttps), Reason::kNameNotAllowed);
  expect_refused(query("_x7f3a._https.good.example", kHttps), Reason::kNameNotAllowed);
  expect_refused(query("_65536._https.good.example", kHttps), Reason::kNameNotAllowed);
  expect_refused(query("_1._2._3._4.good.example", kSrv), Reason::kNameNotAllowed);
  expect_refused(query("data._https.good.example", kHttps), Reason::kNameNotAllowed);
  expect_refused(query("_443.good.example", kTxt), Reason::kNameNotAllowed);
}

TEST_F(DnsEgressTest, DistinctNamesBelowAWildcardHaveABudget) {
  InspectorHarness fw(policy("wildcard_budget = 5"));
  const auto name = [](int i) { return "x" + std::to_string(i) + ".wild.example"; };
  for (int i = 0; i < 5; ++i) EXPECT_EQ(ask(fw, query(name(i))).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query(name(5))).decision.reason, Reason::kLookupBudget);
  EXPECT_EQ(ask(fw, query(name(2), 28)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(fw, query("good.example")).decision.verdict, Verdict::kAccept);
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(ask(fw, query("_" + std::to_string(i) + "._https.good.example", kHttps)).decision.verdict, Verdict::kAccept);
  }
  EXPECT_EQ(ask(fw, query("_6._https.good.example", kHttps)).decision.reason, Reason::kLookupBudget);
}

TEST_F(DnsEgressTest, WorkersShareABudget) {
  auto options = InspectorHarness::small_options();
  options.lookup_budget = std::make_shared<engine::LookupBudget>();
  InspectorHarness one(policy("wildcard_budget = 1"), options);
  InspectorHarness two(policy("wildcard_budget = 1"), options);
  EXPECT_EQ(ask(one, query("a.wild.example")).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(two, query("b.wild.example")).decision.reason, Reason::kLookupBudget);
}

TEST_F(DnsEgressTest, EveryPipelinedQuestionIsJudged) {
  TcpConversation tcp(kClient, kResolver);
  EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
  (void)tcp.syn_ack();
  const Bytes good = query("good.example").build_tcp();
  EXPECT_EQ(fw_.client(tcp.client_data(ByteSpan(joined(good, good)))).decision.verdict, Verdict::kAccept);
  const auto bad = fw_.client(tcp.client_data(ByteSpan(joined(good, query("evil.example").build_tcp()))));
  EXPECT_EQ(bad.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(bad.decision.reason, Reason::kNameNotAllowed);
}

// --- Encrypted Client Hello ------------------------------------------------------------------------

Bytes https_answer(bool tcp = false, std::size_t filler = 0) {
  auto answer = query("good.example", kHttps).flags(0x81a0);
  for (std::size_t i = 0; i < filler; ++i) answer.a("good.example", "192.0.2.7");
  answer.service_binding("good.example", kHttps, 1, ".", {{1, {2, 'h', '2'}}, {5, Bytes(40, 0xec)}, {6, Bytes(16, 1)}});
  return tcp ? answer.build_tcp() : answer.build();
}

// ones_sum adds the 16-bit words up; over a segment with its pseudo header a right checksum gives 0xffff.
std::uint32_t ones_sum(ByteSpan packet) {
  const bool v4 = packet[0] >> 4 == 4;
  const std::size_t transport = v4 ? 20 : 40;
  std::uint32_t sum = v4 ? packet[9] : packet[6];
  const auto add = [&](ByteSpan bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) sum += static_cast<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
  };
  add(v4 ? packet.subspan(12, 8) : packet.subspan(8, 32));
  add(packet.subspan(transport));
  sum += static_cast<std::uint32_t>(packet.size() - transport);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

bool has_ech_bytes(ByteSpan bytes) {
  const Bytes ech(40, 0xec);
  return std::search(bytes.begin(), bytes.end(), ech.begin(), ech.end()) != bytes.end();
}

class StripTest : public ::testing::Test {
 protected:
  // feed gives what the client gets of a server's packet: its replacement if there is one; empty when it was dropped.
  static Bytes feed(InspectorHarness& fw, const Bytes& packet, Reason* reason = nullptr) {
    const auto outcome = fw.server(packet);
    if (reason != nullptr) *reason = outcome.decision.reason;
    if (outcome.decision.verdict != Verdict::kAccept) return {};
    const ByteSpan replaced = fw.inspector().replacement();
    if (replaced.empty()) return packet;
    EXPECT_EQ(replaced.size(), packet.size());
    EXPECT_NE(Bytes(replaced.begin(), replaced.end()), packet);
    return {replaced.begin(), replaced.end()};
  }
};

TEST_F(StripTest, ADatagramLosesTheKeysAndHasARightChecksum) {
  for (const auto& [client, server] : {std::pair{kClient, kResolver}, {endpoint("2001:db8::1", 40'000), endpoint("2001:db8::53", 53)}}) {
    InspectorHarness fw(policy());
    for (const bool bad_checksum : {false, true}) {  // One that was left to the hardware.
      fw.client(PacketBuilder::udp(client, server).payload(ByteSpan(query("good.example", kHttps).build())).build());
      auto builder = PacketBuilder::udp(server, client).payload(ByteSpan(https_answer()));
      if (bad_checksum) builder.bad_checksum();
      const Bytes got = feed(fw, builder.build());
      ASSERT_FALSE(got.empty());
      EXPECT_FALSE(has_ech_bytes(got));
      EXPECT_EQ(ones_sum(got), 0xffffU);
    }
    EXPECT_EQ(fw.detail(engine::Detail::kEch), "stripped");
  }
}

TEST_F(StripTest, ADatagramWithoutAChecksumStaysWithout) {
  InspectorHarness fw(policy());
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(query("good.example", kHttps).build())).build());
  const Bytes got = feed(fw, PacketBuilder::udp(kResolver, kClient).payload(ByteSpan(https_answer())).no_udp_checksum().build());
  ASSERT_FALSE(got.empty());
  EXPECT_FALSE(has_ech_bytes(got));
  EXPECT_EQ(got[26], 0);
  EXPECT_EQ(got[27], 0);
}

TEST_F(StripTest, AnswersWithoutKeysAndOtherModesAreLeftAlone) {
  const Bytes plain = PacketBuilder::udp(kResolver, kClient).payload(ByteSpan(query("good.example").response().a("good.example", "192.0.2.7").build())).build();
  const Bytes keys = PacketBuilder::udp(kResolver, kClient).payload(ByteSpan(https_answer())).build();
  for (const std::string mode : {"strip", "deny", "allow"}) {
    InspectorHarness fw(policy("ech = \"" + mode + "\""));
    fw.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(query("good.example").build())).build());
    EXPECT_EQ(feed(fw, plain), plain);
    fw.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(query("good.example", kHttps).build())).build());
    EXPECT_EQ(has_ech_bytes(feed(fw, keys)), mode != "strip") << mode;
  }
}

TEST_F(StripTest, ARuleHasItsOwnMode) {
  InspectorHarness fw("version = 1\n[dns]\nresolvers = [\"192.0.2.53\"]\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\"]\nech = \"allow\"\n");
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(query("good.example", kHttps).build())).build());
  EXPECT_TRUE(has_ech_bytes(feed(fw, PacketBuilder::udp(kResolver, kClient).payload(ByteSpan(https_answer())).build())));
}

TEST_F(StripTest, AnObserverChangesNothing) {
  InspectorHarness fw(policy("", "[defaults]\nmode = \"observe\"\n"));
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(query("good.example", kHttps).build())).build());
  const Bytes packet = PacketBuilder::udp(kResolver, kClient).payload(ByteSpan(https_answer())).build();
  EXPECT_EQ(feed(fw, packet), packet);
}

TEST_F(StripTest, AMalformedBindingDoesNotPass) {
  InspectorHarness fw(policy());
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(ByteSpan(query("good.example", kHttps).build())).build());
  const Bytes answer = query("good.example", kHttps).response()
      .record(DnsMessageBuilder::Section::kAnswer, "good.example", kHttps, 1, 60, {0, 1, 0, 0, 6, 0, 0, 0, 5, 0, 1, 1}).build();
  Reason reason{};
  EXPECT_TRUE(feed(fw, PacketBuilder::udp(kResolver, kClient).payload(ByteSpan(answer)).build(), &reason).empty());
  EXPECT_EQ(reason, Reason::kMalformed);
}

class StripStreamTest : public StripTest {
 protected:
  InspectorHarness fw_{policy()};
  TcpConversation tcp_{kClient, kResolver};

  void open(const Bytes& queries) {
    fw_.client(tcp_.syn());
    fw_.server(tcp_.syn_ack());
    EXPECT_EQ(fw_.client(tcp_.client_data(ByteSpan(queries))).decision.verdict, Verdict::kAccept);
  }
  Bytes piece(const Bytes& stream, std::size_t begin, std::size_t end) {
    return tcp_.server_at(static_cast<std::uint32_t>(begin)).payload(ByteSpan(stream).subspan(begin, end - begin)).build();
  }
};

TEST_F(StripStreamTest, AnAnswerInOneSegmentIsRewrittenAndSoIsItsRetransmission) {
  open(query("good.example", kHttps).build_tcp());
  const Bytes stream = https_answer(true);
  const Bytes first = feed(fw_, piece(stream, 0, stream.size()));
  ASSERT_FALSE(first.empty());
  EXPECT_FALSE(has_ech_bytes(first));
  EXPECT_EQ(ones_sum(first), 0xffffU);
  EXPECT_EQ(feed(fw_, piece(stream, 0, stream.size())), first);
  const Bytes tail = feed(fw_, piece(stream, 90, stream.size()));
  ASSERT_FALSE(tail.empty());
  EXPECT_TRUE(std::equal(tail.end() - 30, tail.end(), first.end() - 30)) << "a part that is sent again";
}

TEST_F(StripStreamTest, HoweverAnAnswerIsCutTheClientGetsTheRewrittenBytes) {
  const Bytes answer = https_answer(true, 3);
  const Bytes stream = joined(joined(answer, query("good.example").response().a("good.example", "192.0.2.7").build_tcp()), answer);
  for (const std::size_t size : {1UL, 7UL, 50UL, 100UL, answer.size() + 1, stream.size()}) {
    InspectorHarness fw(policy());
    TcpConversation tcp(kClient, kResolver);
    fw.client(tcp.syn());
    fw.server(tcp.syn_ack());
    const Bytes asked = query("good.example", kHttps).build_tcp();
    fw.client(tcp.client_data(ByteSpan(asked)));
    Bytes got(stream.size());
    std::vector<bool> have(stream.size());
    // Every segment is sent until the client has it: what TCP does.
    for (int round = 0; round < 4; ++round) {
      for (std::size_t at = 0; at < stream.size(); at += size) {
        const std::size_t end = std::min(stream.size(), at + size);
        const Bytes packet = feed(fw, tcp.server_at(static_cast<std::uint32_t>(at)).payload(ByteSpan(stream).subspan(at, end - at)).build());
        if (packet.empty()) continue;
        EXPECT_EQ(ones_sum(packet), 0xffffU);
        std::copy(packet.end() - static_cast<std::ptrdiff_t>(end - at), packet.end(), got.begin() + static_cast<std::ptrdiff_t>(at));
        for (std::size_t i = at; i < end; ++i) have[i] = true;
      }
    }
    EXPECT_TRUE(std::ranges::all_of(have, [](bool b) { return b; })) << "segments of " << size;
    EXPECT_FALSE(has_ech_bytes(got)) << "segments of " << size;
    const auto message = parsers::parse_dns_message(ByteSpan(got).subspan(2, answer.size() - 2));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->header.answer_count, 4);
  }
}

TEST_F(StripStreamTest, SegmentsOfAnIncompleteAnswerWaitAndOthersDoNot) {
  open(joined(query("good.example", kHttps).build_tcp(), query("good.example").build_tcp()));
  const Bytes https = https_answer(true);
  Reason reason{};
  EXPECT_TRUE(feed(fw_, piece(https, 0, 60), &reason).empty());
  EXPECT_EQ(reason, Reason::kNeedMoreData);
  EXPECT_FALSE(feed(fw_, piece(https, 60, https.size())).empty()) << "now it is whole";
  EXPECT_FALSE(feed(fw_, piece(https, 0, 60)).empty());

  const Bytes addresses = query("good.example").response().a("good.example", "192.0.2.7").a("good.example", "192.0.2.8").build_tcp();
  const Bytes stream = joined(https, addresses);
  const std::size_t cut = https.size() + 40;
  EXPECT_FALSE(feed(fw_, piece(stream, https.size(), cut)).empty()) << "an answer with addresses needs not be whole";
  EXPECT_FALSE(feed(fw_, piece(stream, cut, stream.size())).empty());
}

TEST_F(StripStreamTest, AQuestionForKeysBehindOthersIsFollowedFromTheMiddleOfAnAnswer) {
  open(query("good.example").build_tcp());
  const Bytes addresses = query("good.example").response().a("good.example", "192.0.2.7").build_tcp();
  const Bytes stream = joined(joined(addresses, addresses), https_answer(true));
  const std::size_t middle = addresses.size() + 40;  // Behind its question.
  EXPECT_EQ(feed(fw_, piece(stream, 0, 5)), piece(stream, 0, 5));
  EXPECT_FALSE(feed(fw_, piece(stream, 5, middle)).empty());
  fw_.client(tcp_.client_data(ByteSpan(query("good.example", kHttps).build_tcp())));
  EXPECT_FALSE(feed(fw_, piece(stream, 5, middle)).empty()) << "sent again";
  EXPECT_TRUE(feed(fw_, piece(stream, middle, stream.size() - 9)).empty());
  EXPECT_FALSE(has_ech_bytes(feed(fw_, piece(stream, stream.size() - 9, stream.size()))));
  const Bytes rest = feed(fw_, piece(stream, middle, stream.size()));
  ASSERT_FALSE(rest.empty());
  EXPECT_FALSE(has_ech_bytes(rest));
  const Bytes both_sides = feed(fw_, piece(stream, 5, stream.size()));
  ASSERT_FALSE(both_sides.empty());
  EXPECT_FALSE(has_ech_bytes(both_sides));
}

TEST_F(StripStreamTest, ALongAnswerWithoutBindingsGoesThrough) {
  open(query("good.example", kTxt).build_tcp());
  DnsMessageBuilder builder = query("good.example", kTxt).response();
  for (int i = 0; i < 200; ++i) builder.record(DnsMessageBuilder::Section::kAnswer, "good.example", kTxt, 1, 60, Bytes(250, 'x'));
  const Bytes stream = builder.build_tcp();
  ASSERT_GT(stream.size(), 50'000U);
  for (std::size_t at = 0; at < stream.size(); at += 1'400) {
    EXPECT_FALSE(feed(fw_, piece(stream, at, std::min(stream.size(), at + 1'400))).empty()) << at;
  }
}

TEST(EchTest, DenyRefusesEveryHelloWithTheExtension) {
  for (const std::string mode : {"strip", "deny", "allow"}) {
    for (const bool carries : {false, true}) {
      InspectorHarness fw("version = 1\n[defaults]\nbind = \"any\"\n[[rules]]\nto = [\"good.example\"]\nprotocols = [\"tls\", \"quic\"]\nech = \"" + mode + "\"\n");
      ClientHelloBuilder hello = ClientHelloBuilder::typical("good.example");
      if (carries) hello.ech_outer();
      const bool passes = !carries || mode != "deny";
      TcpConversation tcp(kClient, endpoint("192.0.2.1", 443));
      fw.client(tcp.syn());
      (void)tcp.syn_ack();
      const auto over_tls = fw.client(tcp.client_data(ByteSpan(hello.record())));
      EXPECT_EQ(over_tls.decision.verdict == Verdict::kAccept, passes) << mode;
      if (!passes) {
        EXPECT_EQ(over_tls.decision.reason, Reason::kEchDenied);
      }
      Outcome over_quic;
      for (const Bytes& datagram : quic_hello_datagrams(hello.message())) {
        over_quic = fw.client(PacketBuilder::udp(kClient, endpoint("192.0.2.1", 443)).payload(ByteSpan(datagram)).build());
      }
      EXPECT_EQ(over_quic.decision.verdict == Verdict::kAccept, passes) << mode;
    }
  }
}

}  // namespace
}  // namespace sallyport::testing
