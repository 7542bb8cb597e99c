// Writes transcript rows as JSON, one object a line (docs/replay.md lists the keys).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "sallyport/core/time.h"
#include "sallyport/replay/transcript.h"

namespace sallyport::replay {

// LocateRule tells where a rule stands: "file:line", or "default" for kNoRule.
using LocateRule = std::function<std::string(RuleId)>;

// format_time returns RFC 3339 in UTC with microseconds: "2026-01-31T12:00:00.000000Z".
std::string format_time(Timestamp time);

// append_flow_json and append_frame_json append one object and a line feed. `file` is the capture as it was
// named. Names and details come from hostile bytes: what is no UTF-8 becomes the four characters \xNN.
void append_flow_json(const FlowRow& row, std::string_view file, const LocateRule& locate, std::string& out);
void append_frame_json(const FrameRow& row, std::string_view file, std::string& out);

// append_json_string appends `text` with quotes, as printable ASCII and UTF-8.
void append_json_string(std::string_view text, std::string& out);

}  // namespace sallyport::replay
