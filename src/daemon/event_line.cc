#include "event_line.h"

#include <pwd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <vector>

namespace sallyport::daemon {
namespace {

constexpr std::string_view kGreen = "\x1b[32m";
constexpr std::string_view kRed = "\x1b[31m";
constexpr std::string_view kYellow = "\x1b[33m";
constexpr std::string_view kPlain = "\x1b[0m";

// clock_text returns the local time of day with milliseconds.
std::string clock_text(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time - seconds).count();
  const std::time_t wall = seconds.time_since_epoch().count();
  std::tm local{};
  (void)::localtime_r(&wall, &local);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03d", static_cast<int>(milliseconds));
  return std::string(text.data(), size) + fraction.data();
}

double seconds_of(Timestamp time) {
  return static_cast<double>(std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch().count()) / 1e6;
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string endpoint_text(const Endpoint& endpoint, Transport transport) {
  std::string text =
      endpoint.address.is_v6() ? '[' + endpoint.address.to_string() + ']' : endpoint.address.to_string();
  if (transport == Transport::kTcp || transport == Transport::kUdp)
    text += ':' + std::to_string(endpoint.port);
  return text;
}

// protocol_text returns the protocol, or the transport where the bytes are no known protocol.
std::string protocol_text(const EventRecord& record) {
  if (record.protocol != Protocol::kUnknown) return std::string(to_string(record.protocol));
  return std::string(to_string(record.key.transport));
}

}  // namespace

std::string escaped(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == '\\') {
      out += "\\\\";
    } else if (byte > 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
    }
  }
  return out;
}

const std::string& EventFormatter::user_name(std::uint32_t uid) {
  constexpr std::size_t kUsersMax = 4'096;  // A container can use any number of uids.
  if (const auto found = users_.find(uid); found != users_.end()) return found->second;
  if (users_.size() >= kUsersMax) users_.clear();
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  std::string name = std::to_string(uid);
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    name = entry.pw_name;
  return users_.emplace(uid, escaped(name)).first->second;
}

std::string EventFormatter::line(const EventRecord& record) {
  switch (style_) {
    case Style::kText: return text_line(record);
    case Style::kJson: return json_line(record);
    case Style::kBrief: return brief_line(record);
  }
  return {};
}

std::string EventFormatter::line(std::string_view id, Timestamp time, std::string_view kind, const nlohmann::ordered_json& fields) const {
  constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
  if (style_ == Style::kJson) {
    nlohmann::ordered_json row{{"v", 1}, {"id", id}, {"event", kind}, {"time", seconds_of(time)}};
    for (const auto& [key, value] : fields.items()) row[key] = value;
    return row.dump(-1, ' ', true, kReplace) + '\n';
  }
  std::string text = clock_text(time) + "  " + escaped(kind) + ':';
  if (const auto message = fields.find("message"); message != fields.end() && message->is_string()) {
    return text + ' ' + message->get_ref<const std::string&>() + '\n';
  }
  for (const auto& [key, value] : fields.items()) text += ' ' + escaped(key) + '=' + value.dump(-1, ' ', true, kReplace);
  return text + '\n';
}

std::string EventFormatter::brief_line(const EventRecord& record) {
  const bool denied = record.verdict == engine::FlowVerdict::kDeny;
  const std::string server = endpoint_text(record.key.server, record.key.transport);
  std::string text = "sallyport: " + (record.name_size == 0 ? server : escaped(record.name()));
  text += !denied ? " is allowed" : mode_ == policy::Mode::kObserve ? " would not be allowed" : " is not allowed";
  text += " (" + escaped(policy_of(record).location(record.rule)) + ": " + std::string(to_string(record.reason));
  if (record.answer) text += " to " + record.answer->to_string();
  if (!record.host_key().empty()) text += ", host key SHA256:" + std::string(record.host_key());
  text += "): " + protocol_text(record);
  if (record.name_size != 0) text += ' ' + server;
  if (!record.proxy_target().empty()) text += " for " + escaped(record.proxy_target());
  return text + '\n';
}

std::string EventFormatter::text_line(const EventRecord& record) {
  const bool denied = record.verdict == engine::FlowVerdict::kDeny;
  const bool observing = mode_ == policy::Mode::kObserve;
  const bool undecided = record.verdict == engine::FlowVerdict::kPending;
  std::string verdict(undecided ? "pending" : denied ? (observing ? "would deny" : "deny") : "allow");
  if (colour_ && !undecided) {
    const std::string_view colour = !denied ? kGreen : observing ? kYellow : kRed;
    verdict = std::string(colour) + verdict + std::string(kPlain);
  }
  std::string why(to_string(record.reason));
  if (record.rule != kNoRule) why += ", " + escaped(policy_of(record).location(record.rule));
  if (record.answer) why += " to " + record.answer->to_string();
  if (!record.host_key().empty()) why += ", host key SHA256:" + std::string(record.host_key());
  if (!record.proxy_target().empty()) why += ", a proxy asked for " + escaped(record.proxy_target());
  if (record.tunnel != Protocol::kUnknown) why += ", inside " + std::string(to_string(record.tunnel));
  const std::string who = record.uid ? user_name(*record.uid) : record.key.client.address.to_string();
  const std::string name = record.name_size == 0 ? "-" : escaped(record.name());
  return clock_text(record.time) + "  " + padded(who, 10) + "  " + padded(protocol_text(record), 5) + "  " +
         padded(name, 32) + "  " + padded(endpoint_text(record.key.server, record.key.transport), 21) + "  " +
         verdict + " (" + why + ")\n";
}

std::string EventFormatter::json_line(const EventRecord& record) {
  nlohmann::ordered_json row;
  row["time"] = seconds_of(record.time);
  row["proto"] = to_string(record.key.transport);
  row["src"] = record.key.client.address.to_string();
  row["sport"] = record.key.client.port;
  row["dst"] = record.key.server.address.to_string();
  row["dport"] = record.key.server.port;
  if (record.uid) {
    row["uid"] = *record.uid;
    row["user"] = user_name(*record.uid);
  }
  row["protocol"] = to_string(record.protocol);
  if (record.tunnel != Protocol::kUnknown) row["tunnel"] = to_string(record.tunnel);
  if (record.name_size == 0) {
    row["name"] = nullptr;
  } else {
    row["name"] = escaped(record.name());
  }
  if (!record.proxy_target().empty()) row["proxy_target"] = escaped(record.proxy_target());
  row["verdict"] = to_string(record.verdict);
  row["reason"] = to_string(record.reason);
  row["rule"] = policy_of(record).location(record.rule);
  if (record.answer) row["answer"] = record.answer->to_string();
  if (!record.host_key().empty()) row["hostkey_sha256"] = record.host_key();
  row["mode"] = mode_ == policy::Mode::kObserve ? "observe" : "enforce";
  return row.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace sallyport::daemon
