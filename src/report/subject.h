// What a flow is about, in a few words. Hostile bytes as they are.
#pragma once

#include <string>

#include "sallyport/replay/transcript.h"

namespace sallyport::report {

inline std::string server_of(const replay::FlowRow& row) {
  const Endpoint& server = row.key.server;
  const std::string address = server.address.to_string();
  if (row.key.transport != Transport::kTcp && row.key.transport != Transport::kUdp) return address;
  return (server.address.is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(server.port);
}

inline std::string protocol_of(const replay::FlowRow& row) {
  return std::string(row.protocol == Protocol::kUnknown ? to_string(row.key.transport) : to_string(row.protocol));
}

inline std::string subject_of(const replay::FlowRow& row) {
  return protocol_of(row) + " " + (row.name.empty() ? "" : row.name + " ") + server_of(row);
}

}  // namespace sallyport::report
