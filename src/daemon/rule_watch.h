// RuleWatch sees to it that the kernel's rules stay as they were applied, in a thread of its own: whoever flushes a table,
// deletes our jumps or puts a rule before them has it put back, and it is said. It waits a moment first, as tools change rules
// in several steps, and puts back less and less often when something displaces them again and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "sallyport/netfilter/rule_installer.h"
#include "sallyport/netfilter/rule_notices.h"

namespace sallyport::daemon {

// RepairPace says when rules may be put back next. A few times that is at once, and one time more for each second that goes
// by between two repairs. When something needs more than that it is once a second, then at growing intervals up to kLongest, until nothing has been
// displaced for kQuiet. Time is an argument.
class RepairPace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kShortest{200};
  static constexpr std::chrono::seconds kRefill{1};
  static constexpr std::chrono::seconds kLongest{30};
  static constexpr std::chrono::seconds kQuiet{30};  // Beyond the interval of that time.
  static constexpr unsigned kAtOnce = 5;
  static constexpr unsigned kPatient = 5;  // Repairs at kRefill before the intervals grow.

  // earliest returns when the next repair may be; a moment gone by means at once.
  Time earliest() const { return next_; }
  void repaired(Time begun, Time done);
  // fighting tells that somebody displaces the rules again and again.
  bool fighting() const { return beyond_ > kPatient; }
  std::chrono::milliseconds interval() const { return interval_; }

 private:
  unsigned left_ = kAtOnce;
  unsigned beyond_ = 0;  // Repairs in a row for which nothing was left.
  std::chrono::milliseconds interval_{0};
  Time last_{};
  Time next_{};
};

struct RuleWatchStatus {
  bool watching = false;
  std::uint64_t displaced = 0;  // Times that something was found displaced.
  std::uint64_t failures = 0;   // Of them, times that it could not be put back at once.
  bool in_place = true;         // As far as the last look knows.
  bool removed = false;         // `sallyport rules remove` took them out: they are left alone.
  std::string last;             // What was found last, in words.
  std::string error;            // Why nobody watches, or the last look failed.
};

class RuleWatch {
 public:
  // Report gets the members of an event "rules_displaced"; called in the watch's thread, like Say.
  using Report = std::function<void(nlohmann::ordered_json)>;
  using Say = std::function<void(const std::string&)>;
  // Removed tells that somebody took the rules out on purpose.
  using Removed = std::function<bool()>;

  RuleWatch(Report report, Say say, Removed removed);
  ~RuleWatch() { stop(); }
  RuleWatch(const RuleWatch&) = delete;
  RuleWatch& operator=(const RuleWatch&) = delete;

  // start begins to watch what `installer` applied, and what it or a copy of it applies later.
  void start(const netfilter::RuleInstaller& installer);
  // stop returns when no repair is under way; before the rules are removed.
  void stop();
  RuleWatchStatus status() const;

 private:
  using Clock = std::chrono::steady_clock;
  void run();
  // look reads the rules back and puts them back if need be. Returns when to look again; nothing: when something changes.
  std::optional<Clock::time_point> look();
  void tell(const netfilter::RuleInstaller::Repair& repair, std::chrono::milliseconds took);

  Report report_;
  Say say_;
  Removed removed_;
  std::optional<netfilter::RuleInstaller> installer_;
  std::unique_ptr<netfilter::RuleNotices> notices_;
  // Of the thread alone.
  RepairPace pace_;
  netfilter::RuleNotice heard_;
  Clock::time_point heard_at_;
  bool said_fighting_ = false;

  int wake_ = -1;  // An eventfd.
  mutable std::mutex mutex_;  // Of what follows.
  RuleWatchStatus status_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sallyport::daemon
