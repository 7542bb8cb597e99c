// STUN messages (RFC 8489) as far as ICE (RFC 8445) and TURN (RFC 8656) need them. Pure functions over a datagram; views
// point into it; nothing allocates. looks_like_stun (realtime.h) recognises the protocol; here is what a message says.
#pragma once

#include <cstdint>
#include <optional>

#include "sallyport/core/bytes.h"

namespace sallyport::parsers {

enum class StunClass : std::uint8_t { kRequest = 0, kIndication = 1, kSuccess = 2, kError = 3 };  // RFC 8489 §5

// Methods, RFC 8489 §18.2 and RFC 8656 §17.
inline constexpr std::uint16_t kStunBinding = 0x001, kTurnAllocate = 0x003, kTurnRefresh = 0x004;
inline constexpr std::size_t kStunIdSize = 12;

struct StunHead {
  StunClass kind = StunClass::kRequest;
  std::uint16_t method = 0;
  ByteSpan transaction_id;  // kStunIdSize octets.
};

// read_stun_head reads the header of a message that is as long as it says, the cookie included.
std::optional<StunHead> read_stun_head(ByteSpan datagram);

// is_ice_message tells a Binding message of which no reader could take a part for another: attributes with their padding
// fill it, nothing is behind MESSAGE-INTEGRITY but its SHA-256 form and FINGERPRINT, and nothing behind that.
bool is_ice_message(ByteSpan datagram);
// is_ice_check tells a connectivity check: a Binding request with USERNAME, PRIORITY, one of ICE-CONTROLLED and
// ICE-CONTROLLING, MESSAGE-INTEGRITY (RFC 8445 §7.1) and a FINGERPRINT that is right (RFC 8489 §14.7). The integrity's key
// is not known here.
bool is_ice_check(ByteSpan datagram);

// First octets that share a UDP socket with STUN (RFC 7983 §7, RFC 9443).
enum class MediaKind : std::uint8_t { kStun, kZrtp, kDtls, kTurnChannel, kRtp, kQuic, kOther };
MediaKind media_kind(ByteSpan datagram);

}  // namespace sallyport::parsers
