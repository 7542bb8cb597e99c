// DNS answers that give a public name an address that is not.
#include <gtest/gtest.h>

#include "sallyport/core/special_addresses.h"
#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/ip_packet.h"
#include "support/dns_builder.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using engine::FlowVerdict;

const auto kClient = endpoint("10.0.0.1", 40'000), kResolver = endpoint("192.0.2.53", 53);
const auto kClient6 = endpoint("2001:db8::1", 40'000), kResolver6 = endpoint("2001:db8::53", 53);

std::string policy_of(const std::string& dns, const std::string& names = "names = \"any\"") {
  const std::string refuse = dns.find("rebinding =") == std::string::npos ? "rebinding = \"refuse\"\n" : "";
  return "version = 1\n[dns]\n" + refuse + "resolvers = [\"192.0.2.53\", \"2001:db8::53\"]\n" + names + "\n" + dns + "\n[defaults]\nbind = \"strict\"\n";
}

Bytes asked(std::string_view name, std::uint16_t type = 1) { return DnsMessageBuilder(7).question(name, type).edns().build(); }
DnsMessageBuilder answer(std::string_view name, std::uint16_t type = 1) { return DnsMessageBuilder(7).response().question(name, type); }

class RebindingTest : public ::testing::Test {
 protected:
  // ask sends a question and its answer over UDP and returns what came of the answer.
  static Outcome ask(InspectorHarness& fw, const Bytes& query, const Bytes& response) {
    EXPECT_EQ(fw.client(PacketBuilder::udp(kClient, kResolver).payload(query).build()).decision.verdict, Verdict::kAccept);
    return fw.server(PacketBuilder::udp(kResolver, kClient).payload(response).build());
  }
  static bool refused(const std::string& dns, std::string_view name, const Bytes& response, std::uint16_t type = 1) {
    InspectorHarness fw(policy_of(dns));
    const Outcome outcome = ask(fw, asked(name, type), response);
    EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept) << "what goes in its place goes";
    const bool rebinding = outcome.decision.reason == Reason::kRebinding;
    EXPECT_EQ(rebinding, !fw.inspector().replacement().empty());
    EXPECT_EQ(rebinding, fw.verdicts().back().reason == Reason::kRebinding);
    return rebinding;
  }
  static bool refused_a(std::string_view name, std::string_view address, const std::string& dns = "") {
    const bool v6 = address.find(':') != std::string_view::npos;
    const std::uint16_t type = v6 ? 28 : 1;
    return refused(dns, name, v6 ? answer(name, type).aaaa(name, address).build() : answer(name, type).a(name, address).build(), type);
  }
};

TEST_F(RebindingTest, AnAnswerWithAnAddressOfThisNetworkIsRefused) {
  for (const char* address : {"127.0.0.1", "127.255.0.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "169.254.1.1", "100.64.0.1",
                              "0.0.0.1", "224.0.0.1", "255.255.255.255", "168.63.129.16", "::1", "fe80::1", "fd00::1", "fc00::1", "ff02::1",
                              "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0.0.0.0", "64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:7f00:1::",
                              "::127.0.0.1", "fd00:ec2::254", "64:ff9b:1::a9fe:a9fe", "fec0::1"}) {
    EXPECT_TRUE(refused_a("rebind.example", address)) << address;
  }
  for (const char* address : {"192.0.2.1", "203.0.113.9", "8.8.8.8", "2001:db8::1", "2606:4700::1", "64:ff9b::c000:201", "0.0.0.0", "::"}) {
    EXPECT_FALSE(refused_a("rebind.example", address)) << address;
  }
}

TEST_F(RebindingTest, TheAddressOfATranslatorOfOnesOwnCounts) {
  EXPECT_TRUE(refused_a("rebind.example", "2001:db8:64::a00:1", "nat64 = [\"2001:db8:64::/96\"]"));
  EXPECT_FALSE(refused_a("rebind.example", "2001:db8:64::c000:201", "nat64 = [\"2001:db8:64::/96\"]"));
}

TEST_F(RebindingTest, NamesThatNobodyCanRegisterMayBeHere) {
  for (const char* name : {"printer", "localhost", "a.localhost", "nas.local", "nas.home.arpa", "x.y.internal", "home.arpa"}) {
    EXPECT_FALSE(refused_a(name, "10.0.0.1")) << name;
  }
  for (const char* name : {"notlocal.example", "xlocal.xlocal", "local.example", "arpa.test", "home.arpa.example"}) {
    EXPECT_TRUE(refused_a(name, "10.0.0.1")) << name;
  }
}

TEST_F(RebindingTest, ExceptionsAreByName) {
  const std::string dns = "rebinding_except = [\"*.plex.direct\", \"corp.example\"]\nprivate = [\".lan.example\"]";
  for (const char* name : {"a.b.plex.direct", "corp.example", "lan.example", "x.lan.example"}) {
    EXPECT_FALSE(refused_a(name, "192.168.1.2", dns)) << name;
  }
  for (const char* name : {"plex.direct", "x.corp.example", "evil.example"}) EXPECT_TRUE(refused_a(name, "192.168.1.2", dns)) << name;
  EXPECT_FALSE(refused_a("evil.example", "127.0.0.1", "private = \"any\""));
  EXPECT_FALSE(refused_a("evil.example", "127.0.0.1", "rebinding = \"allow\""));
}

TEST_F(RebindingTest, TheAddressIsFoundWhereverItStands) {
  EXPECT_TRUE(refused("", "a.example", answer("a.example").cname("a.example", "b.internal").a("b.internal", "10.0.0.1").build()));
  EXPECT_TRUE(refused("", "a.example", answer("a.example").a("a.example", "192.0.2.1").a("a.example", "10.0.0.1").build())) << "beside a public one";
  EXPECT_TRUE(refused("", "a.example", answer("a.example").a("other.example", "10.0.0.1").build())) << "of another name";
  EXPECT_TRUE(refused("", "a.example", answer("a.example", 33).record(DnsMessageBuilder::Section::kAdditional, "b.example", 1, 1, 60, {127, 0, 0, 1}).build(), 33));
  const Bytes hint4 = {192, 0, 2, 1, 10, 0, 0, 1};
  const Bytes hint6 = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  EXPECT_TRUE(refused("", "a.example", answer("a.example", 65).service_binding("a.example", 65, 1, ".", {{4, hint4}}).build(), 65));
  EXPECT_TRUE(refused("", "a.example", answer("a.example", 65).service_binding("a.example", 65, 1, "cdn.example", {{6, hint6}}).build(), 65));
  EXPECT_FALSE(refused("", "a.example", answer("a.example", 65).service_binding("a.example", 65, 1, ".", {{4, {192, 0, 2, 1}}}).build(), 65));
  EXPECT_FALSE(refused("rebinding_except = \"a.example\"", "_8443._https.a.example",
                       answer("_8443._https.a.example", 65).service_binding("_8443._https.a.example", 65, 1, ".", {{4, hint4}}).build(), 65));
}

// What the client gets in place of the answer.
TEST_F(RebindingTest, TheClientGetsNxdomainWithTheReason) {
  for (const auto& [client, resolver] : {std::pair{kClient, kResolver}, std::pair{kClient6, kResolver6}}) {
    for (const bool edns : {true, false}) {
      InspectorHarness fw(policy_of(""));
      fw.client(PacketBuilder::udp(client, resolver).payload(asked("rebind.example")).build());
      DnsMessageBuilder made = answer("rebind.example").a("rebind.example", "10.0.0.1").compress();
      const Bytes response = edns ? made.edns(1232, true).build() : made.build();
      const auto outcome = fw.server(PacketBuilder::udp(resolver, client).payload(response).build());
      EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);
      const Bytes packet(fw.inspector().replacement().begin(), fw.inspector().replacement().end());
      const auto ip = parsers::parse_ip_packet(packet, packet.size());
      ASSERT_TRUE(ip);
      EXPECT_FALSE(ip->truncated);
      EXPECT_EQ(PacketBuilder::udp(resolver, client).payload(ip->payload).build(), packet) << "lengths and checksums are right";
      const auto message = parsers::parse_dns_message(ip->payload);
      ASSERT_TRUE(message && message->question);
      EXPECT_EQ(message->header.id, 7);
      EXPECT_EQ(message->header.rcode, 3);
      EXPECT_EQ(message->header.answer_count, 0);
      EXPECT_EQ(message->question->name.text(), "rebind.example");
      EXPECT_EQ(message->edns.present, edns);
      EXPECT_EQ(as_text(message->edns.options).find("sallyport: rebind.example has the address 10.0.0.1, which is not public") != std::string_view::npos, edns);
    }
  }
}

TEST_F(RebindingTest, TheEventSaysNameAndAddressAndTheSocketGoesOn) {
  InspectorHarness fw(policy_of(""));
  ask(fw, asked("rebind.example"), answer("rebind.example").a("rebind.example", "10.0.0.1").build());
  ASSERT_EQ(fw.verdicts().size(), 2u);
  EXPECT_EQ(fw.verdicts()[1].verdict, FlowVerdict::kDeny);
  EXPECT_EQ(fw.verdicts()[1].reason, Reason::kRebinding);
  EXPECT_EQ(fw.verdicts()[1].name, "rebind.example");
  const Outcome good = ask(fw, asked("good.example"), answer("good.example").a("good.example", "192.0.2.9").build());
  EXPECT_EQ(good.decision.reason, Reason::kReply);
  EXPECT_TRUE(fw.inspector().replacement().empty());
}

TEST_F(RebindingTest, TwoQuestionsOfOneSocketAreAnsweredEachForItself) {
  InspectorHarness fw(policy_of(""));
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(asked("rebind.example")).build());
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(asked("rebind.example", 28)).build());
  const auto first = fw.server(PacketBuilder::udp(kResolver, kClient).payload(answer("rebind.example").a("rebind.example", "10.0.0.1").build()).build());
  EXPECT_EQ(first.decision.reason, Reason::kRebinding);
  const auto second = fw.server(PacketBuilder::udp(kResolver, kClient).payload(answer("rebind.example", 28).aaaa("rebind.example", "2001:db8::9").build()).build());
  EXPECT_EQ(second.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(second.decision.reason, Reason::kReply);
}

TEST_F(RebindingTest, AnAnswerThatWasNotAskedForIsNoRefusal) {
  InspectorHarness fw(policy_of(""));
  fw.client(PacketBuilder::udp(kClient, kResolver).payload(asked("a.example")).build());
  const auto forged = fw.server(PacketBuilder::udp(kResolver, kClient).payload(answer("b.example").a("b.example", "10.0.0.1").build()).build());
  EXPECT_EQ(forged.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(forged.decision.reason, Reason::kAnswerNotAsked);
  EXPECT_EQ(fw.verdicts().size(), 1u);
}

TEST_F(RebindingTest, LoggedAnswersPass) {
  InspectorHarness fw(policy_of("rebinding = \"log\""));
  const Outcome outcome = ask(fw, asked("rebind.example"), answer("rebind.example").a("rebind.example", "10.0.0.1").build());
  EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(outcome.decision.reason, Reason::kReply);
  EXPECT_TRUE(fw.inspector().replacement().empty());
  ASSERT_EQ(fw.verdicts().size(), 2u);
  EXPECT_EQ(fw.verdicts()[1].verdict, FlowVerdict::kAllow);
  EXPECT_EQ(fw.verdicts()[1].reason, Reason::kRebinding);
}

TEST_F(RebindingTest, AnObservingRunChangesNothingAndTells) {
  auto options = InspectorHarness::small_options();
  options.mode = policy::Mode::kObserve;
  InspectorHarness fw(policy_of(""), options);
  const Outcome outcome = ask(fw, asked("rebind.example"), answer("rebind.example").a("rebind.example", "10.0.0.1").build());
  EXPECT_EQ(outcome.decision.verdict, Verdict::kAccept);
  EXPECT_TRUE(fw.inspector().replacement().empty());
  EXPECT_EQ(fw.verdicts().back().reason, Reason::kRebinding);
}

TEST_F(RebindingTest, ARefusedAnswerBindsNothing) {
  const std::string rules = "[[rules]]\nto = \"mixed.example\"\nprotocols = [\"ssh\"]\n";
  for (const bool refuse : {true, false}) {
    auto options = InspectorHarness::small_options();
    options.bindings = std::make_shared<engine::NameBindings>();
    InspectorHarness fw(policy_of(refuse ? "" : "rebinding = \"log\"", "") + rules, options);
    ask(fw, asked("mixed.example"), answer("mixed.example").a("mixed.example", "192.0.2.9").a("mixed.example", "10.0.0.1").build());
    DomainName one;
    EXPECT_EQ(options.bindings->names_of(*IpAddress::parse("192.0.2.9"), 0, fw.now(), {&one, 1}), refuse ? 0u : 1u);
    EXPECT_EQ(options.bindings->names_of(*IpAddress::parse("10.0.0.1"), 0, fw.now(), {&one, 1}), 0u);
  }
}

// A resolver that rules allow by its address is read all the same where it is trusted.
TEST_F(RebindingTest, AnyQuestionToATrustedResolverIsCovered) {
  InspectorHarness fw("version = 1\n[dns]\nrebinding = \"refuse\"\nresolvers = \"192.0.2.53\"\n[[rules]]\nto = \"192.0.2.53\"\nprotocols = [\"udp\", \"tcp\", \"dns\"]\nports = [53]\n");
  const Outcome outcome = ask(fw, asked("rebind.example"), answer("rebind.example").a("rebind.example", "10.0.0.1").build());
  EXPECT_EQ(outcome.decision.reason, Reason::kRebinding);
  EXPECT_FALSE(fw.inspector().replacement().empty());
}

class RebindingStreamTest : public RebindingTest {
 protected:
  void begin(const std::string& dns = "") {
    fw_ = std::make_unique<InspectorHarness>(policy_of(dns));
    for (const Bytes& packet : {tcp_.syn()}) fw_->client(packet);
    fw_->server(tcp_.syn_ack());
    fw_->client(tcp_.handshake_ack());
  }
  void ask_for(std::string_view name, std::uint16_t type = 1) {
    const Bytes query = DnsMessageBuilder(7).question(name, type).edns().build_tcp();
    EXPECT_EQ(fw_->client(tcp_.client_data(query)).decision.verdict, Verdict::kAccept);
  }
  // sent returns the payload that the client gets of a server's packet; nothing if the packet is dropped.
  Bytes sent(const Bytes& packet) {
    if (fw_->server(packet).decision.verdict != Verdict::kAccept) return {};
    const ByteSpan now = fw_->inspector().replacement().empty() ? ByteSpan(packet) : fw_->inspector().replacement();
    const auto ip = parsers::parse_ip_packet(now, now.size());
    EXPECT_TRUE(ip);
    return {ip->payload.begin(), ip->payload.end()};
  }

  TcpConversation tcp_{kClient, kResolver};
  std::unique_ptr<InspectorHarness> fw_;
};

TEST_F(RebindingStreamTest, TheAnswerBecomesNxdomainOfTheSameLength) {
  for (const bool edns : {true, false}) {
    for (const int records : {1, 2, 40}) {
      tcp_ = TcpConversation(kClient, kResolver);
      begin();
      ask_for("rebind.example");
      DnsMessageBuilder made = answer("rebind.example");
      for (int i = 0; i < records; ++i) made.a("rebind.example", "10.0.0." + std::to_string(i + 1));
      if (edns) made.edns();
      const Bytes response = made.build_tcp();
      const Bytes got = sent(tcp_.server_data(response));
      ASSERT_EQ(got.size(), response.size());
      const auto message = parsers::parse_dns_message(ByteSpan(got).subspan(2));
      ASSERT_TRUE(message && message->trailing.empty());
      EXPECT_EQ(message->header.rcode, 3);
      EXPECT_EQ(message->header.id, 7);
      EXPECT_EQ(message->header.answer_count, 0);
      EXPECT_EQ(message->edns.present, edns);
      EXPECT_EQ(fw_->verdicts().back().reason, Reason::kRebinding);
      ask_for("good.example");
      const Bytes good = answer("good.example").a("good.example", "192.0.2.7").build_tcp();
      EXPECT_EQ(sent(tcp_.server_data(good)), good) << "the connection goes on";
    }
  }
}

TEST_F(RebindingStreamTest, TheClientNeverGetsTheAddressHoweverTheAnswerIsCut) {
  const Bytes response = answer("rebind.example").a("rebind.example", "10.9.8.7").edns().build_tcp();
  const std::string address = "\x0a\x09\x08\x07";
  for (std::size_t cut = 1; cut < response.size(); ++cut) {
    tcp_ = TcpConversation(kClient, kResolver);
    begin();
    ask_for("rebind.example");
    const auto middle = response.begin() + static_cast<std::ptrdiff_t>(cut);
    const Bytes one = tcp_.server_data(Bytes(response.begin(), middle)), two = tcp_.server_data(Bytes(middle, response.end()));
    std::string got;
    for (const Bytes* packet : {&one, &two, &one, &two}) {  // The server sends again what was not acknowledged.
      const Bytes part = sent(*packet);
      got.append(part.begin(), part.end());
    }
    EXPECT_EQ(got.find(address), std::string::npos) << cut;
    EXPECT_GE(got.size(), response.size()) << "what goes in its place arrives whole";
  }
}

TEST_F(RebindingStreamTest, AnAnswerThatIsSentAgainIsRefusedAgain) {
  begin();
  ask_for("rebind.example");
  const Bytes packet = tcp_.server_data(answer("rebind.example").a("rebind.example", "10.0.0.1").build_tcp());
  const Bytes first = sent(packet), second = sent(packet);
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first, second);
}

TEST_F(RebindingStreamTest, AnAnswerThatCannotBeReadDoesNotGo) {
  begin();
  ask_for("rebind.example");
  DnsMessageBuilder made = answer("rebind.example");
  for (int i = 0; i < 300; ++i) made.a("rebind.example", "10.0.0.1");
  EXPECT_TRUE(sent(tcp_.server_data(made.compress().build_tcp())).empty());
}

}  // namespace
}  // namespace sallyport::testing
