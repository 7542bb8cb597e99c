// Each binding is one entry in three hash tables: by view and name, by view and address, and by all of them, which is
// what the packet path asks. A table's chains are guarded by a few locks; the third's by those of the first, as a bucket
// of it has only names of one lock. An entry's address, name and view do not change while it is linked, and may be read
// under either lock; it is linked and unlinked under both, the name's first. Expiry times are atomic: prolonging needs
// no more than a look-up.
#include "sallyport/engine/name_bindings.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>
#include <memory>
#include <mutex>

#include "keyed_hash.h"

namespace sallyport::engine {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kShards = 64;            // Locks of each table.
constexpr std::size_t kSweptPerBind = 8;       // Slots looked at for what has expired.
constexpr std::size_t kSweptWhenFull = 1'024;  // The same, when there is no other room.

// What a walk along a chain compares comes first: the long name is read of the entry alone that is meant.
struct Entry {
  IpAddress address;
  policy::View view = 0;
  BindingSource source = BindingSource::kAnswer;
  std::atomic<std::uint64_t> name_hash{0};
  std::uint64_t address_hash = 0;
  std::uint32_t next_of_name = kNone;
  std::uint32_t next_of_address = kNone;
  std::uint32_t next_of_pair = kNone;
  std::atomic<std::int64_t> expires{0};  // Nanoseconds since the epoch. 0: the entry is free.
  std::atomic<std::int64_t> told{0};     // When a resolver said it last.
  DomainName name;

  bool living(Timestamp now) const { return expires.load(std::memory_order_relaxed) > now.time_since_epoch().count(); }
};

// is_public_v4 leaves out the special-purpose blocks (IANA registry, RFC 6890) but those for documentation.
bool is_public_v4(std::uint32_t address) {
  struct Block {
    std::uint32_t base;
    int bits;
  };
  constexpr Block kNotPublic[] = {{0x00000000, 8}, {0x0a000000, 8}, {0x64400000, 10}, {0x7f000000, 8}, {0xa9fe0000, 16},
                                  {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xe0000000, 3}};
  return std::ranges::none_of(kNotPublic, [&](const Block& block) { return (address ^ block.base) >> (32 - block.bits) == 0; });
}

std::uint32_t word_at(ByteSpan bytes, std::size_t offset) {
  return static_cast<std::uint32_t>(bytes[offset]) << 24 | static_cast<std::uint32_t>(bytes[offset + 1]) << 16 |
         static_cast<std::uint32_t>(bytes[offset + 2]) << 8 | bytes[offset + 3];
}

bool is_public(const IpAddress& address) {
  const ByteSpan bytes = address.bytes();
  const std::uint32_t first = word_at(bytes, 0);
  if (address.is_v4()) return is_public_v4(first);
  const bool nat64 = first == 0x0064ff9b && word_at(bytes, 4) == 0 && word_at(bytes, 8) == 0;  // RFC 6052 §2.1
  if (nat64) return is_public_v4(word_at(bytes, 12));
  if (first >> 16 == 0x2002) return is_public_v4(word_at(bytes, 2));  // 6to4, RFC 3056 §2
  if (first == 0x20010000) return false;                              // Teredo, RFC 4380 §2.6
  return first >> 29 == 1;                                            // 2000::/3, RFC 4291 §2.4
}

bool is_unicast(const IpAddress& address) {
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  return !address.is_multicast_or_broadcast() && !std::ranges::all_of(address.bytes(), zero);
}

}  // namespace

bool may_bind(const IpAddress& address, const DomainName& name, const policy::Policy& policy) {
  const IpAddress plain = address.unmapped();
  return is_unicast(plain) && (is_public(plain) || policy.may_be_private(name));
}

Duration binding_life(std::uint32_t ttl, const policy::Policy& policy) {
  return std::clamp<Duration>(std::chrono::seconds(ttl), kBindingTtlMin, kBindingTtlMax) + policy.dns().grace;
}

class NameBindings::Impl {
 public:
  Impl(std::size_t capacity, const HashKey& key)
      : key_(key),
        capacity_(std::max<std::size_t>(capacity, 1)),
        mask_(std::bit_ceil(capacity_) - 1),
        entries_(std::allocator<Entry>().allocate(capacity_)),
        names_(mask_ + 1, kNone),
        addresses_(mask_ + 1, kNone),
        pairs_(mask_ + 1, kNone) {
    free_.reserve(capacity_);
  }
  ~Impl() { std::allocator<Entry>().deallocate(entries_, capacity_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Outcome bind(const Binding& binding, Timestamp now) {
    if (binding.expires <= now || binding.name.empty()) return Outcome::kFull;
    sweep(now, kSweptPerBind);
    Outcome outcome = try_bind(binding, now);
    if (outcome == Outcome::kAddressFull && free_of_address(binding, now)) outcome = try_bind(binding, now);
    if (outcome == Outcome::kFull && sweep(now, kSweptWhenFull)) outcome = try_bind(binding, now);
    if (outcome == Outcome::kNew || outcome == Outcome::kReplaced) version_.fetch_add(1, std::memory_order_release);
    return outcome;
  }

  bool bound(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now) const {
    const std::uint64_t hash = hash_of(view, as_bytes(name));
    const std::lock_guard lock(name_lock(hash));
    const Entry* entry = find(hash, address, name, view);
    return entry != nullptr && entry->living(now);
  }

  void keep_until(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now, Timestamp until) {
    const std::uint64_t hash = hash_of(view, as_bytes(name));
    const std::lock_guard lock(name_lock(hash));
    Entry* entry = find(hash, address, name, view);
    if (entry == nullptr || !entry->living(now)) return;
    const std::int64_t last = entry->told.load(std::memory_order_relaxed) + Duration(kBindingKeptMax).count();
    raise(entry->expires, std::min<std::int64_t>(until.time_since_epoch().count(), last));
  }

  std::size_t names_of(const IpAddress& address, policy::View view, Timestamp now, std::span<DomainName> out) const {
    const std::uint64_t hash = hash_of(view, address.bytes());
    const std::lock_guard lock(address_lock(hash));
    std::size_t count = 0;
    for (std::uint32_t i = addresses_[hash & mask_]; i != kNone && count < out.size(); i = entries_[i].next_of_address) {
      const Entry& entry = entries_[i];
      if (is_of_address(entry, hash, address, view) && entry.living(now)) out[count++] = entry.name;
    }
    return count;
  }

  bool any_name_of(const IpAddress& address, policy::View view, Timestamp now, bool (*accepts)(void*, const DomainName&),
                   void* context) const {
    const std::uint64_t hash = hash_of(view, address.bytes());
    const std::lock_guard lock(address_lock(hash));
    for (std::uint32_t i = addresses_[hash & mask_]; i != kNone; i = entries_[i].next_of_address) {
      const Entry& entry = entries_[i];
      if (is_of_address(entry, hash, address, view) && entry.living(now) && accepts(context, entry.name)) return true;
    }
    return false;
  }

  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  std::size_t size() const {
    const std::lock_guard lock(free_lock_);
    return used_.load(std::memory_order_relaxed) - free_.size();
  }

  std::vector<Binding> list(Timestamp now) const {
    std::vector<Binding> result;
    for (std::size_t bucket = 0; bucket <= mask_; ++bucket) {
      const std::lock_guard lock(name_lock(bucket));
      for (std::uint32_t i = names_[bucket]; i != kNone; i = entries_[i].next_of_name) {
        const Entry& entry = entries_[i];
        if (!entry.living(now)) continue;
        const Timestamp expires{Duration(entry.expires.load(std::memory_order_relaxed))};
        result.push_back({entry.address, entry.name, expires, entry.source, entry.view});
      }
    }
    return result;
  }

 private:
  static ByteSpan as_bytes(const DomainName& name) {
    return {reinterpret_cast<const std::uint8_t*>(name.text().data()), name.text().size()};
  }

  std::uint64_t hash_of(policy::View view, ByteSpan bytes) const {
    return keyed_hash({key_[0] ^ view, key_[1]}, bytes.data(), bytes.size());
  }

  std::mutex& name_lock(std::uint64_t hash) const { return name_locks_[hash & mask_ & (kShards - 1)]; }
  std::mutex& address_lock(std::uint64_t hash) const { return address_locks_[hash & mask_ & (kShards - 1)]; }

  static void raise(std::atomic<std::int64_t>& value, std::int64_t to) {
    std::int64_t before = value.load(std::memory_order_relaxed);
    while (before < to && !value.compare_exchange_weak(before, to, std::memory_order_relaxed)) {
    }
  }

  static bool is_of_address(const Entry& entry, std::uint64_t hash, const IpAddress& address, policy::View view) {
    return entry.address_hash == hash && entry.view == view && entry.address == address;
  }
  static bool is_of_name(const Entry& entry, std::uint64_t hash, const DomainName& name, policy::View view) {
    return entry.name_hash.load(std::memory_order_relaxed) == hash && entry.view == view && entry.name == name;
  }

  // pair_bucket's low bits are the name's, so that name_lock guards the chain.
  std::size_t pair_bucket(std::uint64_t name_hash, std::uint64_t address_hash) const {
    const std::uint64_t both = std::rotl(name_hash, 32) ^ address_hash;
    return ((both & ~std::uint64_t{kShards - 1}) | (name_hash & (kShards - 1))) & mask_;
  }

  // find needs the name's lock.
  Entry* find(std::uint64_t hash, const IpAddress& address, const DomainName& name, policy::View view) const {
    const std::size_t bucket = pair_bucket(hash, hash_of(view, address.bytes()));
    for (std::uint32_t i = pairs_[bucket]; i != kNone; i = entries_[i].next_of_pair) {
      if (entries_[i].address == address && is_of_name(entries_[i], hash, name, view)) return &entries_[i];
    }
    return nullptr;
  }

  Outcome try_bind(const Binding& binding, Timestamp now) {
    const std::uint64_t name_hash = hash_of(binding.view, as_bytes(binding.name));
    const std::uint64_t address_hash = hash_of(binding.view, binding.address.bytes());
    const std::lock_guard name_guard(name_lock(name_hash));
    if (Entry* known = find(name_hash, binding.address, binding.name, binding.view)) {
      const bool lived = known->living(now);
      refresh(*known, binding, now);
      return lived ? Outcome::kRefreshed : Outcome::kNew;
    }
    std::size_t count = 0;
    std::uint32_t first_to_expire = kNone;
    for (std::uint32_t i = names_[name_hash & mask_]; i != kNone; i = entries_[i].next_of_name) {
      if (!is_of_name(entries_[i], name_hash, binding.name, binding.view)) continue;
      ++count;
      if (first_to_expire == kNone || entries_[i].expires.load(std::memory_order_relaxed) <
                                          entries_[first_to_expire].expires.load(std::memory_order_relaxed)) {
        first_to_expire = i;
      }
    }
    if (address_is_full(binding, address_hash)) return Outcome::kAddressFull;
    const bool replaces = count >= kBindingsPerName;
    if (replaces) unlink(first_to_expire);
    const std::uint32_t index = take();
    if (index == kNone) return Outcome::kFull;
    fill(entries_[index], binding, name_hash, address_hash, now);
    link(index);
    return replaces ? Outcome::kReplaced : Outcome::kNew;
  }

  bool address_is_full(const Binding& binding, std::uint64_t hash) const {
    const std::lock_guard lock(address_lock(hash));
    std::size_t count = 0;
    for (std::uint32_t i = addresses_[hash & mask_]; i != kNone; i = entries_[i].next_of_address) {
      if (is_of_address(entries_[i], hash, binding.address, binding.view)) ++count;
    }
    return count >= kBindingsPerAddress;
  }

  // refresh needs the name's lock. The entry becomes the newest of its address.
  void refresh(Entry& entry, const Binding& binding, Timestamp now) {
    raise(entry.told, now.time_since_epoch().count());
    raise(entry.expires, binding.expires.time_since_epoch().count());
    const std::uint32_t index = static_cast<std::uint32_t>(&entry - entries_);
    const std::lock_guard lock(address_lock(entry.address_hash));
    entry.source = binding.source;
    unchain(addresses_[entry.address_hash & mask_], &Entry::next_of_address, index);
    chain(addresses_[entry.address_hash & mask_], &Entry::next_of_address, index);
  }

  static void fill(Entry& entry, const Binding& binding, std::uint64_t name_hash, std::uint64_t address_hash, Timestamp now) {
    entry.address = binding.address;
    entry.name = binding.name;
    entry.view = binding.view;
    entry.source = binding.source;
    entry.name_hash.store(name_hash, std::memory_order_relaxed);
    entry.address_hash = address_hash;
    entry.told.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    entry.expires.store(binding.expires.time_since_epoch().count(), std::memory_order_release);  // The last.
  }

  // link, unlink and take: the name's lock is held.
  void link(std::uint32_t index) {
    Entry& entry = entries_[index];
    const std::uint64_t name_hash = entry.name_hash.load(std::memory_order_relaxed);
    chain(names_[name_hash & mask_], &Entry::next_of_name, index);
    chain(pairs_[pair_bucket(name_hash, entry.address_hash)], &Entry::next_of_pair, index);
    const std::lock_guard lock(address_lock(entry.address_hash));
    chain(addresses_[entry.address_hash & mask_], &Entry::next_of_address, index);
  }

  void unlink(std::uint32_t index) {
    Entry& entry = entries_[index];
    const std::uint64_t name_hash = entry.name_hash.load(std::memory_order_relaxed);
    unchain(names_[name_hash & mask_], &Entry::next_of_name, index);
    unchain(pairs_[pair_bucket(name_hash, entry.address_hash)], &Entry::next_of_pair, index);
    {
      const std::lock_guard lock(address_lock(entry.address_hash));
      unchain(addresses_[entry.address_hash & mask_], &Entry::next_of_address, index);
    }
    entry.expires.store(0, std::memory_order_relaxed);
    const std::lock_guard lock(free_lock_);
    free_.push_back(index);
  }

  std::uint32_t take() {
    const std::lock_guard lock(free_lock_);
    if (free_.empty()) {
      const std::size_t fresh = used_.load(std::memory_order_relaxed);
      if (fresh == capacity_) return kNone;
      std::construct_at(entries_ + fresh);
      used_.store(fresh + 1, std::memory_order_release);
      return static_cast<std::uint32_t>(fresh);
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }

  void chain(std::uint32_t& head, std::uint32_t Entry::*next, std::uint32_t index) {
    entries_[index].*next = head;
    head = index;
  }

  void unchain(std::uint32_t& head, std::uint32_t Entry::*next, std::uint32_t index) {
    std::uint32_t* link = &head;
    while (*link != index) link = &(entries_[*link].*next);
    *link = entries_[index].*next;
  }

  // sweep gives the next `slots` slots back whose bindings have expired. True: there were some.
  bool sweep(Timestamp now, std::size_t slots) {
    bool any = false;
    const std::size_t used = used_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < std::min(slots, used); ++i) {
      const std::size_t index = cursor_.fetch_add(1, std::memory_order_relaxed) % used;
      any = remove_if_expired(static_cast<std::uint32_t>(index), now) || any;
    }
    return any;
  }

  // remove_if_expired is called with no lock held. By the time it has the lock the entry may be another one.
  bool remove_if_expired(std::uint32_t index, Timestamp now) {
    Entry& entry = entries_[index];
    const auto expired = [&] {
      const std::int64_t expires = entry.expires.load(std::memory_order_acquire);
      return expires != 0 && expires <= now.time_since_epoch().count();
    };
    if (!expired()) return false;
    const std::uint64_t hash = entry.name_hash.load(std::memory_order_relaxed);
    const std::lock_guard lock(name_lock(hash));
    if (!expired() || entry.name_hash.load(std::memory_order_relaxed) != hash) return false;
    unlink(index);
    return true;
  }

  // free_of_address gives some slots back whose bindings to this address have expired. True: there were some.
  bool free_of_address(const Binding& binding, Timestamp now) {
    std::array<std::uint32_t, kSweptPerBind> expired{};
    std::size_t count = 0;
    const std::uint64_t hash = hash_of(binding.view, binding.address.bytes());
    {
      const std::lock_guard lock(address_lock(hash));
      for (std::uint32_t i = addresses_[hash & mask_]; i != kNone && count < expired.size(); i = entries_[i].next_of_address) {
        if (is_of_address(entries_[i], hash, binding.address, binding.view) && !entries_[i].living(now)) expired[count++] = i;
      }
    }
    bool any = false;
    for (std::size_t i = 0; i < count; ++i) any = remove_if_expired(expired[i], now) || any;
    return any;
  }

  const HashKey key_;
  const std::size_t capacity_;
  const std::size_t mask_;
  Entry* const entries_;  // Constructed up to `used_`.
  std::vector<std::uint32_t> names_;
  std::vector<std::uint32_t> addresses_;
  std::vector<std::uint32_t> pairs_;
  std::vector<std::uint32_t> free_;
  mutable std::array<std::mutex, kShards> name_locks_;
  mutable std::array<std::mutex, kShards> address_locks_;
  mutable std::mutex free_lock_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::size_t> used_{0};    // Slots from here on were never used; their pages are not touched.
  std::atomic<std::size_t> cursor_{0};  // Of the sweep.
};

NameBindings::NameBindings(std::size_t capacity, std::array<std::uint64_t, 2> hash_key)
    : impl_(std::make_unique<Impl>(capacity, hash_key)) {}
NameBindings::~NameBindings() = default;

NameBindings::Outcome NameBindings::bind(const Binding& binding, Timestamp now) { return impl_->bind(binding, now); }
bool NameBindings::bound(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now) const {
  return impl_->bound(address, name, view, now);
}
void NameBindings::keep_until(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now,
                              Timestamp until) {
  impl_->keep_until(address, name, view, now, until);
}
std::size_t NameBindings::names_of(const IpAddress& address, policy::View view, Timestamp now,
                                   std::span<DomainName> out) const {
  return impl_->names_of(address, view, now, out);
}
bool NameBindings::any_name_of(const IpAddress& address, policy::View view, Timestamp now,
                               bool (*accepts)(void*, const DomainName&), void* context) const {
  return impl_->any_name_of(address, view, now, accepts, context);
}
std::uint64_t NameBindings::version() const { return impl_->version(); }
std::size_t NameBindings::size() const { return impl_->size(); }
std::vector<Binding> NameBindings::list(Timestamp now) const { return impl_->list(now); }

}  // namespace sallyport::engine
