// Sessions that go over to TLS: the first byte chooses the protocol; then pieces of both sides, each behind a byte whose
// upper bit says whose it is and whose lower seven how long. Nothing is read beyond its end, and TLS begins in a session
// however the pieces are cut.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sallyport/parsers/upgrade.h"
#include "support/upgrade_driver.h"

namespace {

using namespace sallyport;

void check(bool promise) {
  if (!promise) std::abort();
}

testing::UpgradeDriver run(Protocol protocol, ByteSpan data, std::size_t piece) {
  testing::UpgradeDriver session(protocol);
  while (!data.empty() && !session.over()) {
    const bool server = (data[0] & 0x80) != 0;
    const std::size_t size = std::min<std::size_t>(data[0] & 0x7f, data.size() - 1);
    const std::string_view text = as_text(data.subspan(1, size));
    for (std::size_t at = 0; at < size; at += piece) (void)(server ? session.server(text.substr(at, piece)) : session.client(text.substr(at, piece)));
    data = data.subspan(1 + size);
  }
  return session;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr Protocol kProtocols[] = {Protocol::kSmtp, Protocol::kImap, Protocol::kPop3, Protocol::kFtp,
                                     Protocol::kPostgresql, Protocol::kMysql, Protocol::kLdap, Protocol::kXmpp};
  if (size == 0) return 0;
  const Protocol protocol = kProtocols[data[0] % std::size(kProtocols)];
  const auto whole = run(protocol, {data + 1, size - 1}, 127);
  const auto cut = run(protocol, {data + 1, size - 1}, 3);
  using Kind = testing::UpgradeDriver::Kind;
  // Where a login is still to be answered, a line that waits behind it is read or not as the answer comes early or late: one delivery
  // may end the session where the other refuses it. TLS begins in both or in neither.
  check((whole.end == Kind::kAgrees) == (cut.end == Kind::kAgrees));
  return 0;
}
