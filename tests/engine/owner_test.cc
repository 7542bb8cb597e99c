// Whose a flow is, as far as only the host knows it: asked once, and what is not known counts against the flow.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace sallyport::testing
