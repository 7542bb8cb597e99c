// ControlServer listens on a unix stream socket: one JSON object per connection and line, answered by one line, or by a
// stream of lines (docs/control.md). It never blocks: the owner's loop polls fd() for input and calls serve. All of it, and
// every handler, runs on the owner's thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control_stream.h"
#include "sallyport/core/time.h"

namespace sallyport::daemon {

// Peer is who connected, as the kernel says (SO_PEERCRED), but for `process`: what /proc calls the pid, which may be
// another's by then.
struct Peer {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  pid_t pid = 0;
  std::string process;
};

// A kChange request is reported to the change log with its peer, whether it succeeds or not.
enum class ControlRight : std::uint8_t { kRead, kChange };

// A handler returns the answer: an object, to which the server adds "ok": true; {"error": "..."} when it cannot be done. It
// must be short: packets do not wait for it, but signals and other clients do.
using ControlHandler = std::function<nlohmann::ordered_json(const nlohmann::json& request, const Peer& peer)>;
// A stream's handler answers as others do; behind the answer, unless it is an error, the client gets what is sent.
using ControlStreamHandler =
    std::function<nlohmann::ordered_json(const nlohmann::json& request, const Peer& peer, std::shared_ptr<ControlStream> stream)>;
using ChangeLog =
    std::function<void(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer)>;

// ControlLimits is what clients may cost (docs/control.md).
struct ControlLimits {
  std::size_t request = 65'536;            // Octets of a request.
  std::size_t clients = 64;
  std::size_t others = 48;                 // Of users beside root and this one: who may do everything is not shut out.
  std::size_t streams = 16;
  std::size_t queued = 64u << 20;          // Octets of answers that are not taken yet, all together.
  std::chrono::milliseconds request_time{2'000};  // From the connection to the whole request.
  std::chrono::milliseconds take_time{5'000};     // In which a peer must take some of what waits for it.
};

class ControlServer {
 public:
  // open makes the socket (mode 0660, group "sallyport" if there is one) and its directory. A socket that
  // nobody answers on is replaced; one that a live service answers on is an error.
  static std::expected<std::unique_ptr<ControlServer>, std::string> open(const std::string& path, ControlLimits limits = {});
  // The destructor removes the socket, and the directories that open had to make.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Before the first serve. A command has one handler.
  void on(std::string command, ControlHandler handler, ControlRight right = ControlRight::kRead);
  void on_stream(std::string command, ControlStreamHandler handler);
  void set_change_log(ChangeLog log) { change_log_ = std::move(log); }

  // set_alarm has serve call `ring` once at this moment of the wall clock, or soon after; a clock that is set counts. Another
  // alarm, or none, takes the place of the last.
  void set_alarm(std::optional<Timestamp> when);
  void on_alarm(std::function<void()> ring) { ring_ = std::move(ring); }

  // attend has serve call `ready` when `fd`, which stays the caller's and open, is readable.
  bool attend(int fd, std::function<void()> ready);

  // fd is readable whenever there is something to serve, the end of a client's time included.
  int fd() const { return epoll_; }
  void serve();
  std::size_t clients() const { return clients_.size(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Command {
    ControlHandler handler;
    ControlStreamHandler stream_handler;
    ControlRight right = ControlRight::kRead;
  };
  struct Client {
    int fd = -1;
    Peer peer;
    std::string in;
    std::string out;
    std::size_t sent = 0;
    bool answered = false;
    bool watched_for_output = false;
    Clock::time_point deadline;  // By when the request is whole, or the peer has taken something.
    std::shared_ptr<ControlStream> stream;
  };
  using Id = std::uint64_t;
  using Clients = std::map<Id, Client>;

  ControlServer(int fd, std::string path, ControlLimits limits) : fd_(fd), path_(std::move(path)), limits_(limits) {}
  bool open_poll();
  bool watch(int fd, Id id, std::uint32_t events);
  void accept_some();
  bool admits(const Peer& peer) const;
  void refuse(int fd, std::string_view why);
  void receive(Clients::iterator client);
  void answer(Clients::iterator client, std::string_view line);
  nlohmann::ordered_json dispatch(const nlohmann::json& request, Client& client);
  nlohmann::ordered_json list_commands() const;
  void flush(Clients::iterator client);
  void flush_streams();
  void end_overdue();
  void arm_timer(bool on);
  void close(Clients::iterator client);

  int fd_;
  int epoll_ = -1;
  int timer_ = -1;
  int wake_ = -1;
  int alarm_ = -1;
  bool timer_armed_ = false;
  bool abstract_ = false;
  std::string path_;
  ControlLimits limits_;
  std::map<std::string, Command, std::less<>> commands_;
  ChangeLog change_log_;
  std::function<void()> ring_;
  std::map<Id, std::function<void()>> attended_;
  Clients clients_;
  Id next_id_ = 0;
  std::vector<std::filesystem::path> made_;  // Outermost first.
};

// parse_request returns the object of a request, or why it is none: not JSON, nested too deeply, a key twice, no "command".
std::expected<nlohmann::json, std::string> parse_request(std::string_view line);
// unknown_argument returns what is wrong when a request has a key beside "command" and `known`; a typing error must not
// turn a grant for ten minutes into one for ever.
std::optional<std::string> unknown_argument(const nlohmann::json& request, std::initializer_list<std::string_view> known);
// control_error returns {"error": why}.
nlohmann::ordered_json control_error(std::string_view why);

}  // namespace sallyport::daemon
