// Recognisers of MQTT, AMQP, XMPP and SIP.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

Likeness looks_like_mqtt(ByteSpan client);  // CONNECT of 3.1, 3.1.1 or 5.0.
Likeness looks_like_amqp(ByteSpan client);  // The protocol header of 0-8 to 1.0, SASL and TLS forms too.
Likeness looks_like_xmpp(ByteSpan client);  // RFC 6120 §4.2
Likeness looks_like_sip(ByteSpan bytes);    // RFC 3261 §7; a datagram or the first bytes of a stream.

}  // namespace sallyport::parsers
