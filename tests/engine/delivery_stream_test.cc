// However one stream is cut into segments (and into records and frames), shuffled and repeated, the judgement is the
// same; of an allowed stream every byte leaves, of a forbidden one none behind what was allowed.
#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/delivery.h"
#include "support/dns_builder.h"
#include "support/http2_builder.h"

namespace sallyport::testing {
namespace {

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
to = [".good.example"]
protocols = ["tls", "http"]
ports = "any"
[[rules]]
to = [".good.example"]
protocols = ["dns"]
ports = "any"
)";

constexpr unsigned kRounds = 1'000;  // Each of them is delivered twice.

// Message is a stream and how much of it may leave.
struct Message {
  Bytes stream;
  std::size_t allowed = 0;  // Bytes before the first forbidden message; all of them: nothing is forbidden.
};

class StreamDeliveryTest : public ::testing::Test {
 protected:
  InspectorHarness fw_{kPolicy};

  // deliver feeds the pieces, and as a TCP sender would, in the end those again that were dropped.
  std::string deliver(const Message& message, const std::vector<Piece>& pieces) {
    fw_.begin_anew();
    TcpConversation tcp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 8'000));
    fw_.client(tcp.syn());
    std::vector<Piece> sent;
    const auto send = [&](const Piece& piece) {
      fw_.client(tcp.client_at(static_cast<std::uint32_t>(piece.offset)).payload(ByteSpan(piece.bytes)).build());
      sent.push_back(piece);
    };
    for (const Piece& piece : pieces) send(piece);
    std::vector<Piece> again;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (fw_.fate(1 + i) == Verdict::kDrop) again.push_back(pieces[i]);
    }
    std::ranges::sort(again, {}, &Piece::offset);
    for (const Piece& piece : again) send(piece);
    const std::vector<bool> left = accepted_bytes(fw_, sent, 1, message.stream.size());
    const std::size_t held_back = static_cast<std::size_t>(std::count(left.begin(), left.end(), false));
    const bool all_allowed = message.allowed == message.stream.size();
    EXPECT_TRUE(!all_allowed || held_back == 0) << held_back << " bytes of an allowed stream did not leave";
    const auto forbidden = left.begin() + static_cast<std::ptrdiff_t>(message.allowed);
    EXPECT_TRUE(all_allowed || std::find(forbidden, left.end(), true) == left.end()) << "a forbidden byte left";
    return judgement_of(fw_);
  }

  // expect_same delivers what `make` makes of each seed, and wants `expected` each time. `make` may lay one message
  // out in many ways, all of which mean the same.
  template <typename Make>
  void expect_same(const std::string& expected, Make&& make) {
    for (unsigned seed = 0; seed < kRounds; ++seed) {
      Random random(seed);
      const Message message = make(random);
      ASSERT_EQ(deliver(message, {piece_of(message.stream, 0, message.stream.size())}), expected) << "in one piece, seed " << seed;
      ASSERT_EQ(deliver(message, random_delivery(message.stream, random)), expected) << "seed " << seed;
      ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
  }
};

std::vector<std::size_t> record_sizes(Random& random, std::size_t length) {
  constexpr std::size_t kMost[] = {4, 30, 200, 1'000, 16'384};
  const std::size_t most = kMost[random() % std::size(kMost)];
  std::vector<std::size_t> sizes;
  for (std::size_t sum = 0; sum < length; sum += sizes.back()) {
    const std::size_t least = std::min(most, length / kTlsRecordsPerHelloMax + 1);  // No more records than are read.
    sizes.push_back(least + at_most(random, most - least));
  }
  return sizes;
}

Bytes tls_hello(const ClientHelloBuilder& hello, Random& random) {
  return hello.records(record_sizes(random, hello.message().size()));
}

TEST_F(StreamDeliveryTest, OfAnAllowedTlsHello) {
  expect_same("protocol tls\nallow rule_allows [www.good.example]\nname www.good.example\nalpn h2\nech outer\n",
              [](Random& random) {
                const Bytes stream = tls_hello(ClientHelloBuilder::post_quantum("www.good.example"), random);
                return Message{stream, stream.size()};
              });
}

TEST_F(StreamDeliveryTest, OfAForbiddenTlsHello) {
  expect_same("protocol tls\ndeny name_not_allowed [evil.example]\nname evil.example\nalpn h2\n", [](Random& random) {
    return Message{tls_hello(ClientHelloBuilder::typical("evil.example"), random), 0};
  });
}

TEST_F(StreamDeliveryTest, OfATlsHelloWithTwoNames) {
  expect_same("protocol tls\ndeny malformed []\n", [](Random& random) {
    const ClientHelloBuilder hello = ClientHelloBuilder().server_name("good.example").server_name("evil.example");
    return Message{tls_hello(hello, random), 0};
  });
}

// http_stream gives requests with bodies; the last is for `last`.
Message http_stream(const std::string& last, Random& random) {
  std::string text;
  const std::size_t requests = at_most(random, 3);
  text += "GET /first HTTP/1.1\r\nHost: a.good.example\r\nAccept: */*\r\n\r\n";
  for (std::size_t i = 0; i < 3 - requests; ++i) text += one_in(random, 2) ? "\r\n" : "";  // RFC 9112 §2.2
  const std::string body(at_most(random, 1'500), 'G');
  text += "POST /second HTTP/1.1\r\nHost: A.good.example:80\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  text += "PROPFIND /third HTTP/1.1\r\nHost: a.good.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  text += "5\r\nGET /\r\n1a;name=value\r\n" + std::string(26, 'H') + "\r\n0\r\nTrailer: yes\r\n\r\n";
  const std::size_t allowed = text.size();
  text += "HEAD /fourth HTTP/1.1\r\nHost: " + last + "\r\n\r\n";
  const Bytes stream = bytes_of(text);
  return {stream, last.ends_with("good.example") ? stream.size() : allowed};
}

constexpr const char* kThreeNames = "name a.good.example\nname a.good.example\nname a.good.example\n";

TEST_F(StreamDeliveryTest, OfAllowedHttpRequests) {
  expect_same("protocol http\nallow rule_allows [a.good.example]\n" + std::string(kThreeNames) +
                  "name b.good.example\nhttp_method GET\n",
              [](Random& random) { return http_stream("b.good.example", random); });
}

TEST_F(StreamDeliveryTest, OfHttpRequestsOfWhichTheLastIsForbidden) {
  expect_same("protocol http\nallow rule_allows [a.good.example]\ndeny name_not_allowed [evil.example]\n" +
                  std::string(kThreeNames) + "name evil.example\nhttp_method GET\n",
              [](Random& random) { return http_stream("evil.example", random); });
}

TEST_F(StreamDeliveryTest, OfAnHttpRequestWithTwoHosts) {
  const Bytes stream = bytes_of("GET / HTTP/1.1\r\nHost: a.good.example\r\nHost: evil.example\r\n\r\n");
  expect_same("protocol http\ndeny ambiguous []\nname a.good.example\n", [&](Random&) { return Message{stream, 0}; });
}

// h2_request gives a request in HEADERS and CONTINUATION frames, padded or not.
std::string h2_request(std::uint32_t stream_id, const std::string& authority, Random& random) {
  const std::string block = hpack(h2_get(authority, "/" + std::string(at_most(random, 300), 'p')));
  std::string out;
  for (std::size_t at = 0, frames = 0; at < block.size(); ++frames) {
    const bool last_frame = frames + 1 == kHttp2ContinuationsMax;
    const std::size_t size = last_frame ? block.size() - at : std::min(block.size() - at, at_most(random, 120));
    std::string payload = block.substr(at, size);
    at += size;
    std::uint8_t flags = at == block.size() ? kH2EndHeaders : std::uint8_t{0};
    if (frames == 0) {
      flags |= kH2EndStream;
      if (one_in(random, 2)) {
        const std::size_t padding = at_most(random, 40);
        payload = static_cast<char>(padding) + payload + std::string(padding, '\0');
        flags |= kH2Padded;
      }
    }
    out += h2_frame(frames == 0 ? kH2Headers : kH2Continuation, flags, stream_id, payload);
  }
  return out;
}

Message h2_stream(const std::string& last, Random& random) {
  std::string text = h2_open();
  if (one_in(random, 2)) text += h2_frame(kH2WindowUpdate, 0, 0, std::string("\0\1\0\0", 4));
  text += h2_request(1, "a.good.example", random);
  if (one_in(random, 2)) text += h2_frame(kH2Ping, 0, 0, "pingpong");
  text += h2_frame(kH2Priority, 0, 1, std::string("\0\0\0\0\x10", 5));
  const std::size_t allowed = text.size();
  text += h2_request(3, last, random);
  const Bytes stream = bytes_of(text);
  return {stream, last.ends_with("good.example") ? stream.size() : allowed};
}

TEST_F(StreamDeliveryTest, OfAllowedHttp2Requests) {
  expect_same("protocol http2\nallow rule_allows [a.good.example]\nname a.good.example\nname b.good.example\nhttp_method GET\n",
              [](Random& random) { return h2_stream("b.good.example", random); });
}

TEST_F(StreamDeliveryTest, OfHttp2RequestsOfWhichTheSecondIsForbidden) {
  expect_same("protocol http2\nallow rule_allows [a.good.example]\ndeny name_not_allowed [evil.example]\n"
              "name a.good.example\nname evil.example\nhttp_method GET\n",
              [](Random& random) { return h2_stream("evil.example", random); });
}

Message dns_stream(const std::string& last) {
  Bytes stream = DnsMessageBuilder(7).question("www.good.example", 1).build_tcp();
  const Bytes second = DnsMessageBuilder(8).question("www.good.example", 28).edns().build_tcp();
  stream.insert(stream.end(), second.begin(), second.end());
  const std::size_t allowed = stream.size();
  const Bytes third = DnsMessageBuilder(9).question(last, 65).build_tcp();
  stream.insert(stream.end(), third.begin(), third.end());
  return {stream, last.ends_with("good.example") ? stream.size() : allowed};
}

TEST_F(StreamDeliveryTest, OfAllowedDnsQueries) {
  expect_same("protocol dns\nallow rule_allows [www.good.example]\nname www.good.example\nname www.good.example\nname good.example\n",
              [](Random&) { return dns_stream("good.example"); });
}

TEST_F(StreamDeliveryTest, OfDnsQueriesOfWhichTheLastIsForbidden) {
  expect_same("protocol dns\nallow rule_allows [www.good.example]\ndeny name_not_allowed [evil.example]\n"
              "name www.good.example\nname www.good.example\nname evil.example\n",
              [](Random&) { return dns_stream("evil.example"); });
}

// What makes more islands than are remembered is dropped; sent again when there is room, it passes.
TEST_F(StreamDeliveryTest, MoreIslandsThanABoundAreNotRefusedForThat) {
  const Bytes stream = ClientHelloBuilder::typical("www.good.example").record();
  std::vector<Piece> pieces;
  for (std::size_t at = 1; at < stream.size(); at += 2) pieces.push_back(piece_of(stream, at, at + 1));
  ASSERT_GT(pieces.size(), 2 * kStreamRangesMax);
  for (std::size_t at = 0; at < stream.size(); at += 2) pieces.push_back(piece_of(stream, at, at + 1));
  const std::string judgement = deliver({stream, stream.size()}, pieces);
  EXPECT_NE(judgement.find("allow rule_allows [www.good.example]"), std::string::npos) << judgement;
}

// A delivery in more pieces than a flow may hold is refused for that, and nothing of it leaves.
TEST_F(StreamDeliveryTest, MorePiecesThanMayBeHeldAreRefused) {
  const Bytes stream = ClientHelloBuilder::typical("www.good.example").padding_to(kHeldPacketsPerFlow + 100).record();
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at < stream.size(); ++at) pieces.push_back(piece_of(stream, at, at + 1));
  EXPECT_EQ(deliver({stream, 0}, pieces), "protocol tls\ndeny hold_limit []\n");
}

TEST_F(StreamDeliveryTest, AnOverlapThatDiffersIsRefusedWhereverItLies) {
  const Bytes stream = ClientHelloBuilder::typical("www.good.example").record();
  for (unsigned seed = 0; seed < kRounds; ++seed) {
    Random random(seed);
    std::vector<Piece> pieces = cut(stream, random);
    // The last byte is missing, so that nothing is judged before the piece that disagrees comes.
    const Piece last = piece_of(stream, stream.size() - 1, stream.size());
    for (Piece& piece : pieces) {
      if (piece.end() == stream.size()) piece.bytes.pop_back();
    }
    std::erase_if(pieces, [](const Piece& piece) { return piece.bytes.empty(); });
    Piece rewritten = pieces[random() % pieces.size()];
    rewritten.bytes[random() % rewritten.bytes.size()] ^= static_cast<std::uint8_t>(1 + random() % 255);
    pieces = shuffled(pieces, random);
    pieces.push_back(rewritten);
    pieces.push_back(last);
    const std::string judgement = deliver({stream, 0}, pieces);
    ASSERT_NE(judgement.find("deny retransmission_differs"), std::string::npos) << "seed " << seed << "\n" << judgement;
  }
}

// The second hello of a handshake with a HelloRetryRequest, each flight delivered at random.
TEST_F(StreamDeliveryTest, OfASecondTlsHello) {
  for (unsigned seed = 0; seed < kRounds; ++seed) {
    Random random(seed);
    const bool same = one_in(random, 2);
    const Bytes first = tls_hello(ClientHelloBuilder::typical("www.good.example"), random);
    const Bytes second = tls_hello(ClientHelloBuilder::typical(same ? "www.good.example" : "evil.example"), random);
    fw_.begin_anew();
    TcpConversation tcp(endpoint("10.0.0.1", 40'000), endpoint("192.0.2.1", 8'000));
    fw_.client(tcp.syn());
    (void)tcp.syn_ack();  // The live queue does not see it.
    const auto from_client = [&](const std::vector<Piece>& pieces, std::size_t base) {
      for (const Piece& piece : pieces) {
        fw_.client(tcp.client_at(static_cast<std::uint32_t>(base + piece.offset)).payload(ByteSpan(piece.bytes)).build());
      }
    };
    from_client(random_delivery(first, random), 0);
    const std::size_t before = fw_.fed();
    for (const Piece& piece : random_delivery(server_hello(true), random)) {
      fw_.server(tcp.server_at(static_cast<std::uint32_t>(piece.offset)).payload(ByteSpan(piece.bytes)).build());
    }
    const std::size_t answers = fw_.fed() - before;
    const std::vector<Piece> pieces = random_delivery(second, random);
    from_client(pieces, first.size());
    const std::vector<bool> left = accepted_bytes(fw_, pieces, before + answers, second.size());
    EXPECT_EQ(std::count(left.begin(), left.end(), same), static_cast<std::ptrdiff_t>(second.size())) << "seed " << seed;
    const std::string judgement = judgement_of(fw_);
    ASSERT_EQ(judgement.find("hello_changed") == std::string::npos, same) << "seed " << seed << "\n" << judgement;
  }
}

}  // namespace
}  // namespace sallyport::testing
