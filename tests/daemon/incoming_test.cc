#include "incoming.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sallyport/core/limits.h"

namespace sallyport::testing {
namespace {

using daemon::Incoming;
using netfilter::TcpSocket;

Endpoint endpoint(const char* address, std::uint16_t port) { return {*IpAddress::parse(address), port}; }

class IncomingTest : public ::testing::Test {
 protected:
  IncomingTest() { std::filesystem::remove(path_); }
  ~IncomingTest() override { std::filesystem::remove(path_); }

  const std::string path_ = ::testing::TempDir() + "incoming-test." + std::to_string(::getpid()) + ".json";
  const Endpoint sshd_ = endpoint("2001:db8::1", 22), admin_ = endpoint("2001:db8::2", 50'000);
  const Endpoint own_ = endpoint("192.0.2.1", 8080), server_ = endpoint("198.51.100.7", 443);
  const TcpSocket listener_{endpoint("::", 22), {}, true}, other_{endpoint("::", 8080), {}, true};
  const TcpSocket session_{sshd_, admin_, false, (std::uint64_t{1} << 63) + 7}, posed_{own_, server_, false, 8};
  std::string said_;
  const Incoming::Say say_ = [this](const std::string& text) { said_ += text; };
};

bool has(const Incoming& incoming, const TcpSocket& socket) {
  const FlowKey key{Transport::kTcp, 6, socket.local, socket.remote, 0};
  return incoming.connections() != nullptr && incoming.connections()->contains(key);
}

TEST_F(IncomingTest, WhereAServiceWasAtWorkAListenerIsNoProof) {
  Incoming first(path_);
  first.look({listener_, session_}, {});
  first.save(say_);
  Incoming next(path_);
  EXPECT_TRUE(next.restore({listener_, other_, session_, posed_}, {}, say_));
  EXPECT_TRUE(has(next, session_));
  EXPECT_FALSE(has(next, posed_));
  Incoming unwatched(path_);
  unwatched.look({listener_, other_, session_, posed_}, {});
  EXPECT_TRUE(has(unwatched, posed_)) << "where nobody was watched there is nothing else to go by";
  EXPECT_EQ(said_, "");
}

TEST_F(IncomingTest, TheSamePortsWithAnotherSocketAreAnotherConnection) {
  Incoming first(path_);
  first.look({listener_, session_}, {});
  first.save(say_);
  TcpSocket anew = session_;
  ++anew.cookie;
  Incoming next(path_);
  EXPECT_TRUE(next.restore({listener_, anew}, {}, say_));
  EXPECT_EQ(next.connections(), nullptr);
}

TEST_F(IncomingTest, WhatConnectionTrackingSawComeInIsRestoredToo) {
  Incoming first(path_);
  first.save(say_);
  const std::vector<FlowKey> proven = {{Transport::kTcp, 6, sshd_, admin_, 0}};
  Incoming next(path_);
  EXPECT_TRUE(next.restore({listener_, session_}, proven, say_)) << "a file with none is one";
  EXPECT_TRUE(has(next, session_));
}

TEST_F(IncomingTest, ASecondLookAddsToTheFirst) {
  Incoming incoming(path_);
  incoming.look({listener_, session_}, {});
  incoming.look({listener_, other_, posed_}, {});
  EXPECT_TRUE(has(incoming, session_));
  EXPECT_TRUE(has(incoming, posed_));
}

TEST_F(IncomingTest, WithoutAFileOrAPathNobodyWasWatched) {
  for (const std::string& path : {path_, std::string()}) {
    Incoming incoming(path);
    EXPECT_FALSE(incoming.restore({listener_, session_}, {}, say_));
    EXPECT_EQ(incoming.connections(), nullptr);
    incoming.save(say_);
    incoming.remove();
  }
  EXPECT_EQ(said_, "");
}

TEST_F(IncomingTest, AFileThatIsNoneOfOursOrThatOthersMayWriteKeepsNothing) {
  for (const char* text : {"", "{", "[]", "{\"version\":1}", "{\"version\":2,\"connections\":[]}", "{\"version\":1,\"connections\":{}}",
                           "{\"version\":1,\"connections\":[1,[],[1,2,3,4,5],[\"x\",1,\"y\",2,3],[\"192.0.2.1\",70000,\"192.0.2.2\",1,1],"
                           "[\"192.0.2.1\",1,\"192.0.2.2\",1,-1],[\"192.0.2.1\",1,\"192.0.2.2\",1]]}"}) {
    EXPECT_TRUE(daemon::incoming_from_text(text).empty()) << text;
  }
  Incoming first(path_);
  first.look({listener_, session_}, {});
  first.save(say_);
  std::filesystem::permissions(path_, std::filesystem::perms::others_write, std::filesystem::perm_options::add);
  Incoming next(path_);
  EXPECT_TRUE(next.restore({listener_, session_}, {}, say_));
  EXPECT_EQ(next.connections(), nullptr);
  EXPECT_NE(said_.find("others could have written it"), std::string::npos) << said_;
}

TEST_F(IncomingTest, TheFilesFormComesBackAndIsBounded) {
  std::vector<TcpSocket> sockets(kIncomingKept + 10, session_);
  sockets[1] = posed_;
  const auto back = daemon::incoming_from_text(daemon::incoming_text(sockets));
  ASSERT_EQ(back.size(), kIncomingKept);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(back[i].local, sockets[i].local);
    EXPECT_EQ(back[i].remote, sockets[i].remote);
    EXPECT_EQ(back[i].cookie, sockets[i].cookie);
  }
}

TEST(IncomingPathTest, IsBesideTheControlSocket) {
  EXPECT_EQ(daemon::incoming_path("/run/x/control.sock"), "/run/x/control.incoming.json");
  EXPECT_EQ(daemon::incoming_path("@x"), "");
}

}  // namespace
}  // namespace sallyport::testing
