// Notice is what a refused client is told. Builders of this layer turn it into the client's own protocol.
//
// All builders are pure: facts and a buffer in, the number of bytes written out. They take no memory, read no clock and
// never fail halfway: 0 means that the answer does not fit or that the protocol has none, and the caller resets instead.
// A refusal carries nothing that the client did not send, beside the text of the notice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace sallyport::refusal {

// kRefusalMax bounds what one refusal says: with IPv6 and TCP headers it is one packet within the smallest IPv6 path MTU
// (1,280 bytes, RFC 8200 §5).
inline constexpr std::size_t kRefusalMax = 1'200;
inline constexpr std::size_t kNoticeTextMax = 400;  // Bytes of Notice::text; the builders cut what is longer.

using Buffer = std::span<std::uint8_t>;

// Notice borrows its strings. All of them are printable ASCII: whoever fills it in has escaped what the client sent.
// Builders still leave out whatever a protocol could take for its own syntax (CR, LF, quotes in JSON, "<" in HTML).
struct Notice {
  std::string_view text = {};   // For people, one line: "sallyport: evil.example is not allowed for agent (policy.toml:21)".
  std::string_view name = {};   // What was asked for, a host name or an address; may be empty.
  std::string_view scope = {};  // Whose flow it is; empty: none.
  std::string_view rule = {};   // "policy.toml:21" or "default"; empty: not to be told.
  std::string_view reason = {}; // The word of core/reason.h, as in events.
};

}  // namespace sallyport::refusal
