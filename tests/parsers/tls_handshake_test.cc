#include "sallyport/parsers/tls_handshake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "support/client_hello_builder.h"
#include "support/prefixes.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::ClientHelloBuilder;
using testing::exact_prefix;
using testing::hex;
using testing::joined;
using testing::tls_records;

Bytes scratch_block() {
  return Bytes(kTlsScratchSize);
}

// The message that `stream` gives must be `message`, whole, from every record.
void expect_message(const Bytes& stream, const Bytes& message) {
  Bytes scratch = scratch_block();
  const TlsMessage read = read_tls_handshake_message(stream, scratch);
  ASSERT_EQ(read.framing, Framing::kComplete);
  EXPECT_EQ(read.type, message[0]);
  EXPECT_TRUE(std::equal(read.body.begin(), read.body.end(), message.begin() + 4, message.end()));
  EXPECT_EQ(read.consumed, stream.size());
  EXPECT_EQ(read.trailing, 0u);
}

TEST(TlsLikenessTest, KnowsAClientHelloFromSixBytes) {
  const Bytes record = ClientHelloBuilder::typical("example.com").record();
  for (std::size_t length = 0; length <= record.size(); ++length) {
    EXPECT_EQ(looks_like_tls(exact_prefix(record, length)), length < 6 ? Likeness::kMaybe : Likeness::kYes)
        << length;
  }
}

TEST(TlsLikenessTest, RefusesWhatIsNoClientHello) {
  for (const char* text : {"15 0301 0010 01", "16 0201 0010 01", "16 0305 0010 01", "16 0301 0000",
                           "16 0301 4001", "16 0301 0010 02", "47455420 2f", "00"}) {
    EXPECT_EQ(looks_like_tls(hex(text)), Likeness::kNo) << text;
  }
}

TEST(TlsLikenessTest, RecognisesTheSslV2Hello) {
  EXPECT_TRUE(looks_like_sslv2_hello(hex("80 2e 01 0301 0015 0000 0010")));
  EXPECT_TRUE(looks_like_sslv2_hello(hex("80 2e 01 0002")));
  EXPECT_FALSE(looks_like_sslv2_hello(hex("80 2e 01 00")));
  EXPECT_FALSE(looks_like_sslv2_hello(hex("80 2e 02 0301")));
  EXPECT_FALSE(looks_like_sslv2_hello(ClientHelloBuilder::typical("example.com").record()));
}

TEST(TlsHandshakeMessageTest, NeedsEveryByteOfOneRecord) {
  const Bytes record = ClientHelloBuilder::typical("example.com").record();
  Bytes scratch = scratch_block();
  for (std::size_t length = 0; length < record.size(); ++length) {
    EXPECT_EQ(read_tls_handshake_message(exact_prefix(record, length), scratch).framing, Framing::kNeedMore)
        << length;
  }
  expect_message(record, ClientHelloBuilder::typical("example.com").message());
}

TEST(TlsHandshakeMessageTest, IsAViewIntoTheStreamWhenItLiesInOneRecord) {
  const Bytes record = ClientHelloBuilder::typical("example.com").record();
  const TlsMessage read = read_tls_handshake_message(record, {});
  ASSERT_EQ(read.framing, Framing::kComplete);
  EXPECT_EQ(read.body.data(), record.data() + 9);
  EXPECT_EQ(read.records, 1u);
}

TEST(TlsHandshakeMessageTest, IsTheSameInEveryRecordLayout) {
  const ClientHelloBuilder hello = ClientHelloBuilder::post_quantum("example.com");
  const Bytes message = hello.message();
  for (std::size_t first = 1; first < message.size(); first += first < 80 ? 1 : 37) {
    expect_message(hello.records({first, message.size()}), message);
  }
  for (std::size_t size = 4; size < 200; ++size) expect_message(hello.records({size}), message);
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::size_t> sizes;
    for (int i = 0; i < 400; ++i) sizes.push_back(1 + random() % 12);
    sizes.push_back(message.size());
    expect_message(hello.records(sizes), message);
  }
}

TEST(TlsHandshakeMessageTest, NoPrefixOfAFragmentedMessageIsComplete) {
  const Bytes stream = ClientHelloBuilder::typical("example.com").records({1, 2, 3, 5, 50});
  Bytes scratch = scratch_block();
  for (std::size_t length = 0; length < stream.size(); ++length) {
    EXPECT_EQ(read_tls_handshake_message(exact_prefix(stream, length), scratch).framing, Framing::kNeedMore)
        << length;
  }
}

TEST(TlsHandshakeMessageTest, TouchesNoScratchBeforeItIsComplete) {
  const Bytes stream = ClientHelloBuilder::typical("example.com").records({50});
  Bytes scratch(kTlsScratchSize, 0xaa);
  (void)read_tls_handshake_message(exact_prefix(stream, stream.size() - 1), scratch);
  EXPECT_EQ(scratch, Bytes(kTlsScratchSize, 0xaa));
}

TEST(TlsHandshakeMessageTest, AllowsTheMostRecordsAndRefusesOneMore) {
  const Bytes message = ClientHelloBuilder::post_quantum("example.com").message();
  std::vector<std::size_t> sizes(kTlsRecordsPerHelloMax - 1, 1);
  sizes.push_back(message.size());
  expect_message(tls_records(message, sizes), message);
  sizes.insert(sizes.begin(), 1);
  Bytes scratch = scratch_block();
  EXPECT_EQ(read_tls_handshake_message(tls_records(message, sizes), scratch).framing, Framing::kTooLong);
}

TEST(TlsHandshakeMessageTest, AllowsTheLongestBodyAndRefusesOneByteMore) {
  const auto with_body = [](std::size_t size) {
    Bytes message = {1, 0, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)};
    message.resize(4 + size, 0x77);
    return message;
  };
  const Bytes longest = with_body(kClientHelloMax);
  expect_message(tls_records(longest, {kTlsPlaintextMax}), longest);
  // The length alone tells: no need to wait for the bytes.
  Bytes scratch = scratch_block();
  const Bytes too_long = exact_prefix(tls_records(with_body(kClientHelloMax + 1), {100}), 9);
  EXPECT_EQ(read_tls_handshake_message(too_long, scratch).framing, Framing::kTooLong);
}

TEST(TlsHandshakeMessageTest, RefusesRecordsThatDoNotBelong) {
  const Bytes message = ClientHelloBuilder::typical("example.com").message();
  const Bytes start = tls_records(exact_prefix(message, 60), {});
  const Bytes end = tls_records(Bytes(message.begin() + 60, message.end()), {});
  expect_message(joined(start, end), message);
  Bytes scratch = scratch_block();
  for (const char* between : {"16 0301 0000", "14 0303 0001 01", "15 0301 0002 0170", "17 0303 0001 00",
                              "16 0301 4001", "16 0001 0001 00", "18 0303 0001 00"}) {
    const Bytes stream = joined(joined(start, hex(between)), end);
    EXPECT_EQ(read_tls_handshake_message(stream, scratch).framing, Framing::kMalformed) << between;
  }
}

TEST(TlsHandshakeMessageTest, ReportsBytesBehindTheMessageInItsRecord) {
  const Bytes message = ClientHelloBuilder::typical("example.com").message();
  const Bytes second = ClientHelloBuilder::typical("evil.example").message();
  const Bytes stream = tls_records(joined(message, second), {});
  const TlsMessage read = read_tls_handshake_message(stream, {});
  ASSERT_EQ(read.framing, Framing::kComplete);
  EXPECT_EQ(read.trailing, second.size());
  EXPECT_EQ(read.body.size(), message.size() - 4);
  EXPECT_EQ(read.consumed, stream.size());
}

TEST(TlsHandshakeMessageTest, StopsAtTheEndOfItsLastRecord) {
  const Bytes record = ClientHelloBuilder::typical("example.com").records({100});
  const Bytes stream = joined(record, hex("17 0303 0003 616263"));
  Bytes scratch = scratch_block();
  const TlsMessage read = read_tls_handshake_message(stream, scratch);
  ASSERT_EQ(read.framing, Framing::kComplete);
  EXPECT_EQ(read.consumed, record.size());
  EXPECT_EQ(read.trailing, 0u);
}

TEST(TlsHandshakeMessageTest, AFinalAnswerDoesNotChangeWithMoreBytes) {
  std::mt19937 random(11);
  const Bytes whole = ClientHelloBuilder::typical("example.com").records({1, 3, 40});
  Bytes scratch = scratch_block();
  for (int round = 0; round < 2'000; ++round) {
    Bytes stream = whole;
    stream[random() % 60] = static_cast<std::uint8_t>(random());
    Framing earlier = Framing::kNeedMore;
    for (std::size_t length = 0; length <= stream.size(); ++length) {
      const Framing now = read_tls_handshake_message(ByteSpan(stream).first(length), scratch).framing;
      ASSERT_TRUE(earlier == Framing::kNeedMore || now == earlier)
          << "round " << round << " length " << length;
      earlier = now;
    }
  }
}

TEST(TlsSecondHelloTest, SkipsOneChangeCipherSpecRecord) {
  const Bytes hello = ClientHelloBuilder::typical("example.com").records({70});
  const Bytes ccs = hex("14 0303 0001 01");
  Bytes scratch = scratch_block();
  for (const Bytes& stream : {hello, joined(ccs, hello)}) {
    for (std::size_t length = 0; length < stream.size(); ++length) {
      EXPECT_EQ(read_second_client_hello(exact_prefix(stream, length), scratch).framing, Framing::kNeedMore)
          << length;
    }
    const TlsMessage read = read_second_client_hello(stream, scratch);
    EXPECT_EQ(read.framing, Framing::kComplete);
    EXPECT_EQ(read.consumed, stream.size());
  }
  EXPECT_EQ(skip_change_cipher_spec(joined(ccs, hello)), 6u);
  EXPECT_EQ(skip_change_cipher_spec(hello), 0u);
  EXPECT_EQ(skip_change_cipher_spec(exact_prefix(ccs, 5)), 0u);
  EXPECT_EQ(read_second_client_hello(joined(joined(ccs, ccs), hello), scratch).framing, Framing::kMalformed);
  EXPECT_EQ(read_second_client_hello(joined(hex("14 0303 0001 02"), hello), scratch).framing,
            Framing::kMalformed);
}

TEST(TlsRecordTest, ReadsHeadersOfEveryContentType) {
  const Bytes data = hex("17 0303 4800");
  const TlsRecord record = read_tls_record(data);
  EXPECT_EQ(record.framing, Framing::kComplete);
  EXPECT_EQ(record.content_type, kTlsApplicationData);
  EXPECT_EQ(record.version, 0x0303);
  EXPECT_EQ(record.size(), 5u + 0x4800u);
  for (std::size_t length = 0; length < data.size(); ++length) {
    EXPECT_EQ(read_tls_record(exact_prefix(data, length)).framing, Framing::kNeedMore);
  }
  for (const char* text : {"13", "18", "17 02", "17 0305", "17 0303 4801"}) {
    EXPECT_EQ(read_tls_record(hex(text)).framing, Framing::kMalformed) << text;
  }
}

TEST(CryptoHandshakeMessageTest, ReadsABareMessage) {
  const Bytes message = ClientHelloBuilder::typical("example.com").message();
  for (std::size_t length = 0; length < message.size(); ++length) {
    EXPECT_EQ(read_crypto_handshake_message(exact_prefix(message, length)).framing, Framing::kNeedMore)
        << length;
  }
  const TlsMessage read = read_crypto_handshake_message(joined(message, {0x14}));
  ASSERT_EQ(read.framing, Framing::kComplete);
  EXPECT_EQ(read.type, kTlsClientHello);
  EXPECT_EQ(read.body.size(), message.size() - 4);
  EXPECT_EQ(read.consumed, message.size());
  EXPECT_EQ(read.trailing, 1u);
  EXPECT_EQ(read_crypto_handshake_message(hex("01 004001")).framing, Framing::kTooLong);
}

}  // namespace
}  // namespace sallyport::parsers
