// STUN error response 403 Forbidden, RFC 8489 §14.8 and RFC 8656 §19.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

// stun_forbidden answers `request`, a STUN request of any method: error response with its method and transaction id, ERROR-CODE
// 403 with the notice's text (at most 127 characters), FINGERPRINT where the request has one. At most `size_max` bytes: the
// phrase is cut. 0 where it is no request (indications and responses get none), and where there is no room for the code: an answer
// has 28 bytes or more, a Binding request without attributes 20. A client that has a password ignores what is not signed with it
// (RFC 8489 §9.1.4, §9.2.5): the first request of an allocation is not.
std::size_t stun_forbidden(Buffer out, const Notice& notice, ByteSpan request, std::size_t size_max);

}  // namespace sallyport::refusal
