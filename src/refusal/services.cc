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

}  // namespace

std::size_t postgresql_error(Buffer out, const Notice& notice, ByteSpan first) {
  constexpr std::uint32_t kCancelRequest = 80'877'102;
  ByteReader in(first);
  std::uint32_t length = 0, code = 0;
  // A cancellation is answered by closing the connection.
  if (!in.read_u32(length) || !in.read_u32(code) || length < 8 || code == kCancelRequest) return 0;
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    const auto field = [&](char type, std::string_view value) {
      writer.u8(static_cast<std::uint8_t>(type));
      put_plain(writer, value, text_max < value.size() && type == 'M' ? text_max : value.size());
      writer.u8(0);
    };
    writer.u8('E');
    const std::size_t length_at = writer.placeholder<4>();
    field('S', "FATAL");
    field('V', "FATAL");
    field('C', "28000");  // invalid_authorization_specification
    field('M', notice.text);
    writer.u8(0);
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
