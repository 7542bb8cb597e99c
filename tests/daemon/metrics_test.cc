#include "metrics.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "metrics_server.h"

namespace sallyport::daemon {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::string sample_text() {
  MetricFacts facts;
  facts.status.version = "1.2\"3\\";
  facts.status.name_bindings = std::make_shared<engine::NameBindings>(16, std::array<std::uint64_t, 2>{1, 2});
  facts.queues = {{.queue = 0, .waiting = 3, .queue_dropped = 4, .user_dropped = 5}};
  facts.deny_grants = 2;
  return metrics_text(facts, {});
}

// read_exposition is a strict reader of the text format: every line is a HELP, a TYPE or a sample of the family that was begun,
// families come once, samples once, counters end in _total and histograms are cumulative.
struct Exposition {
  std::map<std::string, std::string> types;
  std::map<std::string, double> samples;
};
void read_exposition(const std::string& text, Exposition& out) {
  static const std::regex help("# HELP ([a-z_]+) (.+)");
  static const std::regex type("# TYPE ([a-z_]+) (counter|gauge|histogram)");
  static const std::regex sample(R"re(([a-z_]+)(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? (\S+))re");
  std::istringstream lines(text);
  std::string line;
  std::string family;
  while (std::getline(lines, line)) {
    std::smatch match;
    if (std::regex_match(line, match, help)) {
      family = match[1];
      EXPECT_FALSE(out.types.contains(family)) << family;
    } else if (std::regex_match(line, match, type)) {
      EXPECT_EQ(match[1], family);
      out.types[family] = match[2];
      EXPECT_EQ(match[2] == "counter", family.ends_with("_total")) << family;
    } else if (std::regex_match(line, match, sample)) {
      const std::string name = match[1];
      const bool of_histogram = out.types[family] == "histogram" && (name == family + "_bucket" || name == family + "_sum" || name == family + "_count");
      EXPECT_TRUE(name == family || of_histogram) << line;
      const std::string key = match[1].str() + match[2].str();
      EXPECT_TRUE(out.samples.emplace(key, std::stod(match[5])).second) << "twice: " << key;
    } else {
      ADD_FAILURE() << "no line of the format: " << line;
    }
  }
}

TEST(MetricsTextTest, IsOfTheFormat) {
  Exposition exposition;
  read_exposition(sample_text(), exposition);
  EXPECT_GT(exposition.types.size(), 30U);
  EXPECT_EQ(exposition.samples["sallyport_queue_dropped_packets_total{queue=\"0\",full=\"socket\"}"], 5);
  EXPECT_EQ(exposition.samples["sallyport_grants{action=\"deny\"}"], 2);
  EXPECT_TRUE(exposition.samples.contains("sallyport_flows_total{verdict=\"deny\"}"));
  EXPECT_TRUE(exposition.samples.contains("sallyport_flow_verdicts_total{reason=\"bypass\"}"));
  EXPECT_TRUE(exposition.samples.contains("sallyport_flow_decision_seconds_bucket{le=\"+Inf\"}"));
  EXPECT_TRUE(exposition.samples.contains("sallyport_packets_by_protocol_total{protocol=\"quic\"}"));
  EXPECT_LT(exposition.samples.size(), 550U);  // Whatever the network does.
}

TEST(MetricsTextTest, TimesToAVerdictFallIntoPowersOfTwo) {
  using std::chrono::microseconds;
  EXPECT_EQ(engine::decision_time_bucket(Duration{}), 0U);
  EXPECT_EQ(engine::decision_time_bucket(microseconds(1)), 0U);
  EXPECT_EQ(engine::decision_time_bucket(std::chrono::nanoseconds(1'001)), 1U);
  EXPECT_EQ(engine::decision_time_bucket(microseconds(2)), 1U);
  EXPECT_EQ(engine::decision_time_bucket(microseconds(3)), 2U);
  EXPECT_EQ(engine::decision_time_bucket(microseconds(1'024)), 10U);
  EXPECT_EQ(engine::decision_time_bucket(microseconds(1 << 25)), 25U);
  EXPECT_EQ(engine::decision_time_bucket(microseconds((1 << 25) + 1)), 26U);
  EXPECT_EQ(engine::decision_time_bucket(std::chrono::hours(5)), engine::kDecisionTimeBuckets - 1);
}

// What the dashboard and the alert rules ask for is there.
TEST(MetricsDocsTest, EachMetricThatTheDocsNameExists) {
  Exposition exposition;
  read_exposition(sample_text(), exposition);
  std::set<std::string> names;
  for (const auto& [sample, value] : exposition.samples) names.insert(sample.substr(0, sample.find('{')));
  static const std::regex name("(sallyport|process)_[a-z_]+");
  for (const char* file : {"/docs/grafana/sallyport.json", "/docs/alerts/sallyport.rules.yml", "/docs/metrics.md"}) {
    std::ifstream stream(std::string(SALLYPORT_SOURCE_DIR) + file);
    ASSERT_TRUE(stream) << file;
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    std::size_t found = 0;
    for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it, ++found) {
      EXPECT_TRUE(names.contains(it->str()) || exposition.types.contains(it->str())) << file << ": " << it->str();
    }
    EXPECT_GT(found, 10U) << file;
  }
}

TEST(MetricsDocsTest, EachMetricIsDocumented) {
  std::ifstream stream(std::string(SALLYPORT_SOURCE_DIR) + "/docs/metrics.md");
  const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  Exposition exposition;
  read_exposition(sample_text(), exposition);
  for (const auto& [family, type] : exposition.types) EXPECT_THAT(text, HasSubstr("`" + family + "`"));
}

TEST(MetricsDocsTest, TheDashboardIsJsonWithAPanelForEachQuestion) {
  std::ifstream stream(std::string(SALLYPORT_SOURCE_DIR) + "/docs/grafana/sallyport.json");
  const nlohmann::json dashboard = nlohmann::json::parse(stream, nullptr, false);
  ASSERT_TRUE(dashboard.is_object());
  EXPECT_GE(dashboard["panels"].size(), 10U);
  for (const auto& panel : dashboard["panels"]) {
    EXPECT_FALSE(panel["title"].get<std::string>().empty());
    if (panel["type"] == "row") continue;
    EXPECT_FALSE(panel["targets"].empty()) << panel["title"];
  }
}

class MetricsServerTest : public testing::Test {
 protected:
  void open(const char* address = "127.0.0.1", MetricsLimits limits = {}) {
    policy::Metrics metrics;
    metrics.address = *IpAddress::parse(address);
    metrics.hosts = {"metrics.example"};
    auto opened = MetricsServer::open(metrics, [] { return std::string(300'000, 'x') + "\n"; }, limits);
    ASSERT_TRUE(opened) << opened.error();
    server_ = std::move(*opened);
  }
  int connect() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  // ask returns the response's text; empty: the server closed without one.
  std::string ask(const std::string& request) const {
    const int fd = connect();
    (void)::send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    return take(fd);
  }
  std::string take(int fd) const {
    std::string text;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (char block[65'536]; std::chrono::steady_clock::now() < give_up;) {
      pollfd ready{server_->fd(), POLLIN, 0};
      if (::poll(&ready, 1, 20) > 0) server_->serve();
      const ssize_t got = ::recv(fd, block, sizeof block, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN)) break;
      if (got > 0) text.append(block, static_cast<std::size_t>(got));
    }
    ::close(fd);
    return text;
  }
  std::string get(const std::string& host, const std::string& more = {}) const {
    return ask("GET /metrics HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n");
  }
  std::string port() const { return std::to_string(server_->port()); }

  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, AnswersAWholeText) {
  open();
  const std::string answer = get("127.0.0.1:" + port());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"));
  EXPECT_GT(answer.size(), 300'000U);
  EXPECT_EQ(server_->clients(), 0U);
}

TEST_F(MetricsServerTest, OnlyOurHostsMayBeAskedFor) {
  open();
  for (const std::string& host : {std::string("localhost"), "LOCALHOST:" + port(), std::string("metrics.example"), "127.0.0.1:" + port()}) {
    EXPECT_THAT(get(host), StartsWith("HTTP/1.1 200 ")) << host;
  }
  for (const char* host : {"evil.example", "127.0.0.1.evil.example", "127.0.0.2", "metrics.example.evil", "localhost:1", "[::1]", "2130706433", "0x7f.1", "127.1"}) {
    EXPECT_THAT(get(host), StartsWith("HTTP/1.1 403 ")) << host;
  }
  EXPECT_THAT(ask("GET /metrics HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(get("localhost\r\nHost: evil.example"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(MetricsServerTest, APageOfAnotherOriginIsRefused) {
  open();
  EXPECT_THAT(get("localhost", "Origin: http://localhost:" + port() + "\r\n"), StartsWith("HTTP/1.1 200 "));
  for (const char* origin : {"http://evil.example", "null", "https://evil.example", "file://", "http://localhost.evil.example", "chrome-extension://abc", ""}) {
    EXPECT_THAT(get("localhost", std::string("Origin: ") + origin + "\r\n"), StartsWith("HTTP/1.1 403 ")) << origin;
  }
  EXPECT_THAT(get("localhost", "Origin: http://localhost\r\nOrigin: http://localhost\r\n"), testing::Not(StartsWith("HTTP/1.1 200 ")));
}

TEST_F(MetricsServerTest, ThereIsNothingButGetMetrics) {
  open();
  const auto line = [&](const std::string& text) { return ask(text + " HTTP/1.1\r\nHost: localhost\r\n\r\n"); };
  EXPECT_THAT(line("GET /"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(line("GET /metrics/x"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(line("POST /metrics"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(line("DELETE /metrics"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(line("GET /metrics?x=1"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(MetricsServerTest, GarbageAndTooMuchAreRefused) {
  open();
  EXPECT_THAT(ask(std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8)), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("{\"command\":\"metrics\"}\n\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'a')), StartsWith("HTTP/1.1 4"));
}

TEST_F(MetricsServerTest, SlowClientsAreCutOffAndOthersServed) {
  MetricsLimits limits;
  limits.time = std::chrono::milliseconds(300);
  limits.clients = 4;
  open("127.0.0.1", limits);
  std::vector<int> silent;
  for (int i = 0; i < 3; ++i) silent.push_back(connect());
  EXPECT_THAT(get("localhost"), StartsWith("HTTP/1.1 200 "));
  for (const int fd : silent) EXPECT_THAT(take(fd), IsEmpty());
  EXPECT_EQ(server_->clients(), 0U);
}

}  // namespace
}  // namespace sallyport::daemon
