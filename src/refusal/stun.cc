#include "sallyport/refusal/stun.h"

#include <zlib.h>

#include <algorithm>

#include "text.h"
#include "sallyport/parsers/stun.h"

namespace sallyport::refusal {
namespace {

constexpr std::size_t kHeaderSize = 20, kAttributeHeaderSize = 4, kErrorHeadSize = 4;
constexpr std::size_t kFingerprintSize = kAttributeHeaderSize + 4;
constexpr std::size_t kPhraseMax = 127;  // RFC 8489 §14.8: fewer than 128 characters.
constexpr std::uint16_t kErrorCode = 0x0009, kFingerprint = 0x8028;
constexpr std::uint16_t kErrorResponse = 0x0110;  // The bits of the class, RFC 8489 §5.

constexpr std::size_t padded(std::size_t size) {
  return (size + 3) / 4 * 4;
}

// ends_in_fingerprint tells whether attributes fill the message and the last of them is a FINGERPRINT.
bool ends_in_fingerprint(ByteSpan message) {
  ByteReader in(message.subspan(kHeaderSize));
  std::uint16_t type = 0;
  std::uint16_t length = 0;
  while (!in.empty()) {
    if (!in.read_u16(type) || !in.read_u16(length) || !in.skip(padded(length))) return false;
  }
  return type == kFingerprint && length == 4;
}

}  // namespace

std::size_t stun_forbidden(Buffer out, const Notice& notice, ByteSpan request, std::size_t size_max) {
  const auto head = parsers::read_stun_head(request);
  if (!head || head->kind != parsers::StunClass::kRequest) return 0;
  const bool fingerprint = ends_in_fingerprint(request);
  const std::size_t behind = fingerprint ? kFingerprintSize : 0;
  const std::size_t least = kHeaderSize + kAttributeHeaderSize + kErrorHeadSize + behind;
  const std::size_t room = std::min(out.size(), size_max);
  if (room < least) return 0;
  const std::size_t phrase = plain_size(notice.text, std::min(kPhraseMax, (room - least) / 4 * 4));

  Writer writer(out);
  writer.u16(static_cast<std::uint16_t>((request[0] << 8 | request[1]) | kErrorResponse));
  // The length counts the FINGERPRINT before its checksum is made, RFC 8489 §14.7.
  writer.u16(static_cast<std::uint16_t>(kAttributeHeaderSize + kErrorHeadSize + padded(phrase) + behind));
  writer.bytes(request.subspan(4, kHeaderSize - 4));  // The cookie and the transaction id.
  writer.u16(kErrorCode);
  writer.u16(static_cast<std::uint16_t>(kErrorHeadSize + phrase));
  writer.u32(0x0403);  // 403: class and number.
  put_plain(writer, notice.text, phrase);
  writer.fill(padded(phrase) - phrase, 0);
  if (fingerprint) {
    constexpr std::uint32_t kXor = 0x5354554e;
    const Buffer before = writer.written();
    writer.u16(kFingerprint);
    writer.u16(4);
    writer.u32(static_cast<std::uint32_t>(crc32(0, before.data(), static_cast<uInt>(before.size()))) ^ kXor);
  }
  return writer.finish();
}

}  // namespace sallyport::refusal
