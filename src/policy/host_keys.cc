#include "host_keys.h"

#include <algorithm>
#include <charconv>

#include "stable_hash.h"

namespace sallyport::policy {
namespace {

constexpr std::uint16_t kSshPort = 22;

// glob matches "*" and "?" without recursion: only the last star is ever tried again.
bool glob(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool matches(const std::vector<HostPattern>& patterns, std::string_view host) {
  bool found = false;
  for (const HostPattern& pattern : patterns) {
    if (!glob(pattern.text, host)) continue;
    if (pattern.negated) return false;
    found = true;
  }
  return found;
}

std::uint64_t hash_of(const HostKey& key, std::uint64_t seed) {
  return stable_hash(std::string_view(reinterpret_cast<const char*>(key.data()), key.size()), seed);
}

template <typename List>
void sort_unique(List& list) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  list.shrink_to_fit();
}

}  // namespace

std::string_view host_text(std::string_view host, std::uint16_t port, HostTextBuffer& buffer) {
  if (port == kSshPort || host.size() + sizeof("[]:65535") > buffer.size()) return host;
  char* end = buffer.data();
  *end++ = '[';
  end = std::copy(host.begin(), host.end(), end);
  *end++ = ']';
  *end++ = ':';
  end = std::to_chars(end, buffer.data() + buffer.size(), port).ptr;
  return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

void HostKeys::add(const HostKey& key) {
  for_all_.push_back(key);
}

void HostKeys::add(const HostKey& key, std::vector<HostPattern> patterns) {
  lines_.push_back({key, std::move(patterns)});
}

void HostKeys::revoke(const HostKey& key) {
  revoked_.push_back(key);
}

void HostKeys::seal() {
  sort_unique(for_all_);
  sort_unique(lines_);
  sort_unique(revoked_);
}

bool HostKeys::revoked(const HostKey& key) const {
  return std::binary_search(revoked_.begin(), revoked_.end(), key);
}

bool HostKeys::accepts(const HostKey& key, std::string_view host, std::uint16_t port) const {
  if (revoked(key)) return false;
  if (std::binary_search(for_all_.begin(), for_all_.end(), key)) return true;
  HostTextBuffer buffer;
  const std::string_view text = host_text(host, port, buffer);
  auto line = std::lower_bound(lines_.begin(), lines_.end(), key, [](const Line& l, const HostKey& k) { return l.key < k; });
  for (; line != lines_.end() && line->key == key; ++line) {
    if (matches(line->patterns, text)) return true;
  }
  return false;
}

bool HostKeys::knows(std::string_view host, std::uint16_t port) const {
  const auto usable = [this](const HostKey& key) { return !revoked(key); };
  if (std::any_of(for_all_.begin(), for_all_.end(), usable)) return true;
  HostTextBuffer buffer;
  const std::string_view text = host_text(host, port, buffer);
  return std::any_of(lines_.begin(), lines_.end(), [&](const Line& line) { return usable(line.key) && matches(line.patterns, text); });
}

std::uint64_t HostKeys::hash() const {
  std::uint64_t hash = 1;
  for (const HostKey& key : for_all_) hash = hash_of(key, hash);
  for (const Line& line : lines_) {
    hash = hash_of(line.key, hash + 1);
    for (const HostPattern& pattern : line.patterns) hash = stable_hash(pattern.text, hash + (pattern.negated ? 1 : 0));
  }
  for (const HostKey& key : revoked_) hash = hash_of(key, hash + 2);
  return hash;
}

}  // namespace sallyport::policy
