#include "flow_reader.h"

#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

std::uint16_t port_of(const Json& object, const char* key) {
  const std::uint64_t port = count_of(object, key);
  return port <= 0xffff ? static_cast<std::uint16_t>(port) : std::uint16_t{0};
}

std::optional<std::uint64_t> optional_count(const Json& object, const char* key) {
  if (!member(object, key).is_number_unsigned()) return std::nullopt;
  return count_of(object, key);
}

}  // namespace

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_of(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? visible(value.get<std::string>()) : std::string();
}

std::uint64_t count_of(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

double figure_of(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_number() ? value.get<double>() : 0;
}

std::vector<std::string> texts_of(const Json& object, const char* key) {
  std::vector<std::string> texts;
  const Json& list = member(object, key);
  if (!list.is_array()) return texts;
  for (const Json& each : list) {
    if (each.is_string()) texts.push_back(visible(each.get<std::string>()));
  }
  return texts;
}

Flow read_flow(const Json& row) {
  Flow flow;
  flow.number = count_of(row, "number");
  flow.id = text_of(row, "id");
  flow.ended = text_of(row, "state") == "ended";
  flow.opened = figure_of(row, "opened");
  flow.time = figure_of(row, "time");
  flow.transport = text_of(row, "proto");
  flow.protocol = text_of(row, "protocol");
  if (flow.protocol.empty() || flow.protocol == "unknown") flow.protocol = flow.transport;
  flow.source = text_of(row, "src");
  flow.source_port = port_of(row, "sport");
  flow.address = text_of(row, "dst");
  flow.port = port_of(row, "dport");
  flow.user = text_of(row, "user");
  flow.scopes = texts_of(row, "scopes");
  flow.in_none = member(row, "in_none") == Json(true);
  flow.name = text_of(row, "name");
  flow.verdict = text_of(row, "verdict");
  flow.reason = text_of(row, "reason");
  flow.rule = text_of(row, "rule");
  flow.tunnel = text_of(row, "tunnel");
  flow.proxy_target = text_of(row, "proxy_target");
  flow.answer = text_of(row, "answer");
  flow.host_key = text_of(row, "hostkey_sha256");
  flow.octets_out = optional_count(row, "bytes_out");
  flow.octets_in = optional_count(row, "bytes_in");
  return flow;
}

DeniedName read_denied(const Json& row) {
  DeniedName name;
  name.name = text_of(row, "name");
  name.transport = text_of(row, "proto");
  name.protocol = text_of(row, "protocol");
  if (name.protocol.empty() || name.protocol == "unknown") name.protocol = name.transport;
  name.port = port_of(row, "dport");
  name.count = count_of(row, "count");
  name.last = figure_of(row, "last");
  name.reason = text_of(row, "reason");
  name.rule = text_of(row, "rule");
  name.user = text_of(row, "user");
  name.scopes = texts_of(row, "scopes");
  name.in_none = member(row, "in_none") == Json(true);
  return name;
}

}  // namespace sallyport::view
