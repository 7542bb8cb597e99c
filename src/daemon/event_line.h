// Events as lines: for people, JSON by schema version 1 (docs/events.md), and the form of Suricata's eve.json. Whatever the
// network or a process said is escaped.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "event_record.h"
#include "process_finder.h"
#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

inline constexpr int kEventSchemaVersion = 1;

// escaped returns `text` with everything but visible ASCII as \xNN, and the backslash doubled.
std::string escaped(std::string_view text);

// Repeated is what a line says that stands for several denials.
struct Repeated {
  std::uint64_t count = 0;
  Timestamp first{};
  Timestamp last{};
  std::string of{};  // Id of the line that began it.
};

// EventRow is a decided flow with all that is known of it. Borrowed for the call.
struct EventRow {
  const EventRecord& record;
  std::string_view id;
  const policy::Policy& policy;  // That judged it.
  policy::Mode mode = policy::Mode::kEnforce;
  const ProcessFacts* process = nullptr;
  const Repeated* repeated = nullptr;

  bool would_deny() const { return record.denied() && mode == policy::Mode::kObserve; }
};

// EventFormatter belongs to one thread.
class EventFormatter {
 public:
  explicit EventFormatter(bool colour) : colour_(colour) {}

  // text returns a line for people with its newline; brief a sentence for standard error beside the output of a command.
  std::string text(const EventRow& row);
  std::string brief(const EventRow& row);
  // sentence is the text without the time, in no columns.
  std::string sentence(const EventRow& row);
  // fields returns the event of schema version 1.
  nlohmann::ordered_json fields(const EventRow& row);

 private:
  std::string why(const EventRow& row) const;
  std::string who(const EventRecord& record);
  // user_name looks a uid up once; the number stands for one that has no name.
  const std::string& user_name(std::uint32_t uid);

  bool colour_;
  std::unordered_map<std::uint32_t, std::string> users_;
};

// other_fields returns an event of another kind; `fields` are its own members.
nlohmann::ordered_json other_fields(std::string_view id, Timestamp time, std::string_view kind, const nlohmann::ordered_json& fields);
// other_text returns such an event for people, without time and newline: "reload: 12 flows were cut".
std::string other_text(std::string_view kind, const nlohmann::ordered_json& fields);
// clock_text returns the local time of day with milliseconds.
std::string clock_text(Timestamp time);

// json_line returns one line of valid JSON in ASCII, with its newline.
std::string json_line(const nlohmann::ordered_json& fields);

// eve_line returns a decided flow in the form of eve.json; `fields` are its own. other_eve_line does it for other events.
std::string eve_line(const EventRow& row, const nlohmann::ordered_json& fields);
std::string other_eve_line(Timestamp time, const nlohmann::ordered_json& fields);

// journal_entry returns a datagram of the journal's native protocol: the message, a priority of syslog (4 warning, 5 notice, 6
// informational) and every member of `fields` as SALLYPORT_KEY.
std::string journal_entry(std::string_view message, int priority, const nlohmann::ordered_json& fields);

}  // namespace sallyport::daemon
