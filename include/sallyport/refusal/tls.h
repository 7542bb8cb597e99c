// A fatal alert in a record of its own, RFC 8446 §5.1 and §6.
#pragma once

#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

enum class TlsAlert : std::uint8_t {  // RFC 8446 §6
  kAccessDenied = 49,
  kUnrecognizedName = 112,
};

// tls_alert writes the record with legacy_record_version 0x0303, which every version takes before its own is agreed.
std::size_t tls_alert(Buffer out, TlsAlert alert);

}  // namespace sallyport::refusal
