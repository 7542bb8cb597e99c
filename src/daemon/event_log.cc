#include "event_log.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "sallyport/core/limits.h"

namespace sallyport::daemon {
namespace {

using policy::EventFormat;
using Target = policy::EventOutput;
using Json = nlohmann::ordered_json;

constexpr std::chrono::milliseconds kIdle{40};
constexpr std::size_t kOthersMax = 4'096;
constexpr std::size_t kWaitingMax = 16'384;  // Beyond, nobody waits for whose a flow is.
constexpr std::chrono::seconds kJudgeKept{5};  // Records are on their way for less than a second.

std::string base36(std::uint64_t number) {
  std::string digits;
  do {
    digits += "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
    number /= 36;
  } while (number != 0);
  std::ranges::reverse(digits);
  return digits;
}

// start_text tells runs apart: microseconds since 1970.
std::string start_text() {
  const auto start = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()).time_since_epoch().count();
  return base36(static_cast<std::uint64_t>(start)) + '-';
}

std::string name_of(const Target& output) {
  switch (output.kind) {
    case Target::Kind::kStdout: return "standard output";
    case Target::Kind::kJournald: return "journald";
    case Target::Kind::kFile: return "file:" + output.path;
    case Target::Kind::kUnix: return "unix:" + output.path;
  }
  return {};
}

}  // namespace

struct EventLog::Output {
  Target target;
  EventFormat format = EventFormat::kText;
  bool brief = false;
  bool flows = true;
  std::unique_ptr<daemon::EventOutput> out;
};

EventLog::EventLog(EventLogOptions options)
    : options_(std::move(options)), formatter_(options_.colour), id_prefix_(start_text()), folder_({}, kEventFoldsMax) {
  for (unsigned i = 0; i < options_.workers; ++i) rings_.push_back(std::make_unique<SpscRing<EventRecord>>(kEventsPerWorker));
  if (!options_.say) options_.say = [](const std::string&) {};
  judges_.push_back({options_.policy, {}});
}

EventLog::~EventLog() {
  stopping_.store(true);
  if (thread_.joinable()) thread_.join();
  processes_.reset();
  for (const auto& output : outputs_) output->out->stop();
}

void EventLog::start() {
  apply_policy();
  if (options_.processes && !options_.brief) {
    processes_ = std::make_unique<ProcessFinder>(options_.workers);
    if (const auto error = processes_->start()) options_.say(*error);
  }
  thread_ = std::thread([this] { run(); });
}

bool EventLog::stdout_is_for_programs() const {
  if (options_.json) return true;
  const policy::Events& events = options_.policy->events();
  return std::ranges::any_of(events.outputs, [&](const Target& output) {
    return output.kind == Target::Kind::kStdout && output.format.value_or(events.format.value_or(EventFormat::kText)) != EventFormat::kText;
  });
}

void EventLog::set_policy(std::shared_ptr<const policy::Policy> policy) {
  const std::lock_guard lock(mutex_);
  judges_.back().until = std::chrono::steady_clock::now() + kJudgeKept;
  judges_.push_back({std::move(policy), {}});
}

std::shared_ptr<const policy::Policy> EventLog::policy_of(const EventRecord& record) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(judges_, [&](const Judge& judge) { return judge.policy.get() == record.policy; });
  return found == judges_.end() ? judges_.back().policy : found->policy;
}

policy::Mode EventLog::mode_of(const policy::Policy& policy) const {
  return options_.mode.value_or(policy.defaults().mode);
}

std::string EventLog::next_id() {
  return id_prefix_ + base36(next_id_.fetch_add(1, std::memory_order_relaxed));
}

// apply_policy opens and closes outputs where a new policy has others.
void EventLog::apply_policy() {
  std::shared_ptr<const policy::Policy> policy;
  {
    const std::lock_guard lock(mutex_);
    while (judges_.size() > 1 && judges_.front().until < std::chrono::steady_clock::now()) judges_.pop_front();
    policy = judges_.back().policy;
  }
  if (policy.get() == applied_) return;
  const bool first = applied_ == nullptr;
  applied_ = policy.get();
  folder_.set_window(policy->events().fold);
  if (first || policy->events() != events_) open_outputs(policy->events());
}

void EventLog::open_outputs(const policy::Events& events) {
  std::vector<std::unique_ptr<Output>> wanted;
  std::vector<Target> targets = options_.brief ? std::vector{Target{}} : events.outputs;
  const auto is_stdout = [](const Target& output) { return output.kind == Target::Kind::kStdout; };
  // Who asks for JSON on the command line reads it there.
  if (options_.json && std::ranges::none_of(targets, is_stdout)) targets.push_back({});
  const std::lock_guard lock(outputs_mutex_);
  for (const Target& target : targets) {
    auto output = std::make_unique<Output>();
    output->target = target;
    const bool standard = is_stdout(target);
    output->format = target.format.value_or(events.format.value_or(standard ? EventFormat::kText : EventFormat::kJson));
    if (standard && options_.json) output->format = EventFormat::kJson;
    output->brief = options_.brief;
    output->flows = !(standard && options_.quiet);
    const auto old = std::ranges::find_if(outputs_, [&](const auto& each) {
      return each != nullptr && each->target.kind == target.kind && each->target.path == target.path;
    });
    if (old != outputs_.end()) {
      output->out = std::move((*old)->out);
      outputs_.erase(old);
    } else {
      const int fd = options_.brief ? options_.standard_error : options_.standard_output;
      auto sink = standard                                          ? descriptor_sink(fd, options_.brief ? "standard error" : "standard output")
                  : target.kind == Target::Kind::kJournald ? journal_sink()
                  : target.kind == Target::Kind::kFile     ? file_sink(target.path)
                                                                : unix_sink(target.path);
      output->out = std::make_unique<daemon::EventOutput>(name_of(target), std::move(sink), options_.say);
    }
    wanted.push_back(std::move(output));
  }
  for (const auto& gone : outputs_) {
    gone->out->stop();
    gone_.push_back(std::move(gone->out));
  }
  outputs_ = std::move(wanted);
  events_ = events;
}

void EventLog::end_gone() {
  std::vector<std::unique_ptr<daemon::EventOutput>> ended;  // Their ends are joined without the lock.
  const std::lock_guard lock(outputs_mutex_);
  for (auto& out : gone_) {
    if (!out->ended()) continue;
    gone_lost_ += out->lost();
    ended.push_back(std::move(out));
  }
  std::erase(gone_, nullptr);
}

void EventLog::note_flow(unsigned worker, const FlowKey& key, const Packet& packet) {
  if (!processes_ || !packet.uid || packet.in_link != 0 || key.tunnel != 0) return;
  if (key.transport != Transport::kTcp && key.transport != Transport::kUdp) return;
  processes_->note_flow(worker, key, packet.out_link, *packet.uid);
}

void EventLog::add(unsigned worker, const engine::FlowEvent& event) {
  // A flow that ends without a verdict sent nothing to judge; it gets its line all the same.
  if (event.kind != engine::FlowEvent::Kind::kEnd && event.kind != engine::FlowEvent::Kind::kVerdict) return;
  EventRecord record = EventRecord::of(event);
  if (!record.is_row() && !observer_) return;
  record.worker = worker;
  if (!rings_[worker]->push(record)) ring_dropped_.fetch_add(1, std::memory_order_relaxed);
}

void EventLog::add_event(std::string_view kind, nlohmann::ordered_json fields) {
  Other other{next_id(), now(), std::string(kind), std::make_unique<Json>(std::move(fields))};
  const std::lock_guard lock(mutex_);
  if (others_.size() >= kOthersMax) {
    ring_dropped_.fetch_add(1, std::memory_order_relaxed);
  } else {
    others_.push_back(std::move(other));
  }
}

std::uint64_t EventLog::dropped() const {
  std::uint64_t lost = ring_dropped_.load(std::memory_order_relaxed);
  const std::lock_guard lock(outputs_mutex_);
  for (const auto& output : outputs_) lost += output->out->lost();
  for (const auto& out : gone_) lost += out->lost();
  return lost + gone_lost_;
}

nlohmann::json EventLog::status() const {
  nlohmann::json list = nlohmann::json::array();
  const std::lock_guard lock(outputs_mutex_);
  for (const auto& output : outputs_) {
    nlohmann::json row{{"output", output->out->name()}, {"written", output->out->written()}, {"lost", output->out->lost()}};
    if (const std::string error = output->out->error(); !error.empty()) row["error"] = error;
    list.push_back(std::move(row));
  }
  return list;
}

void EventLog::run() {
  while (!stopping_.load()) {
    if (!turn(false)) std::this_thread::sleep_for(kIdle);
  }
  while (take_records()) {
  }
  turn(true);
}

bool EventLog::turn(bool all) {
  bool busy = take_records();
  busy |= write_waiting(all);
  busy |= write_folded(all);
  busy |= write_others();
  apply_policy();
  if (!gone_.empty()) end_gone();
  if (const std::uint64_t lost = ring_dropped_.load(std::memory_order_relaxed); lost != told_dropped_) {
    options_.say(std::to_string(lost - told_dropped_) + " events lost: the log is too slow");
    told_dropped_ = lost;
  }
  return busy;
}

bool EventLog::take_records() {
  std::vector<EventRecord> records;
  EventRecord record;
  for (const auto& ring : rings_) {
    constexpr int kPerTurn = 256;  // No worker keeps the others waiting.
    for (int i = 0; i < kPerTurn && ring->pop(record); ++i) records.push_back(record);
  }
  std::ranges::stable_sort(records, {}, &EventRecord::time);  // The workers' rows in one order.
  const auto since = std::chrono::steady_clock::now();
  for (const EventRecord& each : records) waiting_.push_back({each, each.is_row() ? next_id() : std::string(), since});
  return !records.empty();
}

// write_waiting writes rows in their order; one that waits for whose its flow is has those behind it wait, too.
bool EventLog::write_waiting(bool all) {
  const auto patience = all || waiting_.size() > kWaitingMax ? Duration{} : Duration(kEventProcessWait);
  bool wrote = false;
  for (; !waiting_.empty(); waiting_.pop_front()) {
    const Waiting& next = waiting_.front();
    const EventRecord& record = next.record;
    ProcessFinder::Answer answer;
    if (next.id.empty()) {
      if (observer_) observer_(record, next.id, *policy_of(record));
      continue;
    }
    if (processes_ && record.is_local()) {
      answer = processes_->answer(record.key, *record.uid);
      if (!answer.known && std::chrono::steady_clock::now() - next.since < patience) return wrote;
    }
    wrote = true;
    const auto policy = policy_of(record);
    if (observer_) observer_(record, next.id, *policy);
    if (folder_.fold(record, next.id, now(), policy)) continue;
    write_row({record, next.id, *policy, mode_of(*policy), answer.facts.get(), nullptr});
  }
  return wrote;
}

bool EventLog::write_folded(bool all) {
  const auto due = folder_.take_due(now(), all);
  for (const EventFolder::Folded& each : due) {
    const auto& policy = each.policy;
    const std::string id = next_id();
    ProcessFinder::Answer answer;
    if (processes_ && each.record.is_local()) answer = processes_->answer(each.record.key, *each.record.uid);
    write_row({each.record, id, *policy, mode_of(*policy), answer.facts.get(), &each.repeated});
  }
  return !due.empty();
}

bool EventLog::write_others() {
  std::vector<Other> others;
  {
    const std::lock_guard lock(mutex_);
    others.swap(others_);
  }
  for (const Other& other : others) {
    const Json fields = other_fields(other.id, other.time, other.kind, *other.fields);
    for (const auto& output : outputs_) put_other(other, fields, *output);
  }
  return !others.empty();
}

void EventLog::write_row(const EventRow& row) {
  const bool plain = std::ranges::all_of(outputs_, [](const auto& output) {
    return !output->flows || (output->format == EventFormat::kText && output->target.kind != Target::Kind::kJournald);
  });
  const Json fields = plain ? Json() : formatter_.fields(row);
  for (const auto& output : outputs_) {
    if (output->flows) put_row(row, fields, *output);
  }
}

void EventLog::put_row(const EventRow& row, const nlohmann::ordered_json& fields, Output& output) {
  if (output.brief) return output.out->add(formatter_.brief(row));
  if (output.target.kind == Target::Kind::kJournald) {
    const int priority = !row.record.denied() ? 6 : row.would_deny() ? 5 : 4;
    return output.out->add(journal_entry(formatter_.sentence(row), priority, fields));
  }
  switch (output.format) {
    case EventFormat::kText: return output.out->add(formatter_.text(row));
    case EventFormat::kJson: return output.out->add(json_line(fields));
    case EventFormat::kEve: return output.out->add(eve_line(row, fields));
  }
}

void EventLog::put_other(const Other& other, const nlohmann::ordered_json& fields, Output& output) {
  const std::string text = other_text(other.kind, *other.fields);
  if (output.brief) return output.out->add("sallyport: " + text + '\n');
  if (output.target.kind == Target::Kind::kJournald) return output.out->add(journal_entry(text, 5, fields));
  switch (output.format) {
    case EventFormat::kText: return output.out->add(clock_text(other.time) + "  " + text + '\n');
    case EventFormat::kJson: return output.out->add(json_line(fields));
    case EventFormat::kEve: return output.out->add(other_eve_line(other.time, fields));
  }
}

}  // namespace sallyport::daemon
