// Whose a flow is, as far as only the host knows it: asked once, and what is not known counts against the flow.
#include <gtest/gtest.h>

#include <tuple>

#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

constexpr const char* kPolicy = R"(
version = 1
[scopes.ci]
cgroups = ["/ci"]
[scopes.web]
containers = ["web"]
[[rules]]
to = ["192.0.2.1"]
protocols = ["tcp"]
ports = "any"
scope = "ci"
[[rules]]
to = ["192.0.2.2"]
protocols = ["tcp"]
ports = "any"
[[rules]]
to = ["192.0.2.2"]
protocols = ["tcp"]
ports = [25]
action = "deny"
scope = "web"
)";

class OwnerTest : public ::testing::Test {
 protected:
  OwnerTest() : fw_(kPolicy, options()) {}

  engine::InspectorOptions options() {
    engine::InspectorOptions options = InspectorHarness::small_options();
    options.owner_of = [this](const FlowKey& key, const Packet& packet) {
      ++asked_;
      EXPECT_EQ(packet.origin, Origin::kOriginal);
      EXPECT_EQ(key.client.address, IpAddress::parse("10.0.0.1").value());
      return owner_;
    };
    return options;
  }
  // connect begins a flow and tells whether it may.
  bool connect(const char* server, std::uint16_t port) {
    TcpConversation tcp(endpoint("10.0.0.1", ++client_port_), endpoint(server, port));
    return fw_.client(tcp.syn()).decision.verdict == Verdict::kAccept;
  }

  engine::FlowOwner owner_;
  int asked_ = 0;
  std::uint16_t client_port_ = 20'000;
  InspectorHarness fw_;
};

TEST_F(OwnerTest, ARuleForACgroupIsForItsFlows) {
  owner_.cgroup = "/ci/job";
  EXPECT_TRUE(connect("192.0.2.1", 443));
  owner_.cgroup = "/other";
  EXPECT_FALSE(connect("192.0.2.1", 443));
}

TEST_F(OwnerTest, AFlowIsAskedForOnce) {
  owner_.cgroup = "/ci";
  TcpConversation tcp(endpoint("10.0.0.1", 4'000), endpoint("192.0.2.1", 443));
  EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);
  (void)fw_.server(tcp.syn_ack());
  owner_.cgroup = "/other";
  EXPECT_EQ(fw_.client(tcp.syn()).decision.verdict, Verdict::kAccept);  // The same one again.
  EXPECT_EQ(asked_, 1);
}

TEST_F(OwnerTest, WhatIsNotKnownIsNoMemberAndIsDeniedLikeOne) {
  EXPECT_TRUE(connect("192.0.2.2", 25));
  owner_.containers = 2;
  EXPECT_FALSE(connect("192.0.2.2", 25));
  owner_ = {};
  owner_.unknown = true;
  EXPECT_FALSE(connect("192.0.2.1", 443));
  EXPECT_FALSE(connect("192.0.2.2", 25));
  EXPECT_TRUE(connect("192.0.2.2", 26));
}

// Of flows in no scope those of workloads are not the host's own: forwarded ones, also where the interface is gone and has no
// name any more, and those of a command.
TEST(UnnamedWorkloadTest, RulesForFlowsInNoScopeAreForTheHostsOwn) {
  constexpr const char* kForTheHost = R"(
version = 1
[[rules]]
to = ["192.0.2.1"]
protocols = ["tcp"]
ports = "any"
scope = "none"
[[rules]]
to = ["192.0.2.2"]
protocols = ["tcp"]
ports = "any"
[[rules]]
to = ["192.0.2.2"]
protocols = ["tcp"]
ports = [25]
action = "deny"
scope = "none"
)";
  for (const auto& [name, link, command] : {std::tuple{"", 0U, false}, {"inside0", 7U, false}, {"", 7U, false}, {"", 0U, true}}) {
    engine::InspectorOptions options = InspectorHarness::small_options();
    options.workload = command;
    engine::Inspector inspector(options);
    const auto policy = policy::load_policy_text(kForTheHost, "p.toml");
    ASSERT_TRUE(policy);
    const auto connects = [&](const char* server, std::uint16_t port) {
      TcpConversation tcp(endpoint("10.0.0.1", 4'000), endpoint(server, port));
      const auto bytes = tcp.syn();
      Packet packet;
      packet.bytes = bytes;
      packet.wire_size = static_cast<std::uint32_t>(bytes.size());
      packet.origin = Origin::kOriginal;
      packet.in_interface = name;
      packet.in_link = link;
      return inspector.inspect(packet, **policy, Timestamp{}).verdict == Verdict::kAccept;
    };
    const bool own = link == 0 && !command;
    EXPECT_EQ(connects("192.0.2.1", 443), own) << name << link << command;
    EXPECT_TRUE(connects("192.0.2.2", 443));
    EXPECT_FALSE(connects("192.0.2.2", 25)) << "deny rules for those hold for workloads, too";
  }
}

}  // namespace
}  // namespace sallyport::testing
