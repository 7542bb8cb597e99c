#include "sallyport/parsers/dtls.h"

#include <algorithm>

#include "sallyport/parsers/server_flight.h"
#include "sallyport/parsers/tls_handshake.h"

namespace sallyport::parsers {
namespace {

constexpr std::uint8_t kHelloRequest = 0;

// is_version takes 1.0, 1.2 (also the record version of 1.3) and the form before 1.0 that VPNs use.
bool is_version(std::uint16_t version) {
  return version == 0xfeff || version == 0xfefd || version == 0x0100;
}

constexpr std::size_t kRandomOffset = 2;

// has_random tells a fragment of a ServerHello that says whether it is a HelloRetryRequest.
bool has_random(const DtlsFragment& fragment) {
  return fragment.type == kTlsServerHello && fragment.offset == 0 &&
         fragment.bytes.size() >= kRandomOffset + kHelloRetryRandom.size();
}

}  // namespace

bool DtlsFragmentReader::next_record() {
  constexpr std::size_t kSequenceSize = 6;
  while (!datagram_.empty()) {
    std::uint8_t content_type = 0;
    std::uint16_t version = 0;
    std::uint16_t epoch = 0;
    ByteReader record;
    if (!datagram_.read_u8(content_type)) return false;
    // RFC 9147 §4: anything else is ciphertext of 1.3, or no DTLS.
    if (content_type < kTlsChangeCipherSpec || content_type > kTlsApplicationData) {
      datagram_ = ByteReader();
      return false;
    }
    if (!datagram_.read_u16(version) || !is_version(version) || !datagram_.read_u16(epoch) ||
        !datagram_.skip(kSequenceSize) || !datagram_.read_prefixed<2>(record)) {
      malformed_ = true;
      return false;
    }
    if (content_type != kTlsHandshake || epoch != 0) continue;
    record_ = record;
    return true;
  }
  return false;
}

bool DtlsFragmentReader::next(DtlsFragment& out) {
  if (malformed_ || (record_.empty() && !next_record())) return false;
  std::uint32_t fragment_length = 0;
  const bool whole = record_.read_u8(out.type) && record_.read_u24(out.length) &&
                     record_.read_u16(out.sequence) && record_.read_u24(out.offset) &&
                     record_.read_u24(fragment_length) && record_.read_bytes(fragment_length, out.bytes) &&
                     out.offset <= out.length && fragment_length <= out.length - out.offset;
  malformed_ = !whole;
  return whole;
}

Likeness looks_like_dtls(ByteSpan datagram) {
  constexpr std::uint16_t kFirstMessagesMax = 16;
  DtlsFragment fragment;
  if (datagram.empty() || datagram[0] != kTlsHandshake || !DtlsFragmentReader(datagram).next(fragment) ||
      fragment.sequence > kFirstMessagesMax) {
    return Likeness::kNo;
  }
  const bool first = fragment.type == kTlsClientHello || fragment.type == kTlsServerHello ||
                     fragment.type == kDtlsHelloVerifyRequest ||
                     (fragment.type == kHelloRequest && fragment.length == 0);
  return first ? Likeness::kYes : Likeness::kNo;
}

bool is_dtls_server_message(ByteSpan datagram) {
  DtlsFragment fragment;
  return looks_like_dtls(datagram) == Likeness::kYes && DtlsFragmentReader(datagram).next(fragment) &&
         (fragment.type == kTlsServerHello || fragment.type == kDtlsHelloVerifyRequest);
}

bool answers_hello(ByteSpan datagram) {
  DtlsFragmentReader reader(datagram);
  DtlsFragment fragment;
  while (reader.next(fragment)) {
    if (!has_random(fragment)) continue;
    return !std::equal(kHelloRetryRandom.begin(), kHelloRetryRandom.end(), fragment.bytes.begin() + kRandomOffset);
  }
  return false;
}

}  // namespace sallyport::parsers
