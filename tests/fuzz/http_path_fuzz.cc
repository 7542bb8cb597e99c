// The canonical form of a path is its own, has no second reading, and is at most three times as long.
#include <array>
#include <cstdint>
#include <cstdlib>

#include "sallyport/core/bytes.h"
#include "sallyport/core/http_path.h"

namespace {

using namespace sallyport;

void expect(bool fact) {
  if (!fact) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::array<char, 65'536> first, second;
  const auto path = canonical_http_path(as_text({data, size}), first);
  if (!path) return 0;
  expect(path->starts_with('/') && path->size() <= 3 * size);
  expect(path->find("//") == std::string_view::npos && path->find("/../") == std::string_view::npos && !path->ends_with("/.."));
  expect(path->find_first_of("\\;?# ") == std::string_view::npos);
  const auto again = canonical_http_path(*path, second);
  expect(again && *again == *path);
  return 0;
}
