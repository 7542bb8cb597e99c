// What somebody changed by the control socket, as an event.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "control_server.h"

namespace sallyport::daemon {

// change_fields returns the members of an event "control": command, uid, gid, pid, process, arguments, done. Whatever the peer
// said is escaped.
nlohmann::ordered_json change_fields(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer);
// peer_text returns "uid 0, gid 0, pid 7 (sallyport)".
std::string peer_text(const Peer& peer);

}  // namespace sallyport::daemon
