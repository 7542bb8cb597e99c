#include "rule_watch.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace sallyport::daemon {
namespace {

using namespace std::chrono_literals;
using netfilter::Displacement;
using Json = nlohmann::ordered_json;

constexpr auto kSettle = 50ms;      // A change is looked at when nothing has changed for so long,
constexpr auto kSettleMost = 250ms;  // or after this.
constexpr auto kLookAnyway = 30s;   // Without a notice: one may have been lost.
constexpr auto kReadAgain = 1s;     // When the rules could not be read.
constexpr std::size_t kListed = 32;

// printable keeps terminals and lines whole, whatever a rule's comment or a process's name holds.
std::string printable(std::string text) {
  std::ranges::replace_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f; }, '?');
  return text;
}

std::string words_of(const std::vector<Displacement>& found) {
  constexpr std::size_t kTold = 4;
  std::string text;
  for (std::size_t i = 0; i < std::min(found.size(), kTold); ++i) text += (i == 0 ? "" : "; ") + printable(describe(found[i]));
  if (found.size() > kTold) text += "; and " + std::to_string(found.size() - kTold) + " more";
  return text;
}

std::string by_whom(const netfilter::RuleNotice& notice) {
  if (notice.process.empty()) return {};
  return " by " + printable(notice.process) + " (pid " + std::to_string(notice.pid) + ')';
}

}  // namespace

void RepairPace::repaired(Time begun, Time done) {
  const auto gap = begun - last_;
  if (beyond_ != 0 && gap >= interval_ + kQuiet) {
    beyond_ = 0;
    left_ = kAtOnce;
  }
  if (beyond_ == 0) left_ = static_cast<unsigned>(std::min<Time::duration::rep>(kAtOnce, left_ + gap / Time::duration(kRefill)));
  last_ = done;
  if (beyond_ == 0 && left_ != 0) {
    --left_;
    interval_ = kShortest;
  } else {
    interval_ = ++beyond_ <= kPatient ? kRefill : std::min<std::chrono::milliseconds>(interval_ * 2, kLongest);
  }
  next_ = done + interval_;
}

RuleWatch::RuleWatch(Report report, Say say, Removed removed)
    : report_(std::move(report)), say_(std::move(say)), removed_(std::move(removed)) {}

void RuleWatch::start(const netfilter::RuleInstaller& installer) {
  auto notices = netfilter::RuleNotices::open(installer.backend());
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!notices || wake_ < 0) {
    const std::string error = notices ? "no eventfd" : notices.error();
    say_("if others change the rules, nobody will notice: " + error);
    const std::lock_guard lock(mutex_);
    status_.error = error;
    return;
  }
  installer_ = installer;
  notices_ = std::move(*notices);
  status_.watching = true;
  thread_ = std::thread([this] { run(); });
}

void RuleWatch::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  const std::uint64_t one = 1;
  if (wake_ >= 0) (void)!::write(wake_, &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  if (wake_ >= 0) ::close(std::exchange(wake_, -1));
}

RuleWatchStatus RuleWatch::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void RuleWatch::run() {
  const auto stopping = [this] {
    const std::lock_guard lock(mutex_);
    return stopping_;
  };
  std::optional<Clock::time_point> due = Clock::now();  // What changed before the first notice could be heard.
  heard_at_ = *due;
  while (!stopping()) {
    const auto now = Clock::now();
    const auto left = due ? std::max<Clock::duration>(*due - now, 0ms) : kLookAnyway;
    const netfilter::RuleNotice notice = notices_->wait(wake_, std::chrono::ceil<std::chrono::milliseconds>(left));
    const auto then = Clock::now();
    if (!notice.process.empty() && !netfilter::is_own_command(notice.pid)) {  // Not a repair of ours.
      heard_.process = notice.process;
      heard_.pid = notice.pid;
    }
    if (notice.changed) {
      if (!due) heard_at_ = then;
      due = std::max(std::min(then + kSettle, heard_at_ + kSettleMost), pace_.earliest());
    } else if (!due && then - now >= kLookAnyway) {
      heard_at_ = then;
      due = then;
    }
    if (!due || then < *due || stopping()) continue;
    due = look();
    if (!due) heard_ = {};
  }
}

std::optional<RuleWatch::Clock::time_point> RuleWatch::look() {
  const auto begun = Clock::now();
  if (removed_()) {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(status_.removed, true)) say_("the rules were removed by `sallyport rules remove`: they stay away until the next start");
    status_.in_place = false;
    return std::nullopt;
  }
  const auto repair = installer_->repair();
  if (!repair) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(status_.error, repair.error()) != repair.error()) say_("whether the rules are in place is not known: " + repair.error());
    return Clock::now() + kReadAgain;
  }
  {
    const std::lock_guard lock(mutex_);
    status_.error.clear();
    status_.in_place = repair->error.empty();
  }
  if (repair->found.empty()) return std::nullopt;
  const auto done = Clock::now();
  pace_.repaired(begun, done);
  tell(*repair, std::chrono::duration_cast<std::chrono::milliseconds>(done - heard_at_));
  if (repair->error.empty()) return std::nullopt;
  return repair->applied ? pace_.earliest() : std::max(done + kReadAgain, pace_.earliest());
}

void RuleWatch::tell(const netfilter::RuleInstaller::Repair& repair, std::chrono::milliseconds took) {
  const std::string what = words_of(repair.found);
  std::string message = "rules displaced" + by_whom(heard_) + ": " + what;
  message += repair.error.empty() ? "; put back after " + std::to_string(took.count()) + " ms" : "; NOT put back: " + printable(repair.error);
  std::uint64_t times = 0;
  {
    const std::lock_guard lock(mutex_);
    times = ++status_.displaced;
    if (!repair.error.empty()) ++status_.failures;
    status_.last = message;
  }
  say_(message);
  if (pace_.fighting() && !std::exchange(said_fighting_, true)) {
    say_("something displaces the rules again and again: they are put back at growing intervals, up to " +
         std::to_string(RepairPace::kLongest.count()) + " s, and what is new passes unseen in between; find out who it is, and stop it");
  }
  if (!pace_.fighting()) said_fighting_ = false;
  Json fields;
  fields["message"] = message;
  fields["backend"] = to_string(installer_->backend());
  fields["repaired"] = repair.error.empty();
  fields["after_ms"] = took.count();
  if (!repair.error.empty()) fields["error"] = repair.error;
  if (!heard_.process.empty()) fields["by"] = {{"process", heard_.process}, {"pid", heard_.pid}};
  fields["times"] = times;
  if (pace_.fighting()) fields["next_after_ms"] = pace_.interval().count();
  fields["found"] = Json::array();
  for (const Displacement& each : repair.found) {
    if (fields["found"].size() == kListed) break;
    Json row;
    row["what"] = to_string(each.kind);
    row["family"] = each.family == netfilter::Family::kIpv4 ? "ipv4" : "ipv6";
    row["table"] = each.table;
    if (!each.chain.empty()) row["chain"] = each.chain;
    if (!each.detail.empty()) row["rule"] = each.detail;
    fields["found"].push_back(std::move(row));
  }
  report_(std::move(fields));
}

}  // namespace sallyport::daemon
