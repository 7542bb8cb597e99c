// FlowBook is what `flows`, `watch` and `explain ID` are answered from: the living flows, those that ended last, the newest
// events by id, and who was denied most. It is written on the event log's thread and read by the control socket's handlers; no
// packet waits for it. Everything in it is bounded (docs/limits.md); what the network said is kept raw and escaped by row_json.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "event_record.h"
#include "sallyport/core/limits.h"
#include "sallyport/policy/policy.h"
#include "user_names.h"

namespace sallyport::daemon {

// FlowRow is one flow as its last event left it.
struct FlowRow {
  std::uint64_t serial = 0;  // Of its last change; a later change has a higher one.
  std::uint64_t number = 0;  // Of the flow; the newest has the highest.
  unsigned worker = 0;       // EventRecord::worker and flow: the flow's own name within the run.
  std::uint64_t flow = 0;
  std::string id;            // Of the event that decided it last.
  FlowKey key;
  Timestamp opened;
  Timestamp decided;
  std::optional<Timestamp> ended;
  std::optional<std::uint32_t> uid;
  std::string user;
  std::vector<std::string> scopes;
  bool in_none = false;  // Rules for scope "none" are for it; not so a workload's that no scope names, or one of an unknown owner.
  Protocol protocol = Protocol::kUnknown;
  Protocol tunnel = Protocol::kUnknown;
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  std::string rule;  // "file:line", or "default".
  std::string name;  // As the network said it; empty: none.
  std::optional<IpAddress> answer;
  std::string host_key;
  std::string proxy_target;
};

// DeniedName is what was denied again and again: a name, or an address where there is none, with protocol and port.
struct DeniedName {
  std::string name;
  Protocol protocol = Protocol::kUnknown;
  Transport transport = Transport::kOther;
  std::uint16_t port = 0;
  std::uint64_t count = 0;  // At least so often; exact while no more than kFlowBookDenied different ones came.
  Timestamp last;
  Reason reason = Reason::kNotEvaluated;
  std::string rule;
  std::vector<std::string> scopes;  // Of the last such flow; in_none, too.
  bool in_none = false;
  std::string user;
};

struct FlowQuery {
  std::optional<engine::FlowVerdict> verdict;
  std::string name;         // A glob: "*" stands for any octets, case does not matter. Empty: every flow.
  std::optional<FlowKey> ends;  // The flow between these, whichever of them opened it, in no tunnel or in any.
  bool ended = false;       // Those that ended, too.
  std::uint64_t below = 0;  // Only flows with a lower number; 0: from the newest on.
  std::size_t limit = 100;
};

// FlowRates are flows a second: in the last whole second, and on average over the last minute.
struct FlowRates {
  double opened = 0, allowed = 0, denied = 0;
  double opened_minute = 0, allowed_minute = 0, denied_minute = 0;
};

struct FlowTotals {
  std::size_t live = 0;
  std::size_t ended = 0;         // Those that are still known.
  std::uint64_t forgotten = 0;   // Living flows that the bound pushed out of the book. They are judged and go on as before.
};

// glob_matches tells whether `text` is what `glob` says, in time proportional to the product of their sizes.
bool glob_matches(std::string_view glob, std::string_view text);

class FlowBook {
 public:
  explicit FlowBook(std::size_t live_max = kFlowBookLive, std::size_t ended_max = kFlowBookEnded);

  // observe is the event log's observer.
  void observe(const EventRecord& record, std::string_view id, const policy::Policy& judge);

  // flows returns the newest first.
  std::vector<FlowRow> flows(const FlowQuery& query) const;
  // changed_since returns the flows that changed behind `serial`, those that changed last first, at most `limit`; `serial`
  // becomes that of the newest change.
  std::vector<FlowRow> changed_since(std::uint64_t& serial, std::size_t limit) const;
  // event returns the flow as the event `id` told it, if that is among the newest kFlowBookEvents.
  std::optional<FlowRow> event(std::string_view id) const;
  std::vector<DeniedName> top_denied(std::size_t limit) const;
  FlowRates rates(Timestamp now) const;
  FlowTotals totals() const;

 private:
  using Rows = std::list<FlowRow>;
  using FlowId = std::pair<unsigned, std::uint64_t>;
  struct FlowIdHash {
    std::size_t operator()(const FlowId& id) const { return (id.second << 7) ^ id.first; }
  };
  struct Entry {
    Rows::iterator row;
    bool live = true;
  };
  // Denied is a place of the table of what is denied most ("space saving"): when it is full the least counted one makes room,
  // and the new one begins with its count, of which `error` may be somebody else's.
  struct Denied {
    std::string key;
    DeniedName name;
    std::uint64_t weight = 0;
    std::uint64_t error = 0;
  };
  struct Second {
    std::int64_t second = 0;
    std::uint64_t opened = 0, allowed = 0, denied = 0;
  };
  FlowRow row_of(const EventRecord& record, std::string_view id, const policy::Policy& judge);
  void put(FlowRow row);
  void end(const EventRecord& record);
  void drop_surplus();
  void remember_event(const FlowRow& row);
  void count_denied(const FlowRow& row);
  void count_second(Timestamp time, std::uint64_t Second::*counter);

  const std::size_t live_max_;
  const std::size_t ended_max_;
  UserNames users_;  // Of the log's thread.
  mutable std::mutex mutex_;  // Of all that follows; never held while something is read, formatted or sent.
  Rows live_;   // By their last change, the last one first.
  Rows ended_;  // By their end, the last one first.
  std::unordered_map<FlowId, Entry, FlowIdHash> index_;
  std::uint64_t serial_ = 0;
  std::uint64_t number_ = 0;
  std::uint64_t forgotten_ = 0;
  std::list<FlowRow> events_;  // The newest first.
  std::unordered_map<std::string_view, std::list<FlowRow>::iterator> events_by_id_;  // The views are the rows' own.
  std::vector<Denied> denied_;
  std::unordered_map<std::string, std::size_t> denied_by_key_;
  std::set<std::pair<std::uint64_t, std::size_t>> denied_by_weight_;
  std::array<Second, 64> seconds_{};
};

}  // namespace sallyport::daemon
