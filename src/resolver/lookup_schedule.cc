#include "lookup_schedule.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "sallyport/core/limits.h"

namespace sallyport::resolver {
namespace {

std::string key_of(const DomainName& name, policy::View view) {
  std::string key(1, static_cast<char>(view));
  return key.append(name.text());
}

// back_off doubles with each failure in a row.
Duration back_off(unsigned failures) {
  constexpr unsigned kDoublingsMax = 16;
  const unsigned doublings = std::min(failures > 0 ? failures - 1 : 0, kDoublingsMax);
  return std::min(kResolverBackOffMin * (std::int64_t{1} << doublings), kResolverBackOffMax);
}

}  // namespace

std::optional<std::size_t> LookupSchedule::find(const DomainName& name, policy::View view) const {
  const auto found = by_name_.find(key_of(name, view));
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::size_t> LookupSchedule::add(const DomainName& name, policy::View view, std::size_t room) {
  if (by_name_.size() >= capacity_ + room) return std::nullopt;
  std::size_t index = entries_.size();
  if (free_.empty()) {
    entries_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  entries_[index] = Entry();
  entries_[index].name = name;
  entries_[index].view = view;
  entries_[index].used = true;
  by_name_.emplace(key_of(name, view), index);
  return index;
}

void LookupSchedule::remove(std::size_t index) {
  Entry& entry = entries_[index];
  by_name_.erase(key_of(entry.name, entry.view));
  due_.erase({entry.due, index});
  if (entry.failures != 0) --failing_;
  entry = Entry();
  free_.push_back(index);
}

void LookupSchedule::set_due(std::size_t index, Timestamp due) {
  due_.erase({entries_[index].due, index});
  entries_[index].due = due;
  due_.emplace(due, index);
}

bool LookupSchedule::keep_warm(const DomainName& name, policy::View view, Timestamp now) {
  std::optional<std::size_t> index = find(name, view);
  if (!index) index = add(name, view);
  if (!index) return false;
  if (entries_[*index].warm) return true;
  entries_[*index].warm = true;
  ++warm_;
  if (!entries_[*index].under_way) set_due(*index, now);
  return true;
}

void LookupSchedule::forget_warm() {
  for (Entry& entry : entries_) entry.warm = false;
  warm_ = 0;
}

// forget_one makes room: the name of a past miss that is due to be forgotten the soonest.
bool LookupSchedule::forget_one(Timestamp now) {
  for (const auto& [due, index] : due_) {
    const Entry& entry = entries_[index];
    if (entry.warm || entry.wanted) continue;
    if (due > now) return false;  // It still holds back a name that was looked up a moment ago.
    remove(index);
    return true;
  }
  return false;
}

LookupSchedule::Asked LookupSchedule::ask_entry(std::size_t index, Timestamp now, bool first) {
  Entry& entry = entries_[index];
  if (entry.under_way || (entry.wanted && (!first || entry.first))) return Asked::kUnderWay;
  if (entry.touched && now - *entry.touched < kResolverAskAgain) return Asked::kTooSoon;
  entry.wanted = true;
  entry.first = first;
  // Before everything that goes by the clock, in the order of asking.
  constexpr std::int64_t kBeforeOthers = -(std::int64_t{1} << 61);
  set_due(index, Timestamp(Duration(static_cast<std::int64_t>(++asked_) + (first ? kBeforeOthers : 0))));
  return Asked::kQueued;
}

LookupSchedule::Asked LookupSchedule::ask(const DomainName& name, policy::View view, Timestamp now) {
  return ask(name, view, now, false);
}

LookupSchedule::Asked LookupSchedule::ask_first(const DomainName& name, policy::View view, Timestamp now) {
  return ask(name, view, now, true);
}

LookupSchedule::Asked LookupSchedule::ask(const DomainName& name, policy::View view, Timestamp now, bool first) {
  std::optional<std::size_t> index = find(name, view);
  if (!index) index = add(name, view);
  if (!index && forget_one(now)) index = add(name, view);
  if (!index && first) index = add(name, view, kResolverMisses);
  if (!index) return Asked::kFull;
  return ask_entry(*index, now, first);
}

std::size_t LookupSchedule::ask_longest_untouched(const std::vector<DomainName>& names, policy::View view,
                                                  std::size_t at_most, Timestamp now) {
  std::vector<std::pair<Timestamp, const DomainName*>> order;
  order.reserve(names.size());
  for (const DomainName& name : names) {
    const std::optional<std::size_t> index = find(name, view);
    order.emplace_back(index ? entries_[*index].touched.value_or(Timestamp()) : Timestamp(), &name);
  }
  const std::size_t count = std::min(at_most, order.size());
  std::ranges::stable_sort(order, {}, [](const auto& pair) { return pair.first; });
  std::size_t queued = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (ask(*order[i].second, view, now) == Asked::kQueued) ++queued;
  }
  return queued;
}

std::optional<LookupSchedule::Lookup> LookupSchedule::take(Timestamp now) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const std::size_t index = due_.begin()->second;
    Entry& entry = entries_[index];
    if (!entry.warm && !entry.wanted) {
      remove(index);
      continue;
    }
    due_.erase(due_.begin());
    entry.under_way = true;
    entry.wanted = entry.first = false;
    ++under_way_;
    return Lookup{index, entry.name, entry.view};
  }
  return std::nullopt;
}

void LookupSchedule::finish(std::size_t index, Result result, Duration ttl, Timestamp now) {
  if (index >= entries_.size() || !entries_[index].under_way) return;
  Entry& entry = entries_[index];
  entry.under_way = false;
  --under_way_;
  entry.touched = now;
  const bool failed_before = entry.failures != 0;
  entry.failures = result == Result::kFailed ? std::min(entry.failures + 1, 1'000U) : 0;
  if (failed_before != (entry.failures != 0)) failing_ += failed_before ? std::size_t(-1) : 1;
  Duration wait = kResolverAskAgain;  // A miss's name is only remembered for as long as it must not be asked again.
  if (entry.warm) {
    switch (result) {
      case Result::kFailed: wait = jittered(back_off(entry.failures)); break;
      case Result::kNoAddress: wait = jittered(kBindingTtlMin); break;
      case Result::kAddresses: wait = jittered(std::clamp(ttl, kBindingTtlMin, kBindingTtlMax)); break;
    }
  }
  entry.due = now + wait;
  due_.emplace(entry.due, index);
}

void LookupSchedule::all_due(Timestamp now) {
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    Entry& entry = entries_[index];
    if (!entry.used) continue;
    entry.touched.reset();
    if (entry.warm && !entry.under_way && !entry.wanted) set_due(index, now);
  }
}

std::optional<Timestamp> LookupSchedule::next_due() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first;
}

// jittered takes off up to a fifth: look-ups spread, and none comes later than the TTL.
Duration LookupSchedule::jittered(Duration duration) {
  random_ += 0x9e3779b97f4a7c15;  // SplitMix64.
  std::uint64_t mixed = random_;
  mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
  mixed ^= mixed >> 31;
  return duration - duration / 5 * static_cast<std::int64_t>(mixed % 1'024) / 1'024;
}

}  // namespace sallyport::resolver
