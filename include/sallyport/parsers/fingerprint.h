// JA3 and JA4 fingerprints of a ClientHello, in their published formats.
//
// Fingerprints are facts for events, never grounds of a verdict: any client can choose them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "sallyport/parsers/client_hello.h"

namespace sallyport::parsers {

using Ja3Text = std::array<char, 32>;  // Lower-case hex of an MD5.
using Ja4Text = std::array<char, 36>;  // t13d1516h2_8daaf6152771_02713d6af862

enum class HelloTransport : std::uint8_t { kTcp, kQuic, kDtls };

// Fingerprinter owns a work buffer, allocated in its constructor: one per worker, one thread at a time.
// Both functions answer false only if the crypto library fails; `out` is then worthless.
class Fingerprinter {
 public:
  Fingerprinter();
  ~Fingerprinter();
  Fingerprinter(const Fingerprinter&) = delete;
  Fingerprinter& operator=(const Fingerprinter&) = delete;

  // `hello` must come from parse_client_hello or parse_dtls_client_hello, its views still valid.
  bool ja3(const ClientHello& hello, Ja3Text& out);
  bool ja4(const ClientHello& hello, HelloTransport transport, Ja4Text& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

inline std::string_view text_of(const Ja3Text& text) {
  return {text.data(), text.size()};
}
inline std::string_view text_of(const Ja4Text& text) {
  return {text.data(), text.size()};
}

}  // namespace sallyport::parsers
