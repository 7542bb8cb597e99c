#include "containers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <thread>

#include "sallyport/policy/policy_file.h"

namespace sallyport::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kIdA(64, 'a');
const std::string kIdB(64, 'b');

std::string list_of_two() {
  return R"([{"Id":")" + kIdA + R"(","Names":["/web-1"],"Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"front"},)"
         R"("NetworkSettings":{"Networks":{"one":{"IPAddress":"172.18.0.2","GlobalIPv6Address":"fd00::2"},"two":{"IPAddress":"","GlobalIPv6Address":""}}}},)"
         R"({"Id":")" + kIdB + R"(","Names":["/db"],"Labels":null,"NetworkSettings":{"Networks":null}}])";
}

TEST(ReadContainersTest, GivesNamesLabelsAndAddresses) {
  const auto containers = read_containers(list_of_two());
  ASSERT_TRUE(containers) << containers.error();
  ASSERT_EQ(containers->size(), 2U);
  const Container& web = containers->front();
  EXPECT_EQ(web.id, kIdA);
  EXPECT_EQ(web.name, "web-1");
  EXPECT_EQ(web.project, "shop");
  EXPECT_EQ(web.service, "front");
  EXPECT_THAT(web.addresses, ElementsAre(IpAddress::parse("172.18.0.2").value(), IpAddress::parse("fd00::2").value()));
  EXPECT_EQ(containers->back().name, "db");
  EXPECT_TRUE(containers->back().addresses.empty());
}

TEST(ReadContainersTest, RefusesWhatIsNoListOfContainers) {
  for (const char* text : {"", "{}", "null", "[1]", "[{}]", R"([{"Id":"../x"}])", "[{\"Id\":\"" "zz\"}]", "[", "\xff"}) {
    EXPECT_FALSE(read_containers(text)) << text;
  }
  const std::string whole = list_of_two();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> prefix(whole.data(), whole.data() + size);
    EXPECT_FALSE(read_containers({prefix.data(), prefix.size()})) << size;
  }
}

std::shared_ptr<const policy::Policy> policy() {
  const auto loaded = policy::load_policy_text(
      "version = 1\n[scopes.web]\ncontainers = [\"web-*\"]\n[scopes.front]\ncontainers = [\"compose:shop/front\"]\n[scopes.db]\ncontainers = \"db\"\n", "p.toml");
  EXPECT_TRUE(loaded);
  return *loaded;
}

Container container(const std::string& name, const char* address, const std::string& cgroup = {}) {
  Container made;
  made.id = kIdA;
  made.name = name;
  made.addresses = {IpAddress::parse(address).value()};
  made.cgroup = cgroup;
  return made;
}

TEST(ContainerScopesTest, FindsByAddressAndByCgroup) {
  auto containers = read_containers(list_of_two()).value();
  containers[0].cgroup = "/system.slice/docker-" + kIdA + ".scope";
  const ContainerScopes scopes(*policy(), containers, true);
  EXPECT_EQ(scopes.by_address(IpAddress::parse("172.18.0.2").value()).scopes, 6U);
  EXPECT_EQ(scopes.by_address(IpAddress::parse("fd00::2").value()).scopes, 6U);
  EXPECT_FALSE(scopes.by_address(IpAddress::parse("fd00::2").value()).unknown);
  EXPECT_EQ(scopes.by_cgroup(containers[0].cgroup).scopes, 6U);
  EXPECT_EQ(scopes.by_cgroup(containers[0].cgroup + "/inner").scopes, 6U);
  EXPECT_EQ(scopes.by_cgroup(containers[0].cgroup + "x").scopes, 0U);
}

TEST(ContainerScopesTest, WhatMayBeAContainerIsUnknown) {
  const ContainerScopes scopes(*policy(), std::vector{container("db", "172.18.0.3", "/docker/x")}, true);
  EXPECT_TRUE(scopes.by_address(IpAddress::parse("172.18.0.4").value()).unknown);
  EXPECT_TRUE(scopes.by_cgroup("/docker/" + kIdB).unknown);
  EXPECT_TRUE(scopes.by_cgroup("").unknown);
  EXPECT_FALSE(scopes.by_cgroup("/user.slice/user-0.slice").unknown);
  EXPECT_FALSE(scopes.by_cgroup("/docker/x").unknown);
}

TEST(ContainerScopesTest, AnAddressOfTwoIsNobodys) {
  const ContainerScopes scopes(*policy(), std::vector{container("db", "172.18.0.3"), container("web-2", "172.18.0.3")}, true);
  const auto found = scopes.by_address(IpAddress::parse("172.18.0.3").value());
  EXPECT_EQ(found.scopes, 0U);
  EXPECT_TRUE(found.unknown);
}

TEST(ContainerScopesTest, WithoutAnAnswerEverythingIsUnknown) {
  const ContainerScopes scopes(*policy(), {}, false);
  EXPECT_TRUE(scopes.by_cgroup("/user.slice").unknown);
  EXPECT_TRUE(scopes.by_address(IpAddress::parse("172.18.0.3").value()).unknown);
}

// FakeEngine answers every question with the same bytes.
class FakeEngine {
 public:
  explicit FakeEngine(std::string answer)
      : path_(std::filesystem::temp_directory_path() / ("sallyport-engine-" + std::to_string(::getpid()))), answer_(std::move(answer)) {
    std::filesystem::remove(path_);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeEngine() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    std::filesystem::remove(path_);
  }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;
  std::string path() const { return path_.string(); }

 private:
  void serve() {
    for (;;) {
      const int client = ::accept(listener_, nullptr, nullptr);
      if (client < 0) return;
      char request[1'024];
      (void)!::recv(client, request, sizeof request, 0);
      (void)!::send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
      ::close(client);
    }
  }
  std::filesystem::path path_;
  std::string answer_;
  int listener_ = -1;
  std::thread thread_;
};

TEST(ListContainersTest, ReadsWhatAnEngineAnswers) {
  const FakeEngine engine("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + list_of_two());
  const auto containers = list_containers(engine.path());
  ASSERT_TRUE(containers) << containers.error();
  EXPECT_EQ(containers->size(), 2U);
  EXPECT_EQ(containers->front().cgroup, "");  // No process was told.
}

TEST(ListContainersTest, SaysWhyThereIsNoAnswer) {
  EXPECT_THAT(list_containers("/nonexistent").error(), HasSubstr("/nonexistent: no answer"));
  const FakeEngine engine("HTTP/1.0 500 Broken\r\n\r\n{}");
  EXPECT_THAT(list_containers(engine.path()).error(), HasSubstr("500 Broken"));
}

TEST(ListContainersTest, RefusesAnAnswerThatIsNoHttp) {
  const FakeEngine engine("hello");
  EXPECT_FALSE(list_containers(engine.path()));
}

TEST(ContainerWatchTest, PublishesAndSaysErrors) {
  const auto loaded = policy();
  const FakeEngine engine("HTTP/1.0 200 OK\r\n\r\n" + list_of_two());
  const ContainerWatch watch(loaded, {engine.path()});
  EXPECT_EQ(watch.error(), "");
  EXPECT_EQ(watch.scopes()->by_address(IpAddress::parse("172.18.0.2").value()).scopes, 6U);
  const ContainerWatch broken(loaded, {"/nonexistent"});
  EXPECT_NE(broken.error(), "");
  EXPECT_TRUE(broken.scopes()->by_cgroup("/x").unknown);
  const ContainerWatch none(loaded, {});
  EXPECT_TRUE(none.scopes()->by_cgroup("/x").unknown);
}

}  // namespace
}  // namespace sallyport::daemon
