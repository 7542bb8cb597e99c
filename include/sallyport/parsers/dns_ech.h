// Takes the keys of Encrypted Client Hello (RFC 9849) out of DNS answers, so that clients which honour them show the
// name of the server that they go to. Nothing changes its length or place: over TCP the sequence numbers stay, and
// compression pointers stay right.
#pragma once

#include <cstdint>
#include <span>

namespace sallyport::parsers {

enum class EchStrip : std::uint8_t {
  kNothing,    // There is no `ech` parameter; the message is as it was.
  kRewritten,  // Every `ech` parameter is gone and AD is cleared.
  kMalformed,  // The message or a service binding in it breaks its standard, so that a client may read in it what we do
               // not. It may be half rewritten and must not go on.
};

// strip_ech rewrites one whole DNS message (over TCP: without its length) in place. In each SVCB and HTTPS record, of any
// section, the parameter `ech` (RFC 9460 §14.3.2: key 5) becomes one that no client knows: its key is of the private range,
// above all others of the record, it stands behind them, and its value is zeros. Where `mandatory` lists `ech` the record
// then breaks RFC 9460 §8, and clients go on without it. The record's signature no longer holds, hence AD: a client that
// validates by itself takes the record for a forgery.
EchStrip strip_ech(std::span<std::uint8_t> message);

}  // namespace sallyport::parsers
