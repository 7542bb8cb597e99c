// Tunnels: the first byte says which and how much the capture cut off; the rest stands behind the outer header. What is
// opened lies within the input, and the recognisers agree with themselves.
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/ip_packet.h"
#include "sallyport/parsers/tunnel.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void expect(bool fact) {
  if (!fact) std::abort();
}

constexpr Protocol kFamilies[] = {Protocol::kGre,   Protocol::kIpip,   Protocol::kSixInFour,
                                  Protocol::kVxlan, Protocol::kGeneve, Protocol::kTeredo};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::vector<std::uint8_t> payload(data + 1, data + size);
  const Protocol family = kFamilies[(data[0] & 7) % 6];
  const std::size_t missing = data[0] >> 3;
  (void)looks_like_vxlan(payload);
  (void)looks_like_geneve(payload);
  (void)looks_like_teredo(payload);
  for (const std::uint8_t number : {kIpipProtocol, kSixInFourProtocol, kGreProtocol}) {
    expect(tunnel_family(name_raw_tunnel(number, payload)) != Protocol::kUnknown);
  }
  const auto content = open_tunnel(family, payload, payload.size() + missing);
  if (!content) return 0;
  expect(content->packet.size() <= content->wire_size);
  expect(content->wire_size <= payload.size() + missing);
  expect(missing != 0 || content->packet.size() == content->wire_size);
  if (content->packet.empty()) {
    expect(content->control);
    return 0;
  }
  expect(content->packet.data() >= payload.data());
  expect(content->packet.data() + content->packet.size() <= payload.data() + payload.size());
  (void)parse_ip_packet(content->packet, content->wire_size);
  return 0;
}
