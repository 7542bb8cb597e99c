// Frames of a service, for tests of the live view.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

#include "sallyport/view/model.h"

namespace sallyport::testing {

using Json = nlohmann::ordered_json;

// A row of the service: flow `number`, decided `number` seconds after 10:00:00 UTC.
inline Json flow_row(unsigned number, const std::string& name, const std::string& verdict = "allow", const std::string& protocol = "tls") {
  Json row{{"id", "k1-" + std::to_string(number)}, {"number", number}, {"state", "live"}, {"opened", 1'790'935'200.0 + number},
           {"time", 1'790'935'200.0 + number}, {"proto", "tcp"}, {"src", "192.0.2.10"}, {"sport", 40'000 + number},
           {"dst", "203.0.113.7"}, {"dport", 443}, {"uid", 1000}, {"user", "agent"}, {"scopes", Json::array()}, {"in_none", true}, {"protocol", protocol}};
  row["name"] = name.empty() ? Json(nullptr) : Json(name);
  row["verdict"] = verdict;
  row["reason"] = verdict == "deny" ? "name_not_allowed" : "rule_allows";
  row["rule"] = verdict == "deny" ? "default" : "policy.toml:9";
  return row;
}

inline Json denied_row(const std::string& name, unsigned count) {
  return {{"name", name}, {"protocol", "tls"}, {"proto", "tcp"}, {"dport", 443}, {"count", count}, {"last", 1'790'935'230.0},
          {"reason", "name_not_allowed"}, {"rule", "default"}, {"scopes", Json::array()}, {"in_none", true}, {"user", "agent"}};
}

inline Json frame(unsigned number, Json flows, Json denied = Json::array()) {
  return {{"frame", number}, {"time", 1'790'935'260.0 + number}, {"mode", "enforce"}, {"policy", "policy.toml"}, {"uptime_s", 7'500},
          {"held", 2}, {"awaiting_binding", 1}, {"packets", 1'000 + 40 * number}, {"holds", 10}, {"events_lost", 0}, {"live", 214}, {"forgotten", 0}, {"has_scopes", false},
          {"queues", Json::array({Json{{"queue", 0}, {"waiting", 3}, {"queue_dropped", 0}, {"user_dropped", 0}, {"packets", 9}}})},
          {"rates", {{"opened", 12}, {"allowed", 9}, {"denied", 3}, {"allowed_minute", 8.5}, {"denied_minute", 0.25}}},
          {"top_denied", std::move(denied)}, {"flows", std::move(flows)}};
}

// In UTC, so that times of day are the same everywhere.
class ViewTest : public ::testing::Test {
 protected:
  ViewTest() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
    model.connected = true;
  }
  view::Model model;
};

}  // namespace sallyport::testing
