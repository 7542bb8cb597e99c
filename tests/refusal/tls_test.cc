#include "sallyport/refusal/tls.h"

#include "refusal_support.h"
#include "sallyport/parsers/server_flight.h"

namespace sallyport::refusal {
namespace {

using namespace std::string_literals;
using sallyport::testing::built;
using sallyport::testing::expect_whole_or_nothing;

const auto denied = [](Buffer out) { return tls_alert(out, TlsAlert::kAccessDenied); };
const auto unrecognized = [](Buffer out) { return tls_alert(out, TlsAlert::kUnrecognizedName); };

TEST(TlsRefusalTest, IsOneRecordWithAFatalAlert) {  // RFC 8446 §5.1, §6
  EXPECT_EQ(built(denied), "\x15\x03\x03\x00\x02\x02\x31"s);
  EXPECT_EQ(built(unrecognized), "\x15\x03\x03\x00\x02\x02\x70"s);
}

TEST(TlsRefusalTest, EndsTheHandshakeForAClient) {
  const std::string alert = built(denied);
  EXPECT_EQ(parsers::read_server_flight(as_bytes_of(alert)).kind, parsers::ServerFlight::kAlert);
}

TEST(TlsRefusalTest, IsWholeOrNothing) {
  expect_whole_or_nothing(denied, [](const std::string& bytes) { return bytes.size() == 7; });
}

}  // namespace
}  // namespace sallyport::refusal
