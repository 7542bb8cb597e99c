// What `sallyport doctor` looks at: whether this host can run the firewall, what of it would be chosen, and who else changes
// packets, marks and rules here. It changes nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sallyport/policy/policy.h"

namespace sallyport::doctor {

// Level: kNote is worth knowing, kWarn may break something or let something pass, kFail keeps the firewall from working.
enum class Level : std::uint8_t { kOk, kNote, kWarn, kFail };

// to_string returns "OK", "NOTE", "WARN" or "FAIL".
std::string_view to_string(Level level);

struct Finding {
  Level level = Level::kOk;
  std::string check;   // "nfqueue": one of a fixed set of words, several findings may share one.
  std::string text;    // One line, printable.
  std::string advice;  // What to change, a command where there is one; empty: nothing.
  bool operator==(const Finding&) const = default;
};

// Patient is what is examined: the policy's deployment on this host.
struct Patient {
  std::shared_ptr<const policy::Policy> policy;
  policy::Mode mode = policy::Mode::kEnforce;
  unsigned queues = 1;
};

// examine looks at this host, in this network namespace. Without root it says what it could not look at.
std::vector<Finding> examine(const Patient& patient);

Level worst(std::span<const Finding> findings);
// findings_table is for people, findings_json one JSON object: {"worst": "warn", "findings": [...]}.
std::string findings_table(std::span<const Finding> findings, bool colour);
std::string findings_json(std::span<const Finding> findings, std::string_view version);

}  // namespace sallyport::doctor
