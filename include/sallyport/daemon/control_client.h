// The client's side of the control socket.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace sallyport::daemon {

enum class ControlError : std::uint8_t {
  kNotRunning,  // No socket, or nobody listens on it.
  kFailed,      // Not permitted, no answer in time, no sense in it.
};
struct ControlFailure {
  ControlError error = ControlError::kFailed;
  std::string message;
};

// ask_daemon sends one request line and returns the answer line, without its newline. Waits at most 5 s.
std::expected<std::string, ControlFailure> ask_daemon(const std::string& path, std::string_view request);

}  // namespace sallyport::daemon
