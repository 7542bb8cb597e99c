// Listeners is what a policy's [listeners] says may listen here: for the drift audit (docs/listeners.md), no verdict goes by it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"

namespace sallyport::policy {

// names_owner tells whether `name`, as a policy has it, means this process or unit: with a unit's kind behind it
// ("ssh.service") the unit alone, else the process. A "*" stands for any octets.
bool names_owner(std::string_view name, std::string_view process, std::string_view unit);

struct Listener {
  std::optional<IpAddress> address;    // 0.0.0.0 and :: stand for each address of their family; absent ("*"): of both.
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
  bool required = true;                // Its absence is a finding. Not of a range: sockets may be there, and none must.
  std::optional<Transport> transport;  // kTcp or kUdp; absent: both.
  std::string owner;                   // For names_owner; empty: anybody.
  std::string netns;                   // A network namespace ("*": any octets); empty: the program's own.
  std::string text;                    // As the file has it.
  unsigned line = 0;

  // covers tells whether a socket at this address, 0.0.0.0 and :: included, has no more than was declared.
  bool covers(const IpAddress& at) const;
  bool is_for(Transport socket_transport, std::uint16_t port, std::string_view socket_netns) const;
};

struct Listeners {
  bool declared = false;        // The policy has the table. Without it nothing is compared.
  std::vector<Listener> allow;  // In the order of the file.
  bool all_namespaces = false;  // netns = "all"
  Duration interval = std::chrono::seconds(10);
};

}  // namespace sallyport::policy
