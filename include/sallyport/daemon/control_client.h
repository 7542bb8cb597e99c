// The client's side of the control socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::daemon {

enum class ControlError : std::uint8_t {
  kNotRunning,  // No socket, or nobody listens on it.
  kFailed,      // Not permitted, no answer in time, no sense in it.
};
struct ControlFailure {
  ControlError error = ControlError::kFailed;
  std::string message;
};

// How long an answer may take. A change may have to wait for iptables, for each address family, and again to take it back (RuleInstaller).
constexpr std::chrono::seconds kReadWait{5}, kChangeWait{60};

// ask_daemon sends one request line and returns the answer line, without its newline. Waits at most `limit` for each part of it.
std::expected<std::string, ControlFailure> ask_daemon(const std::string& path, std::string_view request, std::chrono::seconds limit = kReadWait);

// ControlConnection is a request that is answered by a stream of lines. The first is the answer to the request itself.
class ControlConnection {
 public:
  static std::expected<ControlConnection, ControlFailure> open(const std::string& path, std::string_view request);
  ~ControlConnection();
  ControlConnection(ControlConnection&& other) noexcept;
  ControlConnection& operator=(ControlConnection&& other) noexcept;

  // fd is readable when there are lines, or when the service is gone.
  int fd() const { return fd_; }
  // read appends the lines that are there, without their newlines; it never waits. False: the service closed.
  bool read(std::vector<std::string>& lines);

 private:
  explicit ControlConnection(int fd) : fd_(fd) {}

  int fd_ = -1;
  std::string begun_;  // Of a line that is not whole yet.
};

}  // namespace sallyport::daemon
