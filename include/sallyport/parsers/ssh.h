// The part of SSH that is not encrypted: the identification strings and the key exchange (RFC 4253).
//
// Everything here is a pure function over a span, without allocation. Views in results point into the
// input and are valid for as long as the input is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>

#include "sallyport/core/bytes.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/parse_error.h"
#include "sallyport/parsers/likeness.h"

namespace sallyport::parsers {

// A server may send lines of text before its identification string (RFC 4253 §4.2, no bound given there).
inline constexpr std::size_t kSshPreambleMax = 8'192;
inline constexpr std::size_t kSshPacketMax = 35'000;  // RFC 4253 §6.1, all fields included.

// Message numbers (RFC 4250 §4.1.2).
inline constexpr std::uint8_t kSshMsgDisconnect = 1;
inline constexpr std::uint8_t kSshMsgIgnore = 2;
inline constexpr std::uint8_t kSshMsgUnimplemented = 3;
inline constexpr std::uint8_t kSshMsgDebug = 4;
inline constexpr std::uint8_t kSshMsgKexInit = 20;
inline constexpr std::uint8_t kSshMsgNewKeys = 21;
inline constexpr std::uint8_t kSshMsgKexFirst = 30;  // Messages of the key exchange method: 30 to 49.
inline constexpr std::uint8_t kSshMsgKexLast = 49;
inline constexpr std::uint8_t kSshMsgKexReply =
    31;  // KEXDH_REPLY (RFC 4253 §8), KEX_ECDH_REPLY (RFC 5656 §4).
inline constexpr std::uint8_t kSshMsgKexGexGroup = 31;  // RFC 4419 §5
inline constexpr std::uint8_t kSshMsgKexGexReply = 33;  // RFC 4419 §5
// Packets of one side that are read before its keys change: four are needed at most.
inline constexpr int kSshExchangePacketsMax = 16;

// looks_like_ssh tells whether a stream begins with "SSH-". A server's stream may begin with other lines:
// kNo on that side does not rule SSH out, read_ssh_identification finds it behind them.
Likeness looks_like_ssh(ByteSpan stream);

// SshIdentification is the identification string at the beginning of a stream (RFC 4253 §4.2).
struct SshIdentification {
  Framing framing = Framing::kNeedMore;
  // Set with kMalformed: a well-formed string of protocol 1.x, which is not read. The views are set too.
  bool unsupported = false;
  std::string_view line;              // "SSH-2.0-OpenSSH_9.2p1 Debian-2", without CR LF.
  std::string_view protocol_version;  // "2.0" or "1.99".
  std::string_view software;          // "OpenSSH_9.2p1"
  std::string_view comments;          // "Debian-2", may be empty.
  std::size_t consumed = 0;           // Up to and with the LF, lines before the string included.
};

// read_ssh_identification reads the string at the beginning of `stream`; from_server lets lines that do not
// begin with "SSH-" stand before it, at most kSshPreambleMax bytes of them. LF without CR is tolerated on
// both sides, as OpenSSH does. kMalformed: NUL or another control character but tab, a CR that is not
// before LF, another protocol version than 2.0 and 1.99. kTooLong: over kSshIdentificationMax with CR LF.
SshIdentification read_ssh_identification(ByteSpan stream, bool from_server);

// SshPacket is one unencrypted packet of the binary packet protocol (RFC 4253 §6). The views and `consumed`
// are set with kComplete alone.
struct SshPacket {
  Framing framing = Framing::kNeedMore;
  std::uint8_t type = 0;  // First byte of the payload.
  ByteSpan payload;       // With the type byte, without padding; never empty.
  std::size_t consumed = 0;
};

// read_ssh_packet reads the packet at the beginning of `stream`.
SshPacket read_ssh_packet(ByteSpan stream);

// SshKexInit is a KEXINIT message (RFC 4253 §7.1). Lists are comma-separated names.
struct SshKexInit {
  ByteSpan cookie;
  std::string_view kex_algorithms;
  std::string_view server_host_key_algorithms;
  std::string_view encryption_client_to_server;
  std::string_view encryption_server_to_client;
  std::string_view mac_client_to_server;
  std::string_view mac_server_to_client;
  std::string_view compression_client_to_server;
  std::string_view compression_server_to_client;
  std::string_view languages_client_to_server;
  std::string_view languages_server_to_client;
  bool first_kex_packet_follows = false;
};

// parse_ssh_kexinit reads the payload of a packet of type kSshMsgKexInit.
std::expected<SshKexInit, ParseError> parse_ssh_kexinit(ByteSpan payload);

// ssh_kex_method returns the method that both sides' lists agree on: the first of the client's that the
// server has too (RFC 4253 §7.1), or an empty view.
std::string_view ssh_kex_method(const SshKexInit& client, const SshKexInit& server);

// ssh_is_group_exchange tells the methods in which the server sends its group before its reply (RFC 4419).
bool ssh_is_group_exchange(std::string_view kex_method);

// HexMd5 is an MD5 digest in lower-case hexadecimal.
struct HexMd5 {
  std::array<char, 32> chars{};
  std::string_view text() const { return {chars.data(), chars.size()}; }
};

// ssh_hassh returns the fingerprint of a client: the MD5 of its lists of key exchange, encryption, MAC and
// compression methods (towards the server), joined by semicolons. ssh_hassh_server does it for a server,
// with the lists towards the client.
HexMd5 ssh_hassh(const SshKexInit& client);
HexMd5 ssh_hassh_server(const SshKexInit& server);

// ssh_host_key returns the server's public host key blob in a packet of the key exchange, or nullopt when
// the packet carries none: type 33 for group exchange, type 31 for the other Diffie-Hellman methods and the
// hybrids, none for GSS-API. An ambiguous or malformed packet has none.
std::optional<ByteSpan> ssh_host_key(const SshPacket& packet, std::string_view kex_method);

// ssh_key_type returns the type at the beginning of a public key blob ("ssh-ed25519"), or nullopt.
std::optional<std::string_view> ssh_key_type(ByteSpan key_blob);

inline constexpr std::size_t kSshFingerprintPrefix = 7;  // "SHA256:"
// SshFingerprint is a key's fingerprint as OpenSSH prints it: "SHA256:" and base64 without padding.
struct SshFingerprint {
  std::array<char, 50> chars{};
  std::string_view text() const { return {chars.data(), chars.size()}; }
};
SshFingerprint ssh_fingerprint(ByteSpan key_blob);

// SshKeyDigest is the SHA-256 of a public key blob: what a fingerprint is the text of.
using SshKeyDigest = std::array<std::uint8_t, 32>;
SshKeyDigest ssh_key_digest(ByteSpan key_blob);
SshFingerprint ssh_fingerprint(const SshKeyDigest& digest);

// ssh_kex_is_read tells whether the host key's place is known for a key exchange method: those of RFC 4253, 4419,
// 5656, 8731 and the hybrids. Not GSS-API (RFC 4462), RSA (RFC 4432) and methods that nobody has described.
bool ssh_kex_is_read(std::string_view kex_method);

// SshExchange is how far the first key exchange of a connection has come.
struct SshExchange {
  enum class Step : std::uint8_t {
    kNeedMore,       // No host key yet.
    kHostKey,        // `host_key` is the server's.
    kMalformed,      // A message breaks RFC 4253 or stands where the peer would pass over it.
    kTooLong,        // A packet is longer than RFC 4253 §6.1 has it, or there are too many.
    kAmbiguous,      // The server announces a guessed message, which the client may drop.
    kUnknownMethod,  // The host key cannot be found under the method that both sides have.
  };
  Step step = Step::kNeedMore;
  ByteSpan host_key;
  // Bytes of the client's stream that the server must have to answer: whole packets up to the one before NEWKEYS.
  std::size_t client_read = 0;
  // Bytes of the server's stream that are read; with kHostKey up to the end of the reply.
  std::size_t server_read = 0;
  bool client_incomplete = false;  // The stream ends within a packet, or before one.
  bool server_incomplete = false;
};

// read_ssh_exchange reads what both sides send behind their identification strings. Stateless: call it again with
// longer streams. Of the server's packets the first must be KEXINIT, and then the method's own, in its order: a
// client passes over others or not, as it likes, so a decoy could stand among them. IGNORE, DEBUG and
// UNIMPLEMENTED may stand between.
SshExchange read_ssh_exchange(ByteSpan client, ByteSpan server);

}  // namespace sallyport::parsers
