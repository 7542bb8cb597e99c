#include "sallyport/replay/json_rows.h"

#include <chrono>
#include <cstdio>

namespace sallyport::replay {
namespace {

constexpr char kHex[] = "0123456789abcdef";

bool is_continuation(std::string_view text, std::size_t at, unsigned low = 0x80, unsigned high = 0xbf) {
  if (at >= text.size()) return false;
  const auto byte = static_cast<unsigned char>(text[at]);
  return byte >= low && byte <= high;
}

// utf8_length returns the length of the well-formed sequence (RFC 3629 §4) at `at`, or 0.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return is_continuation(text, at + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const unsigned low = lead == 0xe0 ? 0xa0 : 0x80;    // Overlong forms.
    const unsigned high = lead == 0xed ? 0x9f : 0xbf;   // Surrogates.
    return is_continuation(text, at + 1, low, high) && is_continuation(text, at + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const unsigned low = lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xf4 ? 0x8f : 0xbf;
    const bool whole = is_continuation(text, at + 1, low, high) && is_continuation(text, at + 2) &&
                       is_continuation(text, at + 3);
    return whole ? 4 : 0;
  }
  return 0;
}

void append_escaped(unsigned char byte, std::string_view prefix, std::string& out) {
  out += prefix;
  out += kHex[byte >> 4];
  out += kHex[byte & 15];
}

// ObjectWriter appends one JSON object. Keys are constants of this file and need no escapes.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }

  std::string& key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += name;
    out_ += "\":";
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_json_string(value, key(name)); }
  void number(std::string_view name, std::uint64_t value) { key(name) += std::to_string(value); }
  void boolean(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }
  void end() { out_ += "}\n"; }

 private:
  std::string& out_;
  bool first_ = true;
};

template <typename Texts>
void append_list(const Texts& texts, std::string& out) {
  out += '[';
  bool first = true;
  for (const auto& text : texts) {
    if (!first) out += ',';
    first = false;
    append_json_string(text, out);
  }
  out += ']';
}

// is_list tells the details of which a flow may have several: always a list in JSON, however long.
constexpr bool is_list(engine::Detail detail) {
  return detail == engine::Detail::kAnswer || detail == engine::Detail::kAlpn;
}

void write_details(const FlowRow& row, ObjectWriter& object) {
  for (const auto& [detail, value] : row.details) {
    if (!is_list(detail)) object.text(to_string(detail), value);
  }
  for (const engine::Detail list : {engine::Detail::kAlpn, engine::Detail::kAnswer}) {
    std::vector<std::string_view> values;
    for (const auto& [detail, value] : row.details) {
      if (detail == list) values.push_back(value);
    }
    if (!values.empty()) append_list(values, object.key(to_string(list)));
  }
}

}  // namespace

std::string format_time(Timestamp time) {
  const auto micros = std::chrono::floor<std::chrono::microseconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(micros);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(micros - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return text;
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text, at);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += text[at];
    } else if (byte < 0x20 || byte == 0x7f) {
      append_escaped(byte, "\\u00", out);
    } else if (length == 0) {
      append_escaped(byte, "\\\\x", out);
    } else if (length == 2 && byte == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0) {
      append_escaped(static_cast<unsigned char>(text[at + 1]), "\\u00", out);  // C1 controls move terminals too.
    } else {
      out += text.substr(at, length);
    }
    at += length == 0 ? 1 : length;
  }
  out += '"';
}

void append_flow_json(const FlowRow& row, std::string_view file, const LocateRule& locate, std::string& out) {
  ObjectWriter object(out);
  object.text("file", file);
  object.number("flow", row.flow);
  if (row.turned) object.boolean("turned", true);
  object.text("time", format_time(row.time));
  object.text("proto", to_string(row.key.transport));
  if (row.key.transport == Transport::kOther) object.number("ip_protocol", row.key.ip_protocol);
  object.text("src", row.key.client.address.to_string());
  object.number("sport", row.key.client.port);
  object.text("dst", row.key.server.address.to_string());
  object.number("dport", row.key.server.port);
  if (row.tunnel != Protocol::kUnknown) {
    object.text("tunnel", to_string(row.tunnel));
    object.number("tunnel_flow", row.tunnel_flow);
  }
  object.text("protocol", to_string(row.protocol));
  object.text("name", row.name);
  append_list(row.names, object.key("names"));
  object.text("verdict", to_string(row.verdict));
  object.text("reason", to_string(row.reason));
  object.text("rule", locate(row.rule));
  object.number("packets", row.packets);
  object.number("bytes", row.bytes);
  object.number("first_frame", row.first_frame);
  write_details(row, object);
  object.end();
}

void append_frame_json(const FrameRow& row, std::string_view file, std::string& out) {
  ObjectWriter object(out);
  object.text("file", file);
  object.number("frame", row.frame);
  object.text("time", format_time(row.time));
  if (row.flow) object.number("flow", *row.flow);
  if (row.inner_flow) object.number("inner_flow", *row.inner_flow);
  object.text("verdict", row.seen_by_inspector ? to_string(row.verdict) : "none");
  object.text("reason", row.reason);
  if (row.rewritten) object.boolean("rewritten", true);
  if (row.released) {
    object.text("released", to_string(*row.released));
    object.number("released_by", row.released_by);
  }
  object.end();
}

}  // namespace sallyport::replay
