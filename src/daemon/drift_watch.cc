#include "drift_watch.h"

#include <utility>

namespace sallyport::daemon {
namespace {

bool may_pass(const DriftFinding& finding) {
  return finding.kind == DriftKind::kMissing || (finding.observed && finding.observed->socket.transport == Transport::kUdp);
}

}  // namespace

DriftTracker::Changes DriftTracker::update(std::vector<DriftFinding> findings) {
  Changes changes;
  std::map<std::string, Entry> now;
  for (DriftFinding& finding : findings) {
    const std::string key = finding.key();
    const auto before = entries_.find(key);
    Entry entry{std::move(finding)};
    entry.reported = before != entries_.end() && before->second.reported;
    if (entry.reported) entry.finding = before->second.finding;  // What ends is what began.
    if (!entry.reported && (before != entries_.end() || !may_pass(entry.finding))) {
      entry.reported = true;
      changes.begun.push_back(entry.finding);
    }
    now.insert_or_assign(key, std::move(entry));
  }
  for (auto& [key, entry] : entries_) {
    if (entry.reported && !now.contains(key)) changes.ended.push_back(std::move(entry.finding));
  }
  entries_ = std::move(now);
  return changes;
}

std::vector<DriftFinding> DriftTracker::current() const {
  std::vector<DriftFinding> findings;
  for (const auto& [key, entry] : entries_) {
    if (entry.reported) findings.push_back(entry.finding);
  }
  return findings;
}

DriftWatch::DriftWatch(std::shared_ptr<const policy::Policy> policy, std::vector<std::string> unix_only, Report report, Say say)
    : policy_(std::move(policy)), unix_only_(std::move(unix_only)), report_(std::move(report)), say_(std::move(say)) {}

void DriftWatch::start() {
  if (!policy_->listeners().declared && unix_only_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    status_.watching = true;
  }
  thread_ = std::thread([this] { run(); });
}

void DriftWatch::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void DriftWatch::set_policy(std::shared_ptr<const policy::Policy> policy, std::vector<std::string> unix_only) {
  if (!thread_.joinable()) {
    policy_ = std::move(policy);
    unix_only_ = std::move(unix_only);
    return start();
  }
  {
    const std::lock_guard lock(mutex_);
    next_policy_ = std::move(policy);
    next_unix_only_ = std::move(unix_only);
  }
  wake_.notify_all();
}

DriftStatus DriftWatch::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void DriftWatch::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (next_policy_ != nullptr) {
      policy_ = std::exchange(next_policy_, nullptr);
      unix_only_ = std::move(next_unix_only_);
    }
    lock.unlock();
    look();
    lock.lock();
    wake_.wait_for(lock, policy_->listeners().interval, [this] { return stopping_ || next_policy_ != nullptr; });
  }
}

void DriftWatch::look() {
  const DriftRules rules{&policy_->listeners(), unix_only_};
  const auto observed = inventory_.look(rules, policy_->listeners().all_namespaces);
  std::string error = observed ? std::string() : observed.error();
  DriftTracker::Changes changes;
  if (observed) changes = tracker_.update(compare(rules, *observed));  // Without a look nothing begins and nothing ends.
  for (const DriftFinding& finding : changes.ended) report_(finding, false);
  for (const DriftFinding& finding : changes.begun) report_(finding, true);
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    ++status_.looks;
    changed = error != status_.error && !error.empty();
    status_.error = error;
    if (observed) status_.sockets = observed->size();
    status_.begun += changes.begun.size();
    status_.ended += changes.ended.size();
    status_.current = {};
    for (const DriftFinding& finding : tracker_.current()) ++status_.current[static_cast<std::size_t>(finding.kind)];
  }
  if (changed) say_("listening sockets are not known: " + error);
}

}  // namespace sallyport::daemon
