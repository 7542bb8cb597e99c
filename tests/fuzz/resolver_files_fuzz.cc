// Files that others write: resolver lists, and the state file. The first byte says which.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "sallyport/core/limits.h"
#include "sallyport/engine/resolvers.h"
#include "sallyport/policy/policy_file.h"
#include "sallyport/resolver/bindings_file.h"
#include "sallyport/resolver/resolv_conf.h"

using namespace sallyport;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] != 's') {
    if (resolver::parse_resolv_conf(text).size() > engine::Resolvers::kMax) std::abort();
    return 0;
  }
  static const std::shared_ptr<const policy::Policy> policy =
      policy::load_policy_text("version = 1\n", "fuzz.toml").value();
  const Timestamp now(std::chrono::hours(500'000));
  const std::vector<IpAddress> trusted = {IpAddress::v4(0xc0000235)};
  const auto bindings = resolver::bindings_from_text(text, *policy, trusted, now);
  if (!bindings) return 0;
  for (const engine::Binding& binding : *bindings) {
    if (binding.expires <= now || binding.name.empty()) std::abort();
  }
  // What was read writes and reads as the same.
  const auto again = resolver::bindings_from_text(resolver::bindings_to_text(*bindings, *policy, trusted, now), *policy, trusted, now);
  if (!again || again->size() != bindings->size()) std::abort();
  return 0;
}
