// Whatever an answer holds: what is let go has no `ech` parameter, still parses, keeps its length, and loses nothing else.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "sallyport/parsers/dns.h"
#include "sallyport/parsers/dns_ech.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void expect(bool fact) {
  if (!fact) std::abort();
}

// count_params counts the parameters of all bindings; `ech` of them carry the keys.
std::size_t count_params(const DnsMessage& message, std::size_t& ech) {
  std::size_t count = 0;
  DnsRecordReader records(message);
  for (DnsRecord record; records.next(record);) {
    const auto binding = parse_service_binding(message, record);
    if (!binding) continue;
    DnsSvcParamReader params(*binding);
    for (DnsSvcParam param; params.next(param); ++count) ech += param.key == kSvcParamEch ? 1U : 0U;
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::uint8_t> before(data, data + size);
  std::vector<std::uint8_t> after = before;
  switch (strip_ech(after)) {
    case EchStrip::kMalformed: return 0;
    case EchStrip::kNothing: {
      expect(after == before);
      std::size_t ech = 0;
      (void)count_params(*parse_dns_message(after), ech);
      expect(ech == 0);
      return 0;
    }
    case EchStrip::kRewritten: break;
  }
  const auto read_before = parse_dns_message(before);
  const auto read_after = parse_dns_message(after);
  expect(read_before && read_after && !read_after->header.authentic_data);
  std::size_t ech_before = 0;
  std::size_t ech_after = 0;
  (void)count_params(*read_before, ech_before);
  (void)count_params(*read_after, ech_after);
  expect(ech_before != 0 && ech_after == 0);
  std::vector<std::uint8_t> again = after;
  expect(strip_ech(again) != EchStrip::kRewritten);
  return 0;
}
