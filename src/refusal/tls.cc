#include "sallyport/refusal/tls.h"

#include "writer.h"

namespace sallyport::refusal {

std::size_t tls_alert(Buffer out, TlsAlert alert) {
  constexpr std::uint8_t kAlert = 21, kFatal = 2;  // RFC 8446 §5.1, §6
  constexpr std::uint16_t kLegacyRecordVersion = 0x0303;
  Writer writer(out);
  writer.u8(kAlert);
  writer.u16(kLegacyRecordVersion);
  writer.u16(2);
  writer.u8(kFatal);
  writer.u8(static_cast<std::uint8_t>(alert));
  return writer.finish();
}

}  // namespace sallyport::refusal
