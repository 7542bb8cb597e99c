// A ClientHello's body: whatever is accepted keeps the promises of the header.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sallyport/parsers/client_hello.h"
#include "sallyport/parsers/fingerprint.h"

namespace {

void check(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const auto hello = parsers::parse_client_hello({data, size});
  if (!hello) return 0;
  check(hello->random.size() == 32 && hello->session_id.size() <= 32);
  check(hello->cipher_suites.size() >= 2 && hello->cipher_suites.size() % 2 == 0);
  check(!hello->server_name || !hello->server_name->empty());
  check(!hello->server_name || hello->server_name->find('\0') == std::string_view::npos);
  check(hello->ech == (hello->ech_kind != parsers::EchKind::kNone));

  std::size_t extensions = 0;
  std::size_t server_names = 0;
  parsers::Extension extension;
  parsers::ExtensionReader reader(hello->extensions);
  while (reader.next(extension)) {
    ++extensions;
    server_names += extension.type == parsers::kExtServerName ? 1 : 0;
  }
  check(reader.empty() && extensions == hello->extension_count);
  check(server_names == (hello->server_name ? 1u : 0u));

  std::size_t alpn_bytes = 0;
  std::string_view protocol;
  for (parsers::AlpnReader protocols(hello->alpn_list); protocols.next(protocol);)
    alpn_bytes += 1 + protocol.size();
  check(alpn_bytes == hello->alpn_list.size());

  static parsers::Fingerprinter fingerprinter;
  parsers::Ja3Text ja3;
  parsers::Ja4Text ja4;
  check(fingerprinter.ja3(*hello, ja3) && fingerprinter.ja4(*hello, parsers::HelloTransport::kQuic, ja4));
  return 0;
}
