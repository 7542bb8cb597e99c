#include "control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "change_event.h"
#include "sallyport/daemon/control_client.h"
#include "unix_socket.h"

namespace sallyport::daemon {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// Client is one connection that never blocks: the server runs on the same thread.
class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const auto address = unix_address(path);
    connected_ = ::connect(fd_, address->get(), address->size) == 0;
  }
  ~Client() { end(); }
  Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  bool connected() const { return connected_; }
  ssize_t send(std::string_view text) const { return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  void end_sending() const { ::shutdown(fd_, SHUT_WR); }
  void end() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // read appends what is there; false once the server closed.
  bool read() {
    char block[65'536];
    for (;;) {
      const ssize_t got = ::recv(fd_, block, sizeof block, 0);
      if (got < 0 && errno == EAGAIN) return true;
      if (got <= 0) return false;
      text_.append(block, static_cast<std::size_t>(got));
    }
  }
  const std::string& text() const { return text_; }

 private:
  int fd_;
  bool connected_ = false;
  std::string text_;
};

class ControlServerTest : public testing::Test {
 protected:
  ControlServerTest() {
    char folder[] = "/tmp/sallyport-control-XXXXXX";
    folder_ = ::mkdtemp(folder);
    path_ = folder_ + "/control.sock";
  }
  ~ControlServerTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  void open(ControlLimits limits = {}) {
    auto opened = ControlServer::open(path_, limits);
    ASSERT_TRUE(opened) << opened.error();
    server_ = std::move(*opened);
    server_->on("echo", [](const json& request, const Peer&) { return nlohmann::ordered_json{{"request", request}}; });
    server_->on("change", [](const json&, const Peer&) { return nlohmann::ordered_json{{"id", 7}}; }, ControlRight::kChange);
    server_->on("fail", [](const json&, const Peer&) { return control_error("it cannot be done"); }, ControlRight::kChange);
    server_->on("big", [](const json&, const Peer&) { return nlohmann::ordered_json{{"text", std::string(4u << 20, 'x')}}; });
    server_->on_stream("watch", [this](const json& request, const Peer&, std::shared_ptr<ControlStream> stream) {
      stream_ = std::move(stream);
      if (request.contains("refuse")) return control_error("no");
      return nlohmann::ordered_json{{"begun", true}};
    });
  }
  // serve serves until nothing is to be done for `idle`.
  void serve(std::chrono::milliseconds idle = std::chrono::milliseconds(0)) const {
    pollfd ready{server_->fd(), POLLIN, 0};
    while (::poll(&ready, 1, static_cast<int>(idle.count())) > 0) server_->serve();
  }
  // serve_until serves until the client's connection is closed by the server.
  void serve_until_closed(Client& client) const {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (client.read() && std::chrono::steady_clock::now() < give_up) {
      pollfd ready{server_->fd(), POLLIN, 0};
      if (::poll(&ready, 1, 1'000) > 0) server_->serve();
    }
  }
  std::string ask(std::string_view request) const {
    Client client(path_);
    EXPECT_TRUE(client.connected());
    (void)client.send(request);
    serve_until_closed(client);
    return client.text();
  }

  std::string folder_;
  std::string path_;
  std::unique_ptr<ControlServer> server_;
  std::shared_ptr<ControlStream> stream_;
};

TEST_F(ControlServerTest, AnswersOneRequestPerConnection) {
  open();
  EXPECT_EQ(ask("{\"command\":\"echo\",\"a\":1}\n{\"command\":\"echo\",\"a\":2}\n"),
            "{\"ok\":true,\"request\":{\"a\":1,\"command\":\"echo\"}}\n");
  EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(ControlServerTest, TheSocketIsForItsGroupAlone) {
  open();
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660U);
}

TEST_F(ControlServerTest, TheEndOfInputEndsARequest) {
  open();
  Client client(path_);
  (void)client.send(R"({"command":"echo"})");
  client.end_sending();
  serve_until_closed(client);
  EXPECT_THAT(client.text(), HasSubstr("\"ok\":true"));
}

TEST_F(ControlServerTest, ARequestMayComeOctetByOctet) {
  open();
  Client client(path_);
  for (const char octet : std::string(R"({"command":"echo"})")) {
    (void)client.send({&octet, 1});
    serve();
    EXPECT_TRUE(client.read());
    EXPECT_EQ(client.text(), "");
  }
  (void)client.send("\n");
  serve_until_closed(client);
  EXPECT_THAT(client.text(), HasSubstr("\"ok\":true"));
}

TEST_F(ControlServerTest, GarbageIsAnsweredByAnErrorOfOneLine) {
  open();
  const std::string deep(10'000, '[');
  const std::string deep_object = [] {
    std::string text = R"({"command":"echo","a":)";
    for (int i = 0; i < 20; ++i) text += R"({"a":)";
    return text;
  }();
  for (const std::string& request : {std::string("\n"), std::string("\0\xff\xfe\n", 4), std::string("{}\n"), std::string("[]\n"),
                                     std::string("{\"command\":1}\n"), std::string("{\"command\":\"echo\",}\n"),
                                     std::string("GET /metrics HTTP/1.1\r\n\r\n"), deep + "\n", deep_object + "\n",
                                     std::string("{\"command\":\"echo\",\"a\":1,\"a\":2}\n"), std::string("{\"command\":\"none\"}\n"),
                                     std::string("{\"command\":\"echo\",\"a\":\"\xc3\"}\n"), std::string("{\"command\":\"ec\\u0000ho\"}\n")}) {
    const std::string answer = ask(request);
    const json parsed = json::parse(answer, nullptr, false);
    ASSERT_TRUE(parsed.is_object()) << request.substr(0, 50) << " -> " << answer;
    EXPECT_TRUE(parsed.contains("error")) << request.substr(0, 50);
    EXPECT_EQ(std::ranges::count(answer, '\n'), 1);
  }
  EXPECT_THAT(ask("{\"command\":\"echo\"}\n"), HasSubstr("\"ok\":true"));
}

TEST_F(ControlServerTest, RefusesARequestThatIsTooLarge) {
  open();
  const std::string within = R"({"command":"echo","a":")" + std::string(60'000, 'a') + "\"}\n";
  EXPECT_THAT(ask(within), HasSubstr("\"ok\":true"));
  EXPECT_THAT(ask(std::string(100'000, ' ')), HasSubstr("at most 65536 octets"));
}

TEST_F(ControlServerTest, ASilentClientIsCutOffAndNobodyWaitsForIt) {
  ControlLimits limits;
  limits.request_time = std::chrono::milliseconds(300);
  open(limits);
  Client silent(path_);
  Client slow(path_);
  (void)slow.send("{\"comm");
  serve();
  EXPECT_THAT(ask("{\"command\":\"echo\"}\n"), HasSubstr("\"ok\":true"));  // Beside them.
  serve_until_closed(silent);
  serve_until_closed(slow);
  EXPECT_EQ(silent.text() + slow.text(), "");
  EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsCutOff) {
  ControlLimits limits;
  limits.take_time = std::chrono::milliseconds(300);
  open(limits);
  Client client(path_);
  (void)client.send("{\"command\":\"big\"}\n");
  serve(std::chrono::milliseconds(1'000));  // The timer alone has it served; when nobody is left, the timer is off.
  EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(ControlServerTest, ALargeAnswerReachesWhoReads) {
  open();
  EXPECT_EQ(ask("{\"command\":\"big\"}\n").size(), std::string_view("{\"ok\":true,\"text\":\"\"}\n").size() + (4u << 20));
}

TEST_F(ControlServerTest, AnswersThatNobodyReadsAreBounded) {
  ControlLimits limits;
  limits.queued = 9u << 20;
  open(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(path_);
    (void)clients.back().send("{\"command\":\"big\"}\n");
    serve();
  }
  for (Client& client : clients) serve_until_closed(client);
  EXPECT_GT(clients[0].text().size(), 4u << 20);
  EXPECT_THAT(clients[3].text(), HasSubstr("too many answers"));
}

TEST_F(ControlServerTest, ClientsBeyondTheLimitAreTold) {
  ControlLimits limits;
  limits.clients = 8;
  open(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 40; ++i) {
    clients.emplace_back(path_);
    serve();
  }
  EXPECT_EQ(server_->clients(), 8U);
  EXPECT_FALSE(clients[20].read());
  EXPECT_THAT(clients[20].text(), HasSubstr("too many clients"));
  clients.clear();
  serve();
  EXPECT_THAT(ask("{\"command\":\"echo\"}\n"), HasSubstr("\"ok\":true"));
}

TEST_F(ControlServerTest, AChangeIsLoggedWithItsPeerWhetherItSucceedsOrNot) {
  open();
  std::vector<std::string> logged;
  server_->set_change_log([&](const Peer& peer, const json& request, const nlohmann::ordered_json& answer) {
    EXPECT_EQ(peer.uid, ::geteuid());
    EXPECT_EQ(peer.gid, ::getegid());
    EXPECT_EQ(peer.pid, ::getpid());
    EXPECT_FALSE(peer.process.empty());
    logged.push_back(change_fields(peer, request, answer).dump());
  });
  (void)ask("{\"command\":\"echo\"}\n");
  (void)ask("{\"command\":\"change\",\"name\":\"a\\nb\"}\n");
  (void)ask("{\"command\":\"fail\"}\n");
  ASSERT_EQ(logged.size(), 2U);
  EXPECT_THAT(logged[0], AllOf(HasSubstr(R"("command":"change")"), HasSubstr(R"("done":true,"grant":7)")));
  EXPECT_THAT(logged[1], AllOf(HasSubstr(R"("done":false)"), HasSubstr("it cannot be done")));
  EXPECT_EQ(std::ranges::count(logged[0], '\n'), 0);
}

TEST_F(ControlServerTest, AStreamHasALinePerMessageUntilTheClientCloses) {
  open();
  Client client(path_);
  (void)client.send("{\"command\":\"watch\"}\n");
  serve();
  ASSERT_TRUE(stream_);
  std::thread other([&] { EXPECT_TRUE(stream_->send("{\"a\":1}")); });
  other.join();
  EXPECT_TRUE(stream_->send("{\"a\":2}"));
  serve();
  EXPECT_TRUE(client.read());
  EXPECT_EQ(client.text(), "{\"ok\":true,\"begun\":true}\n{\"a\":1}\n{\"a\":2}\n");
  client.end();
  serve();
  EXPECT_TRUE(stream_->closed());
  EXPECT_FALSE(stream_->send("{}"));
  EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(ControlServerTest, AStreamThatIsRefusedIsClosed) {
  open();
  EXPECT_EQ(ask("{\"command\":\"watch\",\"refuse\":1}\n"), "{\"error\":\"no\"}\n");
  EXPECT_TRUE(stream_->closed());
}

TEST_F(ControlServerTest, AReaderThatIsTooSlowLosesLinesAndIsCutOff) {
  ControlLimits limits;
  limits.take_time = std::chrono::milliseconds(300);
  open(limits);
  Client client(path_);
  (void)client.send("{\"command\":\"watch\"}\n");
  serve();
  const std::string line(10'000, 'x');
  for (int i = 0; i < 1'000; ++i) (void)stream_->send(line);
  EXPECT_GT(stream_->lost(), 0U);
  serve(std::chrono::milliseconds(1'000));
  EXPECT_TRUE(stream_->closed());
  EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(ControlServerTest, StreamsAreBounded) {
  ControlLimits limits;
  limits.streams = 2;
  open(limits);
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(path_);
    (void)clients.back().send("{\"command\":\"watch\"}\n");
    serve();
  }
  EXPECT_FALSE(clients[2].read());
  EXPECT_THAT(clients[2].text(), HasSubstr("too many streams"));
}

TEST_F(ControlServerTest, AStreamOutlivesItsServer) {
  open();
  Client client(path_);
  (void)client.send("{\"command\":\"watch\"}\n");
  serve();
  server_.reset();
  EXPECT_FALSE(stream_->send("{}"));
}

TEST_F(ControlServerTest, HelpListsTheCommands) {
  open();
  const json answer = json::parse(ask("{\"command\":\"help\"}\n"));
  EXPECT_EQ(answer["commands"]["change"], "change");
  EXPECT_EQ(answer["commands"]["watch"], "stream");
  EXPECT_EQ(answer["commands"]["echo"], "read");
}

TEST_F(ControlServerTest, TheConnectionOfTheProgramReadsLines) {
  open();
  auto connection = ControlConnection::open(path_, R"({"command":"watch"})");
  ASSERT_TRUE(connection);
  serve();
  (void)stream_->send("{\"a\":1}");
  serve();
  std::vector<std::string> lines;
  EXPECT_TRUE(connection->read(lines));
  EXPECT_THAT(lines, testing::ElementsAre("{\"ok\":true,\"begun\":true}", "{\"a\":1}"));
  server_.reset();
  EXPECT_FALSE(connection->read(lines));
}

TEST_F(ControlServerTest, ASecondServerDoesNotTakeTheSocket) {
  open();
  const auto second = ControlServer::open(path_);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("another sallyport answers there"));
}

TEST(UnknownArgumentTest, NamesItAndWhatThereIs) {
  const json request = json::parse(R"({"command":"allow","name":"a.example","fro":"10m"})");
  EXPECT_EQ(unknown_argument(request, {"name", "for"}).value_or(""), "\"fro\": unknown argument; there is name, for");
  EXPECT_FALSE(unknown_argument(request, {"name", "fro"}));
}

}  // namespace
}  // namespace sallyport::daemon
