// EventLog carries decided flows from the workers to standard output (or another descriptor): a bounded ring per worker and one
// thread that writes. A slow or blocked reader costs events, which are counted, and nothing else.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "event_line.h"
#include "spsc_ring.h"

namespace sallyport::daemon {

class EventLog {
 public:
  // `fd` stays the caller's.
  EventLog(unsigned workers, EventFormatter formatter, int fd);
  // The destructor writes what is there, for at most a second, and joins the thread.
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  using Observer = std::function<void(const EventRecord&, std::string_view id)>;
  // set_observer, before start: it gets each record, the ends of decided flows too, on the log's thread. The id is the row's; it
  // is empty for a record that is no row.
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  // set_quiet, before start: nothing is written of flows; the observer gets them all the same.
  void set_quiet(bool quiet) { quiet_ = quiet; }
  void start();
  // add is for the thread of worker `worker` alone; never blocks.
  void add(unsigned worker, const engine::FlowEvent& event);
  // add_event takes an event of another kind than a decided flow ("reload", "grant", ...): its own members, in the order that they
  // are to have, but for v, id, event and time, which are put in front. A member "message" is what people read of it (one
  // sentence, no control characters); without it they get the members. Any thread. Waits for a lock that is held for moments alone.
  void add_event(std::string_view kind, nlohmann::ordered_json fields);
  // add_line takes a whole line of another kind, with its newline; any thread. Waits for a lock that is held for moments alone.
  void add_line(std::string line);
  // set_policy: records of this policy may come from now on. Those of former ones are worded with the policy that judged them.
  void set_policy(std::shared_ptr<const policy::Policy> policy);
  // dropped returns how many events were lost.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void run();
  bool write_pending();
  std::string next_id();
  // write writes to standard output without ever blocking longer than a stop may take.
  bool write(std::string_view text);

  EventFormatter formatter_;
  Observer observer_;
  bool quiet_ = false;
  int fd_;
  std::vector<std::unique_ptr<SpscRing<EventRecord>>> rings_;
  std::mutex lines_mutex_;
  std::vector<std::string> lines_;
  std::deque<std::shared_ptr<const policy::Policy>> policies_;  // lines_mutex_; those that records may be of.
  std::atomic<std::uint64_t> dropped_{0};
  std::uint64_t reported_ = 0;
  std::atomic<bool> stopping_{false};
  std::string id_prefix_;
  std::atomic<std::uint64_t> next_id_{0};
  std::atomic<bool> broken_{false};  // Nobody reads any more: each further event is lost.
  std::thread thread_;
};

}  // namespace sallyport::daemon
