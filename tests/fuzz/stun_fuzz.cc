// A datagram on a socket that STUN and media share: a check is a message, of one kind, and no other length of it is one.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/realtime.h"
#include "sallyport/parsers/stun.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::uint8_t> datagram(data, data + size);
  const auto head = read_stun_head(datagram);
  check(!head || (media_kind(datagram) == MediaKind::kStun && head->transaction_id.size() == kStunIdSize));
  check(!is_ice_message(datagram) || (head && head->method == kStunBinding && looks_like_stun(datagram) == Likeness::kYes));
  if (!is_ice_check(datagram)) return 0;
  check(is_ice_message(datagram) && head->kind == StunClass::kRequest);
  datagram.push_back(0);
  check(!is_ice_check(datagram));
  datagram.resize(size - 1);
  check(!is_ice_check(datagram));
  return 0;
}
