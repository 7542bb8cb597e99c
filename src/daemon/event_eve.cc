// Events in the form of Suricata's eve.json (docs/events.md says what differs).
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "event_line.h"

namespace sallyport::daemon {
namespace {

using Json = nlohmann::ordered_json;

// Of the range for rules of one's own; the same for a reason as long as its word is the same.
constexpr std::uint64_t kSignatureFirst = 1'900'000;
constexpr std::uint64_t kSignatures = 100'000;

std::uint64_t hash_of(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;  // FNV-1a
  return hash;
}

// eve_time returns "2026-01-31T23:59:59.123456+0000".
std::string eve_time(Timestamp time) {
  const auto micros = std::chrono::floor<std::chrono::microseconds>(time);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(micros);
  const std::time_t wall = seconds.time_since_epoch().count();
  std::tm utc{};
  (void)::gmtime_r(&wall, &utc);
  std::array<char, 32> text{};
  (void)std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 16> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%06d+0000", static_cast<int>((micros - seconds).count()));
  return std::string(text.data()) + fraction.data();
}

std::string eve_proto(const FlowKey& key) {
  switch (key.transport) {
    case Transport::kTcp: return "TCP";
    case Transport::kUdp: return "UDP";
    case Transport::kIcmp: return "ICMP";
    case Transport::kIcmpv6: return "IPv6-ICMP";
    case Transport::kOther: break;
  }
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%03u", static_cast<unsigned>(key.ip_protocol));
  return text.data();
}

// eve_app_proto returns Suricata's word; what it does not know is "failed" there.
std::string_view eve_app_proto(Protocol protocol) {
  switch (protocol) {
    case Protocol::kUnknown: return "failed";
    case Protocol::kHttp2: return "http2";
    case Protocol::kPostgresql: return "pgsql";
    default: return to_string(protocol);
  }
}

// add_application adds the object of the protocol and returns the type of event that Suricata has for it, or an empty text.
std::string_view add_application(const EventRecord& record, Json& eve) {
  const bool named = record.name_size != 0 && !record.name_of_address;
  const std::string name = named ? escaped(record.name()) : std::string();
  switch (record.protocol) {
    case Protocol::kTls:
      eve["tls"] = named ? Json{{"sni", name}} : Json::object();
      return "tls";
    case Protocol::kQuic:
      eve["quic"] = named ? Json{{"sni", name}} : Json::object();
      return "quic";
    case Protocol::kHttp:
    case Protocol::kHttp2:
      eve["http"] = named ? Json{{"hostname", name}} : Json::object();
      return "http";
    case Protocol::kDns:
      if (!named) return {};
      eve["dns"] = Json{{"version", 2}, {"type", "query"}, {"rrname", name}};
      return "dns";
    default: return {};
  }
}

void add_alert(const EventRow& row, Json& eve) {
  const std::string reason(to_string(row.record.reason));
  const std::string location = escaped(row.policy.location(row.record.rule));
  eve["alert"] = {{"action", row.would_deny() ? "allowed" : "blocked"},
                  {"gid", 1},
                  {"signature_id", kSignatureFirst + hash_of(reason) % kSignatures},
                  {"rev", 1},
                  {"signature", "Sallyport egress denied: " + reason + " (" + location + ")"},
                  {"category", "Egress policy violation"},
                  {"severity", 2}};
  eve["verdict"] = {{"action", row.would_deny() ? "alert" : "drop"}};
}

}  // namespace

std::string eve_line(const EventRow& row, const nlohmann::ordered_json& fields) {
  const EventRecord& record = row.record;
  Json eve;
  eve["timestamp"] = eve_time(record.time);
  // Within 53 bits, which every reader of JSON keeps; of one run.
  const std::string_view run = row.id.substr(0, row.id.find('-'));
  eve["flow_id"] = hash_of(std::to_string(record.worker) + '.' + std::to_string(record.flow), hash_of(run)) >> 11;
  eve["event_type"] = "flow";
  eve["src_ip"] = record.key.client.address.to_string();
  eve["src_port"] = record.key.client.port;
  eve["dest_ip"] = record.key.server.address.to_string();
  eve["dest_port"] = record.key.server.port;
  eve["proto"] = eve_proto(record.key);
  eve["app_proto"] = eve_app_proto(record.protocol);
  const std::string_view type = add_application(record, eve);
  if (record.denied()) {
    eve["event_type"] = "alert";
    add_alert(row, eve);
  } else if (!type.empty() && record.verdict == engine::FlowVerdict::kAllow) {
    eve["event_type"] = type;
  }
  eve["flow"] = {{"start", eve_time(record.opened)}};
  if (eve["event_type"] == "flow") {
    eve["flow"]["state"] = record.verdict == engine::FlowVerdict::kPending ? "closed" : "new";
    eve["flow"]["alerted"] = false;
  }
  eve["sallyport"] = fields;
  return json_line(eve);
}

std::string other_eve_line(Timestamp time, const nlohmann::ordered_json& fields) {
  Json eve;
  eve["timestamp"] = eve_time(time);
  eve["event_type"] = "sallyport";
  eve["sallyport"] = fields;
  return json_line(eve);
}

}  // namespace sallyport::daemon
