// Recognisers of PostgreSQL, MySQL and Redis.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// looks_like_postgresql takes a client's first bytes: a startup message of version 2 or 3, or a request for TLS,
// GSSAPI or cancellation.
Likeness looks_like_postgresql(ByteSpan client);

// looks_like_mysql takes a server's first bytes: a greeting of protocol 10, or an error in place of it. More
// may follow only once the client has answered.
Likeness looks_like_mysql(ByteSpan client, ByteSpan server);

// looks_like_redis takes a client's first bytes: a command as an array of strings. Inline commands are not
// told from other texts.
Likeness looks_like_redis(ByteSpan client);

}  // namespace sallyport::parsers
