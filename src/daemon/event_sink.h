// EventSink is where lines of events end: a descriptor, a file, a socket, the journal. It belongs to the thread of its output.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "sallyport/policy/events.h"

namespace sallyport::daemon {

class EventSink {
 public:
  enum class State : std::uint8_t {
    kReady,
    kLater,   // It takes nothing now: try again behind `wait`.
    kBroken,  // It takes nothing any more.
  };
  struct Progress {
    std::size_t done = 0;     // Lines that need not be given again.
    std::size_t lost = 0;     // Of these: given up.
    State state = State::kReady;
    std::chrono::milliseconds wait{0};
    std::string error{};      // Why, for people; empty: nothing new to say.
  };

  virtual ~EventSink() = default;
  // write never waits longer than a tenth of a second (but for a disk that hangs).
  virtual Progress write(std::span<const std::string> lines) = 0;
  // idle is called every second or so when there is nothing to write.
  virtual void idle() {}
};

// descriptor_sink writes to standard output or error, which stay the caller's.
std::unique_ptr<EventSink> descriptor_sink(int fd, std::string name);
// file_sink appends to a file, which it makes with mode 0640 and opens anew within a second when the path names another one (log
// rotation). A disk that is full is tried again; a line is written whole or not at all.
std::unique_ptr<EventSink> file_sink(std::string path);
// unix_sink connects to a stream or datagram socket, and again when that ends, at first behind 100 ms, at last behind 5 s.
std::unique_ptr<EventSink> unix_sink(std::string path);
// journal_sink sends entries (journal_entry) to the journal's socket.
std::unique_ptr<EventSink> journal_sink(std::string path = "/run/systemd/journal/socket");

}  // namespace sallyport::daemon
