// Over HTTP/2, read back with libnghttp2's client.
#include <nghttp2/nghttp2.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "refusal_support.h"
#include "sallyport/refusal/http.h"
#include "support/http2_builder.h"

namespace sallyport::refusal {
namespace {

using namespace std::string_literals;
using namespace sallyport::testing;

// Client is a connection with open requests on streams 1, 3 and 5 that takes what the server sends.
class Client {
 public:
  explicit Client(const char* method = "GET") {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid);
    nghttp2_session* session = nullptr;
    nghttp2_session_client_new(&session, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    session_.reset(session);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
    for (int i = 0; i < 3; ++i) {
      const std::array<nghttp2_nv, 4> request = {field(":method", method), field(":scheme", "http"), field(":authority", "evil.example"), field(":path", "/")};
      EXPECT_EQ(nghttp2_submit_request(session, nullptr, request.data(), request.size(), nullptr, nullptr), 2 * i + 1);
    }
    drain();
  }

  // take feeds the bytes one by one; false where the client finds a fault.
  bool take(std::string_view bytes) {
    for (const char& c : bytes) {
      if (nghttp2_session_mem_recv(session_.get(), reinterpret_cast<const std::uint8_t*>(&c), 1) != 1) return false;
    }
    drain();
    return !invalid && nghttp2_session_want_read(session_.get()) != 0;
  }

  H2Fields fields;
  std::string content;
  std::vector<std::pair<std::int32_t, std::uint32_t>> closed;  // Stream and error code.
  std::string debug;
  std::int32_t last_stream = -1;
  std::uint32_t goaway_error = ~0U;
  bool invalid = false;

 private:
  static nghttp2_nv field(const char* name, const char* value) {
    const auto bytes = [](const char* text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text)); };
    return {bytes(name), bytes(value), std::strlen(name), std::strlen(value), NGHTTP2_NV_FLAG_NONE};
  }
  static Client& self(void* user) { return *static_cast<Client*>(user); }
  static std::string text(const std::uint8_t* data, std::size_t size) { return std::string(as_text({data, size})); }
  static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size, const std::uint8_t* value,
                       std::size_t value_size, std::uint8_t, void* user) {
    self(user).fields.emplace_back(text(name, name_size), text(value, value_size));
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* data, std::size_t size, void* user) {
    self(user).content += text(data, size);
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t error, void* user) {
    self(user).closed.emplace_back(stream, error);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_GOAWAY) return 0;
    self(user).last_stream = frame->goaway.last_stream_id;
    self(user).goaway_error = frame->goaway.error_code;
    self(user).debug = text(frame->goaway.opaque_data, frame->goaway.opaque_data_len);
    return 0;
  }
  static int on_invalid(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    self(user).invalid = true;
    return 0;
  }
  void drain() {
    const std::uint8_t* data = nullptr;
    while (nghttp2_session_mem_send(session_.get(), &data) > 0) {
    }
  }

  struct Delete {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  std::unique_ptr<nghttp2_session, Delete> session_;
};

std::string respond(const HttpRefusal& refusal, std::uint32_t stream, bool with_preface, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return http2_forbidden(out, notice, refusal, stream, with_preface); });
}
std::string goaway(std::uint32_t last_stream, bool with_preface, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return http2_goaway(out, notice, last_stream, with_preface); });
}

TEST(Http2RefusalTest, IsHeadersAndData) {  // RFC 9113 §4.1, §6.1, §6.2; RFC 7541 §6.2.2, Appendix A
  const Notice notice{.text = "no"};
  const std::string content = R"({"type":"about:blank","status":403,"title":"Forbidden","detail":"no"})"
                              "\n"s;
  const std::string details = "sallyport; error=http_request_denied; details=\"no\"";
  const std::string fields = "\x08\x03"s + "403"                                      // :status
                             + "\x0f\x10\x18"s + "application/problem+json"           // content-type
                             + "\x0f\x0d\x02"s + std::to_string(content.size())       // content-length
                             + "\x0f\x09\x08"s + "no-store"                           // cache-control
                             + "\x00\x0c"s + "proxy-status" + "\x32"s + details;
  EXPECT_EQ(respond({}, 5, false, notice), h2_frame(kH2Headers, kH2EndHeaders, 5, fields) + h2_frame(kH2Data, kH2EndStream, 5, content));
  EXPECT_EQ(respond({}, 5, true, notice), h2_frame(kH2Settings, 0, 0, "") + respond({}, 5, false, notice));
}

TEST(Http2RefusalTest, AClientReadsItAndItsOtherStreamsStayOpen) {
  Client client;
  ASSERT_TRUE(client.take(respond({}, 3, true)));
  const H2Fields expected = {{":status", "403"},
                             {"content-type", "application/problem+json"},
                             {"content-length", std::to_string(client.content.size())},
                             {"cache-control", "no-store"},
                             {"proxy-status", "sallyport; error=http_request_denied; details=\"" + std::string(kText) + "\""}};
  EXPECT_EQ(client.fields, expected);
  EXPECT_EQ(nlohmann::json::parse(client.content)["rule"], "policy.toml:21");
  EXPECT_EQ(client.closed, (std::vector<std::pair<std::int32_t, std::uint32_t>>{{3, 0}}));
  ASSERT_TRUE(client.take(respond({}, 1, false))) << "and a second answer on the same connection";
  EXPECT_EQ(client.closed.size(), 2U);
}

TEST(Http2RefusalTest, ThePageAndHeadAreWellFormed) {
  Client get;
  ASSERT_TRUE(get.take(respond({.accept = "text/html"}, 1, true)));
  EXPECT_TRUE(get.content.starts_with("<!doctype html>"));
  Client head("HEAD");
  ASSERT_TRUE(head.take(respond({.accept = "text/html", .head = true}, 1, true)));
  EXPECT_EQ(head.fields, get.fields);
  EXPECT_EQ(head.content, "");
}

TEST(Http2RefusalTest, AnAnswerToHeadEndsTheStreamWithHeaders) {
  const std::string head = respond({.head = true}, 1, false);
  const std::string get = respond({}, 1, false);
  EXPECT_EQ(head[4], kH2EndHeaders | kH2EndStream);
  EXPECT_EQ(get[4], kH2EndHeaders);
  EXPECT_EQ(head.substr(5), get.substr(5, head.size() - 5));
}

TEST(Http2RefusalTest, OnlyAClientsStreamIsAnswered) {
  for (const std::uint32_t stream : {0U, 2U, 0x8000'0001U, 0xffff'ffffU}) EXPECT_EQ(respond({}, stream, true), "") << stream;
  EXPECT_NE(respond({}, 0x7fff'ffff, true), "");
  EXPECT_EQ(respond({.status = 200}, 1, true), "");
}

TEST(Http2RefusalTest, GoawaySaysWhy) {  // RFC 9113 §6.8
  EXPECT_EQ(goaway(5, false, {.text = "no"}), h2_frame(kH2Goaway, 0, 0, "\0\0\0\5\0\0\0\0no"s));
  EXPECT_EQ(goaway(5, true, {.text = "no"}), h2_frame(kH2Settings, 0, 0, "") + goaway(5, false, {.text = "no"}));
  EXPECT_EQ(goaway(0x8000'0000, true), "");
  Client client;
  (void)client.take(goaway(0, true));
  EXPECT_FALSE(client.invalid);
  EXPECT_EQ(client.last_stream, 0);
  EXPECT_EQ(client.goaway_error, 0U);
  EXPECT_EQ(client.debug, kText);
  EXPECT_EQ(client.closed.size(), 3U) << "all streams are above the last";
}

TEST(Http2RefusalTest, AHostileTextStaysInItsPlace) {
  for_each_hostile_notice([](const Notice& notice) {
    Client client;
    ASSERT_TRUE(client.take(respond({}, 1, true, notice)));
    EXPECT_EQ(client.fields.size(), 5U);
    EXPECT_TRUE(printable(notice.text).starts_with(nlohmann::json::parse(client.content)["detail"].get<std::string>()));
    EXPECT_TRUE(client.take(respond({.accept = "text/html"}, 3, false, notice)));
    (void)client.take(goaway(5, false, notice));
    EXPECT_EQ(client.debug, printable(notice.text));
    EXPECT_FALSE(client.invalid);
  });
}

TEST(Http2RefusalTest, IsWholeOrNothing) {
  for (const bool with_preface : {false, true}) {
    for (const bool head : {false, true}) {
      const auto build = [&](Buffer out) { return http2_forbidden(out, kNotice, {.head = head}, 1, with_preface); };
      expect_whole_or_nothing(build, [&](const std::string& bytes) {
        Client client(head ? "HEAD" : "GET");
        const std::string preface = with_preface ? "" : h2_frame(kH2Settings, 0, 0, "");
        return client.take(preface + bytes) && client.closed.size() == 1 && client.closed[0].second == 0 && client.content.empty() == head;
      }, head ? respond({}, 1, with_preface).size() - respond({.head = true}, 1, with_preface).size() : 0);
    }
    const auto build = [&](Buffer out) { return http2_goaway(out, kNotice, 0, with_preface); };
    expect_whole_or_nothing(build, [&](const std::string& bytes) {
      Client client;
      (void)client.take((with_preface ? "" : h2_frame(kH2Settings, 0, 0, "")) + bytes);
      return !client.invalid && client.goaway_error == 0 && kText.starts_with(client.debug);
    });
  }
}

}  // namespace
}  // namespace sallyport::refusal
