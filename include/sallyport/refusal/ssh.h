// SSH_MSG_DISCONNECT, RFC 4253 §11.1, in an unencrypted binary packet (§6).
#pragma once

#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

// ssh_disconnect writes the packet with reason code 1 (HOST_NOT_ALLOWED_TO_CONNECT) and the notice's text; before it an identification
// string of ours where the server's was not delivered (`with_identification`).
std::size_t ssh_disconnect(Buffer out, const Notice& notice, bool with_identification);

}  // namespace sallyport::refusal
