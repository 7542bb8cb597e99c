// A policy's text never crashes the loader, and what loads can be asked.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sallyport/policy/policy_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const auto policy = policy::load_policy_text({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!policy) {
    if (policy.error().empty()) std::abort();  // A refusal says why.
    return 0;
  }
  const auto name = DomainName::parse("a.b.example.com");
  for (const Protocol protocol : {Protocol::kTls, Protocol::kDns, Protocol::kUnknown}) {
    for (const Transport transport : {Transport::kTcp, Transport::kUdp}) {
      policy::FlowQuery query;
      query.scopes = 1;
      query.protocol = protocol;
      query.transport = transport;
      query.destination = IpAddress::v4(0x0a000001);
      query.port = 443;
      query.name = &*name;
      query.bound = query.claimed = true;
      const auto early = (*policy)->match_early(1, transport, query.destination, 443, query.now);
      const bool allowed = (*policy)->match(query).action == policy::Action::kAllow;
      if (early.match == policy::EarlyMatch::kAllow && !allowed) std::abort();
      if (early.match == policy::EarlyMatch::kDeny && allowed) std::abort();
      query.bound = false;
      if (early.needs_binding && (*policy)->match(query).action == policy::Action::kAllow) std::abort();
    }
  }
  (void)(*policy)->match_question(1, &*name, {});
  (void)(*policy)->wildcard_of(1, *name, {});
  (void)(*policy)->may_be_private(*name);
  if ((*policy)->exact_names({}, 3).size() > 3) std::abort();
  return 0;
}
