#include "sallyport/refusal/ssh.h"

#include "refusal_support.h"
#include "sallyport/parsers/ssh.h"

namespace sallyport::refusal {
namespace {

using namespace std::string_literals;
using namespace sallyport::testing;

std::string disconnect(const Notice& notice, bool with_identification) {
  return built([&](Buffer out) { return ssh_disconnect(out, notice, with_identification); });
}

// description_of reads the packet as a client would; nullopt where it is none, or something is behind it.
std::optional<std::string> description_of(std::string_view bytes) {
  const parsers::SshPacket packet = parsers::read_ssh_packet(as_bytes_of(bytes));
  if (packet.framing != Framing::kComplete || packet.consumed != bytes.size() || bytes.size() % 8 != 0) return std::nullopt;
  const std::size_t padding = static_cast<std::uint8_t>(bytes[4]);
  if (padding < 4 || bytes.size() != 4 + 1 + packet.payload.size() + padding) return std::nullopt;
  ByteReader in(packet.payload);
  std::uint8_t type = 0;
  std::uint32_t reason = 0;
  ByteReader description, language;
  if (!in.read_u8(type) || type != parsers::kSshMsgDisconnect || !in.read_u32(reason) || reason != 1) return std::nullopt;
  if (!in.read_prefixed<4>(description) || !in.read_prefixed<4>(language) || !language.empty() || !in.empty()) return std::nullopt;
  return std::string(as_text(description.rest()));
}

TEST(SshRefusalTest, IsADisconnectMessageInOnePacket) {  // RFC 4253 §6, §11.1
  const std::string packet =
      "\x00\x00\x00\x1c"              // packet_length
      "\x0a"                          // padding_length
      "\x01"                          // SSH_MSG_DISCONNECT
      "\x00\x00\x00\x01"              // SSH_DISCONNECT_HOST_NOT_ALLOWED_TO_CONNECT
      "\x00\x00\x00\x04none"          // description
      "\x00\x00\x00\x00"              // language tag
      "\0\0\0\0\0\0\0\0\0\0"s;        // padding
  EXPECT_EQ(disconnect({.text = "none"}, false), packet);
  EXPECT_EQ(disconnect({.text = "none"}, true), "SSH-2.0-sallyport\r\n" + packet);  // RFC 4253 §4.2
}

TEST(SshRefusalTest, AClientReadsIdentificationAndText) {
  const std::string bytes = disconnect(kNotice, true);
  const auto identification = parsers::read_ssh_identification(as_bytes_of(bytes), true);
  ASSERT_EQ(identification.framing, Framing::kComplete);
  EXPECT_EQ(identification.line, "SSH-2.0-sallyport");
  EXPECT_EQ(description_of(std::string_view(bytes).substr(identification.consumed)), kText);
}

TEST(SshRefusalTest, EachLengthIsPaddedToABlock) {
  for (std::size_t length = 0; length <= 40; ++length) {
    const std::string text(length, 'x');
    EXPECT_EQ(description_of(disconnect({.text = text}, false)), text) << length;
  }
}

TEST(SshRefusalTest, ATextIsPrintableAndCut) {
  for_each_hostile_notice([](const Notice& notice) { EXPECT_EQ(description_of(disconnect(notice, false)), printable(notice.text)); });
}

TEST(SshRefusalTest, IsWholeOrNothing) {
  for (const bool with_identification : {false, true}) {
    const auto build = [&](Buffer out) { return ssh_disconnect(out, kNotice, with_identification); };
    expect_whole_or_nothing(build, [&](std::string_view bytes) {
      constexpr std::string_view kIdentification = "SSH-2.0-sallyport\r\n";
      if (with_identification && !bytes.starts_with(kIdentification)) return false;
      return description_of(bytes.substr(with_identification ? kIdentification.size() : 0)).has_value();
    });
  }
}

}  // namespace
}  // namespace sallyport::refusal
