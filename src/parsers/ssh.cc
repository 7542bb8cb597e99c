#include "sallyport/parsers/ssh.h"

#include <algorithm>

namespace sallyport::parsers {
namespace {

constexpr std::string_view kPrefix = "SSH-";

struct Line {
  Framing framing = Framing::kNeedMore;
  std::string_view text;     // Without CR LF.
  std::size_t consumed = 0;  // With them.
};

// read_line reads up to LF. One CR may stand before it, and nowhere else. `size_max` counts both.
Line read_line(std::string_view stream, std::size_t size_max) {
  Line line;
  const std::string_view window = stream.substr(0, size_max);
  const std::size_t end = window.find('\n');
  const std::string_view seen = window.substr(0, end);
  const std::size_t carriage_return = seen.find('\r');
  if (seen.find('\0') != std::string_view::npos ||
      (carriage_return != std::string_view::npos && carriage_return + 1 != seen.size())) {
    line.framing = Framing::kMalformed;
  } else if (end != std::string_view::npos) {
    line = {Framing::kComplete, seen.substr(0, carriage_return), end + 1};
  } else if (window.size() == size_max) {
    line.framing = Framing::kTooLong;
  }
  return line;
}

// is_text refuses control characters but tab. Bytes beyond ASCII are let through as OpenSSH does, though
// RFC 4253 §4.2 knows none.
bool is_text(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

// split_identification fills the views of "SSH-protoversion-softwareversion SP comments".
bool split_identification(std::string_view line, SshIdentification& out) {
  out.line = line;
  const std::string_view behind_prefix = line.substr(kPrefix.size());
  const std::size_t hyphen = behind_prefix.find('-');
  if (hyphen == std::string_view::npos) return false;
  out.protocol_version = behind_prefix.substr(0, hyphen);
  const std::string_view rest = behind_prefix.substr(hyphen + 1);
  const std::size_t space = rest.find(' ');
  out.software = rest.substr(0, space);
  if (space != std::string_view::npos) out.comments = rest.substr(space + 1);
  return is_text(line);
}

bool is_version_1(std::string_view version) {
  return version.size() >= 3 && version.starts_with("1.") &&
         std::all_of(version.begin() + 2, version.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// could_begin tells whether `text` is a prefix of, or begins with, "SSH-".
bool could_begin(std::string_view text) {
  const std::size_t length = std::min(text.size(), kPrefix.size());
  return text.substr(0, length) == kPrefix.substr(0, length);
}

// skip_preamble leaves `stream` at the first line that could be the identification string.
Framing skip_preamble(std::string_view& stream) {
  std::size_t left = kSshPreambleMax;
  while (!could_begin(stream)) {
    const Line line = read_line(stream, left);
    if (line.framing != Framing::kComplete) return line.framing;
    stream.remove_prefix(line.consumed);
    left -= line.consumed;
    if (left == 0) return Framing::kTooLong;
  }
  return Framing::kComplete;
}

}  // namespace

Likeness looks_like_ssh(ByteSpan stream) {
  if (!could_begin(as_text(stream))) return Likeness::kNo;
  return stream.size() >= kPrefix.size() ? Likeness::kYes : Likeness::kMaybe;
}

SshIdentification read_ssh_identification(ByteSpan stream, bool from_server) {
  SshIdentification result;
  std::string_view text = as_text(stream);
  if (from_server) {
    result.framing = skip_preamble(text);
    if (result.framing != Framing::kComplete) return result;
  } else if (!could_begin(text)) {
    result.framing = Framing::kMalformed;
    return result;
  }
  const Line line = read_line(text, kSshIdentificationMax);
  result.framing = line.framing;
  if (line.framing != Framing::kComplete) return result;
  result.consumed = stream.size() - text.size() + line.consumed;
  if (!line.text.starts_with(kPrefix) || !split_identification(line.text, result) ||
      result.software.empty()) {
    result.framing = Framing::kMalformed;
  } else if (result.protocol_version != "2.0" && result.protocol_version != "1.99") {  // RFC 4253 §5.1
    result.framing = Framing::kMalformed;
    result.unsupported = is_version_1(result.protocol_version);
  }
  return result;
}

SshPacket read_ssh_packet(ByteSpan stream) {
  constexpr std::uint32_t kPacketSizeMin = 16;  // RFC 4253 §6: a packet's least size, length field included.
  constexpr std::uint8_t kPaddingMin = 4;
  constexpr std::uint32_t kBlockSize = 8;
  SshPacket packet;
  ByteReader in(stream);
  std::uint32_t length = 0;
  if (!in.read_u32(length)) return packet;
  if (length > kSshPacketMax - 4) {
    packet.framing = Framing::kTooLong;
    return packet;
  }
  if (length + 4 < kPacketSizeMin || (length + 4) % kBlockSize != 0) {
    packet.framing = Framing::kMalformed;
    return packet;
  }
  std::uint8_t padding = 0;
  if (!in.read_u8(padding)) return packet;
  if (padding < kPaddingMin || padding > length - 2) {
    packet.framing = Framing::kMalformed;
    return packet;
  }
  ByteSpan payload;
  if (!in.read_bytes(length - 1 - padding, payload) || !in.skip(padding)) return packet;
  packet = {Framing::kComplete, payload[0], payload, stream.size() - in.size()};
  return packet;
}

}  // namespace sallyport::parsers
