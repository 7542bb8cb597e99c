#include "sallyport/learn/rule_book.h"

#include <algorithm>

namespace sallyport::learn {
namespace {

// is_fingerprint tells what OpenSSH prints behind "SHA256:": 256 bits as base64 without padding.
bool is_fingerprint(std::string_view text) {
  constexpr std::size_t kLength = 43;
  constexpr std::string_view kLast = "AEIMQUYcgkosw048";  // Its last character has two bits that are zero.
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/'; };
  return text.size() == kLength && std::ranges::all_of(text, fits) && kLast.find(text.back()) != std::string_view::npos;
}

}  // namespace

void Terms::note(const Sighting& sighting) {
  if (flows == 0 || sighting.first < first) first = sighting.first;
  last = std::max(flows == 0 ? sighting.last : last, sighting.last);
  flows += sighting.count;
  seen.insert(to_string(sighting.protocol));
  if (!sighting.owner.empty() && !owners.contains(sighting.owner)) {
    if (owners.size() < kOwnersPerGrantMax) owners.insert(sighting.owner);
    else more_owners = true;
  }
  if (is_fingerprint(sighting.host_key) && host_keys.size() < kHostKeysPerGrantMax) host_keys.insert(sighting.host_key);
}

void Terms::add(const Terms& other) {
  if (other.flows == 0) return;
  if (flows == 0 || other.first < first) first = other.first;
  last = std::max(flows == 0 ? other.last : last, other.last);
  flows += other.flows;
  seen.insert(other.seen.begin(), other.seen.end());
  more_owners = more_owners || other.more_owners;
  for (const std::string& owner : other.owners) {
    if (owners.contains(owner)) continue;
    if (owners.size() < kOwnersPerGrantMax) owners.insert(owner);
    else more_owners = true;
  }
  for (const std::string& key : other.host_keys) {
    if (host_keys.size() < kHostKeysPerGrantMax) host_keys.insert(key);
  }
}

Terms* RuleBook::allow(const Grant& grant) {
  const auto found = grants_.find(grant);
  if (found != grants_.end()) return &found->second;
  if (grants_.size() >= kGrantsMax) {
    ++refused_;
    return nullptr;
  }
  return &grants_[grant];
}

const Terms* RuleBook::find(const Grant& grant) const {
  const auto found = grants_.find(grant);
  return found == grants_.end() ? nullptr : &found->second;
}

bool RuleBook::trust(const IpAddress& resolver) {
  const auto at = std::ranges::lower_bound(resolvers_, resolver);
  if (at != resolvers_.end() && *at == resolver) return true;
  if (resolvers_.size() >= kResolversMax) return false;
  resolvers_.insert(at, resolver);
  return true;
}

}  // namespace sallyport::learn
