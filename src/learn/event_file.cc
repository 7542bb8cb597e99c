#include "sallyport/learn/event_file.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "sallyport/policy/rule_words.h"

namespace sallyport::learn {
namespace {

using nlohmann::json;

std::string text_of(const json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::uint64_t> number_of(const json& row, const char* key) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

// time_of reads seconds since the epoch, within the years that a clock may show.
std::optional<Timestamp> time_of(const json& row, const char* key) {
  constexpr double kSecondsMax = 9'000'000'000;  // The year 2255; nanoseconds in 64 bits end in 2262.
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) return std::nullopt;
  const double seconds = found->get<double>();
  if (!(seconds >= 0 && seconds < kSecondsMax)) return std::nullopt;
  return Timestamp(std::chrono::duration_cast<Timestamp::duration>(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6))));
}

std::optional<Reason> reason_of(std::string_view word) {
  const auto found = std::ranges::find(kReasonInfo, word, &ReasonInfo::word);
  if (found == kReasonInfo.end()) return std::nullopt;
  return static_cast<Reason>(found - kReasonInfo.begin());
}

bool read_key(const json& row, FlowKey& key) {
  constexpr Transport kTransports[] = {Transport::kIcmp, Transport::kTcp, Transport::kUdp, Transport::kIcmpv6, Transport::kOther};
  const std::string proto = text_of(row, "proto");
  const auto transport = std::ranges::find_if(kTransports, [&](Transport one) { return to_string(one) == proto; });
  const auto client = IpAddress::parse(text_of(row, "src"));
  const auto server = IpAddress::parse(text_of(row, "dst"));
  const auto port = number_of(row, "dport");
  if (transport == std::end(kTransports) || !client || !server || !port || *port > 0xffff) return false;
  key.transport = *transport;
  key.client.address = *client;
  key.server = {*server, static_cast<std::uint16_t>(*port)};
  const auto number = number_of(row, "ip_protocol");
  if (number && *number <= 0xff) key.ip_protocol = static_cast<std::uint8_t>(*number);
  return true;
}

std::optional<Sighting> event_of(const json& row) {
  Sighting event;
  const auto protocol = protocol_from_string(text_of(row, "protocol"));
  const auto reason = reason_of(text_of(row, "reason"));
  const auto time = time_of(row, "time");
  const std::string verdict = text_of(row, "verdict");
  if (!read_key(row, event.key) || !protocol || !reason || !time) return std::nullopt;
  if (verdict == "allow") event.verdict = engine::FlowVerdict::kAllow;
  else if (verdict == "deny") event.verdict = engine::FlowVerdict::kDeny;
  else if (verdict != "pending") return std::nullopt;
  event.protocol = *protocol;
  event.reason = *reason;
  event.first = event.last = *time;
  if (const auto first = time_of(row, "first"); first && *first < event.first) event.first = *first;
  if (const auto last = time_of(row, "last"); last && *last > event.last) event.last = *last;
  event.count = std::clamp<std::uint64_t>(number_of(row, "count").value_or(1), 1, 1'000'000'000);
  event.name = text_of(row, "name");
  if (!event.name.empty()) event.names.push_back(event.name);
  event.proxy_target = text_of(row, "proxy_target");
  event.host_key = text_of(row, "hostkey_sha256");
  if (const auto uid = number_of(row, "uid"); uid && *uid < UINT32_MAX) event.uid = static_cast<std::uint32_t>(*uid);
  const std::string user = text_of(row, "user");
  event.owner = user.empty() ? event.key.client.address.to_string() : user;
  if (const std::string process = text_of(row, "process"); !process.empty()) event.owner += " (" + process + ')';
  // The name of a protocol that carries none is one of its address.
  const bool told = policy::rule_word_of(event.protocol, event.key.transport).carries_name || text_of(row, "name_source") == "sni";
  if (const auto name = DomainName::parse(event.name); name && !told) event.bound.push_back(*name);
  event.enforced = text_of(row, "mode") == "enforce";
  return event;
}

using Likeness = std::tuple<Transport, std::uint8_t, IpAddress, std::uint16_t, Protocol, std::string, std::string, Reason, engine::FlowVerdict, bool,
                            std::string, std::string>;

Likeness likeness_of(const Sighting& event) {
  return {event.key.transport, event.key.ip_protocol, event.key.server.address, event.key.server.port, event.protocol, event.name,
          event.proxy_target, event.reason, event.verdict, event.enforced, event.owner, event.host_key};
}

}  // namespace

void read_events(std::istream& in, const std::string& name, EventFile& events) {
  std::map<Likeness, std::size_t> known;
  for (std::size_t i = 0; i < events.sightings.size(); ++i) known.emplace(likeness_of(events.sightings[i]), i);
  std::string line;
  while (true) {
    line.clear();
    bool any = false, too_long = false;
    for (int c = in.get(); c != std::char_traits<char>::eof(); c = in.get()) {
      any = true;
      if (c == '\n') break;
      if (line.size() < kEventLineMax) line += static_cast<char>(c);
      else too_long = true;
    }
    if (!any) return;
    ++events.lines;
    const json row = too_long ? json() : json::parse(line, nullptr, false);
    if (row.is_discarded() || !row.is_object()) {
      ++events.unreadable;
      continue;
    }
    // Lines of the first version have no "event" and are about flows.
    if (row.contains("event") && text_of(row, "event") != "flow") {
      ++events.others;
      continue;
    }
    auto event = event_of(row);
    if (!event) {
      ++events.unreadable;
      continue;
    }
    event->where = name + ", line " + std::to_string(events.lines);
    const auto [at, is_new] = known.try_emplace(likeness_of(*event), events.sightings.size());
    if (!is_new) {
      Sighting& same = events.sightings[at->second];
      same.count += event->count;
      same.first = std::min(same.first, event->first);
      same.last = std::max(same.last, event->last);
    } else if (events.sightings.size() < kEventKindsMax) {
      events.sightings.push_back(std::move(*event));
    } else {
      known.erase(at);
      ++events.beyond;
    }
  }
}

}  // namespace sallyport::learn
