// Tells whether a captured packet still waits for its network card to write the transport checksum.
#pragma once

#include "sallyport/core/bytes.h"

namespace sallyport::replay {

// checksum_left_to_hardware returns true when the TCP or UDP checksum field holds what a system leaves there
// for the card: zero, or the sum of the pseudo header alone, with the length or (large sends) without it.
// Such packets were captured on the host that sent them; live, the kernel says so itself (R18). `packet`
// begins with its IP header and is no fragment; anything unreadable gives false.
bool checksum_left_to_hardware(ByteSpan packet);

}  // namespace sallyport::replay
