// ICMP: the first byte says which family and how much the capture cut off. What is read is within the input, and a reply is no
// request.
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/icmp.h"

namespace {

void expect(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport::parsers;
  if (size == 0) return 0;
  const IcmpFamily family = (data[0] & 1) == 0 ? IcmpFamily::kIcmp : IcmpFamily::kIcmpv6;
  const std::size_t missing = data[0] >> 1;
  const std::vector<std::uint8_t> bytes(data + 1, data + size);
  const auto message = parse_icmp(family, bytes, bytes.size() + missing);
  if (!message) return 0;
  expect(message->payload_size + 8 == bytes.size() + missing);
  if (message->kind == IcmpKind::kRequest) expect(reply_type_of(family, message->type) != message->type);
  if (message->kind == IcmpKind::kReply) expect(reply_type_of(family, message->type) == message->type);
  return 0;
}
