#include "sallyport/refusal/services.h"

#include <algorithm>
#include <string_view>

#include "text.h"

namespace sallyport::refusal {
namespace {

using namespace std::string_view_literals;

bool begins_with(ByteSpan bytes, std::string_view text) { return as_text(bytes).starts_with(text); }

// patch_little writes an integer of MySQL.
template <std::size_t Width>
void patch_little(Writer& out, std::size_t at, std::size_t value) {
  for (std::size_t i = 0; i < Width; ++i) out.patch<1>(at + i, value >> (8 * i) & 0xff);
}

// ---- MQTT

// put_mqtt_length writes a variable byte integer, MQTT 5 §1.5.5.
void put_mqtt_length(Writer& out, std::size_t value) {
  for (; value >= 128; value /= 128) out.u8(static_cast<std::uint8_t>(value % 128 + 128));
  out.u8(static_cast<std::uint8_t>(value));
}

bool read_mqtt_length(ByteReader& in, std::size_t& value) {
  value = 0;
  for (unsigned i = 0; i < 4; ++i) {
    std::uint8_t byte = 0;
    if (!in.read_u8(byte)) return false;
    value |= static_cast<std::size_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

// skip_property passes one property of a CONNECT packet, MQTT 5 §2.2.2.2, and reads the Maximum Packet Size.
bool skip_property(ByteReader& in, std::uint32_t& packet_max) {
  constexpr std::uint8_t kMaximumPacketSize = 0x27;
  std::uint8_t id = 0;
  ByteReader value;
  if (!in.read_u8(id)) return false;
  switch (id) {
    case kMaximumPacketSize: return in.read_u32(packet_max);
    case 0x11: return in.skip(4);  // Session Expiry Interval
    case 0x17:                     // Request Problem Information
    case 0x19: return in.skip(1);  // Request Response Information
    case 0x21:                     // Receive Maximum
    case 0x22: return in.skip(2);  // Topic Alias Maximum
    case 0x15:                     // Authentication Method
    case 0x16: return in.read_prefixed<2>(value);  // Authentication Data
    case 0x26: return in.read_prefixed<2>(value) && in.read_prefixed<2>(value);  // User Property
    default: return false;
  }
}

// mqtt_packet_max returns the largest packet that the client takes; what cannot be read promises no more than the smallest.
std::size_t mqtt_packet_max(ByteReader in) {
  constexpr std::size_t kFlagsAndKeepAlive = 3;
  std::uint32_t packet_max = kRefusalMax;
  std::size_t length = 0;
  ByteSpan properties;
  if (!in.skip(kFlagsAndKeepAlive) || !read_mqtt_length(in, length) || !in.read_bytes(length, properties)) return 0;
  ByteReader property(properties);
  while (!property.empty()) {
    if (!skip_property(property, packet_max)) return 0;
  }
  return packet_max;
}

constexpr std::uint8_t kConnack = 0x20;

std::size_t connack_5(Buffer out, std::string_view text, ByteReader behind_level) {
  constexpr std::uint8_t kNotAuthorized = 0x87, kReasonString = 0x1f;  // MQTT 5 §3.2.2.2, §3.2.2.3.9
  const auto put = [&](Writer& writer, bool with_text, std::size_t text_max) {
    const std::size_t string = with_text ? 3 + std::min(text.size(), text_max) : 0;
    writer.u8(kConnack);
    put_mqtt_length(writer, 2 + (string < 128 ? 1U : 2U) + string);
    writer.u8(0);  // No session present.
    writer.u8(kNotAuthorized);
    put_mqtt_length(writer, string);
    if (!with_text) return;
    writer.u8(kReasonString);
    writer.u16(static_cast<std::uint16_t>(string - 3));
    put_plain(writer, text, text_max);
  };
  // MQTT 5 §3.2.2.3.9: no reason string where that makes the packet larger than the client takes.
  const std::size_t size_max = std::min(out.size(), mqtt_packet_max(behind_level));
  const std::size_t size = with_longest_text(out.first(size_max), [&](Writer& writer, std::size_t text_max) { put(writer, true, text_max); });
  if (size != 0) return size;
  Writer writer(out);
  put(writer, false, 0);
  return writer.finish();
}

// ---- AMQP

constexpr std::uint8_t kAmqpMethodFrame = 1, kAmqpFrameEnd = 0xce;  // AMQP 0-9-1 §4.2.3

template <typename Write>
void put_amqp0_method(Writer& out, std::uint16_t method, Write&& write_arguments) {
  constexpr std::uint16_t kChannel = 0, kConnection = 10;
  out.u8(kAmqpMethodFrame);
  out.u16(kChannel);
  const std::size_t size_at = out.placeholder<4>();
  const std::size_t payload_at = out.size();
  out.u16(kConnection);
  out.u16(method);
  write_arguments();
  out.patch<4>(size_at, out.size() - payload_at);
  out.u8(kAmqpFrameEnd);
}

// AMQP 0-9-1 clients read an error only behind the server's first method, so Start comes before Close.
std::size_t amqp0_refusal(Buffer out, std::string_view text) {
  constexpr std::uint16_t kStart = 10, kClose = 50, kAccessRefused = 403;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    put_amqp0_method(writer, kStart, [&] {
      writer.u16(0x0009);  // Version 0-9, as the method has it.
      writer.u32(0);       // No server properties.
      for (const std::string_view word : {"PLAIN"sv, "en_US"sv}) {
        writer.u32(static_cast<std::uint32_t>(word.size()));
        writer.text(word);
      }
    });
    put_amqp0_method(writer, kClose, [&] {
      const std::string_view reply = text.substr(0, std::min<std::size_t>(text_max, 255));  // A short string.
      writer.u16(kAccessRefused);
      writer.u8(static_cast<std::uint8_t>(reply.size()));
      put_plain(writer, reply, reply.size());
      writer.u32(0);  // No method of the client's is the cause.
    });
  });
}

// AMQP 1.0 (Types §1.6): only the forms with one byte of length are used, as nothing here is longer.
constexpr std::uint8_t kUbyte = 0x50, kString = 0xa1, kSymbol = 0xa3, kList = 0xc0, kSmallUlong = 0x53;
constexpr std::size_t kAmqpTextMax = 160;  // All of a Close must stay below 256 bytes.

void put_amqp1_word(Writer& out, std::uint8_t type, std::string_view word, std::size_t max) {
  word = word.substr(0, max);
  out.u8(type);
  out.u8(static_cast<std::uint8_t>(word.size()));
  put_plain(out, word, word.size());
}

// put_amqp1_list writes a described list: performatives and errors are such.
template <typename Write>
void put_amqp1_list(Writer& out, std::uint8_t descriptor, std::uint8_t count, Write&& write_fields) {
  out.u8(0);
  out.u8(kSmallUlong);
  out.u8(descriptor);
  out.u8(kList);
  const std::size_t size_at = out.placeholder<1>();
  const std::size_t count_at = out.size();
  out.u8(count);
  write_fields();
  out.patch<1>(size_at, out.size() - count_at);
}

template <typename Write>
void put_amqp1_frame(Writer& out, std::uint8_t type, std::uint8_t descriptor, std::uint8_t count, Write&& write_fields) {
  constexpr std::uint8_t kDataOffset = 2;  // Words of the header, Transport §2.3.1.
  const std::size_t frame_at = out.size();
  const std::size_t size_at = out.placeholder<4>();
  out.u8(kDataOffset);
  out.u8(type);
  out.u16(0);  // Channel.
  put_amqp1_list(out, descriptor, count, write_fields);
  out.patch<4>(size_at, out.size() - frame_at);
}

constexpr std::string_view kAmqp1Header = "AMQP\x00\x01\x00\x00"sv, kAmqp1SaslHeader = "AMQP\x03\x01\x00\x00"sv;

// put_amqp1_sasl lets any client in, without asking for a secret: what refuses it has words only behind SASL (Security §5.3).
void put_amqp1_sasl(Writer& out) {
  constexpr std::uint8_t kSaslFrame = 1, kMechanisms = 0x40, kOutcome = 0x44, kOk = 0;
  out.text(kAmqp1SaslHeader);
  put_amqp1_frame(out, kSaslFrame, kMechanisms, 1, [&] { put_amqp1_word(out, kSymbol, "ANONYMOUS", 9); });
  put_amqp1_frame(out, kSaslFrame, kOutcome, 1, [&] {
    out.u8(kUbyte);
    out.u8(kOk);
  });
}

std::size_t amqp1_refusal(Buffer out, std::string_view text, bool with_sasl) {
  constexpr std::uint8_t kAmqpFrame = 0, kOpen = 0x10, kClose = 0x18, kError = 0x1d;  // Transport §2.7
  constexpr std::string_view kContainer = "sallyport", kCondition = "amqp:unauthorized-access";
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    if (with_sasl) put_amqp1_sasl(writer);
    writer.text(kAmqp1Header);
    put_amqp1_frame(writer, kAmqpFrame, kOpen, 1, [&] { put_amqp1_word(writer, kString, kContainer, kContainer.size()); });
    put_amqp1_frame(writer, kAmqpFrame, kClose, 1, [&] {
      put_amqp1_list(writer, kError, 2, [&] {
        put_amqp1_word(writer, kSymbol, kCondition, kCondition.size());
        put_amqp1_word(writer, kString, text, std::min(text_max, kAmqpTextMax));
      });
    });
  });
}

}  // namespace

std::size_t postgresql_error(Buffer out, const Notice& notice, ByteSpan first) {
  constexpr std::uint32_t kCancelRequest = 80'877'102;
  ByteReader in(first);
  std::uint32_t length = 0, code = 0;
  // A cancellation is answered by closing the connection.
  if (!in.read_u32(length) || !in.read_u32(code) || length < 8 || code == kCancelRequest) return 0;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    writer.u8('E');
    const std::size_t length_at = writer.placeholder<4>();
    writer.text("SFATAL\0VFATAL\0C28000\0M"sv);  // invalid_authorization_specification
    put_plain(writer, notice.text, text_max);
    writer.fill(2, 0);  // Ends the message's text and the list of fields.
    writer.patch<4>(length_at, writer.size() - length_at);
  });
}

std::size_t mysql_error(Buffer out, const Notice& notice, std::uint8_t sequence) {
  constexpr std::uint8_t kErr = 0xff;
  constexpr std::size_t kHostNotPrivileged = 1130;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    const std::size_t length_at = writer.placeholder<3>();
    writer.u8(sequence);
    const std::size_t payload_at = writer.size();
    writer.u8(kErr);
    const std::size_t code_at = writer.placeholder<2>();
    patch_little<2>(writer, code_at, kHostNotPrivileged);
    if (sequence != 0) writer.text("#28000");
    put_plain(writer, notice.text, text_max);
    patch_little<3>(writer, length_at, writer.size() - payload_at);
  });
}

std::size_t mqtt_refusal(Buffer out, const Notice& notice, ByteSpan connect) {
  constexpr std::uint8_t kConnect = 0x10, kNotAuthorized = 5;
  constexpr std::uint8_t kBridge = 0x80;  // Bridges of mosquitto set it.
  ByteReader in(connect), name;
  std::uint8_t type = 0, level = 0;
  std::size_t remaining = 0;
  if (!in.read_u8(type) || type != kConnect || !read_mqtt_length(in, remaining) || !in.read_prefixed<2>(name) || !in.read_u8(level)) return 0;
  level = static_cast<std::uint8_t>(level & ~kBridge);
  const std::string_view protocol = as_text(name.rest());
  if (protocol == "MQTT" && level == 5) return connack_5(out, notice.text, in);
  if (!(protocol == "MQTT" && level == 4) && !(protocol == "MQIsdp" && level == 3)) return 0;
  Writer writer(out);
  writer.u8(kConnack);
  writer.u8(2);
  writer.u8(0);
  writer.u8(kNotAuthorized);
  return writer.finish();
}

std::size_t amqp_refusal(Buffer out, const Notice& notice, ByteSpan header) {
  if (begins_with(header, "AMQP\x00\x00\x09\x01"sv)) return amqp0_refusal(out, notice.text);
  if (begins_with(header, kAmqp1Header)) return amqp1_refusal(out, notice.text, false);
  if (begins_with(header, kAmqp1SaslHeader)) return amqp1_refusal(out, notice.text, true);
  return 0;
}

std::size_t socks_refusal(Buffer out, ByteSpan message, bool request) {
  constexpr std::uint8_t kRejected4 = 91, kNoAcceptableMethod = 0xff, kNotAllowed = 2, kIpv4 = 1;
  if (message.empty()) return 0;
  Writer writer(out);
  if (message[0] == 4) {
    writer.u8(0);
    writer.u8(kRejected4);
    writer.fill(6, 0);
  } else if (message[0] == 5 && !request) {
    writer.u8(5);
    writer.u8(kNoAcceptableMethod);
  } else if (message[0] == 5) {
    writer.u8(5);
    writer.u8(kNotAllowed);
    writer.u8(0);
    writer.u8(kIpv4);
    writer.fill(6, 0);  // An address and a port that mean nothing in a refusal.
  }
  return writer.finish();
}

}  // namespace sallyport::refusal
