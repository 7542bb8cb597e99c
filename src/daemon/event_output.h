// EventOutput is one place where events go, with a bounded buffer and a thread of its own: one that is stuck costs only itself.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "event_sink.h"

namespace sallyport::daemon {

class EventOutput {
 public:
  // `say` is called in the output's thread when its sink fails, when it goes on, and when lines were lost.
  EventOutput(std::string name, std::unique_ptr<EventSink> sink, std::function<void(const std::string&)> say);
  // The destructor writes what is there, for at most a second behind stop, and joins the thread.
  ~EventOutput();
  EventOutput(const EventOutput&) = delete;
  EventOutput& operator=(const EventOutput&) = delete;

  // add takes a whole line, or counts it as lost: the buffer has kEventBufferBytes. Never waits for the sink.
  void add(std::string line);
  // stop has the thread end; does not wait for it.
  void stop();
  // ended tells whether the thread is at its end, so that the destructor waits for nothing. A disk that hangs keeps it.
  bool ended() const { return ended_.load(); }

  const std::string& name() const { return name_; }
  std::uint64_t written() const { return written_.load(std::memory_order_relaxed); }
  std::uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }
  // error returns why the sink takes nothing now; empty: it does.
  std::string error() const;

 private:
  void run();
  // write_some gives the sink the first lines; false: it takes nothing more.
  bool write_some(std::deque<std::string>& lines);
  void note(const EventSink::Progress& progress);
  void lose(std::size_t lines);

  std::string name_;
  std::unique_ptr<EventSink> sink_;
  std::function<void(const std::string&)> say_;
  std::atomic<std::uint64_t> written_{0};
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> ended_{false};
  std::uint64_t told_lost_ = 0;
  mutable std::mutex mutex_;  // Of what follows.
  std::condition_variable wake_;
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;  // Of lines_ and of what the thread has taken from it.
  std::string error_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point give_up_{};
  bool broken_ = false;
  std::thread thread_;
};

}  // namespace sallyport::daemon
