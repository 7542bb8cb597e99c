// state_path names a file that stands beside the control socket and keeps something over a restart.
#pragma once

#include <filesystem>
#include <string>

namespace sallyport::daemon {

// For a control socket "DIR/NAME.sock" and "flows" it is "DIR/NAME.flows.json"; empty for an abstract socket, and for none.
inline std::string state_path(const std::string& control_path, const std::string& what) {
  if (control_path.empty() || control_path.front() == '@') return {};
  return std::filesystem::path(control_path).replace_extension('.' + what + ".json").string();
}

}  // namespace sallyport::daemon
