// ControlServer listens on a unix stream socket: one JSON request line per connection, one JSON answer line.
// The owner's loop calls serve when fd() is readable. A silent client is cut off after a second.
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::daemon {

class ControlServer {
 public:
  using Handler = std::function<std::string(std::string_view command)>;

  // open makes the socket (mode 0660, group "sallyport" if there is one) and its directory. A socket that
  // nobody answers on is replaced; one that a live service answers on is an error.
  static std::expected<std::unique_ptr<ControlServer>, std::string> open(const std::string& path,
                                                                         Handler handler);
  // The destructor removes the socket, and the directories that open had to make.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  int fd() const { return fd_; }
  void serve();

 private:
  ControlServer(int fd, std::string path, Handler handler)
      : fd_(fd), path_(std::move(path)), handler_(std::move(handler)) {}

  int fd_;
  std::string path_;
  Handler handler_;
  std::vector<std::filesystem::path> made_;  // Outermost first.
};

}  // namespace sallyport::daemon
