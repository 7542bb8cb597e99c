#include "control_server.h"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "unix_socket.h"

namespace sallyport::daemon {
namespace {

constexpr std::size_t kRequestMax = 4'096;

std::string error_text(const std::string& path, const char* what) {
  return "control socket " + path + ": " + what + ": " + std::strerror(errno);
}

// answered tells whether somebody listens on the socket.
bool answered(const UnixAddress& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const bool connected = ::connect(fd, address.get(), address.size) == 0;
  ::close(fd);
  return connected;
}

// make_directories returns those that were missing; the socket's bind tells what could not be made.
std::vector<std::filesystem::path> make_directories(const std::filesystem::path& wanted) {
  std::vector<std::filesystem::path> made;
  std::filesystem::path path;
  std::error_code error;
  for (const std::filesystem::path& part : wanted) {
    path /= part;
    if (std::filesystem::create_directory(path, error)) made.push_back(path);
  }
  return made;
}

}  // namespace

std::expected<std::unique_ptr<ControlServer>, std::string> ControlServer::open(const std::string& path,
                                                                               Handler handler) {
  const std::optional<UnixAddress> address = unix_address(path);
  if (!address) return std::unexpected("control socket " + path + ": the path is too long");
  if (answered(*address)) {
    return std::unexpected(
        "control socket " + path +
        ": another sallyport answers there; stop it, or choose another path with --control");
  }
  std::vector<std::filesystem::path> made = make_directories(std::filesystem::path(path).parent_path());
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return std::unexpected("control socket " + path + ": there is something else");
    ::unlink(path.c_str());
  }
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return std::unexpected(error_text(path, "socket"));
  std::unique_ptr<ControlServer> server(new ControlServer(fd, path, std::move(handler)));
  server->made_ = std::move(made);
  const mode_t before = ::umask(0117);  // Nobody may connect before the mode is right.
  const bool bound = ::bind(fd, address->get(), address->size) == 0;
  ::umask(before);
  if (!bound) return std::unexpected(error_text(path, "bind"));
  if (const group* entry = ::getgrnam("sallyport"); entry != nullptr) {
    (void)!::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid);
  }
  if (::listen(fd, 16) != 0) return std::unexpected(error_text(path, "listen"));
  return server;
}

ControlServer::~ControlServer() {
  ::close(fd_);
  ::unlink(path_.c_str());
  std::error_code error;
  while (!made_.empty() && std::filesystem::remove(made_.back(), error)) made_.pop_back();  // Empty ones only.
}

void ControlServer::serve() {
  const int client = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  set_timeouts(client, 1);
  if (const std::optional<std::string> request = read_line(client, kRequestMax)) {
    const nlohmann::json parsed = nlohmann::json::parse(*request, nullptr, false);
    std::string answer;
    if (parsed.is_object() && parsed.contains("command") && parsed["command"].is_string()) {
      answer = handler_(parsed["command"].get<std::string>());
    } else {
      answer = R"({"error":"a request is one line: {\"command\":\"status\"}"})";
    }
    (void)send_all(client, answer + '\n');
  }
  ::close(client);
}

}  // namespace sallyport::daemon
