#include "event_line.h"

#include <pwd.h>

#include <algorithm>
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
constexpr auto kReplace = nlohmann::json::error_handler_t::replace;

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

std::string_view verdict_text(const EventRow& row) {
  if (row.record.verdict == engine::FlowVerdict::kPending) return "pending";
  if (!row.record.denied()) return "allow";
  return row.would_deny() ? "would deny" : "deny";
}

std::string times_text(const EventRow& row) {
  if (row.repeated == nullptr) return {};
  return " (" + std::to_string(row.repeated->count) + (row.repeated->count == 1 ? " time)" : " times)");
}

// name_source tells where the name comes from: what carried it, or the address.
std::string_view name_source(const EventRecord& record) {
  if (record.name_of_address) return "address";
  switch (record.protocol) {
    case Protocol::kHttp:
    case Protocol::kHttp2: return "host";
    case Protocol::kDns:
    case Protocol::kMdns:
    case Protocol::kLlmnr: return "question";
    case Protocol::kSocks: return "proxy";
    default: return "sni";  // TLS, QUIC, DTLS, and what became TLS.
  }
}

// rule_name returns the name that the operator gave the rule or guard; empty: none.
std::string rule_name(const policy::Policy& policy, RuleId rule) {
  if (rule < policy.rules().size()) return policy.rules()[rule].name;
  const policy::Guard* guard = policy.guard_at(rule);
  return guard == nullptr ? std::string() : guard->name;
}

std::vector<std::string> scopes_of(const policy::Policy& policy, policy::ScopeSet scopes) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < policy.scope_names().size(); ++i) {
    if ((scopes >> i & 1) != 0) names.push_back(policy.scope_names()[i]);
  }
  return names;
}

// harmless returns a text of our own, in which foreign parts are escaped already; what is not is escaped here.
std::string harmless(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == ' ' || c == '\\' ? std::string(1, c) : escaped({&c, 1});
  return out;
}

void add_process(const ProcessFacts& facts, nlohmann::ordered_json& row) {
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) row[key] = escaped(value);
  };
  add("process", facts.process);
  if (facts.pid != 0) row["pid"] = facts.pid;
  add("program", facts.program);
  add("cgroup", facts.cgroup);
  add("unit", facts.unit);
  add("container", facts.container);
  add("container_id", facts.container_id);
}

void add_repeated(const Repeated& repeated, nlohmann::ordered_json& row) {
  row["count"] = repeated.count;
  row["first"] = seconds_of(repeated.first);
  row["last"] = seconds_of(repeated.last);
  row["of"] = repeated.of;
}

}  // namespace

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

std::string EventFormatter::who(const EventRecord& record) {
  return record.uid ? user_name(*record.uid) : record.key.client.address.to_string();
}

std::string EventFormatter::brief(const EventRow& row) {
  const EventRecord& record = row.record;
  const std::string server = endpoint_text(record.key.server, record.key.transport);
  std::string text = "sallyport: " + (record.name_size == 0 ? server : escaped(record.name()));
  text += !record.denied() ? " is allowed" : row.would_deny() ? " would not be allowed" : " is not allowed";
  text += " (" + escaped(row.policy.location(record.rule)) + ": " + std::string(to_string(record.reason));
  if (record.answer) text += " to " + record.answer->to_string();
  if (!record.host_key().empty()) text += ", host key SHA256:" + std::string(record.host_key());
  text += "): " + protocol_text(record);
  if (record.name_size != 0) text += ' ' + server;
  if (!record.proxy_target().empty()) text += " for " + escaped(record.proxy_target());
  return text + times_text(row) + '\n';
}

std::string EventFormatter::why(const EventRow& row) const {
  const EventRecord& record = row.record;
  std::string why(to_string(record.reason));
  if (record.rule != kNoRule) why += ", " + escaped(row.policy.location(record.rule));
  if (record.answer) why += " to " + record.answer->to_string();
  if (!record.host_key().empty()) why += ", host key SHA256:" + std::string(record.host_key());
  if (!record.proxy_target().empty()) why += ", a proxy asked for " + escaped(record.proxy_target());
  if (record.tunnel != Protocol::kUnknown) why += ", inside " + std::string(to_string(record.tunnel));
  return why;
}

std::string EventFormatter::text(const EventRow& row) {
  const EventRecord& record = row.record;
  std::string verdict(verdict_text(row));
  if (colour_ && record.verdict != engine::FlowVerdict::kPending) {
    const std::string_view colour = !record.denied() ? kGreen : row.would_deny() ? kYellow : kRed;
    verdict = std::string(colour) + verdict + std::string(kPlain);
  }
  const std::string name = record.name_size == 0 ? "-" : escaped(record.name());
  return clock_text(record.time) + "  " + padded(who(record), 10) + "  " + padded(protocol_text(record), 5) + "  " +
         padded(name, 32) + "  " + padded(endpoint_text(record.key.server, record.key.transport), 21) + "  " +
         verdict + " (" + why(row) + ")" + times_text(row) + '\n';
}

std::string EventFormatter::sentence(const EventRow& row) {
  const EventRecord& record = row.record;
  std::string text = std::string(verdict_text(row)) + ' ' + who(record) + ' ' + protocol_text(record);
  if (record.name_size != 0) text += ' ' + escaped(record.name());
  return text + ' ' + endpoint_text(record.key.server, record.key.transport) + " (" + why(row) + ')' + times_text(row);
}

nlohmann::ordered_json EventFormatter::fields(const EventRow& from) {
  const EventRecord& record = from.record;
  nlohmann::ordered_json row;
  row["v"] = kEventSchemaVersion;
  row["id"] = from.id;
  row["event"] = "flow";
  row["time"] = seconds_of(record.time);
  if (from.repeated != nullptr) add_repeated(*from.repeated, row);
  row["proto"] = to_string(record.key.transport);
  if (record.key.transport == Transport::kOther) row["ip_protocol"] = record.key.ip_protocol;
  row["src"] = record.key.client.address.to_string();
  row["sport"] = record.key.client.port;
  row["dst"] = record.key.server.address.to_string();
  row["dport"] = record.key.server.port;
  if (record.uid) {
    row["uid"] = *record.uid;
    row["user"] = user_name(*record.uid);
  }
  row["scopes"] = scopes_of(from.policy, record.scopes);
  row["protocol"] = to_string(record.protocol);
  if (record.tunnel != Protocol::kUnknown) row["tunnel"] = to_string(record.tunnel);
  if (record.name_size == 0) {
    row["name"] = nullptr;
  } else {
    row["name"] = escaped(record.name());
    row["name_source"] = name_source(record);
  }
  if (!record.proxy_target().empty()) row["proxy_target"] = escaped(record.proxy_target());
  row["verdict"] = to_string(record.verdict);
  row["reason"] = to_string(record.reason);
  row["rule"] = from.policy.location(record.rule);
  if (std::string name = rule_name(from.policy, record.rule); !name.empty()) row["rule_name"] = std::move(name);
  if (record.answer) row["answer"] = record.answer->to_string();
  if (!record.host_key().empty()) row["hostkey_sha256"] = record.host_key();
  row["mode"] = from.mode == policy::Mode::kObserve ? "observe" : "enforce";
  if (record.kind == engine::FlowEvent::Kind::kVerdict) {
    row["decision_us"] = std::chrono::floor<std::chrono::microseconds>(record.time - record.opened).count();
  }
  row["packets"] = record.packets;
  row["bytes"] = record.bytes;
  if (from.process != nullptr) add_process(*from.process, row);
  return row;
}

nlohmann::ordered_json other_fields(std::string_view id, Timestamp time, std::string_view kind, const nlohmann::ordered_json& fields) {
  nlohmann::ordered_json row{{"v", kEventSchemaVersion}, {"id", id}, {"event", kind}, {"time", seconds_of(time)}};
  for (const auto& [key, value] : fields.items()) {
    if (!row.contains(key)) row[key] = value;
  }
  return row;
}

std::string other_text(std::string_view kind, const nlohmann::ordered_json& fields) {
  std::string words(kind);
  std::ranges::replace(words, '_', ' ');
  std::string text = harmless(words) + ':';
  if (const auto message = fields.find("message"); message != fields.end() && message->is_string()) {
    return text + ' ' + harmless(message->get_ref<const std::string&>());
  }
  for (const auto& [key, value] : fields.items()) text += ' ' + escaped(key) + '=' + value.dump(-1, ' ', true, kReplace);
  return text;
}

std::string json_line(const nlohmann::ordered_json& fields) {
  return fields.dump(-1, ' ', true, kReplace) + '\n';
}

}  // namespace sallyport::daemon
