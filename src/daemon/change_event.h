// What somebody changed by the control socket, as an event.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control_server.h"
#include "sallyport/core/time.h"

namespace sallyport::daemon {

// change_json returns one line of JSON without its newline: {"time":...,"event":"control","command":"allow","uid":0,...}.
std::string change_json(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer, Timestamp time);
// change_line returns it as a line for people, with its newline. Both escape whatever the peer said.
std::string change_line(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer, Timestamp time);

}  // namespace sallyport::daemon
