// Names and addresses together: what binds, what does not, and who waits for it.
#include <gtest/gtest.h>

#include <algorithm>

#include "dns_answers.h"
#include "support/client_hello_builder.h"
#include "support/dns_builder.h"
#include "support/inspector_harness.h"
#include "support/quic_builder.h"

namespace sallyport::testing {
namespace {

using engine::Detail;
using engine::FlowVerdict;
using Section = DnsMessageBuilder::Section;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kPolicy = R"(
version = 1
[dns]
resolvers = ["192.0.2.53"]
private = ["inside.example"]
ech = "allow"
wildcard_budget = 0
[[rules]]
to = ["good.example", "*.wild.example", "inside.example"]
protocols = ["tls", "quic", "http"]
bind = "strict"
[[rules]]
to = ["git.example", "forge.example"]
protocols = ["ssh"]
[[rules]]
action = "deny"
to = ["bad.example"]
protocols = ["ssh"]
[[rules]]
to = ["time.example"]
protocols = ["udp"]
ports = [123]
[[rules]]
to = ["files.example"]
protocols = ["tcp"]
ports = [21, 40000]
)";
constexpr const char* kServer = "198.51.100.7";

class BindingTest : public ::testing::Test {
 protected:
  explicit BindingTest(engine::InspectorOptions options = InspectorHarness::small_options())
      : bindings_(std::make_shared<engine::NameBindings>(4'096)), fw_(kPolicy, with_bindings(std::move(options))) {}

  engine::InspectorOptions with_bindings(engine::InspectorOptions options) {
    options.bindings = bindings_;
    return options;
  }

  Outcome ask(std::uint16_t id, const char* name, std::uint16_t type = 1, const char* server = "192.0.2.53", std::uint16_t port = 5'000) {
    const auto query = DnsMessageBuilder(id).question(name, type).build();
    return fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", port), endpoint(server, 53)).payload(ByteSpan(query)).build());
  }
  Outcome answer(const DnsMessageBuilder& message, const char* server = "192.0.2.53", std::uint16_t port = 5'000) {
    const auto bytes = message.build();
    return fw_.server(PacketBuilder::udp(endpoint(server, 53), endpoint("10.0.0.1", port)).payload(ByteSpan(bytes)).build());
  }
  static DnsMessageBuilder answer_to(std::uint16_t id, const char* name, std::uint16_t type = 1) {
    return DnsMessageBuilder(id).response().question(name, type);
  }
  void look_up(const char* name, const char* address = kServer, std::uint32_t ttl = 300) {
    EXPECT_EQ(ask(9, name).decision.verdict, Verdict::kAccept) << name;
    EXPECT_EQ(answer(answer_to(9, name).a(name, address, ttl)).decision.verdict, Verdict::kAccept) << name;
  }
  void bind(const char* name, const char* address = kServer, Duration life = hours(1)) {
    bindings_->bind({*IpAddress::parse(address), *DomainName::parse(name), fw_.now() + life, engine::BindingSource::kLookup, 0}, fw_.now());
  }
  bool bound(const char* name, const char* address = kServer) const {
    return bindings_->bound(*IpAddress::parse(address), *DomainName::parse(name), 0, fw_.now());
  }
  Outcome connect(TcpConversation& tcp) {
    const auto syn = fw_.client(tcp.syn());
    (void)tcp.syn_ack();
    return syn;
  }
  TcpConversation to(std::uint16_t port, const char* address = kServer) { return {endpoint("10.0.0.1", ++port_), endpoint(address, port)}; }
  Outcome tls(TcpConversation& tcp, const char* name) { return fw_.client(tcp.client_data(ClientHelloBuilder::typical(name).record())); }
  Outcome ssh(const char* address) {
    TcpConversation tcp = to(22, address);
    if (const auto syn = connect(tcp); syn.decision.verdict != Verdict::kAccept) return syn;
    const auto identification = fw_.client(tcp.client_data(std::string_view("SSH-2.0-OpenSSH_9.2\r\n")));
    if (identification.decision.verdict == Verdict::kAccept) {  // Allowed once the server speaks SSH, too.
      EXPECT_EQ(fw_.server(tcp.server_data(std::string_view("SSH-2.0-server\r\n"))).decision.verdict, Verdict::kAccept);
    }
    return identification;
  }

  std::shared_ptr<engine::NameBindings> bindings_;
  InspectorHarness fw_;
  std::uint16_t port_ = 40'000;
};

TEST_F(BindingTest, AnAnswerBindsBeforeItIsReleased) {
  EXPECT_FALSE(bound("good.example"));
  look_up("good.example");
  EXPECT_TRUE(bound("good.example"));
  TcpConversation tcp = to(443);
  EXPECT_EQ(connect(tcp).decision.reason, Reason::kConnecting);
  EXPECT_EQ(tls(tcp, "good.example").decision.verdict, Verdict::kAccept);
}

TEST_F(BindingTest, AForgedNameTowardsAnotherAddressIsRefused) {
  look_up("good.example");
  TcpConversation tcp = to(443, "203.0.113.66");
  const auto syn = connect(tcp);
  EXPECT_EQ(syn.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(syn.decision.reason, Reason::kAddressNotBound);
  EXPECT_EQ(syn.decision.mark, FlowMark::kReset);
}

TEST_F(BindingTest, AForgedNameAtTheAddressOfAnotherNameIsRefusedWithoutAByte) {
  look_up("good.example");
  look_up("a.wild.example", "203.0.113.66");
  TcpConversation tcp = to(443, "203.0.113.66");
  EXPECT_EQ(connect(tcp).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(tls(tcp, "good.example").decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kAddressNotBound);
  EXPECT_EQ(fw_.verdicts().back().name, "good.example");
}

TEST_F(BindingTest, TwoNamesOnOneSshPortEachWorkAndAThirdHostDoesNot) {
  look_up("git.example", "198.51.100.1");
  look_up("forge.example", "198.51.100.2");
  EXPECT_EQ(ssh("198.51.100.1").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.verdicts().back().name, "git.example");
  EXPECT_EQ(ssh("198.51.100.2").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.verdicts().back().name, "forge.example");
  EXPECT_EQ(ssh("198.51.100.3").decision.reason, Reason::kAddressNotBound);
}

TEST_F(BindingTest, AnAddressOfTwoNamesIsAllowedByOneAndToldWithBoth) {
  bind("other.example");
  bind("git.example");
  EXPECT_EQ(ssh(kServer).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.verdicts().back().name, "git.example");
  EXPECT_EQ(fw_.detail(Detail::kBoundNames), "git.example other.example");
}

TEST_F(BindingTest, ADenyRuleForOneOfTheNamesWins) {
  bind("bad.example");
  bind("git.example");
  EXPECT_EQ(ssh(kServer).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kRuleDenies);
}

TEST_F(BindingTest, ANameForAnotherProtocolDoesNotLetSshThrough) {
  bind("good.example");
  const auto result = ssh(kServer);
  EXPECT_EQ(result.decision.verdict, Verdict::kDrop);
}

TEST_F(BindingTest, AUdpProtocolWithoutANameGoesByTheNamesOfItsAddress) {
  const auto ntp = [&](const char* address, std::uint16_t port) {
    const std::vector<std::uint8_t> datagram(48, 0x23);
    return fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", port), endpoint(address, 123)).payload(ByteSpan(datagram)).build());
  };
  EXPECT_EQ(ntp(kServer, 6'000).decision.reason, Reason::kAddressNotBound);
  look_up("time.example");
  EXPECT_EQ(ntp(kServer, 6'001).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.verdicts().back().name, "time.example");
}

TEST_F(BindingTest, AClientWhoseServerSpeaksFirstDoesNotWaitForItself) {
  look_up("files.example");
  for (const std::string_view line : {"USER anonymous\r\n", "AUTH TLS\r\n", "a1 CAPABILITY\r\n", "CAPA\r\n", "EHLO me.example\r\n",
                                      "NICK me\r\nUSER me 0 * :me\r\n"}) {
    TcpConversation tcp = to(21);
    EXPECT_EQ(connect(tcp).decision.reason, Reason::kConnecting) << line;
    EXPECT_EQ(fw_.server(tcp.server_data(std::string_view("220 ready\r\n"))).decision.verdict, Verdict::kAccept) << line;
    // It is in lockstep: nothing more comes before this line is answered.
    EXPECT_EQ(fw_.client(tcp.client_data(line)).decision.verdict, Verdict::kAccept) << line;
  }
}

TEST_F(BindingTest, AConnectionWhoseClientSaysNothingEndsAsOneThatConnected) {
  look_up("files.example");
  TcpConversation tcp = to(40000);
  (void)connect(tcp);
  EXPECT_EQ(fw_.server(tcp.server_data(std::string_view("-rw-r--r-- 1 0 0 3 index.html\r\n"))).decision.verdict, Verdict::kAccept);
  (void)fw_.end();
  const auto events = fw_.inspector().events();
  const auto end = std::ranges::find_if(events, [](const auto& event) { return event.key.server.port == 40'000; });
  ASSERT_NE(end, events.end());
  EXPECT_EQ(end->reason, Reason::kConnecting);
}

TEST_F(BindingTest, ACachedAddressPassesInsideTheGraceAndNotBehindIt) {
  look_up("good.example", kServer, 60);
  fw_.wait(seconds(60) + hours(1) - seconds(2));
  TcpConversation tcp = to(443);
  EXPECT_EQ(connect(tcp).decision.verdict, Verdict::kAccept);
  fw_.wait(seconds(3));
  TcpConversation late = to(443);
  EXPECT_EQ(connect(late).decision.reason, Reason::kAddressNotBound);
}

TEST_F(BindingTest, ARunningConnectionLivesOnWhenItsBindingEnds) {
  look_up("good.example", kServer, 60);
  TcpConversation tcp = to(80);
  connect(tcp);
  const auto get = [&] { return fw_.client(tcp.client_data(std::string_view("GET / HTTP/1.1\r\nHost: good.example\r\n\r\n"))); };
  EXPECT_EQ(get().decision.verdict, Verdict::kAccept);
  for (int i = 0; i < 4; ++i) {
    fw_.wait(milliseconds(1'000 * 60 * 35));
    EXPECT_EQ(get().decision.verdict, Verdict::kAccept) << i;
  }
  fw_.wait(milliseconds(1'000 * 60 * 100));
  EXPECT_FALSE(bound("good.example"));
  EXPECT_EQ(get().decision.verdict, Verdict::kAccept);
}

// --- Answers that must bind nothing ------------------------------------------------------------------

TEST_F(BindingTest, AnUnsolicitedAnswerIsDroppedAndNeverBinds) {
  look_up("good.example", "198.51.100.9");
  EXPECT_EQ(answer(answer_to(9, "good.example").a("good.example", kServer)).decision.reason, Reason::kAnswerNotAsked);
  EXPECT_FALSE(bound("good.example"));
}

TEST_F(BindingTest, AnAnswerThatDiffersFromItsQuestionNeverBinds) {
  const auto poisoned = [&](const DnsMessageBuilder& message) {
    ask(77, "good.example");
    const auto result = answer(message).decision;
    EXPECT_NE(result.verdict, Verdict::kAccept);
    EXPECT_FALSE(bound("good.example"));
    EXPECT_FALSE(bound("a.wild.example"));
  };
  poisoned(answer_to(78, "good.example").a("good.example", kServer));
  poisoned(answer_to(77, "a.wild.example").a("a.wild.example", kServer));
  poisoned(answer_to(77, "good.example", 28).a("good.example", kServer));
  poisoned(DnsMessageBuilder(77).response().question("good.example", 1, 3).a("good.example", kServer));
  poisoned(answer_to(77, "good.example").question("a.wild.example", 1).a("good.example", kServer));
  poisoned(DnsMessageBuilder(77).question("good.example", 1).a("good.example", kServer));
  poisoned(DnsMessageBuilder(77).response().a("good.example", kServer));
}

TEST_F(BindingTest, RecordsBesideTheChainNeverBind) {
  ask(5, "good.example");
  EXPECT_EQ(answer(answer_to(5, "good.example")
                       .a("a.wild.example", kServer)
                       .a("good.example", "198.51.100.1")
                       .record(Section::kAuthority, "good.example", 1, 1, 300, {198, 51, 100, 7})
                       .record(Section::kAdditional, "good.example", 1, 1, 300, {198, 51, 100, 7})
                       .record(Section::kAnswer, "good.example", 1, 3, 300, {198, 51, 100, 7})
                       .aaaa("good.example", "2001:db8::7"))
                .decision.verdict,
            Verdict::kAccept);
  EXPECT_TRUE(bound("good.example", "198.51.100.1"));
  EXPECT_EQ(bindings_->size(), 1U);
}

TEST_F(BindingTest, AnErrorBindsNothing) {
  ask(5, "good.example");
  EXPECT_EQ(answer(answer_to(5, "good.example").rcode(3).a("good.example", kServer)).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(bindings_->size(), 0U);
  ask(6, "good.example");
  EXPECT_EQ(answer(DnsMessageBuilder(6).response().rcode(1)).decision.verdict, Verdict::kAccept) << "FORMERR repeats no question";
}

TEST_F(BindingTest, OneQuestionGetsOneAnswer) {
  look_up("good.example", "198.51.100.1");
  EXPECT_EQ(answer(answer_to(9, "good.example").a("good.example", kServer)).decision.verdict, Verdict::kDrop);
  EXPECT_FALSE(bound("good.example"));
}

TEST_F(BindingTest, AnAnswerThatComesInWhereTheClientIsNeverBinds) {
  constexpr std::uint32_t kInside = 4, kOutside = 2;
  fw_.from_link(kInside);
  EXPECT_EQ(ask(7, "good.example").decision.verdict, Verdict::kAccept);
  const Outcome forged = answer(answer_to(7, "good.example").a("good.example", "198.51.100.66"));
  EXPECT_EQ(forged.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(forged.decision.reason, Reason::kReplyMisplaced);
  EXPECT_FALSE(bound("good.example", "198.51.100.66"));
  fw_.from_link(kOutside);  // The question is still open for the true one.
  EXPECT_EQ(answer(answer_to(7, "good.example").a("good.example", kServer)).decision.verdict, Verdict::kAccept);
  EXPECT_TRUE(bound("good.example"));
}

TEST_F(BindingTest, ASegmentOfTheServerThatComesInWhereTheClientIsConfirmsNothing) {
  look_up("good.example");
  constexpr std::uint32_t kInside = 4, kOutside = 2;
  fw_.from_link(kInside);
  TcpConversation tcp = to(443);
  EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.server(tcp.syn_ack()).decision.reason, Reason::kReplyMisplaced);
  EXPECT_EQ(tls(tcp, "good.example").decision.mark, FlowMark::kWatch);
  const auto flight = tcp.server_data(server_hello(false));
  EXPECT_EQ(fw_.server(flight).decision.reason, Reason::kReplyMisplaced);
  fw_.from_link(kOutside);
  EXPECT_EQ(fw_.server(flight).decision.mark, FlowMark::kAllow) << "the server itself confirms it";
}

TEST_F(BindingTest, TheAnswerToARefusedQuestionNeverBinds) {
  EXPECT_EQ(ask(5, "evil.example").decision.reason, Reason::kNameNotAllowed);
  EXPECT_EQ(answer(answer_to(5, "evil.example").a("evil.example", kServer)).decision.verdict, Verdict::kDrop);
  EXPECT_EQ(bindings_->size(), 0U);
}

TEST_F(BindingTest, AnotherServerIsNeitherAskedNorBelieved) {
  EXPECT_EQ(ask(5, "good.example", 1, "192.0.2.54").decision.reason, Reason::kResolverNotTrusted);
  ask(6, "good.example");
  EXPECT_NE(answer(answer_to(6, "good.example").a("good.example", kServer), "192.0.2.54").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(bindings_->size(), 0U);
}

TEST_F(BindingTest, AnAnswerThatComesTooLateIsDropped) {
  ask(5, "good.example");
  fw_.wait(kDnsAnswerTime);
  EXPECT_EQ(answer(answer_to(5, "good.example").a("good.example", kServer)).decision.reason, Reason::kAnswerNotAsked);
  EXPECT_EQ(bindings_->size(), 0U);
}

TEST_F(BindingTest, PrivateAddressesBindOnlyToTheNamesThatMayHaveThem) {
  for (const char* address : {"127.0.0.1", "10.0.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"}) {
    look_up("good.example", address);
    EXPECT_FALSE(bound("good.example", address)) << address;
  }
  for (const char* address : {"::1", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.9", "64:ff9b::a00:1", "2002:a00:1::1"}) {
    ask(9, "good.example", 28);
    EXPECT_EQ(answer(answer_to(9, "good.example", 28).aaaa("good.example", address)).decision.verdict, Verdict::kAccept);
    EXPECT_EQ(bindings_->size(), 0U) << address;
  }
  look_up("inside.example", "10.0.0.9");
  EXPECT_TRUE(bound("inside.example", "10.0.0.9"));
  look_up("inside.example", "0.0.0.0");
  EXPECT_FALSE(bound("inside.example", "0.0.0.0"));
}

TEST_F(BindingTest, CaseMeansNothing) {
  ask(5, "GoOd.ExAmPlE");
  EXPECT_EQ(answer(answer_to(5, "gOoD.eXaMpLe").a("good.example", kServer)).decision.verdict, Verdict::kAccept);
  EXPECT_TRUE(bound("good.example"));
}

TEST_F(BindingTest, AliasesAreFollowedFromTheQuestionInAnyOrder) {
  ask(5, "good.example");
  answer(answer_to(5, "good.example").a("c.cdn.example", kServer).cname("b.cdn.example", "c.cdn.example").cname("good.example", "b.cdn.example"));
  EXPECT_TRUE(bound("good.example"));
  EXPECT_EQ(bindings_->size(), 1U) << "the chain's own names are bound to nothing";
}

TEST_F(BindingTest, ADnameRewritesWhatIsBelowIt) {
  ask(5, "a.wild.example");
  answer(answer_to(5, "a.wild.example").named("wild.example", 39, "cdn.example").a("a.cdn.example", kServer));
  EXPECT_TRUE(bound("a.wild.example"));
}

TEST_F(BindingTest, AliasLoopsAndLongChainsEnd) {
  ask(5, "good.example");
  answer(answer_to(5, "good.example").cname("good.example", "b.example").cname("b.example", "good.example").a("x.example", kServer));
  EXPECT_EQ(bindings_->size(), 0U);
  ask(6, "good.example");
  DnsMessageBuilder chain = answer_to(6, "good.example").cname("good.example", "n0.example");
  for (std::size_t i = 0; i < kDnsChainMax + 3; ++i) chain.cname("n" + std::to_string(i) + ".example", "n" + std::to_string(i + 1) + ".example");
  answer(chain.a("n" + std::to_string(kDnsChainMax + 3) + ".example", kServer));
  EXPECT_EQ(bindings_->size(), 0U);
}

TEST_F(BindingTest, HintsOfAServiceBindToItsHost) {
  ask(5, "_8443._https.good.example", 65);
  answer(answer_to(5, "_8443._https.good.example", 65)
             .service_binding("_8443._https.good.example", 65, 1, ".", {{4, {198, 51, 100, 7}}, {6, testing::Bytes(16, 0x20)}})
             .service_binding("_8443._https.good.example", 65, 1, "other.example", {{4, {198, 51, 100, 8}}}));
  EXPECT_TRUE(bound("good.example"));
  EXPECT_FALSE(bound("good.example", "198.51.100.8"));
}

TEST_F(BindingTest, AnswersInAStreamBindInWhateverPiecesTheyCome) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1'000}}) {
    const std::string address = "198.51.100." + std::to_string(10 + piece % 100);
    TcpConversation tcp = to(53, "192.0.2.53");
    connect(tcp);
    fw_.client(tcp.client_data(DnsMessageBuilder(1).question("good.example", 1).build_tcp()));
    fw_.client(tcp.client_data(DnsMessageBuilder(2).question("git.example", 1).build_tcp()));
    auto stream = answer_to(2, "git.example").a("git.example", address).build_tcp();
    const auto second = answer_to(1, "good.example").a("good.example", address).build_tcp();
    stream.insert(stream.end(), second.begin(), second.end());
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      EXPECT_FALSE(bound("good.example", address.c_str()));
      const std::vector<std::uint8_t> part(stream.begin() + static_cast<std::ptrdiff_t>(at),
                                           stream.begin() + static_cast<std::ptrdiff_t>(std::min(at + piece, stream.size())));
      EXPECT_EQ(fw_.server(tcp.server_data(part)).decision.verdict, Verdict::kAccept);
    }
    EXPECT_TRUE(bound("good.example", address.c_str()));
    EXPECT_TRUE(bound("git.example", address.c_str()));
  }
}

TEST_F(BindingTest, TenThousandAnswersStayWithinTheBounds) {
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    const std::string name = "n" + std::to_string(i) + ".wild.example";
    const std::string address = IpAddress::v4(0x08000000U + i).to_string();
    ask(static_cast<std::uint16_t>(i), name.c_str());
    answer(answer_to(static_cast<std::uint16_t>(i), name.c_str()).a(name, address));
  }
  EXPECT_EQ(bindings_->size(), 4'096U * 3 / 4) << "answers leave a quarter to own look-ups";
}

TEST_F(BindingTest, ASocketMayHaveHundredsOfQuestionsOpen) {
  for (std::uint16_t i = 0; i < kDnsPendingPerFlow + 1; ++i) ask(i, "good.example");
  EXPECT_EQ(answer(answer_to(0, "good.example").a("good.example", kServer)).decision.verdict, Verdict::kDrop) << "the oldest is forgotten";
  EXPECT_EQ(answer(answer_to(kDnsPendingPerFlow, "good.example").a("good.example", kServer)).decision.verdict, Verdict::kAccept);
}

// --- Waiting ------------------------------------------------------------------------------------------

class BindingWaitTest : public BindingTest {
 protected:
  BindingWaitTest() : BindingTest(options(&misses_)) {}
  static engine::InspectorOptions options(std::vector<engine::BindingMiss>* misses) {
    auto options = InspectorHarness::small_options();
    options.on_miss = [misses](const engine::BindingMiss& miss) { misses->push_back(miss); };
    return options;
  }
  inline static std::vector<engine::BindingMiss> misses_;
  void SetUp() override { misses_.clear(); }
};

TEST_F(BindingWaitTest, ASynWaitsAndGoesWhenTheNameIsBound) {
  TcpConversation tcp = to(22);
  const auto syn_bytes = tcp.syn();
  const auto syn = fw_.client(syn_bytes);
  EXPECT_EQ(syn.decision.verdict, Verdict::kHold);
  EXPECT_EQ(syn.decision.reason, Reason::kAwaitingBinding);
  ASSERT_EQ(misses_.size(), 1U);
  EXPECT_EQ(misses_[0].port, 22);
  EXPECT_EQ(fw_.client(syn_bytes).decision.verdict, Verdict::kDrop) << "sent again";
  EXPECT_TRUE(fw_.wait(milliseconds(100)).releases.empty());
  bind("unrelated.example");
  EXPECT_TRUE(fw_.wait(milliseconds(10)).releases.empty());
  bind("git.example");
  const auto woken = fw_.wait(milliseconds(10));
  ASSERT_EQ(woken.releases.size(), 1U);
  EXPECT_EQ(woken.releases[0].decision.verdict, Verdict::kAccept);
  EXPECT_EQ(woken.releases[0].decision.mark, FlowMark::kWatch) << "an SSH server may speak first";
  EXPECT_EQ(misses_.size(), 1U);
}

TEST_F(BindingWaitTest, ASynIsRefusedWhenNothingComes) {
  TcpConversation tcp = to(22);
  fw_.client(tcp.syn());
  const auto ended = fw_.wait(milliseconds(1'000));
  ASSERT_EQ(ended.releases.size(), 1U);
  EXPECT_EQ(ended.releases[0].decision.verdict, Verdict::kDrop);
  EXPECT_EQ(ended.releases[0].decision.reason, Reason::kAddressNotBound);
  EXPECT_EQ(ended.releases[0].decision.mark, FlowMark::kReset);
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kAddressNotBound);
}

TEST_F(BindingWaitTest, ARetransmittedSynPassesOnceTheNameIsBound) {
  TcpConversation tcp = to(22);
  const auto syn = tcp.syn();
  fw_.client(syn);
  bind("git.example");
  const auto again = fw_.client(syn);
  EXPECT_EQ(again.decision.verdict, Verdict::kAccept);
  EXPECT_EQ(again.releases.size(), 1U);
}

TEST_F(BindingWaitTest, NothingOvertakesASynThatWaits) {
  TcpConversation tcp = to(443);
  EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kHold);
  (void)tcp.syn_ack();
  const auto acknowledgement = tcp.client_ack();
  EXPECT_EQ(fw_.client(acknowledgement).decision.verdict, Verdict::kDrop);
  const auto hello = tcp.client_data(ClientHelloBuilder::typical("evil.example").record());
  const auto early = fw_.client(hello);
  EXPECT_EQ(early.decision.verdict, Verdict::kDrop);
  EXPECT_EQ(early.decision.reason, Reason::kAwaitingBinding);
  EXPECT_TRUE(early.releases.empty()) << "the SYN waits on";
  bind("good.example");
  EXPECT_EQ(fw_.wait(milliseconds(10)).releases.size(), 1U) << "the SYN alone";
  EXPECT_EQ(fw_.client(hello).decision.reason, Reason::kNameNotAllowed);
  EXPECT_EQ(fw_.accepted(), 1U);
}

TEST_F(BindingWaitTest, AQuicHelloDoesNotGoWithADatagramThatWaits) {
  const auto datagram = [](ByteSpan payload) {
    return PacketBuilder::udp(endpoint("10.0.0.1", 7'000), endpoint(kServer, 443)).payload(payload).build();
  };
  const Bytes unknown(48, 0x11);
  EXPECT_EQ(fw_.client(datagram(unknown)).decision.verdict, Verdict::kHold);
  const auto hello = quic_hello_datagrams(ClientHelloBuilder::post_quantum("evil.example").message());
  ASSERT_GT(hello.size(), 1U);
  EXPECT_EQ(fw_.client(datagram(hello[0])).decision.verdict, Verdict::kDrop);
  bind("a.wild.example");
  const auto woken = fw_.wait(milliseconds(10));
  ASSERT_EQ(woken.releases.size(), 1U);
  EXPECT_EQ(woken.releases[0].decision.verdict, Verdict::kDrop);
  EXPECT_EQ(fw_.accepted(), 0U);
}

TEST_F(BindingWaitTest, AHelloForAnAddressOfAnotherNameWaits) {
  bind("a.wild.example");
  TcpConversation tcp = to(443);
  connect(tcp);
  const auto hello = tls(tcp, "good.example");
  EXPECT_EQ(hello.decision.verdict, Verdict::kHold);
  EXPECT_EQ(hello.decision.reason, Reason::kAwaitingBinding);
  EXPECT_EQ(misses_.size(), 1U);
  bind("good.example");
  const auto woken = fw_.wait(milliseconds(10));
  ASSERT_EQ(woken.releases.size(), 1U);
  EXPECT_EQ(woken.releases[0].decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.names(), std::vector<std::string>{"good.example"}) << "told once";
}

TEST_F(BindingWaitTest, AHelloIsRefusedWhenNothingComes) {
  bind("a.wild.example");
  TcpConversation tcp = to(443);
  connect(tcp);
  tls(tcp, "good.example");
  fw_.wait(milliseconds(50));  // The stalled segment is dropped, its bytes remembered.
  fw_.wait(milliseconds(1'000));
  EXPECT_EQ(fw_.verdicts().back().reason, Reason::kAddressNotBound);
  EXPECT_EQ(fw_.accepted(), 1U) << "the SYN alone";
}

TEST_F(BindingWaitTest, ARequestIsReadAgainAfterTheWait) {
  bind("a.wild.example");
  TcpConversation tcp = to(80);
  connect(tcp);
  const auto first = fw_.client(tcp.client_data(std::string_view("POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 3\r\n\r\nabc")));
  EXPECT_EQ(first.decision.verdict, Verdict::kHold);
  bind("good.example");
  const auto woken = fw_.wait(milliseconds(10));
  ASSERT_EQ(woken.releases.size(), 1U);
  EXPECT_EQ(woken.releases[0].decision.verdict, Verdict::kAccept);
  EXPECT_EQ(fw_.client(tcp.client_data(std::string_view("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"))).decision.verdict, Verdict::kDrop);
}

TEST_F(BindingWaitTest, AQuicHelloWaitsAndGoes) {
  bind("a.wild.example");
  std::size_t datagrams = 0;
  for (const auto& datagram : quic_hello_datagrams(ClientHelloBuilder::post_quantum("good.example").message())) {
    const auto result = fw_.client(PacketBuilder::udp(endpoint("10.0.0.1", 7'000), endpoint(kServer, 443)).payload(ByteSpan(datagram)).build());
    EXPECT_EQ(result.decision.verdict, Verdict::kHold);
    ++datagrams;
  }
  bind("good.example");
  EXPECT_EQ(fw_.wait(milliseconds(10)).releases.size(), datagrams);
  EXPECT_EQ(fw_.verdicts().back().verdict, FlowVerdict::kAllow);
}

TEST_F(BindingWaitTest, ADatagramWithoutANameWaitsAndGoes) {
  const std::vector<std::uint8_t> ntp(48, 0x23);
  const auto packet = PacketBuilder::udp(endpoint("10.0.0.1", 7'000), endpoint(kServer, 123)).payload(ByteSpan(ntp)).build();
  EXPECT_EQ(fw_.client(packet).decision.verdict, Verdict::kHold);
  EXPECT_EQ(fw_.client(packet).decision.verdict, Verdict::kHold);
  EXPECT_EQ(misses_.size(), 1U);
  bind("time.example");
  const auto woken = fw_.wait(milliseconds(10));
  EXPECT_EQ(woken.releases.size(), 2U);
  EXPECT_EQ(fw_.verdicts().back().name, "time.example");
}

TEST_F(BindingWaitTest, DnsItselfNeverWaits) {
  EXPECT_EQ(ask(1, "good.example").decision.verdict, Verdict::kAccept);
  EXPECT_EQ(ask(2, "good.example", 28).decision.verdict, Verdict::kAccept);
  TcpConversation tcp = to(53, "192.0.2.53");
  EXPECT_EQ(connect(tcp).decision.verdict, Verdict::kAccept);
  EXPECT_TRUE(misses_.empty());
}

TEST_F(BindingWaitTest, ManyWaitingFlowsAreTriedInTurnAndAllOfThemEnd) {
  std::vector<TcpConversation> flows;
  for (int i = 0; i < 200; ++i) {
    flows.push_back(to(22));
    EXPECT_EQ(fw_.client(flows.back().syn()).decision.verdict, Verdict::kHold);
  }
  bind("git.example");
  std::size_t released = 0;
  for (int i = 0; i < 3; ++i) {
    for (const auto& release : fw_.wait(milliseconds(10)).releases) released += release.decision.verdict == Verdict::kAccept ? 1U : 0U;
  }
  EXPECT_EQ(released, 200U);
}

}  // namespace
}  // namespace sallyport::testing
