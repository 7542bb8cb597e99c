#include "process_finder.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

namespace sallyport::daemon {
namespace {

TEST(ContainerInTest, KnowsTheFormsOfTheEngines) {
  const std::string id(64, 'a');
  for (const std::string& path : {"/system.slice/docker-" + id + ".scope", "/docker/" + id, "/machine.slice/libpod-" + id + ".scope/container",
                                  "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + id + ".scope", "/kubepods/besteffort/pod1/" + id,
                                  "/x/crio-" + id + ".scope"}) {
    EXPECT_EQ(container_in(path), id) << path;
  }
  const std::string inner(64, 'b');
  EXPECT_EQ(container_in("/docker/" + id + "/docker/" + inner), inner);
  for (const char* path : {"", "/", "/system.slice/ssh.service", "/docker/short", "/user.slice/libpod-conmon-x.scope"}) {
    EXPECT_EQ(container_in(path), "") << path;
  }
}

Container container(char digit, const char* name, const std::string& cgroup) {
  Container it;
  it.id = std::string(64, digit);
  it.name = name;
  it.cgroup = cgroup;
  return it;
}

TEST(ContainerCgroupsTest, NamesAreOfCgroupsThatTheEngineHas) {
  const std::string a(64, 'a'), b(64, 'b'), c(64, 'c');
  const std::vector<Container> list = {container('a', "web", "/system.slice/docker-" + a + ".scope"),
                                       container('b', "init", "/machine.slice/libpod-" + b + ".scope/container/init.scope"),
                                       container('c', "lost", "")};
  const ContainerCgroups known(list);
  const auto expect = [&](const std::string& cgroup, const std::string& id, const char* name) {
    EXPECT_EQ(known.of(cgroup).id, id) << cgroup;
    EXPECT_EQ(known.of(cgroup).name, name) << cgroup;
  };
  expect("/system.slice/docker-" + a + ".scope", a, "web");
  expect("/system.slice/docker-" + a + ".scope/inner/one", a, "web");
  expect("/machine.slice/libpod-" + b + ".scope/container/system.slice/x.service", b, "init");
  expect("/system.slice/docker-" + a + ".scope/docker/" + b, a, "web");
  expect("/docker/" + c, c, "");
  expect("/kubepods/pod1/" + std::string(64, 'd'), std::string(64, 'd'), "");
  expect("/system.slice/ssh.service", "", "");
  expect("", "", "");
}

// A user's own systemd manager makes cgroups of any name below the user's.
TEST(ContainerCgroupsTest, ACgroupThatOnlySaysSoIsNotTheContainers) {
  const std::string a(64, 'a');
  const std::vector<Container> list = {container('a', "web", "/system.slice/docker-" + a + ".scope")};
  const ContainerCgroups known(list);
  const std::string user = "/user.slice/user-1000.slice/user@1000.service/app.slice/";
  for (const std::string& cgroup : {user + "docker-" + a + ".scope", user + "system.slice/docker-" + a + ".scope", "/system.slice/docker-" + a + ".scope2/" + a}) {
    EXPECT_EQ(container_in(cgroup), a) << "it claims to be";
    EXPECT_EQ(known.of(cgroup).id, "") << cgroup;
    EXPECT_EQ(known.of(cgroup).name, "") << cgroup;
  }
}

// Connection is a TCP connection of this process over the loopback.
class Connection {
 public:
  Connection() : listener_(::socket(AF_INET, SOCK_STREAM, 0)), client_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::connect(client_, reinterpret_cast<sockaddr*>(&address), size), 0);
    const auto loopback = IpAddress::parse("127.0.0.1").value();
    key.transport = Transport::kTcp;
    key.ip_protocol = IPPROTO_TCP;
    key.server = {loopback, ntohs(address.sin_port)};
    EXPECT_EQ(::getsockname(client_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    key.client = {loopback, ntohs(address.sin_port)};
  }
  ~Connection() {
    ::close(client_);
    ::close(listener_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  FlowKey key;

 private:
  int listener_;
  int client_;
};

ProcessFinder::Answer answer_of(ProcessFinder& finder, const FlowKey& key) {
  ProcessFinder::Answer answer;
  for (int i = 0; i < 1'000 && !answer.known; ++i) {
    answer = finder.answer(key, ::getuid());
    if (!answer.known) ::usleep(5'000);
  }
  return answer;
}

void expect_this_process(const ProcessFinder::Answer& answer) {
  ASSERT_TRUE(answer.known);
  ASSERT_NE(answer.facts, nullptr);
  EXPECT_EQ(answer.facts->pid, ::getpid());
  EXPECT_EQ(answer.facts->process, std::string("daemon_test").substr(0, 15));
  EXPECT_EQ(answer.facts->program, std::filesystem::read_symlink("/proc/self/exe").string());
}

TEST(ProcessFinderHostTest, FindsTheProcessOfAFlow) {
  ProcessFinder finder(2);
  if (const auto error = finder.start()) GTEST_SKIP() << "SKIPPED: " << *error;
  const Connection noted, asked;
  finder.note_flow(1, noted.key, 0, ::getuid());
  expect_this_process(answer_of(finder, noted.key));
  expect_this_process(answer_of(finder, asked.key));
}

TEST(ProcessFinderHostTest, AFlowWithoutASocketHasNoProcess) {
  ProcessFinder finder(1);
  if (const auto error = finder.start()) GTEST_SKIP() << "SKIPPED: " << *error;
  FlowKey key;
  {
    const Connection gone;
    key = gone.key;
  }
  key.client.port = 1;
  const auto answer = answer_of(finder, key);
  EXPECT_TRUE(answer.known);
  EXPECT_EQ(answer.facts, nullptr);
}

TEST(ProcessFinderThreadsTest, ManyQuestionsAreAnsweredAndAStopWaitsForNone) {
  ProcessFinder finder(2);
  if (const auto error = finder.start()) GTEST_SKIP() << *error;
  FlowKey key;
  key.transport = Transport::kTcp;
  key.client.address = key.server.address = IpAddress::parse("127.0.0.1").value();
  for (std::uint16_t i = 1; i <= 5'000; ++i) {
    key.client.port = i;
    finder.note_flow(i % 2, key, 0, 0);
  }
  EXPECT_TRUE(answer_of(finder, key).known);
}

}  // namespace
}  // namespace sallyport::daemon
