// What a request on the control socket is.
#include <algorithm>
#include <set>

#include "control_server.h"

namespace sallyport::daemon {
namespace {

constexpr int kDepthMax = 8;
constexpr const char* kWhatARequestIs = R"(a request is one line: {"command":"status"}; {"command":"help"} lists the commands)";

}  // namespace

std::expected<nlohmann::json, std::string> parse_request(std::string_view line) {
  bool too_deep = false;
  bool repeated = false;
  std::set<std::string> keys;
  const auto look = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    too_deep |= depth > kDepthMax;
    // Two readers could take different ones.
    if (event == nlohmann::json::parse_event_t::key && depth == 1) repeated |= !keys.insert(value.get<std::string>()).second;
    return !too_deep;
  };
  nlohmann::json request = nlohmann::json::parse(line.begin(), line.end(), look, false);
  if (too_deep) return std::unexpected("a request is nested at most " + std::to_string(kDepthMax) + " deep");
  const bool whole = request.is_object() && request.contains("command") && request["command"].is_string();
  if (!whole) return std::unexpected(kWhatARequestIs);
  if (repeated) return std::unexpected("a request has each key once");
  return request;
}

std::optional<std::string> unknown_argument(const nlohmann::json& request, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : request.items()) {
    if (key == "command" || std::ranges::find(known, key) != known.end()) continue;
    std::string text = nlohmann::json(key).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + ": unknown argument; there is";
    if (known.size() == 0) text += " none";
    const char* between = " ";
    for (const std::string_view each : known) {
      text += between + std::string(each);
      between = ", ";
    }
    return text;
  }
  return std::nullopt;
}

nlohmann::ordered_json control_error(std::string_view why) {
  return {{"error", why}};
}

}  // namespace sallyport::daemon
