#include "grant_text.h"

#include <chrono>
#include <cstdio>

#include "sallyport/policy/duration.h"

namespace sallyport::cli {
namespace {

using nlohmann::ordered_json;

// word escapes what a control character could do to a terminal: the text was given by whoever made the grant.
std::string word(const ordered_json& grant, const char* key) {
  if (!grant.contains(key) || !grant[key].is_string()) return {};
  std::string text = grant[key].dump(-1, ' ', true, ordered_json::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

std::string joined(const ordered_json& grant, const char* key) {
  std::string text;
  if (!grant.contains(key) || !grant[key].is_array()) return text;
  for (const auto& each : grant[key]) {
    const std::string one = each.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
    text += (text.empty() ? "" : ",") + (each.is_string() ? one.substr(1, one.size() - 2) : one);
  }
  return text;
}

std::string tail(const ordered_json& grant) {
  std::string text;
  if (const std::string scope = word(grant, "scope"); !scope.empty()) text += ", scope " + scope;
  if (grant.contains("left_s") && grant["left_s"].is_number_integer()) {
    text += ", " + policy::duration_text(std::chrono::seconds(grant["left_s"].get<std::int64_t>())) + " left";
  } else {
    text += ", until revoked";
  }
  if (grant.contains("by") && grant["by"].is_object() && grant["by"].contains("uid")) text += ", by uid " + grant["by"]["uid"].dump();
  return text;
}

std::string id_of(const ordered_json& grant) {
  return grant.contains("id") ? grant["id"].dump() : "?";
}

}  // namespace

std::string grant_line(const ordered_json& grant) {
  if (!grant.is_object()) return "?";
  std::string text = id_of(grant) + ": " + word(grant, "action") + ' ' + word(grant, "name");
  if (const std::string protocols = joined(grant, "protocols"); !protocols.empty()) text += ' ' + protocols;
  if (const std::string ports = joined(grant, "ports"); !ports.empty()) text += " port " + ports;
  return text + tail(grant);
}

std::string bypass_line(const ordered_json& bypass) {
  if (!bypass.is_object()) return "?";
  return id_of(bypass) + (word(bypass, "scope").empty() ? ": EVERY FLOW" : ": all rules") + tail(bypass);
}

void print_grants(const ordered_json& answer, const char* none) {
  bool any = false;
  for (const auto& [key, line] : {std::pair{"bypasses", &bypass_line}, {"grants", &grant_line}}) {
    if (!answer.contains(key) || !answer[key].is_array()) continue;
    for (const auto& each : answer[key]) {
      std::printf("%-10s %s\n", key == std::string("grants") ? "grant" : "BYPASS", line(each).c_str());
      any = true;
    }
  }
  if (!any && none != nullptr) std::puts(none);
}

}  // namespace sallyport::cli
