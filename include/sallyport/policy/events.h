// Events is what a policy's [events] says of where events go (docs/events.md): no verdict goes by it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/core/time.h"

namespace sallyport::policy {

enum class EventFormat : std::uint8_t { kText, kJson, kEve };

struct EventOutput {
  enum class Kind : std::uint8_t { kStdout, kJournald, kFile, kUnix };
  Kind kind = Kind::kStdout;
  std::string path{};                    // Of a file or socket; "@name" is an abstract socket.
  std::optional<EventFormat> format{};   // Absent: Events::format, or what is usual there. Never of journald.

  friend bool operator==(const EventOutput&, const EventOutput&) = default;
};

struct Events {
  std::vector<EventOutput> outputs = {EventOutput{}};  // May be empty.
  std::optional<EventFormat> format;                   // Of outputs that do not say.
  Duration fold = std::chrono::seconds(10);            // How long repeated denials are counted for one line; 0: not at all.

  friend bool operator==(const Events&, const Events&) = default;
};

}  // namespace sallyport::policy
