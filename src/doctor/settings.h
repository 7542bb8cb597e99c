// Findings from the files of /proc, /sys and /etc: functions of what `read` returns, so that tests need no host.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/doctor/doctor.h"

namespace sallyport::doctor {

// ReadFile returns a small file's contents, or nullopt when there is none. A folder that is there reads as an empty text.
using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

std::vector<Finding> conntrack_findings(const ReadFile& read, const policy::Policy& policy);
std::vector<Finding> bridge_findings(const ReadFile& read, const policy::Deploy& deploy);
std::vector<Finding> routing_findings(const ReadFile& read, const policy::Deploy& deploy);
std::vector<Finding> resolver_findings(const ReadFile& read, const policy::Policy& policy);
std::vector<Finding> host_findings(const ReadFile& read, const policy::Policy& policy);

// printable makes one line of a text of others: control characters and what is not ASCII become '?', and it is cut at 160 bytes.
std::string printable(std::string_view text);

}  // namespace sallyport::doctor
