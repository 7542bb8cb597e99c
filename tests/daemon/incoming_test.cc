#include "incoming.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sallyport/core/limits.h"

namespace sallyport::testing {
namespace {

using daemon::Incoming;
using netfilter::ConnectionSet;
using netfilter::ConntrackEntry;
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
  const TcpSocket session_{sshd_, admin_, false}, posed_{own_, server_, false};
  std::string said_;
  const Incoming::Say say_ = [this](const std::string& text) { said_ += text; };
};

bool has(const Incoming& incoming, const TcpSocket& socket) {
  const FlowKey key{Transport::kTcp, 6, socket.local, socket.remote, 0};
  return incoming.connections() != nullptr && incoming.connections()->contains(key);
}

TEST_F(IncomingTest, BehindRulesThatStandAListenerIsNoProof) {
  Incoming first(path_);
  first.look({listener_, session_}, {});
  first.save(say_);
  Incoming next(path_);
  next.restore({listener_, other_, session_, posed_}, {}, say_);
  EXPECT_TRUE(has(next, session_));
  EXPECT_FALSE(has(next, posed_));
  Incoming unwatched(path_);
  unwatched.look({listener_, other_, session_, posed_}, {});
  EXPECT_TRUE(has(unwatched, posed_)) << "where nobody was watched there is nothing else to go by";
  EXPECT_EQ(said_, "");
}

TEST_F(IncomingTest, WhatIsGoneOrWasOpenedHereIsNotRestored) {
  Incoming first(path_);
  first.look({listener_, session_, other_, posed_}, {});
  first.save(say_);
  Incoming next(path_);
  const std::vector<FlowKey> opened = {{Transport::kTcp, 6, own_, server_, 0}};
  next.restore({listener_, other_, posed_}, ConnectionSet(opened), say_);
  EXPECT_EQ(next.connections(), nullptr);
}

TEST_F(IncomingTest, ASecondLookAddsToTheFirst) {
  Incoming incoming(path_);
  incoming.look({listener_, session_}, {});
  incoming.look({listener_, other_, posed_}, {});
  EXPECT_TRUE(has(incoming, session_));
  EXPECT_TRUE(has(incoming, posed_));
}

TEST_F(IncomingTest, WithoutAFileOrAPathNothingIsRestored) {
  for (const std::string& path : {path_, std::string()}) {
    Incoming incoming(path);
    incoming.restore({listener_, session_}, {}, say_);
    EXPECT_EQ(incoming.connections(), nullptr);
    incoming.save(say_);
    incoming.remove();
  }
  EXPECT_EQ(said_, "");
}

TEST_F(IncomingTest, AFileThatIsNoneOfOursOrThatOthersMayWriteKeepsNothing) {
  for (const char* text : {"", "{", "[]", "{\"version\":1}", "{\"version\":2,\"connections\":[]}", "{\"version\":1,\"connections\":{}}",
                           "{\"version\":1,\"connections\":[1,[],[1,2,3,4],[\"x\",1,\"y\",2],[\"192.0.2.1\",70000,\"192.0.2.2\",1],"
                           "[\"192.0.2.1\",-1,\"192.0.2.2\",1]]}"}) {
    EXPECT_TRUE(daemon::incoming_from_text(text).empty()) << text;
  }
  Incoming first(path_);
  first.look({listener_, session_}, {});
  first.save(say_);
  std::filesystem::permissions(path_, std::filesystem::perms::others_write, std::filesystem::perm_options::add);
  Incoming next(path_);
  next.restore({listener_, session_}, {}, say_);
  EXPECT_EQ(next.connections(), nullptr);
  EXPECT_NE(said_.find("others could have written it"), std::string::npos) << said_;
}

TEST_F(IncomingTest, TheFilesFormComesBackAndIsBounded) {
  std::vector<FlowKey> keys(kIncomingKept + 10, FlowKey{Transport::kTcp, 6, sshd_, admin_, 0});
  keys[1] = {Transport::kTcp, 6, own_, server_, 0};
  const auto back = daemon::incoming_from_text(daemon::incoming_text(keys));
  ASSERT_EQ(back.size(), kIncomingKept);
  EXPECT_EQ(back[0], keys[0]);
  EXPECT_EQ(back[1], keys[1]);
}

TEST(IncomingPathTest, IsBesideTheControlSocket) {
  EXPECT_EQ(daemon::incoming_path("/run/x/control.sock"), "/run/x/control.incoming.json");
  EXPECT_EQ(daemon::incoming_path("@x"), "");
}

}  // namespace
}  // namespace sallyport::testing
