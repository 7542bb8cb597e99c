// A decided flow as a line of text: for people, or JSON. Whatever the network said is escaped.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>

#include "event_record.h"
#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

// escaped returns `text` with everything but visible ASCII as \xNN, and the backslash doubled.
std::string escaped(std::string_view text);

class EventFormatter {
 public:
  enum class Style : std::uint8_t {
    kText,
    kJson,
    kBrief,  // A sentence, for standard error beside the output of a command.
  };
  EventFormatter(const policy::Policy& policy, policy::Mode mode, Style style, bool colour)
      : policy_(policy), mode_(mode), style_(style), colour_(colour) {}

  // line returns the line with its newline.
  std::string line(const EventRecord& record);
  // line of an event of another kind; any thread.
  std::string line(std::string_view id, Timestamp time, std::string_view kind, const nlohmann::ordered_json& fields) const;

 private:
  std::string text_line(const EventRecord& record);
  std::string json_line(const EventRecord& record);
  std::string brief_line(const EventRecord& record);
  // user_name looks a uid up once; the number stands for one that has no name.
  const std::string& user_name(std::uint32_t uid);

  // A record that was not judged here has no policy of its own.
  const policy::Policy& policy_of(const EventRecord& record) const { return record.policy != nullptr ? *record.policy : policy_; }

  const policy::Policy& policy_;
  policy::Mode mode_;
  Style style_;
  bool colour_;
  std::unordered_map<std::uint32_t, std::string> users_;
};

}  // namespace sallyport::daemon
