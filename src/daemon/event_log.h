// EventLog carries decided flows from the workers to the outputs of [events]: a bounded ring per worker, one thread that folds and
// words them, and for each output a bounded buffer and a thread. A slow or blocked reader costs events, which are counted, and
// nothing else.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "event_folder.h"
#include "event_line.h"
#include "event_output.h"
#include "process_finder.h"
#include "spsc_ring.h"

namespace sallyport::daemon {

struct EventLogOptions {
  unsigned workers = 1;
  std::shared_ptr<const policy::Policy> policy;
  std::optional<policy::Mode> mode;  // Overrides the policy's own.
  // brief has events go to standard error as sentences and nowhere else: the run of one command.
  bool brief = false;
  bool json = false;   // Standard output gets JSON, whatever the policy says of it.
  bool quiet = false;  // Standard output gets no flows.
  bool colour = false;
  int standard_output = 1;
  int standard_error = 2;
  bool processes = true;  // Look for whose local flows are.
  std::function<void(const std::string&)> say;  // For people, on standard error; any thread.
};

class EventLog {
 public:
  explicit EventLog(EventLogOptions options);
  // The destructor writes what is there, for at most a second, and joins the threads.
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  using Observer = std::function<void(const EventRecord&, std::string_view id, const policy::Policy& judge)>;
  // set_observer, before start: it gets each record, the ends of decided flows too, on the log's thread. The id is the row's; it
  // is empty for a record that is no row. Rule and scopes of the record are the judge's.
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  void start();
  // stdout_is_for_programs tells whether standard output carries JSON lines alone.
  bool stdout_is_for_programs() const;

  // set_policy tells of a policy before any worker judges by it: it says where events go from now on. Each record is worded with the
  // policy that judged it; an older one is kept for five seconds more. Any thread but the workers'.
  void set_policy(std::shared_ptr<const policy::Policy> policy);

  // note_flow is for the thread of worker `worker` alone, with the first packet of a flow.
  void note_flow(unsigned worker, const FlowKey& key, const Packet& packet);
  // add is for the thread of worker `worker` alone; never blocks.
  void add(unsigned worker, const engine::FlowEvent& event);
  // add_event takes an event of another kind than a decided flow ("reload", "grant", ...): its own members, in the order that they
  // are to have, but for v, id, event and time, which are put in front. A member "message" is what people read of it (one
  // sentence, foreign parts escaped); without it they get the members. Any thread. Waits for a lock that is held for moments alone.
  void add_event(std::string_view kind, nlohmann::ordered_json fields);
  // dropped returns how many events were lost, whatever the output.
  std::uint64_t dropped() const;
  // status returns what became of events, for `sallyport status`. Any thread.
  nlohmann::json status() const;

 private:
  struct Output;
  struct Waiting {
    EventRecord record;
    std::string id;
    std::chrono::steady_clock::time_point since;
  };
  struct Other {
    std::string id;
    Timestamp time;
    std::string kind;
    std::unique_ptr<nlohmann::ordered_json> fields;
  };
  struct Judge {
    std::shared_ptr<const policy::Policy> policy;
    std::chrono::steady_clock::time_point until;  // When nothing of it can come any more; of the last: not yet.
  };

  void run();
  // turn does what is to be done; `all`: nothing waits any more. Returns whether there was something.
  bool turn(bool all);
  bool take_records();
  bool write_waiting(bool all);
  bool write_folded(bool all);
  bool write_others();
  void write_row(const EventRow& row);
  void put_row(const EventRow& row, const nlohmann::ordered_json& fields, Output& output);
  void put_other(const Other& other, const nlohmann::ordered_json& fields, Output& output);
  void apply_policy();
  void open_outputs(const policy::Events& events);
  // end_gone forgets outputs that have ended; the log waits for none.
  void end_gone();
  std::shared_ptr<const policy::Policy> policy_of(const EventRecord& record);
  policy::Mode mode_of(const policy::Policy& policy) const;
  std::string next_id();
  Timestamp now() const { return std::chrono::system_clock::now(); }

  EventLogOptions options_;
  Observer observer_;
  EventFormatter formatter_;
  std::string id_prefix_;
  std::atomic<std::uint64_t> next_id_{0};
  std::vector<std::unique_ptr<SpscRing<EventRecord>>> rings_;
  std::atomic<std::uint64_t> ring_dropped_{0};
  std::uint64_t told_dropped_ = 0;
  std::unique_ptr<ProcessFinder> processes_;

  // Of the log's thread.
  std::deque<Waiting> waiting_;
  EventFolder folder_;
  const policy::Policy* applied_ = nullptr;

  mutable std::mutex outputs_mutex_;  // Held by the log's thread while outputs change, and by status.
  std::vector<std::unique_ptr<Output>> outputs_;
  policy::Events events_;
  std::vector<std::unique_ptr<daemon::EventOutput>> gone_;  // Outputs that are no longer wanted, and write what they have.
  std::uint64_t gone_lost_ = 0;  // Of outputs that are no more.

  std::mutex mutex_;  // Of what follows.
  std::deque<Judge> judges_;
  std::vector<Other> others_;

  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace sallyport::daemon
