#include "sallyport/parsers/http2.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "support/http2_builder.h"
#include "support/http_stream_driver.h"

namespace sallyport::parsers {
namespace {

using namespace sallyport::testing;       // NOLINT: builders.
using namespace std::string_literals;  // NOLINT: NUL in literals.

std::string log_of(std::string_view stream) {
  Http2Driver driver;
  driver.feed(stream);
  EXPECT_FALSE(driver.broken());
  return driver.log();
}

// outcome drops the bytes of frames, which each test would have to count.
std::string outcome(std::string_view frames) {
  std::string log = log_of(h2_open() + std::string(frames));
  std::string out;
  for (std::size_t at = 0; at < log.size();) {
    const std::size_t end = log.find('\n', at) + 1;
    if (log.compare(at, 5, "body ") != 0) out += log.substr(at, end - at);
    at = end;
  }
  return out;
}

std::string outcome(const H2Fields& fields) {
  return outcome(h2_headers(1, fields));
}

H2Fields with(H2Fields fields, const H2Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

// behind_frames reads on to what is no frame without fields, and takes it off the stream.
Http2RequestReader::Result behind_frames(Http2RequestReader& reader, std::string& stream) {
  Http2RequestReader::Result result;
  do {
    result = reader.next(as_bytes_of(stream));
    stream.erase(0, result.consumed + result.body_bytes);
  } while (result.step == Http2RequestReader::Step::kBodyBytes);
  return result;
}

TEST(Http2LikenessTest, ComparesWithTheWholePreface) {
  for (std::size_t length = 0; length < kHttp2Preface.size(); ++length) {
    const std::vector<std::uint8_t> prefix(kHttp2Preface.begin(),
                                           kHttp2Preface.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(looks_like_http2(prefix), Likeness::kMaybe) << length;
  }
  EXPECT_EQ(looks_like_http2(as_bytes_of(kHttp2Preface)), Likeness::kYes);
  EXPECT_EQ(looks_like_http2(as_bytes_of("PRI * HTTP/2.0\r\n\r\nXX")), Likeness::kNo);
  EXPECT_EQ(looks_like_http2(as_bytes_of("GET /")), Likeness::kNo);
}

TEST(Http2RequestReaderTest, ReadsAnOrdinaryRequest) {
  Http2RequestReader reader;
  std::string stream = h2_open() + h2_headers(1, with(h2_get("www.example.com:8080", "/a/b?c"),
                                                      {{"user-agent", "curl/8.0"}, {"accept", "*/*"}}));
  const Http2RequestReader::Result result = behind_frames(reader, stream);
  ASSERT_EQ(result.step, Http2RequestReader::Step::kRequest);
  EXPECT_TRUE(stream.empty());
  EXPECT_EQ(result.stream_id, 1U);
  EXPECT_EQ(result.head.framing, Framing::kComplete);
  EXPECT_EQ(result.head.method, "GET");
  EXPECT_EQ(result.head.target, "/a/b?c");
  EXPECT_EQ(result.head.path, "/a/b");
  EXPECT_EQ(result.head.user_agent, "curl/8.0");
  ASSERT_NE(result.head.name_authority(), nullptr);
  EXPECT_EQ(result.head.name_authority()->host, "www.example.com");
  EXPECT_EQ(result.head.name_authority()->port, 8080);
}

TEST(Http2RequestReaderTest, TellsTheFirstOriginAndHowManyThereAre) {
  Http2RequestReader reader;
  std::string stream = h2_open() + h2_headers(1, with(h2_get("a"), {{"origin", "null"}, {"origin", "http://a"}})) + h2_headers(3, h2_get("a"));
  for (const unsigned expected : {2U, 0U}) {
    const Http2RequestReader::Result result = behind_frames(reader, stream);
    ASSERT_EQ(result.step, Http2RequestReader::Step::kRequest);
    EXPECT_EQ(result.head.origin_fields, expected);
    EXPECT_EQ(result.head.origin, expected == 0 ? "" : "null");
  }
}

// RFC 7541 Appendix C.4: three requests with Huffman code and a growing dynamic table.
TEST(Http2RequestReaderTest, DecodesTheExamplesOfRfc7541) {
  const std::string first("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff", 17);
  const std::string second("\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf", 12);
  const std::string third(
      "\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf", 24);
  const std::uint8_t flags = kH2EndHeaders | kH2EndStream;
  EXPECT_EQ(outcome(h2_frame(kH2Headers, flags, 1, first) + h2_frame(kH2Headers, flags, 3, second) +
                    h2_frame(kH2Headers, flags, 5, third)),
            "GET www.example.com /\nGET www.example.com /\nGET www.example.com /index.html\n");
}

std::string long_stream() {
  const std::string block = hpack(h2_get("b.example", "/continued"));
  return h2_open() + h2_frame(kH2WindowUpdate, 0, 0, std::string(4, '\1')) +
         h2_frame(kH2Priority, 0, 3, std::string(5, '\0')) + h2_headers(1, h2_get("a.example", "/1")) +
         h2_frame(kH2Settings, kH2EndStream, 0, "") + h2_frame(kH2Headers, 0, 3, block.substr(0, 7)) +
         h2_frame(kH2Continuation, 0, 3, "") + h2_frame(kH2Continuation, 0, 3, block.substr(7, 20)) +
         h2_frame(kH2Continuation, kH2EndHeaders, 3, block.substr(27)) +
         h2_frame(kH2Data, 0, 3, h2_headers(5, h2_get("evil.example"))) +
         h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, 3, hpack({{"checksum", "x"}})) +
         h2_frame(kH2Ping, 0, 0, "12345678") + h2_frame(0xfa, 0, 7, "grease") +
         h2_frame(kH2Headers, kH2EndHeaders | kH2Padded | kH2PriorityFlag, 9,
                  std::string("\3\0\0\0\0\xff", 6) + hpack(h2_get("c.example", "/padded")) + "\0\0\0"s) +
         h2_frame(kH2RstStream, 0, 9, "\0\0\0\0"s) +
         h2_headers(11, {{":method", "CONNECT"}, {":authority", "d.example:443"}}) +
         h2_headers(12, h2_get("never.example"));
}

TEST(Http2RequestReaderTest, FindsEveryRequestHoweverTheBytesAreCut) {
  const std::string stream = long_stream();
  const std::string expected = log_of(stream);
  std::string requests;
  for (const std::string_view line :
       {"GET a.example /1\n", "GET b.example /continued\n", "GET c.example /padded\n",
        "CONNECT d.example d.example:443\n", "malformed\n"}) {
    EXPECT_NE(expected.find(line), std::string::npos) << line << expected;
  }
  EXPECT_EQ(expected.find("evil"), std::string::npos);
  EXPECT_EQ(expected.find("never"), std::string::npos);
  std::mt19937 random(20260102);  // NOLINT: the same cuts in every run.
  for (int round = 0; round < 2'000; ++round) {
    Http2Driver driver;
    const std::size_t piece_max = round == 0 ? 1 : 1 + random() % 100;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t length = std::min<std::size_t>(1 + random() % piece_max, stream.size() - at);
      driver.feed(std::string_view(stream).substr(at, length));
      at += length;
    }
    ASSERT_FALSE(driver.broken()) << "round " << round;
    ASSERT_EQ(driver.log(), expected) << "round " << round;
  }
}

TEST(Http2RequestReaderTest, AnyChangedByteGivesTheSameHoweverItIsCut) {
  const std::string stream = long_stream();
  for (std::size_t at = 0; at < stream.size(); ++at) {
    for (const char byte : std::string_view("\0\1\4\x28\x3f\x82\xff", 7)) {
      std::string changed = stream;
      changed[at] = byte;
      Http2Driver whole, bytewise;
      whole.feed(changed);
      for (const char c : changed) bytewise.feed({&c, 1});
      ASSERT_FALSE(whole.broken() || bytewise.broken()) << at;
      ASSERT_EQ(whole.log(), bytewise.log()) << "byte " << at << " changed to " << int{byte};
    }
  }
}

TEST(Http2RequestReaderTest, TheNameMayStandInHost) {
  EXPECT_EQ(outcome({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "a.example"}}),
            "GET a.example /\n");
  EXPECT_EQ(outcome(with(h2_get("a.example"), {{"host", "A.example:80"}})), "GET a.example /\n");
}

TEST(Http2RequestReaderTest, RefusesFieldsWithTwoReadings) {
  const H2Fields get = h2_get("a.example");
  struct Case {
    std::string_view what;
    H2Fields fields;
    std::string_view outcome;
  };
  const std::string_view malformed = "malformed\n", ambiguous = "ambiguous\n";
  for (const Case& c : std::vector<Case>{
           {":authority is not Host", with(get, {{"host", "b.example"}}), ambiguous},
           {":authority and Host ports", with(get, {{"host", "a.example:81"}}), ambiguous},
           {"two Hosts", with(get, {{"host", "a.example"}, {"host", "a.example"}}), ambiguous},
           {"two :authority",
            {{":method", "GET"},
             {":scheme", "http"},
             {":authority", "a"},
             {":authority", "a"},
             {":path", "/"}},
            ambiguous},
           {"two :method",
            {{":method", "GET"},
             {":method", "GET"},
             {":scheme", "http"},
             {":authority", "a"},
             {":path", "/"}},
            ambiguous},
           {"no :method", {{":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, malformed},
           {"no :scheme", {{":method", "GET"}, {":authority", "a"}, {":path", "/"}}, malformed},
           {"no :path", {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}}, malformed},
           {"empty :path",
            {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", ""}},
            malformed},
           {"empty block", {}, malformed},
           {"no name", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}, malformed},
           {"empty :authority", h2_get(""), malformed},
           {"userinfo", h2_get("u@a.example"), malformed},
           {"comma", h2_get("a.example,b.example"), malformed},
           {"empty Host", with(get, {{"host", ""}}), malformed},
           {"unknown pseudo-header",
            {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {":host", "b"}},
            malformed},
           {":status",
            {{":status", "200"},
             {":method", "GET"},
             {":scheme", "http"},
             {":authority", "a"},
             {":path", "/"}},
            malformed},
           {"late pseudo-header",
            {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"x", "y"}, {":authority", "a"}},
            malformed},
           {"upper-case name", with(get, {{"Host", "b.example"}}), malformed},
           {"space in a name", with(get, {{"host ", "b.example"}}), malformed},
           {"empty name", with(get, {{"", "x"}}), malformed},
           {"colon in a name", with(get, {{"x:y", "x"}}), malformed},
           {"line end in a value", with(get, {{"x", "y\r\nhost: b.example"}}), malformed},
           {"NUL in a value", with(get, {{"x", std::string("a\0b", 3)}}), malformed},
           {"space before a value", with(get, {{"x", " y"}}), malformed},
           {"space in :path", h2_get("a.example", "/ HTTP/1.1"), malformed},
           {"line end in :path", h2_get("a.example", "/\r\nhost: b"), malformed},
           {"absolute :path", h2_get("a.example", "http://b.example/"), malformed},
           {"asterisk with GET", h2_get("a.example", "*"), malformed},
           {"space in :method",
            {{":method", "GET /"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}},
            malformed},
           {"long :method",
            {{":method", std::string(kHttpMethodMax + 1, 'A')},
             {":scheme", "http"},
             {":authority", "a"},
             {":path", "/"}},
            malformed},
           {":scheme with a URL",
            {{":method", "GET"}, {":scheme", "http://b/"}, {":authority", "a"}, {":path", "/"}},
            malformed},
           {"connection", with(get, {{"connection", "close"}}), ambiguous},
           {"transfer-encoding", with(get, {{"transfer-encoding", "chunked"}}), ambiguous},
           {"upgrade", with(get, {{"upgrade", "websocket"}}), ambiguous},
           {"te: gzip", with(get, {{"te", "gzip"}}), malformed},
           {"CONNECT with :path",
            {{":method", "CONNECT"}, {":authority", "a:443"}, {":path", "/"}},
            malformed},
           {"CONNECT without port", {{":method", "CONNECT"}, {":authority", "a"}}, malformed},
           {":protocol without CONNECT",
            {{":method", "GET"},
             {":protocol", "websocket"},
             {":scheme", "http"},
             {":authority", "a"},
             {":path", "/"}},
            malformed}}) {
    EXPECT_EQ(outcome(c.fields), c.outcome) << c.what;
  }
  EXPECT_EQ(outcome(with(get, {{"te", "trailers"}})), "GET a.example /\n");
  EXPECT_EQ(outcome({{":method", "CONNECT"},
                     {":protocol", "websocket"},
                     {":scheme", "http"},
                     {":authority", "a"},
                     {":path", "/ws"}}),
            "CONNECT a /ws\n");
}

TEST(Http2RequestReaderTest, RefusesFramesOutOfPlace) {
  const std::string get1 = h2_headers(1, h2_get("a.example"));
  const std::string open_block = h2_frame(kH2Headers, kH2EndStream, 1, hpack(h2_get("a.example")));
  const std::string block = hpack(h2_get("a.example"));
  struct Case {
    std::string_view what;
    std::string frames;
  };
  for (const Case& c : std::vector<Case>{
           {"CONTINUATION without HEADERS", h2_frame(kH2Continuation, kH2EndHeaders, 1, block)},
           {"CONTINUATION of another stream", open_block + h2_frame(kH2Continuation, kH2EndHeaders, 3, "")},
           {"DATA inside a block", open_block + h2_frame(kH2Data, 0, 1, "x")},
           {"unknown frame inside a block", open_block + h2_frame(0xfa, 0, 1, "x")},
           {"HEADERS inside a block", open_block + h2_headers(3, h2_get("b.example"))},
           {"even stream", h2_headers(2, h2_get("a.example"))},
           {"stream 0", h2_headers(0, h2_get("a.example"))},
           {"DATA on stream 0", h2_frame(kH2Data, 0, 0, "x")},
           {"DATA on an idle stream", h2_frame(kH2Data, 0, 1, "x")},
           {"PUSH_PROMISE", h2_frame(kH2PushPromise, kH2EndHeaders, 1, block)},
           {"SETTINGS of 5 bytes", h2_frame(kH2Settings, 0, 0, "12345")},
           {"SETTINGS on a stream", h2_frame(kH2Settings, 0, 1, "")},
           {"SETTINGS ACK with content", h2_frame(kH2Settings, 1, 0, "123456")},
           {"PING of 7 bytes", h2_frame(kH2Ping, 0, 0, "1234567")},
           {"WINDOW_UPDATE of 3 bytes", h2_frame(kH2WindowUpdate, 0, 0, "123")},
           {"PRIORITY on stream 0", h2_frame(kH2Priority, 0, 0, "12345")},
           {"PRIORITY of 4 bytes", h2_frame(kH2Priority, 0, 1, "1234")},
           {"RST_STREAM of an idle stream", h2_frame(kH2RstStream, 0, 1, "1234")},
           {"padding longer than the frame", h2_frame(kH2Headers, kH2EndHeaders | kH2Padded, 1,
                                                      "\x05"
                                                      "abc")},
           {"no padding length", h2_frame(kH2Headers, kH2EndHeaders | kH2Padded, 1, "")},
           {"priority cut", h2_frame(kH2Headers, kH2EndHeaders | kH2PriorityFlag, 1, "\0\0\0\0"s)},
           {"depends on itself",
            h2_frame(kH2Headers, kH2EndHeaders | kH2PriorityFlag, 1, "\0\0\0\1\1"s + block)},
           {"block cut", h2_frame(kH2Headers, kH2EndHeaders, 1, block.substr(0, block.size() - 1))},
           {"index of no table entry", h2_frame(kH2Headers, kH2EndHeaders, 1, "\xff\xff\x03")},
           {"table larger than allowed", h2_frame(kH2Headers, kH2EndHeaders, 1, "\x3f\xe2\x1f" + block)},
           {"bad Huffman code", h2_frame(kH2Headers, kH2EndHeaders, 1, "\x41\x84\xff\xff\xff\xff")}}) {
    EXPECT_EQ(outcome(c.frames), "malformed\n") << c.what;
  }
  EXPECT_EQ(outcome(get1 + get1), "GET a.example /\nmalformed\n");  // Pseudo-header fields in trailers.
  EXPECT_EQ(outcome(h2_headers(3, h2_get("a")) + h2_headers(1, h2_get("a"))), "GET a /\nmalformed\n");
  EXPECT_EQ(outcome(get1 + h2_frame(kH2Headers, kH2EndHeaders, 1, hpack({{"x", "y"}}))),
            "GET a.example /\nmalformed\n");  // Trailers that do not end the stream.
  EXPECT_EQ(outcome(get1 + h2_headers(1, {{"host", "b.example"}})), "GET a.example /\nambiguous\n");
  EXPECT_EQ(outcome(get1 + h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream | kH2Padded, 1,
                                    "\x04"
                                    "abc")),
            "GET a.example /\nmalformed\n");  // More padding than there is.
}

TEST(Http2RequestReaderTest, BeginsWithPrefaceAndSettings) {
  EXPECT_EQ(log_of("GET / HTTP/1.1\r\n"), "malformed\n");
  EXPECT_EQ(log_of(std::string(kHttp2Preface) + h2_headers(1, h2_get("a.example"))), "malformed\n");
  EXPECT_EQ(log_of(std::string(kHttp2Preface) + h2_frame(kH2Settings, 1, 0, "")), "malformed\n");
}

TEST(Http2RequestReaderTest, StopsAtItsLimits) {
  const H2Fields get = h2_get("a.example");
  const auto of_fields = [&](std::size_t count) {
    H2Fields fields = get;
    while (fields.size() < count) fields.emplace_back("x", "y");
    return fields;
  };
  EXPECT_EQ(outcome(of_fields(kHttp2FieldsMax)), "GET a.example /\n");
  EXPECT_EQ(outcome(of_fields(kHttp2FieldsMax + 1)), "too long\n");
  std::size_t list = 0;
  for (const auto& [name, value] : get) list += name.size() + value.size() + 32;
  const std::size_t left = kHttp2FieldListMax - list - 32 - 1;
  EXPECT_EQ(outcome(with(get, {{"x", std::string(left, 'y')}})), "GET a.example /\n");
  EXPECT_EQ(outcome(with(get, {{"x", std::string(left + 1, 'y')}})), "too long\n");
  EXPECT_EQ(outcome(h2_get("a.example", "/" + std::string(kHttp2FieldListMax, 'y'))), "too long\n");

  std::string flood = h2_frame(kH2Headers, kH2EndStream, 1, hpack(get));
  for (std::size_t i = 0; i < kHttp2ContinuationsMax; ++i) flood += h2_frame(kH2Continuation, 0, 1, "");
  EXPECT_EQ(outcome(flood), "");
  EXPECT_EQ(outcome(flood + h2_frame(kH2Continuation, kH2EndHeaders, 1, "")), "too long\n");
  // Table size updates (RFC 7541 §6.3) fill a block without any field.
  const std::string updates(kHttp2FrameMax / 2, '\x20');
  const std::string half = h2_frame(kH2Headers, 0, 1, updates) + h2_frame(kH2Continuation, 0, 1, updates);
  EXPECT_EQ(outcome(half), "");
  EXPECT_EQ(outcome(half + h2_frame(kH2Continuation, 0, 1, "\x20")), "too long\n");
  // Refused by the length alone: no byte of the payload is there.
  EXPECT_EQ(outcome("\0\x40\x01\1\4\0\0\0\1"s), "too long\n");
}

TEST(Http2RequestReaderTest, AFieldRepeatedFromTheTableIsBounded) {
  // One entry of 4000 bytes, then an index of one byte for each copy: an HPACK bomb.
  const std::string entry = "\x40" + hpack_string("x") + hpack_string(std::string(4'000, 'y'));
  EXPECT_EQ(outcome(h2_frame(kH2Headers, kH2EndHeaders, 1, hpack(h2_get("a")) + entry + "\xbe\xbe")),
            "GET a /\n");
  EXPECT_EQ(
      outcome(h2_frame(kH2Headers, kH2EndHeaders, 1, hpack(h2_get("a")) + entry + std::string(60, '\xbe'))),
      "too long\n");
}

TEST(Http2RequestReaderTest, ManyRequestsStayWithinTheHeap) {
  // The dynamic table is filled and evicted again and again; nothing may leak from the bounded heap.
  Http2Driver driver;
  driver.feed(h2_open());
  std::size_t requests = 0;
  for (std::uint32_t id = 1; id < 20'000; id += 2) {
    std::string block = hpack(h2_get("a.example"));
    block += "\x40" + hpack_string("x-" + std::to_string(id)) + hpack_string(std::string(id % 500, 'v'));
    driver.feed(h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, id, block));
    ++requests;
    ASSERT_FALSE(driver.stopped()) << id;
  }
  EXPECT_EQ(requests, 10'000U);
}

TEST(Http2RequestReaderTest, AFullTableLeavesRoomForTheLongestList) {
  std::string block = hpack(h2_get("a.example"));
  for (int i = 0; i < 50; ++i) block += "\x40" + hpack_string("x") + hpack_string("y");
  std::string frames;
  for (std::uint32_t id = 1; id < 9; id += 2) frames += h2_frame(kH2Headers, kH2EndHeaders, id, block);
  // 15,200 times 'a' in Huffman code: eight of them make five bytes (RFC 7541 Appendix B).
  std::string value;
  for (int i = 0; i < 1'900; ++i) value += "\x18\xc6\x31\x8c\x63";
  std::string length = hpack_string(std::string(value.size(), ' '));
  length.resize(length.size() - value.size());
  length[0] = static_cast<char>(0xff);  // The Huffman bit.
  frames += h2_frame(kH2Headers, kH2EndHeaders, 9,
                     hpack(h2_get("b.example")) + '\0' + hpack_string("x") + length + value);
  EXPECT_TRUE(outcome(frames).ends_with("GET a.example /\nGET b.example /\n")) << outcome(frames);
}

TEST(Http2RequestReaderTest, ResetForgetsEverything) {
  Http2RequestReader reader;
  EXPECT_EQ(reader.next(as_bytes_of("GET / HTTP/1.1")).step, Http2RequestReader::Step::kMalformed);
  EXPECT_EQ(reader.next(as_bytes_of(kHttp2Preface)).step, Http2RequestReader::Step::kMalformed);
  for (int round = 0; round < 1'000; ++round) {
    reader.reset(round % 2 == 1);
    std::string stream = h2_open() + h2_headers(round % 2 == 1 ? 3 : 1, h2_get("a.example"));
    const Http2RequestReader::Result result = behind_frames(reader, stream);
    ASSERT_EQ(result.step, Http2RequestReader::Step::kRequest) << round;
  }
}

TEST(Http2RequestReaderTest, ARefusedRequestStillNamesItsAuthority) {
  Http2RequestReader reader;
  std::string stream = h2_open() + h2_headers(1, with(h2_get("a.example"), {{"host", "b.example"}}));
  const Http2RequestReader::Result result = behind_frames(reader, stream);
  EXPECT_EQ(result.step, Http2RequestReader::Step::kAmbiguous);
  ASSERT_TRUE(result.head.authority && result.head.host);
  EXPECT_EQ(result.head.authority->host, "a.example");
  EXPECT_EQ(result.head.host->host, "b.example");
}

}  // namespace
}  // namespace sallyport::parsers
