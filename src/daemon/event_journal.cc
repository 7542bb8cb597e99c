// Events in the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "event_line.h"

namespace sallyport::daemon {
namespace {

// add_field writes KEY=value, or where the value has a newline: KEY, newline, 64 bits of length (little endian), value. So no value can
// begin a field of its own.
void add_field(std::string_view key, std::string_view value, std::string& out) {
  out += key;
  if (value.find('\n') == std::string_view::npos) {
    out += '=';
  } else {
    out += '\n';
    std::uint64_t size = value.size();
    if constexpr (std::endian::native == std::endian::big) size = __builtin_bswap64(size);
    char bytes[sizeof size];
    std::memcpy(bytes, &size, sizeof size);
    out.append(bytes, sizeof bytes);
  }
  out += value;
  out += '\n';
}

// field_name makes "host_key" SALLYPORT_HOST_KEY: capitals, digits and underscores alone, at most 64 octets.
std::string field_name(std::string_view key) {
  std::string name = "SALLYPORT_";
  for (const char c : key.substr(0, 54)) {
    const bool small = c >= 'a' && c <= 'z';
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += small ? static_cast<char>(c - 'a' + 'A') : plain ? c : '_';
  }
  return name;
}

std::string value_text(const nlohmann::ordered_json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  std::string text;
  for (const auto& item : value) text += (text.empty() ? "" : " ") + value_text(item);
  return text;
}

}  // namespace

std::string journal_entry(std::string_view message, int priority, const nlohmann::ordered_json& fields) {
  std::string entry;
  add_field("MESSAGE", message, entry);
  add_field("PRIORITY", std::to_string(priority), entry);
  add_field("SYSLOG_IDENTIFIER", "sallyport", entry);
  for (const auto& [key, value] : fields.items()) {
    if (!value.is_null()) add_field(field_name(key), value_text(value), entry);
  }
  return entry;
}

}  // namespace sallyport::daemon
