#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "sallyport/parsers/http1.h"
#include "support/http_stream_driver.h"

namespace sallyport::parsers {
namespace {

using testing::HttpStreamDriver;

std::string log_of(std::string_view stream) {
  HttpStreamDriver driver;
  driver.feed(stream);
  EXPECT_FALSE(driver.broken());
  return driver.log();
}

constexpr std::string_view kHostA = "Host: a.example\r\n";

std::string post(std::string_view fields) {
  return "POST /p HTTP/1.1\r\n" + std::string(kHostA) + std::string(fields) + "\r\n";
}

// Every kind of message in one connection, and one that is refused at the end.
std::string long_stream() {
  return "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n"
         "GET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n" +
         post("Content-Length: 45\r\n") + "GET /hidden HTTP/1.1\r\nHost: evil.example\r\n\r\nx" + "\r\n" +
         post("Transfer-Encoding: chunked\r\n") +
         "5\r\nhello\r\n1a;name=\"v\"\r\nGET / HTTP/1.1\r\nHost: e\r\n\r\r\n0\r\nTrailer: x\r\n\r\n" +
         post("Expect: 100-continue\r\nContent-Length: 3\r\n") + "abc" +
         "OPTIONS * HTTP/1.1\r\nHost: c.example\r\n\r\n" + post("Content-Length: 0\r\n") +
         "GET /last HTTP/1.0\r\n\r\n"
         "GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n";
}

constexpr std::string_view kLongLog =
    "GET a.example /1\nGET b.example /2\nPOST a.example /p\nbody 45\nPOST a.example /p\nbody 31\n"
    "POST a.example /p\nbody 3\nOPTIONS c.example *\nPOST a.example /p\nGET - /last\nambiguous\n";

TEST(HttpRequestStreamTest, FindsEveryRequestAndSkipsEveryBody) {
  EXPECT_EQ(log_of(long_stream()), kLongLog);
}

TEST(HttpRequestStreamTest, OneByteAtATimeGivesTheSame) {
  HttpStreamDriver driver;
  for (const char c : long_stream()) driver.feed({&c, 1});
  EXPECT_FALSE(driver.broken());
  EXPECT_EQ(driver.log(), kLongLog);
}

TEST(HttpRequestStreamTest, RandomCutsGiveTheSame) {
  std::mt19937 random(20260101);  // NOLINT: the same cuts in every run.
  const std::string stream = long_stream();
  for (int round = 0; round < 5'000; ++round) {
    HttpStreamDriver driver;
    const std::size_t piece_max = 1 + random() % 120;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t length = std::min<std::size_t>(1 + random() % piece_max, stream.size() - at);
      driver.feed(std::string_view(stream).substr(at, length));
      at += length;
    }
    ASSERT_FALSE(driver.broken()) << "round " << round;
    ASSERT_EQ(driver.log(), kLongLog) << "round " << round;
  }
}

TEST(HttpRequestStreamTest, AnyChangedByteGivesTheSameHoweverItIsCut) {
  const std::string stream = long_stream();
  const std::string_view kBytes("\0\r\n \t:,0x\x80", 10);
  for (std::size_t at = 0; at < stream.size(); ++at) {
    for (const char byte : kBytes) {
      std::string changed = stream;
      changed[at] = byte;
      HttpStreamDriver whole, bytewise;
      whole.feed(changed);
      for (const char c : changed) bytewise.feed({&c, 1});
      ASSERT_FALSE(whole.broken() || bytewise.broken()) << at;
      ASSERT_EQ(whole.log(), bytewise.log()) << "byte " << at << " changed to " << int{byte};
    }
  }
}

TEST(HttpRequestStreamTest, NoPrefixShowsARequestThatTheWholeDoesNot) {
  const std::string stream = long_stream();
  for (std::size_t length = 0; length <= stream.size(); ++length) {
    HttpStreamDriver driver;
    driver.feed(std::string_view(stream).substr(0, length));
    ASSERT_FALSE(driver.broken());
    const std::string log = driver.log();
    const std::string requests = log.substr(0, log.rfind("body"));
    ASSERT_EQ(kLongLog.substr(0, requests.size()), requests) << length;
  }
}

TEST(HttpRequestStreamTest, RefusalsAreFinal) {
  HttpRequestStream stream;
  EXPECT_EQ(stream.next(as_bytes_of("GET / HTTP/1.1\n")).step, HttpRequestStream::Step::kAmbiguous);
  EXPECT_EQ(stream.next(as_bytes_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).step,
            HttpRequestStream::Step::kAmbiguous);
  stream.resume_http();
  EXPECT_EQ(stream.next(as_bytes_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).step,
            HttpRequestStream::Step::kAmbiguous);
}

TEST(HttpRequestStreamTest, GarbageBehindARequestIsRefusedAtItsFirstBytes) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
  EXPECT_EQ(log_of(request + "\x16\x03\x01"), "GET a.example /\nmalformed\n");
  const std::string empty_lines = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
  ASSERT_GT(empty_lines.size(), 2 * kHttpEmptyLinesMax);
  EXPECT_EQ(log_of(request + empty_lines), "GET a.example /\nmalformed\n");
  EXPECT_EQ(log_of(request + "GET /x\r\n"), "GET a.example /\nmalformed\n");
  EXPECT_EQ(log_of(request + std::string(kHttpMethodMax + 1, 'A')), "GET a.example /\nmalformed\n");
}

TEST(HttpRequestStreamTest, RefusesBrokenChunks) {
  const std::string head = post("Transfer-Encoding: chunked\r\n");
  const std::string request = "POST a.example /p\n";
  struct Case {
    std::string_view body, log;
  };
  for (const Case& c : std::vector<Case>{{"5\nhello\r\n0\r\n\r\n", "malformed\n"},
                                         {"5 \r\nhello\r\n0\r\n\r\n", "malformed\n"},
                                         {" 5\r\nhello\r\n0\r\n\r\n", "malformed\n"},
                                         {"+5\r\nhello\r\n0\r\n\r\n", "malformed\n"},
                                         {"0x5\r\nhello\r\n0\r\n\r\n", "malformed\n"},
                                         {"\r\n", "malformed\n"},
                                         {";x\r\n", "malformed\n"},
                                         {"5\rhello", "malformed\n"},
                                         {"5;a\nb\r\nhello", "malformed\n"},
                                         {"1000000000000000\r\n", "malformed\n"},
                                         {"5\r\nhello0\r\n\r\n", "body 5\nmalformed\n"},
                                         {"5\r\nhello\n0\r\n\r\n", "body 5\nmalformed\n"},
                                         {"5\r\nhello\r0\r\n\r\n", "body 5\nmalformed\n"},
                                         {"5\r\nhello\rX0\r\n\r\n", "body 5\nmalformed\n"},
                                         {"0\r\nHost: b.example\r\n\r\n", "malformed\n"},
                                         {"0\r\ncontent-length: 5\r\n\r\n", "malformed\n"},
                                         {"0\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed\n"},
                                         {"0\r\nno colon\r\n\r\n", "malformed\n"},
                                         {"0\r\n folded: x\r\n\r\n", "malformed\n"},
                                         {"0\r\nX: y\nZ: y\r\n\r\n", "malformed\n"}}) {
    EXPECT_EQ(log_of(head + std::string(c.body)), request + std::string(c.log)) << c.body;
  }
}

TEST(HttpRequestStreamTest, ChunksAndTrailersHaveLimits) {
  const std::string head = post("Transfer-Encoding: chunked\r\n");
  const auto chunk_line = [](std::size_t size) { return "1;" + std::string(size - 4, 'x') + "\r\n"; };
  EXPECT_EQ(log_of(head + chunk_line(kHttpChunkLineMax) + "a"), "POST a.example /p\nbody 1\n");
  EXPECT_EQ(log_of(head + chunk_line(kHttpChunkLineMax + 1) + "a"), "POST a.example /p\ntoo long\n");
  std::string fields;
  for (std::size_t i = 0; i < kHttpFieldsMax; ++i) fields += "X: y\r\n";
  EXPECT_EQ(log_of(head + "0\r\n" + fields + "\r\n"), "POST a.example /p\n");
  EXPECT_EQ(log_of(head + "0\r\n" + fields + "X: y\r\n\r\n"), "POST a.example /p\ntoo long\n");
  EXPECT_EQ(log_of(head + "0\r\nX: " + std::string(kHttpHeadMax, 'y')), "POST a.example /p\ntoo long\n");
}

TEST(HttpRequestStreamTest, ABodyOfAnyLengthNeedsNoBytesToBeNamed) {
  HttpRequestStream stream;
  const std::string head = post("Content-Length: 999999999999999999\r\n");
  ASSERT_EQ(stream.next(as_bytes_of(head)).step, HttpRequestStream::Step::kRequest);
  const HttpRequestStream::Result body = stream.next({});
  EXPECT_EQ(body.step, HttpRequestStream::Step::kBodyBytes);
  EXPECT_EQ(body.consumed, 0U);
  EXPECT_EQ(body.body_bytes, 999'999'999'999'999'999U);
  EXPECT_EQ(stream.next({}).step, HttpRequestStream::Step::kNeedMore);
}

TEST(HttpRequestStreamTest, WaitsForTheAnswerToConnect) {
  HttpStreamDriver driver;
  driver.feed(
      "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nGET /next HTTP/1.1\r\nHost: b\r\n\r\n");
  EXPECT_TRUE(driver.stream.awaiting_switch());
  EXPECT_EQ(driver.log(), "CONNECT a.example a.example:443\n");
  driver.stream.resume_http();
  driver.feed("");
  EXPECT_FALSE(driver.stream.awaiting_switch());
  EXPECT_EQ(driver.log(), "CONNECT a.example a.example:443\nGET b /next\n");
}

TEST(HttpRequestStreamTest, WaitsForTheAnswerToUpgradeBehindTheBody) {
  for (const std::string_view body :
       {"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}) {
    HttpStreamDriver driver;
    driver.feed("POST /p HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" +
                std::string(body) + "PRI * HTTP/2.0\r\n");
    EXPECT_TRUE(driver.stream.awaiting_switch());
    EXPECT_EQ(driver.log(), "POST a.example /p\nbody 3\n");
  }
}

}  // namespace
}  // namespace sallyport::parsers
