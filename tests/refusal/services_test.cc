#include "sallyport/refusal/services.h"

#include <array>
#include <optional>

#include "refusal_support.h"
#include "sallyport/parsers/database.h"
#include "sallyport/parsers/socks.h"

namespace sallyport::refusal {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using namespace sallyport::testing;

const Notice kNo{.text = "no"};

std::vector<std::uint8_t> block_of(std::string_view text) { return {text.begin(), text.end()}; }

// ---- PostgreSQL

const std::string kSslRequest = "\x00\x00\x00\x08\x04\xd2\x16\x2f"s;
const std::string kStartup = "\x00\x00\x00\x0f\x00\x03\x00\x00user\0u\0\0"s;

std::string postgresql(const std::string& first, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return postgresql_error(out, notice, as_bytes_of(first)); });
}

// postgresql_message returns the M field of a whole ErrorResponse with the fields that clients ask for.
std::optional<std::string> postgresql_message(std::string_view bytes) {
  constexpr std::string_view kBegin("SFATAL\0VFATAL\0C28000\0M", 22);
  ByteReader in(as_bytes_of(bytes));
  std::uint8_t type = 0;
  std::uint32_t length = 0;
  if (!in.read_u8(type) || type != 'E' || !in.read_u32(length) || length != bytes.size() - 1) return std::nullopt;
  const std::string_view body = as_text(in.rest());
  if (!body.starts_with(kBegin) || !body.ends_with("\0\0"sv)) return std::nullopt;
  const std::string_view message = body.substr(kBegin.size(), body.size() - kBegin.size() - 2);
  if (message.find('\0') != message.npos) return std::nullopt;
  return std::string(message);
}

TEST(PostgresqlRefusalTest, IsAnErrorResponse) {  // PostgreSQL 53.7, 53.8
  EXPECT_EQ(postgresql(kStartup, kNo), "E\x00\x00\x00\x1e"s + "SFATAL\0"s + "VFATAL\0"s + "C28000\0"s + "Mno\0"s + "\0"s);
}

TEST(PostgresqlRefusalTest, EachFirstMessageButACancellationIsAnswered) {
  for (const std::string& first : {kSslRequest, kStartup, "\x00\x00\x00\x08\x04\xd2\x16\x30"s /* GSSENCRequest */}) {
    EXPECT_EQ(postgresql_message(postgresql(first)), kText);
  }
  EXPECT_EQ(postgresql("\x00\x00\x00\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2"s), "") << "CancelRequest has no answer";
  EXPECT_EQ(postgresql("\x00\x00\x00\x07\x00\x03\x00\x00"s), "") << "no message is so short";
  for (std::size_t length = 0; length < 8; ++length) {
    const auto first = block_of(kStartup.substr(0, length));
    EXPECT_EQ(built([&](Buffer out) { return postgresql_error(out, kNotice, first); }), "") << length;
  }
}

TEST(PostgresqlRefusalTest, ATextHasNoNul) {
  for_each_hostile_notice([](const Notice& notice) { EXPECT_EQ(postgresql_message(postgresql(kStartup, notice)), printable(notice.text)); });
}

TEST(PostgresqlRefusalTest, IsWholeOrNothing) {
  expect_whole_or_nothing([](Buffer out) { return postgresql_error(out, kNotice, as_bytes_of(kStartup)); },
                          [](const std::string& bytes) { return postgresql_message(bytes).has_value(); });
}

// ---- MySQL

std::string mysql(std::uint8_t sequence, const Notice& notice = kNotice) {
  return built([&](Buffer out) { return mysql_error(out, notice, sequence); });
}

bool is_mysql_packet(const std::string& bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<std::uint8_t>(bytes[i])); };
  return bytes.size() >= 7 && bytes.size() == 4 + (byte(0) | byte(1) << 8 | byte(2) << 16);
}

TEST(MysqlRefusalTest, IsAnErrPacket) {  // "ERR_Packet" of the client/server protocol; 1130 is 0x046a.
  EXPECT_EQ(mysql(0, kNo), "\x05\x00\x00\x00\xff\x6a\x04no"s);
  EXPECT_EQ(mysql(2, kNo), "\x0b\x00\x00\x02\xff\x6a\x04#28000no"s);
}

TEST(MysqlRefusalTest, IsReadAsAGreetingThatIsAnError) {
  const std::string bytes = mysql(0);
  EXPECT_EQ(parsers::looks_like_mysql({}, as_bytes_of(bytes)), parsers::Likeness::kYes);
}

TEST(MysqlRefusalTest, IsWholeOrNothing) {
  for (const std::uint8_t sequence : std::array<std::uint8_t, 3>{0, 1, 255}) {
    expect_whole_or_nothing([&](Buffer out) { return mysql_error(out, kNotice, sequence); }, is_mysql_packet);
  }
  for_each_hostile_notice([](const Notice& notice) {
    EXPECT_TRUE(is_mysql_packet(mysql(0, notice)));
    EXPECT_TRUE(mysql(1, notice).ends_with("#28000" + printable(notice.text)));
  });
}

// ---- MQTT

const std::string kConnect311 = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01z"s;
const std::string kConnect31 = "\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01z"s;

// connect5 makes a CONNECT of version 5 with these properties.
std::string connect5(const std::string& properties) {
  const std::string body = "\x00\x04MQTT\x05\x02\x00\x3c"s + static_cast<char>(properties.size()) + properties + "\x00\x01z"s;
  return "\x10"s + static_cast<char>(body.size()) + body;
}

std::string mqtt(const std::string& connect, const Notice& notice = kNotice) {
  const auto block = block_of(connect);
  return built([&](Buffer out) { return mqtt_refusal(out, notice, block); });
}

// take_length takes a variable byte integer from the front of `text` and tells whether that is how much follows.
bool take_length(std::string_view& text) {
  std::size_t value = 0;
  for (unsigned i = 0; i < 4 && !text.empty(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[0]);
    text.remove_prefix(1);
    value |= std::size_t{byte & 0x7fU} << (7 * i);
    if (byte < 128) return value == text.size();
  }
  return false;
}

// reason_of reads a CONNACK of version 5: its reason string, "" without one.
std::optional<std::string> reason_of(std::string_view bytes) {
  if (!bytes.starts_with("\x20")) return std::nullopt;
  bytes.remove_prefix(1);
  if (!take_length(bytes) || !bytes.starts_with("\x00\x87"sv)) return std::nullopt;
  bytes.remove_prefix(2);
  if (!take_length(bytes)) return std::nullopt;
  if (bytes.empty()) return "";
  ByteReader in(as_bytes_of(bytes.substr(1))), string;
  if (bytes[0] != 0x1f || !in.read_prefixed<2>(string) || !in.empty()) return std::nullopt;
  return std::string(as_text(string.rest()));
}

TEST(MqttRefusalTest, OldVersionsHaveACodeAlone) {  // MQTT 3.1.1 §3.2
  EXPECT_EQ(mqtt(kConnect311), "\x20\x02\x00\x05"s);
  EXPECT_EQ(mqtt(kConnect31), "\x20\x02\x00\x05"s);
}

TEST(MqttRefusalTest, Version5SaysWhy) {  // MQTT 5 §3.2
  EXPECT_EQ(mqtt(connect5(""), kNo), "\x20\x08\x00\x87\x05\x1f\x00\x02no"s);
  EXPECT_EQ(reason_of(mqtt(connect5(""))), kText);
}

TEST(MqttRefusalTest, LengthsOfTwoBytesAreCounted) {
  for (const std::size_t length : {120U, 121U, 122U, 123U, 124U, 125U, 126U, 127U, 128U, 400U}) {
    const std::string text(length, 'x');
    EXPECT_EQ(reason_of(mqtt(connect5(""), {.text = text})), text) << length;
  }
}

TEST(MqttRefusalTest, NoPacketIsLargerThanTheClientTakes) {  // MQTT 5 §3.1.2.11.4, §3.2.2.3.9
  const std::size_t whole = mqtt(connect5("")).size();
  for (std::size_t packet_max = 1; packet_max <= whole + 1; ++packet_max) {
    const std::string answer = mqtt(connect5("\x27\0\0\0"s + static_cast<char>(packet_max)));
    ASSERT_TRUE(reason_of(answer)) << packet_max;
    EXPECT_LE(answer.size(), std::max<std::size_t>(packet_max, 5)) << "5 bytes are the least";
    EXPECT_EQ(reason_of(answer) == kText, packet_max >= whole);
  }
}

TEST(MqttRefusalTest, EachPropertyIsPassed) {
  const std::string all = "\x11\0\0\0\1"s + "\x21\0\1"s + "\x22\0\1"s + "\x19\1"s + "\x17\1"s + "\x26\0\1k\0\1v"s + "\x15\0\1m"s + "\x16\0\1d"s;
  EXPECT_EQ(reason_of(mqtt(connect5(all))), kText);
  EXPECT_EQ(reason_of(mqtt(connect5(all + "\x27\0\0\0\x06"s))), "") << "the last one is read";
  EXPECT_EQ(reason_of(mqtt(connect5("\x7f"s))), "") << "what is not known may have been a limit";
  EXPECT_EQ(reason_of(mqtt(connect5("\x27\0\0"s))), "");
}

TEST(MqttRefusalTest, AnIncompleteConnectHasNoText) {
  const std::string connect = connect5("\x21\0\1"s);
  constexpr std::size_t kLevelEnd = 9, kPropertiesEnd = 16;
  for (std::size_t length = 0; length <= connect.size(); ++length) {
    const std::string answer = mqtt(connect.substr(0, length));
    if (length < kLevelEnd) {
      EXPECT_EQ(answer, "") << length;
    } else {
      EXPECT_EQ(reason_of(answer), length < kPropertiesEnd ? "" : kText) << length;
    }
  }
}

TEST(MqttRefusalTest, OnlyAConnectOfAKnownVersionIsAnswered) {
  for (const std::string& other : {""s, "\x20\x02\0\0"s, "\x10\x0d\x00\x04MQTT\x06\x02\0\0"s, "\x10\x0d\x00\x04MQTT\x03\x02\0\0"s,
                                   "\x10\x0d\x00\x06MQIsdp\x04\0\0\0"s, "\x10\xff\xff\xff\xff\x01\x00\x04MQTT\x04"s, "\x10\x0d\x00\x04HTTP\x04\0\0\0"s}) {
    EXPECT_EQ(mqtt(other), "") << other;
  }
  EXPECT_EQ(mqtt("\x10\x0d\x00\x04MQTT\x84\x02\0\0"s), "\x20\x02\x00\x05"s) << "a bridge";
}

TEST(MqttRefusalTest, IsWholeOrNothing) {
  for_each_hostile_notice([](const Notice& notice) { EXPECT_EQ(reason_of(mqtt(connect5(""), notice)), printable(notice.text)); });
  const auto old = [](Buffer out) { return mqtt_refusal(out, kNotice, as_bytes_of(kConnect311)); };
  expect_whole_or_nothing(old, [](const std::string& bytes) { return bytes.size() == 4; });
  const std::string connect = connect5("");
  const auto build = [&](Buffer out) { return mqtt_refusal(out, kNotice, as_bytes_of(connect)); };
  expect_whole_or_nothing(build, [](const std::string& bytes) { return reason_of(bytes).has_value(); });
}

// ---- AMQP

const std::string kAmqp091 = "AMQP\x00\x00\x09\x01"s, kAmqp10 = "AMQP\x00\x01\x00\x00"s, kAmqp10Sasl = "AMQP\x03\x01\x00\x00"s;

std::string amqp(const std::string& header, const Notice& notice = kNotice) {
  const auto block = block_of(header);
  return built([&](Buffer out) { return amqp_refusal(out, notice, block); });
}

// take_method_frame takes a method frame of AMQP 0-9-1 from the front of `in`.
std::optional<ByteReader> take_method_frame(ByteReader& in) {
  std::uint8_t type = 0, end = 0;
  std::uint16_t channel = 0;
  ByteReader payload;
  if (!in.read_u8(type) || type != 1 || !in.read_u16(channel) || channel != 0 || !in.read_prefixed<4>(payload)) return std::nullopt;
  if (!in.read_u8(end) || end != 0xce) return std::nullopt;
  return payload;
}

// close_text_of reads Start and Close, and the text of the latter.
std::optional<std::string> close_text_of(std::string_view bytes) {
  ByteReader in(as_bytes_of(bytes)), text;
  const auto start = take_method_frame(in);
  auto close = take_method_frame(in);
  if (!start || !close || !in.empty()) return std::nullopt;
  if (!as_text(start->rest()).starts_with("\0\x0a\0\x0a\0\x09"sv)) return std::nullopt;
  std::uint32_t method = 0, cause = 0;
  std::uint16_t code = 0;
  if (!close->read_u32(method) || method != 0x000a'0032 || !close->read_u16(code) || code != 403) return std::nullopt;
  if (!close->read_prefixed<1>(text) || !close->read_u32(cause) || cause != 0 || !close->empty()) return std::nullopt;
  return std::string(as_text(text.rest()));
}

TEST(AmqpRefusalTest, Version091GetsStartAndClose) {  // AMQP 0-9-1 §4.2.3, §1.4.2.1, §1.4.2.8
  EXPECT_EQ(amqp(kAmqp091, kNo),
            "\x01\x00\x00\x00\x00\x00\x1c\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x05"s + "en_US\xce"s +
                "\x01\x00\x00\x00\x00\x00\x0d\x00\x0a\x00\x32\x01\x93\x02no\x00\x00\x00\x00\xce"s);
  EXPECT_EQ(close_text_of(amqp(kAmqp091)), kText);
}

TEST(AmqpRefusalTest, Version10GetsOpenAndClose) {  // AMQP 1.0 Types §1.6, Transport §2.3, §2.7.1, §2.7.9, §2.8.14
  const std::string open_and_close =
      kAmqp10 + "\x00\x00\x00\x19\x02\x00\x00\x00\x00\x53\x10\xc0\x0c\x01\xa1\x09sallyport"s +
      "\x00\x00\x00\x32\x02\x00\x00\x00\x00\x53\x18\xc0\x25\x01\x00\x53\x1d\xc0\x1f\x02\xa3\x18"s + "amqp:unauthorized-access\xa1\x02no"s;
  EXPECT_EQ(amqp(kAmqp10, kNo), open_and_close);
  // Security §5.3.3.1, §5.3.3.6
  EXPECT_EQ(amqp(kAmqp10Sasl, kNo), kAmqp10Sasl + "\x00\x00\x00\x19\x02\x01\x00\x00\x00\x53\x40\xc0\x0c\x01\xa3\x09"s + "ANONYMOUS" +
                                        "\x00\x00\x00\x10\x02\x01\x00\x00\x00\x53\x44\xc0\x03\x01\x50\x00"s + open_and_close);
}

// is_amqp1 walks the frames: each is whole, and its list has the size that it says.
bool is_amqp1(std::string_view bytes, bool sasl) {
  ByteReader in(as_bytes_of(bytes));
  for (const std::string& header : sasl ? std::vector{kAmqp10Sasl, kAmqp10} : std::vector{kAmqp10}) {
    if (!as_text(in.rest()).starts_with(header) || !in.skip(header.size())) return false;
    for (int frames = 0; frames < 2; ++frames) {
      std::uint32_t size = 0;
      ByteSpan frame;
      if (!in.read_u32(size) || size < 8 || !in.read_bytes(size - 4, frame)) return false;
      if (frame.size() < 9 || frame[7] != 0xc0 || frame[8] != frame.size() - 9) return false;
    }
  }
  return in.empty();
}

TEST(AmqpRefusalTest, OtherHeadersHaveNone) {
  for (const std::string& header : {""s, "AMQP"s, "AMQP\x00\x00\x09"s, "AMQP\x02\x01\x00\x00"s /* TLS */, "AMQP\x01\x01\x00\x09"s, "HTTP/1.1"s}) {
    EXPECT_EQ(amqp(header), "") << header;
  }
}

TEST(AmqpRefusalTest, IsWholeOrNothing) {
  for_each_hostile_notice([](const Notice& notice) {
    EXPECT_EQ(close_text_of(amqp(kAmqp091, notice)), printable(notice.text).substr(0, 255)) << "a short string";
    EXPECT_TRUE(is_amqp1(amqp(kAmqp10, notice), false));
    EXPECT_TRUE(is_amqp1(amqp(kAmqp10Sasl, notice), true));
    EXPECT_TRUE(amqp(kAmqp10, notice).ends_with(printable(notice.text).substr(0, 160)));
  });
  expect_whole_or_nothing([](Buffer out) { return amqp_refusal(out, kNotice, as_bytes_of(kAmqp091)); },
                          [](const std::string& bytes) { return close_text_of(bytes).has_value(); });
  for (const bool sasl : {false, true}) {
    expect_whole_or_nothing([&](Buffer out) { return amqp_refusal(out, kNotice, as_bytes_of(sasl ? kAmqp10Sasl : kAmqp10)); },
                            [&](const std::string& bytes) { return is_amqp1(bytes, sasl); });
  }
}

// ---- SOCKS

std::string socks(const std::string& message, bool request) {
  const auto block = block_of(message);
  return built([&](Buffer out) { return socks_refusal(out, block, request); });
}

TEST(SocksRefusalTest, EachMessageHasItsAnswer) {
  EXPECT_EQ(socks("\x05\x01\x00"s, false), "\x05\xff"s);                                               // RFC 1928 §3
  EXPECT_EQ(socks("\x05\x01\x00\x03\x01x\0\1"s, true), "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"s);  // RFC 1928 §6
  for (const bool request : {false, true}) EXPECT_EQ(socks("\x04\x01\x00\x50\1\2\3\4\0"s, request), "\x00\x5b\0\0\0\0\0\0"s);
  for (const std::string& other : {""s, "\x01\x01u\x01p"s, "\x06"s, "GET"s}) EXPECT_EQ(socks(other, true) + socks(other, false), "") << other;
}

TEST(SocksRefusalTest, AClientReadsThatNothingIsOpen) {
  const std::string reply5 = socks("\x05"s, true), reply4 = socks("\x04"s, true), method = socks("\x05"s, false);
  const auto five = parsers::read_socks_reply(as_bytes_of(reply5), parsers::kSocks5);
  EXPECT_EQ(five.framing, Framing::kComplete);
  EXPECT_EQ(five.answer, 2);
  EXPECT_EQ(five.length, reply5.size());
  const auto four = parsers::read_socks_reply(as_bytes_of(reply4), parsers::kSocks4);
  EXPECT_EQ(four.framing, Framing::kComplete);
  EXPECT_NE(four.answer, 0);
  EXPECT_EQ(parsers::read_socks5_method(as_bytes_of(method)).framing, Framing::kComplete);
}

TEST(SocksRefusalTest, IsWholeOrNothing) {
  const std::string five = "\x05", four = "\x04";
  expect_whole_or_nothing([&](Buffer out) { return socks_refusal(out, as_bytes_of(five), true); }, [](const std::string& b) { return b.size() == 10; });
  expect_whole_or_nothing([&](Buffer out) { return socks_refusal(out, as_bytes_of(five), false); }, [](const std::string& b) { return b.size() == 2; });
  expect_whole_or_nothing([&](Buffer out) { return socks_refusal(out, as_bytes_of(four), true); }, [](const std::string& b) { return b.size() == 8; });
}

}  // namespace
}  // namespace sallyport::refusal
