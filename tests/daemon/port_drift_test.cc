#include "sallyport/daemon/port_drift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <array>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "drift_watch.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Rig is a policy's [listeners], sockets and their comparison.
class Rig {
 public:
  explicit Rig(const std::string& allow, const std::string& more = "") {
    const auto loaded = policy::load_policy_text("version = 1\n[listeners]\nallow = [" + allow + "]\n" + more, "p.toml");
    if (!loaded) {
      ADD_FAILURE() << loaded.error().front().to_string();
      return;
    }
    policy_ = *loaded;
    rules_.listeners = &policy_->listeners();
  }
  Rig& tcp(std::string_view address, std::uint16_t port, std::string_view process = "p", std::string_view unit = "") {
    return add(Transport::kTcp, address, port, process, unit);
  }
  Rig& udp(std::string_view address, std::uint16_t port, std::string_view process = "p") { return add(Transport::kUdp, address, port, process, ""); }
  Rig& dual() {
    sockets_.back().socket.dual = true;
    return *this;
  }
  Rig& in(std::string_view netns) {
    sockets_.back().netns = netns;
    return *this;
  }
  Rig& at_unix_socket(std::string_view name) {
    sockets_.back().unix_sockets.emplace_back(name);
    return *this;
  }
  Rig& unix_only(std::vector<std::string> names) {
    names_ = std::move(names);
    rules_.unix_only = names_;
    return *this;
  }
  // findings returns "KIND SOCKET DECLARED" of each.
  std::vector<std::string> findings() const {
    std::vector<std::string> lines;
    for (const DriftFinding& finding : compare(rules_, sockets_)) {
      lines.push_back(std::string(to_string(finding.kind)) + (finding.observed ? " " + socket_text(finding.observed->socket) : "") +
                      (finding.declared.empty() ? "" : " " + finding.declared));
    }
    return lines;
  }
  const DriftRules& rules() const { return rules_; }
  const std::vector<Observed>& sockets() const { return sockets_; }

 private:
  Rig& add(Transport transport, std::string_view address, std::uint16_t port, std::string_view process, std::string_view unit) {
    Observed observed;
    observed.socket.transport = transport;
    observed.socket.address = IpAddress::parse(address).value();
    observed.socket.port = port;
    observed.socket.inode = sockets_.size() + 1;
    if (!process.empty()) observed.owners.push_back({7, std::string(process), "/bin/" + std::string(process), "/x", std::string(unit)});
    sockets_.push_back(observed);
    return *this;
  }
  std::shared_ptr<const policy::Policy> policy_;
  DriftRules rules_;
  std::vector<std::string> names_;
  std::vector<Observed> sockets_;
};

TEST(CompareTest, WhatIsDeclaredIsNoFinding) {
  EXPECT_THAT(Rig(R"("127.0.0.1:80/tcp", "[::1]:53/udp", "0.0.0.0:22", "*:443")")
                  .tcp("127.0.0.1", 80)
                  .udp("::1", 53)
                  .tcp("0.0.0.0", 22)
                  .tcp("::", 443)
                  .dual()
                  .findings(),
              IsEmpty());
}

TEST(CompareTest, FewerAddressesThanDeclaredAreNoFinding) {
  EXPECT_THAT(Rig(R"("0.0.0.0:80", "[::]:80")").tcp("127.0.0.1", 80).tcp("::1", 80).findings(), IsEmpty());
}

TEST(CompareTest, FindsTheUnexpectedByPortProtocolAndAddress) {
  EXPECT_THAT(Rig(R"("127.0.0.1:80-80/tcp")").udp("127.0.0.1", 80).tcp("127.0.0.1", 81).tcp("127.0.0.2", 80).tcp("::1", 80).findings(),
              ElementsAre("unexpected 127.0.0.1:80", "unexpected 127.0.0.1:81", "unexpected 127.0.0.2:80", "unexpected [::1]:80"));
}

TEST(CompareTest, FindsWhatIsWiderThanDeclaredAndNotMissing) {
  EXPECT_THAT(Rig(R"("127.0.0.1:80")").tcp("0.0.0.0", 80).findings(), ElementsAre("wider 0.0.0.0:80 127.0.0.1:80"));
  EXPECT_THAT(Rig(R"("[::1]:80")").tcp("::", 80).findings(), ElementsAre("wider [::]:80 [::1]:80"));
  EXPECT_THAT(Rig(R"("127.0.0.1:80")").tcp("::", 80).dual().findings(), ElementsAre("wider *:80 127.0.0.1:80"));
}

TEST(CompareTest, ADualStackSocketNeedsBothFamiliesDeclared) {
  EXPECT_THAT(Rig(R"("0.0.0.0:80")").tcp("::", 80).dual().findings(), ElementsAre("wider *:80 0.0.0.0:80"));
  EXPECT_THAT(Rig(R"("[::]:80")").tcp("::", 80).dual().findings(), ElementsAre("wider *:80 [::]:80"));
  EXPECT_THAT(Rig(R"("[::]:80")").tcp("::", 80).findings(), IsEmpty());
  EXPECT_THAT(Rig(R"("[::]:80", "0.0.0.0:80")").tcp("::", 80).dual().findings(), IsEmpty());
}

TEST(CompareTest, FindsAnotherProcessAndOneThatIsNotKnown) {
  EXPECT_THAT(Rig(R"("*:22@sshd")").tcp("0.0.0.0", 22, "nc").findings(), ElementsAre("other_process 0.0.0.0:22 *:22@sshd"));
  EXPECT_THAT(Rig(R"("*:22@sshd")").tcp("0.0.0.0", 22, "").findings(), ElementsAre("other_process 0.0.0.0:22 *:22@sshd"));
  EXPECT_THAT(Rig(R"("*:22@sshd")").tcp("0.0.0.0", 22, "sshd").findings(), IsEmpty());
  EXPECT_THAT(Rig(R"("*:22@ssh.service")").tcp("0.0.0.0", 22, "sshd", "ssh.service").findings(), IsEmpty());
  EXPECT_THAT(Rig(R"("*:22@ssh.service")").tcp("0.0.0.0", 22, "ssh.service", "x.service").findings(),
              ElementsAre("other_process 0.0.0.0:22 *:22@ssh.service"));
  EXPECT_THAT(Rig(R"("*:22@sshd", "*:22@nc")").tcp("0.0.0.0", 22, "nc").tcp("127.0.0.1", 22, "sshd").findings(), IsEmpty());
}

TEST(CompareTest, FindsTheMissingButNotOfARange) {
  EXPECT_THAT(Rig(R"("127.0.0.1:80", "*:81-81", "*:90-99")").findings(), ElementsAre("missing 127.0.0.1:80"));
}

TEST(CompareTest, SocketsOnOnePortAreOneFinding) {
  EXPECT_THAT(Rig("").tcp("0.0.0.0", 80).tcp("0.0.0.0", 80).udp("0.0.0.0", 80).findings(), ElementsAre("unexpected 0.0.0.0:80", "unexpected 0.0.0.0:80"));
}

TEST(CompareTest, NamespacesHaveTheirOwnEntries) {
  EXPECT_THAT(Rig(R"("*:80")").tcp("0.0.0.0", 80).in("box").tcp("0.0.0.0", 80).findings(), ElementsAre("unexpected 0.0.0.0:80"));
  EXPECT_THAT(Rig(R"("*:80 in box")").tcp("0.0.0.0", 80).in("box").findings(), IsEmpty());
  EXPECT_THAT(Rig(R"("*:80 in box")").findings(), IsEmpty()) << "nobody looked there";
  EXPECT_THAT(Rig(R"("*:80 in box")", "netns = \"all\"\n").findings(), ElementsAre("missing *:80 in box"));
}

TEST(PortDriftTest, OnlyGuardsWithoutAPortForbidOne) {
  policy::Guard with_port, without;
  with_port.listen.push_back({});
  with_port.process = "web";
  without.unix_socket = "/run/mcp.sock";
  without.process = "mcp";
  EXPECT_THAT(unix_only_of(std::array{with_port, without}), ElementsAre("unix:/run/mcp.sock", "mcp"));
}

TEST(CompareTest, AProcessOfAUnixSocketHasNoTcpListenerEvenIfDeclared) {
  EXPECT_THAT(Rig(R"("*:80")").tcp("127.0.0.1", 80, "mcp").unix_only({"mcp"}).findings(), ElementsAre("unix_only 127.0.0.1:80"));
  EXPECT_THAT(Rig(R"("*:80")").udp("127.0.0.1", 80, "mcp").unix_only({"mcp"}).findings(), IsEmpty());
  EXPECT_THAT(Rig(R"("*:80")").tcp("127.0.0.1", 80, "mcp").unix_only({"/bin/mcp"}).findings(), ElementsAre("unix_only 127.0.0.1:80"));
  EXPECT_THAT(Rig(R"("*:80")").tcp("127.0.0.1", 80, "mcp").unix_only({"/sbin/mcp"}).findings(), IsEmpty());
  EXPECT_THAT(Rig(R"("*:80")").tcp("127.0.0.1", 80).at_unix_socket("unix:/run/x").unix_only({"unix:/run/x"}).findings(),
              ElementsAre("unix_only 127.0.0.1:80"));
  EXPECT_THAT(Rig(R"("*:80")").tcp("127.0.0.1", 80).unix_only({"unix:/run/x"}).findings(), IsEmpty());
  const std::vector<std::string> names = {"mcp"};
  EXPECT_THAT(compare({nullptr, names}, Rig("").tcp("127.0.0.1", 80, "mcp").tcp("127.0.0.1", 81, "x").sockets()), testing::SizeIs(1));
  EXPECT_THAT(compare({nullptr, {}}, Rig("").tcp("127.0.0.1", 80, "mcp").sockets()), IsEmpty());
}

TEST(CompareTest, AnOwnerIsWantedOnlyWhereItMatters) {
  const Rig rig(R"("*:80", "*:81@p", "127.0.0.1:82")");
  const auto wanted = [&](std::string_view address, std::uint16_t port) { return needs_owner(rig.rules(), Rig("").tcp(address, port).sockets().front()); };
  EXPECT_FALSE(wanted("0.0.0.0", 80));
  EXPECT_TRUE(wanted("0.0.0.0", 81));
  EXPECT_TRUE(wanted("0.0.0.0", 82));
  EXPECT_FALSE(wanted("127.0.0.1", 82));
  EXPECT_TRUE(wanted("0.0.0.0", 83));
}

// A process of this test: a TCP listener beside a unix socket.
TEST(InventoryTest, FindsTheTcpListenerOfAProcessThatListensAtAUnixSocket) {
  const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int unix_socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const std::string name = "sallyport-drift-" + std::to_string(::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // Abstract.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(unix_socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::bind(tcp, reinterpret_cast<sockaddr*>(&local), sizeof local), 0);
  ASSERT_EQ(::listen(tcp, 1), 0);
  const std::vector<std::string> names = {"unix:@" + name};
  Inventory inventory;
  const auto count = [&] {
    const auto observed = inventory.look({nullptr, names}, false);
    EXPECT_TRUE(observed) << observed.error();
    return observed ? compare({nullptr, names}, *observed).size() : 0;
  };
  if (::getpid() != 1) {
    EXPECT_EQ(count(), 0U) << "bound, but it does not listen";
    ASSERT_EQ(::listen(unix_socket, 1), 0);
    EXPECT_EQ(count(), 1U);
    EXPECT_EQ(count(), 1U);
  }
  ::close(tcp);
  ::close(unix_socket);
}

std::vector<std::string> keys(const std::vector<DriftFinding>& findings) {
  std::vector<std::string> list;
  for (const DriftFinding& finding : findings) list.push_back(finding.key());
  return list;
}

TEST(DriftTrackerTest, AFindingIsReportedOnceAndOnceWhenItEnds) {
  const auto findings = compare(Rig("").rules(), {});
  DriftTracker tracker;
  Rig rig("");
  rig.tcp("0.0.0.0", 80);
  const auto look = [&] { return tracker.update(compare(rig.rules(), rig.sockets())); };
  EXPECT_THAT(keys(look().begun), ElementsAre("unexpected tcp 0.0.0.0:80 in  of "));
  for (int i = 0; i < 3; ++i) {
    const auto changes = look();
    EXPECT_THAT(changes.begun, IsEmpty());
    EXPECT_THAT(changes.ended, IsEmpty());
  }
  EXPECT_EQ(tracker.current().size(), 1U);
  EXPECT_THAT(keys(tracker.update({}).ended), ElementsAre("unexpected tcp 0.0.0.0:80 in  of "));
  EXPECT_THAT(tracker.update({}).ended, IsEmpty());
  EXPECT_TRUE(findings.empty());
}

TEST(DriftTrackerTest, WhatMayPassCountsFromTheSecondLookOn) {
  DriftTracker tracker;
  Rig rig(R"("*:1")");
  rig.udp("0.0.0.0", 40'000);
  const auto look = [&] { return tracker.update(compare(rig.rules(), rig.sockets())); };
  EXPECT_THAT(look().begun, IsEmpty());
  EXPECT_EQ(look().begun.size(), 2U);  // The socket, and the entry that is missing.
  EXPECT_EQ(tracker.update({}).ended.size(), 2U);
  EXPECT_THAT(look().begun, IsEmpty());
  const auto gone = tracker.update({});
  EXPECT_THAT(gone.begun, IsEmpty());
  EXPECT_THAT(gone.ended, IsEmpty()) << "what never began does not end";
}

TEST(DeclarationTest, SaysWhatIsThereAndIsThenAsDeclared) {
  Rig rig("");
  rig.tcp("::", 22, "sshd", "ssh.service").dual().tcp("127.0.0.1", 631, "cupsd").udp("0.0.0.0", 40'000, "chrome").udp("0.0.0.0", 40'001, "chrome");
  rig.tcp("10.0.0.1", 7, "odd \"name\"\\").tcp("10.0.0.2", 7, "new\nline").tcp("10.0.0.3", 7, "").tcp("0.0.0.0", 80, "nginx").in("box");
  rig.tcp("10.0.0.4", 7, "x", "user@1000.service");
  const std::string text = declaration(rig.sockets(), true, {32'768, 60'999});
  EXPECT_THAT(text, HasSubstr("  \"*:22/tcp@ssh.service\",  # sshd, pid 7, user root, unit ssh.service\n"));
  EXPECT_THAT(text, HasSubstr("  \"0.0.0.0:32768-60999/udp@chrome\",  # chrome, pid 7"));
  EXPECT_THAT(text, HasSubstr("  \"10.0.0.2:7/tcp\",  # new\\x0aline"));
  EXPECT_THAT(text, HasSubstr("  \"10.0.0.4:7/tcp@x\","));
  EXPECT_THAT(text, HasSubstr("  \"0.0.0.0:80/tcp@nginx in box\","));
  const auto loaded = policy::load_policy_text("version = 1\n" + text, "p.toml");
  ASSERT_TRUE(loaded) << loaded.error().front().to_string() << '\n' << text;
  EXPECT_THAT(compare({&(*loaded)->listeners(), {}}, rig.sockets()), IsEmpty());
}

TEST(DriftTextTest, WhatAProcessCallsItselfIsEscaped) {
  Rig rig("");
  rig.tcp("127.0.0.1", 80, "a\x1b[31m\n\"b");
  const auto findings = compare(rig.rules(), rig.sockets());
  for (const std::string& text : {drift_table(findings), drift_json(findings.front()), drift_sentence(findings.front())}) {
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_THAT(text, HasSubstr("x1b[31m"));
  }
  const auto event = drift_fields(findings.front(), false);
  EXPECT_THAT(event.dump(), HasSubstr(R"({"state":"end","kind":"unexpected","proto":"tcp","address":"127.0.0.1","port":80)"));
  EXPECT_EQ(event["message"], "over: " + drift_sentence(findings.front()));
}

}  // namespace
}  // namespace sallyport::daemon
