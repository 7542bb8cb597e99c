#include "sallyport/advice/question.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ranges>

#include "sallyport/advice/reason_text.h"
#include "sallyport/core/http_path.h"
#include "sallyport/policy/base64.h"
#include "sallyport/policy/explain.h"

namespace sallyport::advice {
namespace {

using Json = nlohmann::json;
constexpr std::size_t kLineMax = 1u << 20;

// key_from_base64 reads the SHA-256 of a host key as OpenSSH prints it, without "SHA256:".
std::optional<std::array<std::uint8_t, 32>> key_from_base64(std::string_view text) {
  std::array<std::uint8_t, 32> key{};
  const auto octets = policy::decode_base64(text, false);
  if (!octets || octets->size() != key.size()) return std::nullopt;
  std::ranges::copy(*octets, key.begin());
  return key;
}

std::string text_at(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_at(const Json& row, const char* key, std::uint64_t most) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number_unsigned()) return 0;
  return std::min(found->get<std::uint64_t>(), most);
}

// time_of reads seconds since the epoch, or RFC 3339 in UTC.
std::optional<Timestamp> time_of(const Json& row) {
  const auto found = row.find("time");
  if (found == row.end()) return std::nullopt;
  if (found->is_number()) {
    const double seconds = found->get<double>();
    if (!(seconds >= 0 && seconds < 9e9)) return std::nullopt;
    return Timestamp(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds)));
  }
  if (!found->is_string()) return std::nullopt;
  int year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (std::sscanf(found->get_ref<const std::string&>().c_str(), "%4d-%2u-%2uT%2u:%2u:%2u", &year, &month, &day, &hour, &minute, &second) != 6) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!date.ok() || year < 1970 || year > 2200) return std::nullopt;
  return Timestamp(std::chrono::sys_days(date)) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second);
}

Transport transport_from(std::string_view text) {
  for (const Transport one : {Transport::kTcp, Transport::kUdp, Transport::kIcmp, Transport::kIcmpv6}) {
    if (to_string(one) == text) return one;
  }
  return Transport::kOther;
}

engine::FlowVerdict verdict_from(std::string_view text) {
  return text == "allow" ? engine::FlowVerdict::kAllow : text == "deny" ? engine::FlowVerdict::kDeny : engine::FlowVerdict::kPending;
}

// path_of takes the path out of a request target, in the form that rules are compared with.
void take_target(std::string_view target, Request& request) {
  if (const std::size_t scheme = target.find("://"); scheme != std::string_view::npos && !target.starts_with('/')) {
    const std::size_t slash = target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  target = target.substr(0, target.find_first_of("?#"));
  if (!target.starts_with('/')) return;
  std::vector<char> storage(3 * target.size() + 1);
  if (const auto path = canonical_http_path(target, storage)) {
    request.path = *path;
  } else {
    request.path_ambiguous = true;
  }
}

void take_name(std::string text, Question& out) {
  out.name = DomainName::parse(text);
  out.shown_name = std::move(text);
}

void take_address_names(std::string_view joined, Question& out) {
  while (!joined.empty()) {
    const std::size_t space = joined.find(' ');
    if (const auto name = DomainName::parse(joined.substr(0, space))) out.address_names.push_back(*name);
    joined = space == std::string_view::npos ? std::string_view{} : joined.substr(space + 1);
  }
}

// settle works out what follows from the rest.
void settle(Question& out, const std::string& method, const std::string& target) {
  if (out.protocol == Protocol::kHttp2) out.protocol = Protocol::kHttp;
  // Rules know echo requests beside others; a row does not tell which it was.
  if (out.transport == Transport::kIcmp) out.icmp_type = 8;
  if (out.transport == Transport::kIcmpv6) out.icmp_type = 128;
  out.bound = !out.outcome || (out.outcome->reason != Reason::kAddressNotBound && out.outcome->reason != Reason::kResolverNotTrusted);
  if (out.protocol != Protocol::kHttp || method.empty()) return;
  // RFC 8441: a CONNECT with a path asks for a WebSocket.
  out.request = Request{.method = method, .path = {}, .websocket = method == "CONNECT" && target.starts_with('/')};
  take_target(target, *out.request);
  // The row has the flow's first request; what a later one lacked is in the reason alone.
}

}  // namespace

Question question_of_flow(const replay::FlowRow& row, const policy::Policy& policy) {
  Question out;
  out.transport = row.key.transport;
  out.ip_protocol = row.key.ip_protocol;
  out.protocol = row.protocol;
  take_name(row.name, out);
  out.client = row.key.client.address;
  out.client_port = row.key.client.port;
  out.address = row.key.server.address;
  out.port = row.key.server.port;
  out.scopes = policy.scopes_of({.source = row.key.client.address, .interface = {}, .uid = {}, .gid = {}});
  out.now = row.time;
  out.outcome = Outcome{row.verdict, row.reason, policy.location(row.rule)};
  std::string method, target;
  for (const auto& [detail, value] : row.details) {
    switch (detail) {
      case engine::Detail::kHttpMethod: method = method.empty() ? value : method; break;
      case engine::Detail::kHttpTarget: target = target.empty() ? value : target; break;
      case engine::Detail::kBoundNames: take_address_names(value, out); break;
      case engine::Detail::kHostKeySha256: out.host_key = key_from_base64(value); break;
      default: break;
    }
  }
  settle(out, method, target);
  return out;
}

std::expected<Question, std::string> question_of_json(std::string_view line, const policy::Policy& policy) {
  if (line.size() > kLineMax) return std::unexpected("a line longer than 1 MiB");
  const Json row = Json::parse(line, nullptr, false);
  if (!row.is_object()) return std::unexpected("not a JSON object");
  Question out;
  const std::string proto = text_at(row, "proto");
  const auto server = IpAddress::parse(text_at(row, "dst"));
  if (proto.empty() || !server) return std::unexpected("no flow: \"proto\" and \"dst\" are needed");
  out.transport = transport_from(proto);
  out.ip_protocol = static_cast<std::uint8_t>(number_at(row, "ip_protocol", 255));
  out.protocol = protocol_from_string(text_at(row, "protocol")).value_or(Protocol::kUnknown);
  take_name(text_at(row, "name"), out);
  out.client = IpAddress::parse(text_at(row, "src"));
  out.client_port = static_cast<std::uint16_t>(number_at(row, "sport", 65'535));
  out.address = server;
  out.port = static_cast<std::uint16_t>(number_at(row, "dport", 65'535));
  policy::ScopeFacts facts;
  if (out.client) facts.source = *out.client;
  if (row.contains("uid")) facts.uid = static_cast<std::uint32_t>(number_at(row, "uid", 0xffffffffu));
  const std::string cgroup = text_at(row, "cgroup");
  facts.cgroup = cgroup;
  out.scopes = policy.scopes_of(facts);
  // An event says itself which scopes the flow was in.
  if (const auto scopes = row.find("scopes"); scopes != row.end() && scopes->is_array()) {
    out.scopes = 0;
    for (const Json& one : *scopes) {
      if (one.is_string()) out.scopes |= scope_named(policy, one.get_ref<const std::string&>()).value_or(0);
    }
  } else if (const auto scope = scope_named(policy, text_at(row, "scope"))) {
    out.scopes = *scope;
  }
  out.now = time_of(row).value_or(Timestamp());
  if (const std::string verdict = text_at(row, "verdict"); !verdict.empty()) {
    out.outcome = Outcome{verdict_from(verdict), reason_from_word(text_at(row, "reason")), text_at(row, "rule")};
  }
  take_address_names(text_at(row, "bound_names"), out);
  if (const std::string key = text_at(row, "hostkey_sha256"); !key.empty()) out.host_key = key_from_base64(key);
  settle(out, text_at(row, "http_method"), text_at(row, "http_target"));
  return out;
}

std::optional<policy::ScopeSet> scope_named(const policy::Policy& policy, std::string_view name) {
  const auto& names = policy.scope_names();
  if (const auto found = std::ranges::find(names, name); found != names.end()) return policy::ScopeSet{1} << (found - names.begin());
  return name == "none" ? std::optional<policy::ScopeSet>(0) : std::nullopt;
}

Transport transport_of(Protocol protocol) {
  for (const Transport one : {Transport::kTcp, Transport::kUdp, Transport::kIcmp, Transport::kOther}) {
    const std::string_view word = policy::word_for(one, protocol);
    if (!word.empty() && word == to_string(protocol)) return one;
  }
  return Transport::kTcp;
}

Protocol protocol_at(Transport transport, std::uint16_t port) {
  for (std::size_t i = 0; i < kProtocolCount; ++i) {
    const auto protocol = static_cast<Protocol>(i);
    if (protocol == Protocol::kUnknown || policy::word_for(transport, protocol) != to_string(protocol)) continue;
    const auto ports = policy::home_ports_of(to_string(protocol));
    if (std::ranges::find(ports, port) != ports.end()) return protocol;
  }
  return Protocol::kUnknown;
}

std::uint16_t home_port_of(Transport transport, Protocol protocol) {
  const auto ports = policy::home_ports_of(policy::word_for(transport, protocol));
  return ports.empty() ? std::uint16_t{0} : ports.front();
}

}  // namespace sallyport::advice
