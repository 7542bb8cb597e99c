#include "event_folder.h"

#include <cstring>
#include <utility>

namespace sallyport::daemon {
namespace {

template <typename Number>
void append(std::string& key, Number number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  key.append(bytes, sizeof bytes);
}

void append(std::string& key, const IpAddress& address) {
  const ByteSpan bytes = address.bytes();
  key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  key += address.is_v6() ? '6' : '4';
}

void append(std::string& key, std::string_view text) {
  append(key, text.size());
  key += text;
}

}  // namespace

// key_of holds all that a line says but time, source port, counts and, where there is a name, the server's address.
std::string EventFolder::key_of(const EventRecord& record) {
  std::string key;
  append(key, record.policy);
  append(key, record.scopes);
  append(key, record.uid.value_or(0));
  key += record.uid ? 'u' : '-';
  append(key, record.key.client.address);
  append(key, record.key.transport);
  append(key, record.key.ip_protocol);
  append(key, record.key.server.port);
  append(key, record.protocol);
  append(key, record.tunnel);
  append(key, record.reason);
  append(key, record.rule);
  append(key, record.name());
  if (record.name_size == 0) append(key, record.key.server.address);
  append(key, record.host_key());
  append(key, record.proxy_target());
  if (record.answer) append(key, *record.answer);
  return key;
}

bool EventFolder::fold(const EventRecord& record, std::string_view id, Timestamp now) {
  if (window_ == Duration{} || !record.denied() || !record.is_row()) return false;
  std::string key = key_of(record);
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (entries_.size() < most_) entries_.emplace(std::move(key), Entry{record, {.of = std::string(id)}, now});
    return false;
  }
  Entry& entry = found->second;
  if (entry.repeated.count++ == 0) entry.repeated.first = record.time;
  entry.repeated.last = record.time;
  entry.last = record;
  return true;
}

std::vector<EventFolder::Folded> EventFolder::take_due(Timestamp now, bool all) {
  std::vector<Folded> due;
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    const bool over = all || now < entry.begun || now - entry.begun >= window_;
    if (over && entry.repeated.count != 0) {
      due.push_back({entry.last, entry.repeated});
      entry.repeated.count = 0;
      entry.begun = now;
      ++at;
    } else if (over) {
      at = entries_.erase(at);
    } else {
      ++at;
    }
  }
  return due;
}

}  // namespace sallyport::daemon
