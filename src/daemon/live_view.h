// LiveView is what the operator sees of the flows: the book, the commands "flows" and "event", and the stream "watch".
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "control_server.h"
#include "event_log.h"
#include "flow_book.h"
#include "status_report.h"
#include "watch_feed.h"

namespace sallyport::daemon {

class LiveView {
 public:
  // Facts are asked for on the feed's thread: nothing of StatusFacts that another thread changes but its own counters.
  using Facts = std::function<nlohmann::ordered_json()>;

  LiveView(const std::shared_ptr<const policy::Policy>& policy, Facts facts);

  // attach and serve, before the log's and the socket's first turn.
  void attach(EventLog& log);
  void serve(ControlServer& control);
  // stop ends the feed; before the workers are gone.
  void stop() { feed_.stop(); }
  // set_policy is called when another policy begins to judge; any thread.
  void set_policy(const std::shared_ptr<const policy::Policy>& policy);
  const FlowBook& book() const { return book_; }

 private:
  std::atomic<bool> has_scopes_;  // The policy that judges.
  FlowBook book_;
  WatchFeed feed_;
};

// WatchFacts is what each frame begins with.
struct WatchFacts {
  policy::Mode mode = policy::Mode::kEnforce;
  std::string policy_name;
  std::chrono::seconds uptime{0};
  std::uint64_t events_lost = 0;
};
nlohmann::ordered_json watch_figures(const WatchFacts& facts, const Workers& workers);

// live_report is the part of `status` that the book knows: {"live", "ended", "forgotten", "rates", "top_denied"}.
nlohmann::ordered_json live_report(const FlowBook& book);

}  // namespace sallyport::daemon
