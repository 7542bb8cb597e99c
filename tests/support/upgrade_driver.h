// UpgradeDriver reads both sides of a session as the engine does: what was read is dropped, the rest waits.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "sallyport/parsers/upgrade.h"

namespace sallyport::testing {

class UpgradeDriver {
 public:
  using Kind = parsers::UpgradeStep::Kind;

  explicit UpgradeDriver(Protocol protocol, bool greeting = true) : session(parsers::begin_upgrade_session(protocol, greeting)) {}

  // client and server take more bytes of a side. Once the session has come to an end, nothing more is read.
  Kind client(std::string_view text) { return take(client_, text, true); }
  Kind server(std::string_view text) { return take(server_, text, false); }

  bool over() const { return end != Kind::kNeedMore; }
  std::size_t unread_of_client() const { return client_.bytes.size(); }

  parsers::UpgradeSession session;
  Kind end = Kind::kNeedMore;  // What ended it.
  bool plaintext = false;      // Some step had mail, login or data.
  bool asked = false;

 private:
  struct Side {
    std::vector<std::uint8_t> bytes;
    std::uint64_t skip = 0;
  };

  Kind take(Side& side, std::string_view text, bool from_client) {
    const ByteSpan more = as_bytes_of(text);
    const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(side.skip, more.size()));
    side.skip -= skipped;
    side.bytes.insert(side.bytes.end(), more.begin() + static_cast<std::ptrdiff_t>(skipped), more.end());
    for (bool progress = true; progress && !over();) {
      progress = from_client ? read(client_, true) : read(server_, false);
      progress = read(from_client ? server_ : client_, !from_client) || progress;
    }
    return end;
  }

  bool read(Side& side, bool from_client) {
    if (over()) return false;
    const std::vector<std::uint8_t> exact(side.bytes);  // So that a read too far is seen.
    const auto step = from_client ? parsers::read_upgrade_client(session, exact) : parsers::read_upgrade_server(session, exact);
    if (step.consumed > exact.size()) std::abort();
    plaintext |= step.plaintext;
    asked |= step.kind == Kind::kAsks;
    if (step.kind != Kind::kNeedMore && step.kind != Kind::kRead && step.kind != Kind::kAsks) end = step.kind;
    const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(step.skipped, exact.size() - step.consumed));
    side.skip += step.skipped - skipped;
    side.bytes.erase(side.bytes.begin(), side.bytes.begin() + static_cast<std::ptrdiff_t>(step.consumed + skipped));
    return (step.kind == Kind::kRead || step.kind == Kind::kAsks) && step.consumed + step.skipped != 0;
  }

  Side client_, server_;
};

}  // namespace sallyport::testing
