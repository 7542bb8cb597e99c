#include "flow_book.h"

#include <algorithm>
#include <cctype>
#include <chrono>

namespace sallyport::daemon {
namespace {

std::int64_t second_of(Timestamp time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

bool same_letter(char a, char b) {
  return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
}

std::string denied_key(const FlowRow& row) {
  const std::string name = row.name.empty() ? row.key.server.address.to_string() : row.name;
  return name + '\0' + std::string(to_string(row.protocol)) + '\0' + std::to_string(row.key.server.port) + '\0' +
         std::string(to_string(row.key.transport));
}

bool is_between(const FlowKey& key, const FlowKey& ends) {
  return key.transport == ends.transport && key.client == ends.client && key.server == ends.server;
}

bool matches(const FlowRow& row, const FlowQuery& query) {
  if (query.verdict && row.verdict != *query.verdict) return false;
  if (query.below != 0 && row.number >= query.below) return false;
  if (query.ends && !(is_between(row.key, *query.ends) || is_between(row.key, query.ends->reversed()))) return false;
  if (query.name.empty()) return true;
  return glob_matches(query.name, row.name.empty() ? row.key.server.address.to_string() : row.name);
}

}  // namespace

bool glob_matches(std::string_view glob, std::string_view text) {
  std::size_t g = 0, t = 0;
  std::size_t star = std::string_view::npos, resume = 0;  // The last "*", and what it must take next if all else fails.
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (g < glob.size() && same_letter(glob[g], text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

FlowBook::FlowBook(std::size_t live_max, std::size_t ended_max) : live_max_(live_max), ended_max_(ended_max) {}

void FlowBook::observe(const EventRecord& record, std::string_view id, const policy::Policy& judge) {
  if (!record.is_row()) {
    const std::lock_guard lock(mutex_);
    end(record);
    return;
  }
  FlowRow row = row_of(record, id, judge);
  const std::lock_guard lock(mutex_);
  if (row.verdict == engine::FlowVerdict::kDeny) count_denied(row);
  if (row.verdict == engine::FlowVerdict::kAllow) count_second(row.decided, &Second::allowed);
  if (row.verdict == engine::FlowVerdict::kDeny) count_second(row.decided, &Second::denied);
  remember_event(row);
  put(std::move(row));
  drop_surplus();
}

FlowRow FlowBook::row_of(const EventRecord& record, std::string_view id, const policy::Policy& judge) {
  FlowRow row;
  row.worker = record.worker;
  row.flow = record.flow;
  row.id = id;
  row.key = record.key;
  row.opened = record.opened;
  row.decided = record.time;
  if (record.kind == engine::FlowEvent::Kind::kEnd) row.ended = record.time;
  row.uid = record.uid;
  if (record.uid) row.user = users_.of(*record.uid);
  const std::vector<std::string>& names = judge.scope_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if ((record.scopes >> i & 1) != 0) row.scopes.push_back(names[i]);
  }
  row.in_none = record.scopes == 0;
  row.protocol = record.protocol;
  row.tunnel = record.tunnel;
  row.verdict = record.verdict;
  row.reason = record.reason;
  row.rule = judge.location(record.rule);
  row.name = record.name();
  row.answer = record.answer;
  row.host_key = record.host_key();
  row.proxy_target = record.proxy_target();
  return row;
}

void FlowBook::put(FlowRow row) {
  const FlowId id{row.worker, row.flow};
  row.serial = ++serial_;
  Rows& list = row.ended ? ended_ : live_;
  if (const auto found = index_.find(id); found != index_.end()) {
    row.number = found->second.row->number;
    Rows& from = found->second.live ? live_ : ended_;
    *found->second.row = std::move(row);
    list.splice(list.begin(), from, found->second.row);
    found->second.live = &list == &live_;
    return;
  }
  row.number = ++number_;
  count_second(row.opened, &Second::opened);
  const bool live = !row.ended;
  list.push_front(std::move(row));
  index_.emplace(id, Entry{list.begin(), live});
}

void FlowBook::end(const EventRecord& record) {
  const auto found = index_.find(FlowId{record.worker, record.flow});
  if (found == index_.end() || !found->second.live) return;
  found->second.row->ended = record.time;
  found->second.row->serial = ++serial_;
  found->second.live = false;
  ended_.splice(ended_.begin(), live_, found->second.row);
  drop_surplus();
}

void FlowBook::drop_surplus() {
  const auto drop_last = [this](Rows& rows) {
    index_.erase(FlowId{rows.back().worker, rows.back().flow});
    rows.pop_back();
  };
  for (; live_.size() > live_max_; ++forgotten_) drop_last(live_);
  while (ended_.size() > ended_max_) drop_last(ended_);
}

void FlowBook::remember_event(const FlowRow& row) {
  events_.push_front(row);
  events_by_id_.insert_or_assign(events_.front().id, events_.begin());
  if (events_.size() <= kFlowBookEvents) return;
  events_by_id_.erase(events_.back().id);
  events_.pop_back();
}

void FlowBook::count_denied(const FlowRow& row) {
  std::string key = denied_key(row);
  std::size_t place = denied_.size();
  if (const auto found = denied_by_key_.find(key); found != denied_by_key_.end()) {
    place = found->second;
    denied_by_weight_.erase({denied_[place].weight, place});
  } else {
    std::uint64_t inherited = 0;
    if (denied_.size() < kFlowBookDenied) {
      denied_.emplace_back();
    } else {
      place = denied_by_weight_.begin()->second;
      inherited = denied_[place].weight;
      denied_by_weight_.erase(denied_by_weight_.begin());
      denied_by_key_.erase(denied_[place].key);
    }
    denied_[place] = Denied{key, {}, inherited, inherited};
    denied_by_key_.emplace(std::move(key), place);
  }
  Denied& denied = denied_[place];
  ++denied.weight;
  denied_by_weight_.emplace(denied.weight, place);
  denied.name = {row.name.empty() ? row.key.server.address.to_string() : row.name,
                 row.protocol,
                 row.key.transport,
                 row.key.server.port,
                 denied.weight - denied.error,
                 row.decided,
                 row.reason,
                 row.rule,
                 row.scopes,
                 row.in_none,
                 row.user};
}

void FlowBook::count_second(Timestamp time, std::uint64_t Second::*counter) {
  const std::int64_t second = second_of(time);
  if (second < 0) return;
  Second& bucket = seconds_[static_cast<std::size_t>(second) % seconds_.size()];
  if (bucket.second > second) return;  // Too old: it opened minutes ago.
  if (bucket.second < second) bucket = Second{second, 0, 0, 0};
  ++(bucket.*counter);
}

std::vector<FlowRow> FlowBook::flows(const FlowQuery& query) const {
  const std::lock_guard lock(mutex_);
  std::vector<const FlowRow*> found;
  for (const FlowRow& row : live_) {
    if (matches(row, query)) found.push_back(&row);
  }
  if (query.ended) {
    for (const FlowRow& row : ended_) {
      if (matches(row, query)) found.push_back(&row);
    }
  }
  const auto newer = [](const FlowRow* a, const FlowRow* b) { return a->number > b->number; };
  const std::size_t count = std::min(query.limit, found.size());
  std::ranges::partial_sort(found, found.begin() + static_cast<std::ptrdiff_t>(count), newer);
  std::vector<FlowRow> rows;
  rows.reserve(count);
  for (std::size_t i = 0; i < count; ++i) rows.push_back(*found[i]);
  return rows;
}

std::vector<FlowRow> FlowBook::changed_since(std::uint64_t& serial, std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::vector<FlowRow> rows;
  auto live = live_.begin();
  auto ended = ended_.begin();
  while (rows.size() < limit) {
    const bool more_live = live != live_.end() && live->serial > serial;
    const bool more_ended = ended != ended_.end() && ended->serial > serial;
    if (!more_live && !more_ended) break;
    const bool take_live = more_live && (!more_ended || live->serial > ended->serial);
    rows.push_back(take_live ? *live++ : *ended++);
  }
  serial = serial_;
  return rows;
}

std::optional<FlowRow> FlowBook::event(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = events_by_id_.find(id);
  if (found == events_by_id_.end()) return std::nullopt;
  return *found->second;
}

std::vector<DeniedName> FlowBook::top_denied(std::size_t limit) const {
  std::vector<DeniedName> names;
  {
    const std::lock_guard lock(mutex_);
    for (const Denied& each : denied_) names.push_back(each.name);
  }
  std::ranges::sort(names, [](const DeniedName& a, const DeniedName& b) {
    return a.count != b.count ? a.count > b.count : a.last > b.last;
  });
  if (names.size() > limit) names.resize(limit);
  return names;
}

FlowRates FlowBook::rates(Timestamp now) const {
  constexpr std::int64_t kMinute = 60;
  const std::int64_t current = second_of(now);
  FlowRates rates;
  const std::lock_guard lock(mutex_);
  for (const Second& each : seconds_) {
    if (each.second >= current || each.second < current - kMinute) continue;
    rates.opened_minute += static_cast<double>(each.opened) / kMinute;
    rates.allowed_minute += static_cast<double>(each.allowed) / kMinute;
    rates.denied_minute += static_cast<double>(each.denied) / kMinute;
    if (each.second != current - 1) continue;
    rates.opened = static_cast<double>(each.opened);
    rates.allowed = static_cast<double>(each.allowed);
    rates.denied = static_cast<double>(each.denied);
  }
  return rates;
}

FlowTotals FlowBook::totals() const {
  const std::lock_guard lock(mutex_);
  return {live_.size(), ended_.size(), forgotten_};
}

}  // namespace sallyport::daemon
