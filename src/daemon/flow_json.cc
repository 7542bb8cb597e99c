#include "flow_json.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "event_line.h"

namespace sallyport::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kRowsPerAnswer = 1'000;
constexpr std::size_t kGlobMax = 256;

double seconds(Timestamp time) {
  return static_cast<double>(std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch().count()) / 1e6;
}

Json error(const std::string& why) {
  return {{"error", why}};
}

// whole_number reads an optional argument.
bool whole_number(const nlohmann::json& request, const char* key, std::uint64_t& value) {
  if (!request.contains(key)) return true;
  if (!request[key].is_number_unsigned()) return false;
  value = request[key].get<std::uint64_t>();
  return true;
}

bool read_verdict(const nlohmann::json& request, std::optional<engine::FlowVerdict>& verdict) {
  if (!request.contains("verdict")) return true;
  if (!request["verdict"].is_string()) return false;
  const auto word = request["verdict"].get<std::string>();
  for (const auto each : {engine::FlowVerdict::kPending, engine::FlowVerdict::kAllow, engine::FlowVerdict::kDeny}) {
    if (word == to_string(each)) verdict = each;
  }
  return verdict.has_value();
}

bool read_end(const nlohmann::json& request, const char* address, const char* port, Endpoint& end) {
  if (!request.contains(address) || !request[address].is_string() || !request.contains(port)) return false;
  const auto parsed = IpAddress::parse(request[address].get_ref<const std::string&>());
  std::uint64_t number = 0;
  if (!parsed || !whole_number(request, port, number) || number > 65'535) return false;
  end = {*parsed, static_cast<std::uint16_t>(number)};
  return true;
}

// read_ends reads the 5-tuple that may be asked for; all of it or nothing.
bool read_ends(const nlohmann::json& request, std::optional<FlowKey>& ends) {
  constexpr std::array<const char*, 5> kKeys = {"proto", "src", "sport", "dst", "dport"};
  if (std::ranges::none_of(kKeys, [&](const char* key) { return request.contains(key); })) return true;
  if (!request.contains("proto") || !request["proto"].is_string()) return false;
  FlowKey key;
  const auto& proto = request["proto"].get_ref<const std::string&>();
  for (const Transport each : {Transport::kTcp, Transport::kUdp}) {
    if (proto == to_string(each)) key.transport = each;
  }
  if (key.transport == Transport::kOther || !read_end(request, "src", "sport", key.client) || !read_end(request, "dst", "dport", key.server)) return false;
  ends = key;
  return true;
}

}  // namespace

Json flow_row_json(const FlowRow& row) {
  Json json;
  json["id"] = row.id;
  json["number"] = row.number;
  json["state"] = row.ended ? "ended" : "live";
  json["opened"] = seconds(row.opened);
  json["time"] = seconds(row.decided);
  if (row.ended) json["ended"] = seconds(*row.ended);
  json["proto"] = to_string(row.key.transport);
  json["src"] = row.key.client.address.to_string();
  json["sport"] = row.key.client.port;
  json["dst"] = row.key.server.address.to_string();
  json["dport"] = row.key.server.port;
  if (row.uid) {
    json["uid"] = *row.uid;
    json["user"] = row.user;
  }
  json["scopes"] = row.scopes;
  json["in_none"] = row.in_none;
  json["protocol"] = to_string(row.protocol);
  if (row.tunnel != Protocol::kUnknown) json["tunnel"] = to_string(row.tunnel);
  if (row.name.empty()) {
    json["name"] = nullptr;
  } else {
    json["name"] = escaped(row.name);
  }
  if (!row.proxy_target.empty()) json["proxy_target"] = escaped(row.proxy_target);
  json["verdict"] = to_string(row.verdict);
  json["reason"] = to_string(row.reason);
  json["rule"] = row.rule;
  if (row.answer) json["answer"] = row.answer->to_string();
  if (!row.host_key.empty()) json["hostkey_sha256"] = row.host_key;
  return json;
}

Json denied_json(const std::vector<DeniedName>& names) {
  Json list = Json::array();
  for (const DeniedName& each : names) {
    list.push_back({{"name", escaped(each.name)},
                    {"protocol", to_string(each.protocol)},
                    {"proto", to_string(each.transport)},
                    {"dport", each.port},
                    {"count", each.count},
                    {"last", seconds(each.last)},
                    {"reason", to_string(each.reason)},
                    {"rule", each.rule},
                    {"scopes", each.scopes},
                    {"in_none", each.in_none},
                    {"user", each.user}});
  }
  return list;
}

Json rates_json(const FlowRates& rates) {
  const auto rounded = [](double value) { return std::round(value * 100) / 100; };
  return {{"opened", rates.opened},
          {"allowed", rates.allowed},
          {"denied", rates.denied},
          {"opened_minute", rounded(rates.opened_minute)},
          {"allowed_minute", rounded(rates.allowed_minute)},
          {"denied_minute", rounded(rates.denied_minute)}};
}

std::expected<FlowQuery, std::string> flow_query(const nlohmann::json& request) {
  FlowQuery query;
  std::uint64_t limit = query.limit;
  if (!whole_number(request, "limit", limit)) return std::unexpected("limit: a whole number");
  if (!whole_number(request, "below", query.below)) return std::unexpected("below: a whole number");
  query.limit = static_cast<std::size_t>(std::min<std::uint64_t>(limit, kRowsPerAnswer));
  if (!read_verdict(request, query.verdict)) return std::unexpected("verdict: \"allow\", \"deny\" or \"pending\"");
  if (!read_ends(request, query.ends)) return std::unexpected("proto, src, sport, dst and dport: \"tcp\" or \"udp\", addresses and ports, all five");
  if (request.contains("ended") && !request["ended"].is_boolean()) return std::unexpected("ended: true or false");
  query.ended = request.value("ended", false);
  if (request.contains("name") && !request["name"].is_string()) return std::unexpected("name: a text");
  query.name = request.value("name", "");
  if (query.name.size() > kGlobMax) return std::unexpected("name: at most " + std::to_string(kGlobMax) + " bytes");
  return query;
}

Json flows_answer(const FlowBook& book, const FlowQuery& query) {
  FlowQuery one_more = query;
  ++one_more.limit;
  const std::vector<FlowRow> rows = book.flows(one_more);
  Json list = Json::array();
  std::size_t octets = 0;
  for (const FlowRow& row : rows) {
    if (list.size() == query.limit || octets > kFlowAnswerMax) break;
    list.push_back(flow_row_json(row));
    octets += 400 + 4 * (row.name.size() + row.proxy_target.size()) + row.rule.size();
  }
  const FlowTotals totals = book.totals();
  Json answer{{"live", totals.live}, {"ended", totals.ended}, {"forgotten", totals.forgotten}};
  if (list.size() < rows.size() && !list.empty()) answer["below"] = rows[list.size() - 1].number;
  answer["flows"] = std::move(list);
  return answer;
}

Json event_answer(const FlowBook& book, const nlohmann::json& request) {
  if (!request.contains("id") || !request["id"].is_string()) return error("id: the id of an event");
  const auto id = request["id"].get<std::string>();
  const std::optional<FlowRow> row = book.event(id);
  if (!row) return error("no event of this id is known; the newest " + std::to_string(kFlowBookEvents) + " are");
  Json event = flow_row_json(*row);
  event.erase("number");
  event.erase("state");
  return {{"event", std::move(event)}};
}

}  // namespace sallyport::daemon
