// What NameBindings remembers of one binding, and whose it is.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <limits>

#include "sallyport/engine/name_bindings.h"

namespace sallyport::engine {

inline constexpr std::uint32_t kNoEntry = std::numeric_limits<std::uint32_t>::max();

// Accounts of who made a binding: own look-ups, the state file, answers to flows in no scope, those of each scope, and those
// whose owner is not known.
inline constexpr std::uint8_t kLookups = 0, kRestored = 1, kInNoScope = 2;
inline constexpr std::size_t kAccounts = kInNoScope + 1 + policy::kScopesMax + 2;

inline std::uint8_t account_of(const Binding& binding) {
  if (binding.source == BindingSource::kLookup) return kLookups;
  if (binding.source == BindingSource::kState) return kRestored;
  if (binding.scopes == 0 || binding.scopes == policy::kUnnamedWorkload) return kInNoScope;
  return static_cast<std::uint8_t>(kInNoScope + 1 + std::countr_zero(binding.scopes));
}

inline std::int64_t count_of(Timestamp time) { return time.time_since_epoch().count(); }

// When an entry that was ended before its time expired: long ago, and not free, so that the sweep gives its slot back.
inline constexpr std::int64_t kEnded = 1;

// What a walk along a chain compares comes first: the long name is read of the entry alone that is meant.
struct Entry {
  IpAddress address;
  policy::View view = 0;
  BindingSource source = BindingSource::kAnswer;
  std::atomic<std::uint8_t> account{kLookups};
  std::atomic<std::uint64_t> name_hash{0};
  std::uint64_t address_hash = 0;
  std::uint32_t next_of_name = kNoEntry;
  std::uint32_t next_of_address = kNoEntry;
  std::uint32_t next_of_pair = kNoEntry;
  std::atomic<std::int64_t> expires{0};  // Nanoseconds since the epoch. 0: the entry is free.
  std::atomic<std::int64_t> told{0};     // When a resolver said it last.
  std::atomic<std::int64_t> used{0};     // When that was, or a flow used it last.
  std::atomic<std::uint64_t> teller{0};  // The hash of the server that said it last. 0: not known.
  DomainName name;

  bool living(Timestamp now) const { return expires.load(std::memory_order_relaxed) > now.time_since_epoch().count(); }
};

}  // namespace sallyport::engine
