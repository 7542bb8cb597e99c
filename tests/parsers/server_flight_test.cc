#include "sallyport/parsers/server_flight.h"

#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/prefixes.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::exact_prefix;
using testing::hex;
using testing::joined;
using testing::server_hello;
using testing::tls_records;

const Bytes kWarning = hex("15 0301 0002 01 70");

ServerFlight kind_of(const Bytes& stream) {
  return read_server_flight(stream).kind;
}

// The payload of the only record.
Bytes payload_of(const Bytes& record) {
  return {record.begin() + 5, record.end()};
}

TEST(ServerFlightTest, TellsAServerHelloFromARetryRequestBy43Bytes) {
  for (const bool retry : {false, true}) {
    const Bytes stream = server_hello(retry);
    for (std::size_t length = 0; length <= stream.size(); ++length) {
      const ServerFlight expected = length < 43 ? ServerFlight::kNeedMore
                                    : retry     ? ServerFlight::kHelloRetryRequest
                                                : ServerFlight::kServerHello;
      EXPECT_EQ(kind_of(exact_prefix(stream, length)), expected) << length;
    }
    EXPECT_EQ(read_server_flight(stream).version, 0x0303);
  }
}

TEST(ServerFlightTest, OneDifferentBitMakesNoRetryRequest) {
  const Bytes stream = server_hello(true);
  for (std::size_t i = 11; i < 43; ++i) {
    Bytes other = stream;
    other[i] ^= 1;
    EXPECT_EQ(kind_of(other), ServerFlight::kServerHello) << i;
  }
}

TEST(ServerFlightTest, IsTheSameInEveryRecordLayout) {
  for (const bool retry : {false, true}) {
    const Bytes message = payload_of(server_hello(retry));
    for (std::size_t size = 1; size <= message.size(); ++size) {
      const Bytes stream = tls_records(message, {size});
      EXPECT_EQ(kind_of(stream), retry ? ServerFlight::kHelloRetryRequest : ServerFlight::kServerHello)
          << size;
      EXPECT_NE(kind_of(exact_prefix(stream, std::min(stream.size(), kServerFlightPrefixMax))),
                ServerFlight::kNeedMore);
    }
  }
}

TEST(ServerFlightTest, LooksBehindWarningsForTheRetryRequest) {
  Bytes stream = server_hello(true);
  for (std::size_t warnings = 1; warnings <= kServerWarningsMax; ++warnings) {
    stream = joined(kWarning, stream);
    EXPECT_EQ(kind_of(stream), ServerFlight::kHelloRetryRequest);
    EXPECT_EQ(kind_of(exact_prefix(stream, 43 + 7 * warnings)), ServerFlight::kHelloRetryRequest);
    EXPECT_EQ(kind_of(exact_prefix(stream, 43 + 7 * warnings - 1)), ServerFlight::kNeedMore);
  }
  EXPECT_EQ(kind_of(joined(kWarning, stream)), ServerFlight::kNotTls);
}

TEST(ServerFlightTest, EndsWithAFatalAlertOrCloseNotify) {
  EXPECT_EQ(kind_of(hex("15 0303 0002 02 28")), ServerFlight::kAlert);
  EXPECT_EQ(kind_of(hex("15 0303 0002 01 00")), ServerFlight::kAlert);
  EXPECT_EQ(kind_of(hex("15 0303 0002 02")), ServerFlight::kNeedMore);
  EXPECT_EQ(kind_of(hex("15 0303 0001 02")), ServerFlight::kNotTls);
}

TEST(ServerFlightTest, RefusesOtherBytes) {
  for (const char* text :
       {"48545450", "16 0201", "16 0305", "16 0303 0000", "16 0303 4001", "14 0303 0001 01",
        "17 0303 0001 00", "16 0303 0026 01", "16 0303 0026 02 000025", "16 0303 0026 02 000026 fe"}) {
    EXPECT_EQ(kind_of(hex(text)), ServerFlight::kNotTls) << text;
  }
}

TEST(ServerFlightTest, RefusesAnAlertBetweenFragments) {
  const Bytes message = payload_of(server_hello(true));
  const Bytes start = tls_records(exact_prefix(message, 10));
  const Bytes end = tls_records(Bytes(message.begin() + 10, message.end()));
  EXPECT_EQ(kind_of(joined(start, end)), ServerFlight::kHelloRetryRequest);
  EXPECT_EQ(kind_of(joined(joined(start, kWarning), end)), ServerFlight::kNotTls);
}

}  // namespace
}  // namespace sallyport::parsers
