// Each binding is one entry in three hash tables: by view and name, by view and address, and by all of them, which is
// what the packet path asks. A table's chains are guarded by a few locks; the third's by those of the first, as a bucket
// of it has only names of one lock. An entry's address, name and view do not change while it is linked, and may be read
// under either lock; it is linked and unlinked under both, the name's first. Times and the account are atomic: prolonging
// needs no more than a look-up, and what is to make room is chosen without a lock and looked at again under one.
#include "sallyport/engine/name_bindings.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <mutex>

#include "binding_entry.h"
#include "keyed_hash.h"

namespace sallyport::engine {
namespace {

constexpr std::size_t kShards = 64;            // Locks of each table.
constexpr std::size_t kSweptPerBind = 8;       // Slots looked at for what has expired.
constexpr std::size_t kSlotsWhenFull = 256;    // Looked at when there is no other room.
constexpr std::size_t kCandidates = 16;        // Bindings of which the longest unused makes room.
constexpr int kTriesWhenFull = 4;              // Others may take the room that was made.

}  // namespace

class NameBindings::Impl {
 public:
  Impl(std::size_t capacity, const HashKey& key)
      : key_(key),
        capacity_(std::max<std::size_t>(capacity, 1)),
        answers_max_(capacity_ - capacity_ / 4),
        mask_(std::bit_ceil(capacity_) - 1),
        entries_(std::allocator<Entry>().allocate(capacity_)),
        names_(mask_ + 1, kNoEntry),
        addresses_(mask_ + 1, kNoEntry),
        pairs_(mask_ + 1, kNoEntry) {
    free_.reserve(capacity_);
  }
  ~Impl() { std::allocator<Entry>().deallocate(entries_, capacity_); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Outcome bind(const Binding& binding, Timestamp now) {
    if (binding.expires <= now || binding.name.empty()) return Outcome::kFull;
    sweep(now, kSweptPerBind);
    Outcome outcome = try_bind(binding, now);
    bool made_room = false;
    if (outcome == Outcome::kAddressFull && (free_of_address(binding, now) || (made_room = make_room_at(binding)))) {
      outcome = try_bind(binding, now);
    }
    for (int i = 0; i < kTriesWhenFull && outcome == Outcome::kFull; ++i) {
      if (!make_room(now)) continue;
      made_room = true;
      outcome = try_bind(binding, now);
    }
    if (outcome == Outcome::kNew && made_room) outcome = Outcome::kMadeRoom;
    outcomes_[static_cast<std::size_t>(outcome)].fetch_add(1, std::memory_order_relaxed);
    if (outcome == Outcome::kNew || outcome == Outcome::kMadeRoom || outcome == Outcome::kReplaced) {
      version_.fetch_add(1, std::memory_order_release);
    }
    return outcome;
  }

  std::uint64_t outcome_count(Outcome outcome) const {
    return outcomes_[static_cast<std::size_t>(outcome)].load(std::memory_order_relaxed);
  }

  bool bound(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now) const {
    const std::uint64_t hash = hash_of(view, as_bytes(name));
    const std::lock_guard lock(name_lock(hash));
    const Entry* entry = find(hash, address, name, view);
    return entry != nullptr && entry->living(now);
  }

  BindingRef keep_until(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now, Timestamp until) {
    const std::uint64_t hash = hash_of(view, as_bytes(name));
    const std::lock_guard lock(name_lock(hash));
    Entry* entry = find(hash, address, name, view);
    if (entry == nullptr || !entry->living(now)) return {};
    prolong(*entry, now, until);
    return {static_cast<std::uint32_t>(entry - entries_), hash};
  }

  // The lock is that of the name that the slot had: as long as it still has it, nobody else unlinks or fills it.
  void keep_until(BindingRef binding, const IpAddress& address, Timestamp now, Timestamp until) {
    if (binding.slot >= used_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(name_lock(binding.name_hash));
    Entry& entry = entries_[binding.slot];
    if (entry.expires.load(std::memory_order_acquire) <= count_of(now)) return;
    if (entry.name_hash.load(std::memory_order_relaxed) != binding.name_hash || !(entry.address == address)) return;
    prolong(entry, now, until);
  }

  std::size_t names_of(const IpAddress& address, policy::View view, Timestamp now, std::span<DomainName> out) const {
    const std::uint64_t hash = hash_of(view, address.bytes());
    const std::lock_guard lock(address_lock(hash));
    std::size_t count = 0;
    for (const bool own : {true, false}) {
      for (std::uint32_t i = addresses_[hash & mask_]; i != kNoEntry && count < out.size(); i = entries_[i].next_of_address) {
        const Entry& entry = entries_[i];
        const bool wanted = (entry.source == BindingSource::kLookup) == own;
        if (wanted && is_of_address(entry, hash, address, view) && entry.living(now)) out[count++] = entry.name;
      }
    }
    return count;
  }

  bool any_name_of(const IpAddress& address, policy::View view, Timestamp now, bool (*accepts)(void*, const DomainName&),
                   void* context) const {
    const std::uint64_t hash = hash_of(view, address.bytes());
    const std::lock_guard lock(address_lock(hash));
    for (std::uint32_t i = addresses_[hash & mask_]; i != kNoEntry; i = entries_[i].next_of_address) {
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
    result.reserve(size() + 1'024);  // So that it need not grow under a lock that a worker wants.
    for (std::size_t bucket = 0; bucket <= mask_; ++bucket) {
      const std::lock_guard lock(name_lock(bucket));
      for (std::uint32_t i = names_[bucket]; i != kNoEntry; i = entries_[i].next_of_name) {
        const Entry& entry = entries_[i];
        if (!entry.living(now)) continue;
        const Timestamp expires{Duration(entry.expires.load(std::memory_order_relaxed))};
        const Timestamp told{Duration(entry.told.load(std::memory_order_relaxed))};
        result.push_back({entry.address, entry.name, expires, entry.source, entry.view, 0, told});
      }
    }
    return result;
  }

  void forget_views() {
    for (std::size_t bucket = 0; bucket <= mask_; ++bucket) {
      const std::lock_guard lock(name_lock(bucket));
      for (std::uint32_t i = names_[bucket]; i != kNoEntry; i = entries_[i].next_of_name) {
        if (entries_[i].view != 0) entries_[i].expires.store(kEnded, std::memory_order_relaxed);
      }
    }
  }

  std::size_t forget_untrusted(std::span<const IpAddress> trusted, bool lookups, Timestamp now,
                               const std::function<bool(const DomainName&)>& keep) {
    std::vector<std::uint64_t> tellers;
    for (const IpAddress& each : trusted) tellers.push_back(hash_of_teller(each));
    std::ranges::sort(tellers);
    const auto trusts = [&](const Entry& entry) {
      const std::uint64_t teller = entry.teller.load(std::memory_order_relaxed);
      if (teller != 0) return std::ranges::binary_search(tellers, teller);
      return !lookups && entry.account.load(std::memory_order_relaxed) == kLookups;
    };
    std::size_t count = 0;
    for (std::size_t bucket = 0; bucket <= mask_; ++bucket) {
      const std::lock_guard lock(name_lock(bucket));
      for (std::uint32_t i = names_[bucket]; i != kNoEntry; i = entries_[i].next_of_name) {
        Entry& entry = entries_[i];
        if (entry.view != 0 || !entry.living(now) || trusts(entry)) continue;
        const bool kept = keep(entry.name);
        const std::int64_t end = kept ? std::min(entry.expires.load(std::memory_order_relaxed), count_of(now + kDistrustedKept)) : kEnded;
        entry.expires.store(end, std::memory_order_relaxed);
        if (!kept) ++count;
      }
    }
    return count;
  }

 private:
  static ByteSpan as_bytes(const DomainName& name) {
    return {reinterpret_cast<const std::uint8_t*>(name.text().data()), name.text().size()};
  }

  std::uint64_t hash_of(policy::View view, ByteSpan bytes) const {
    return keyed_hash({key_[0] ^ view, key_[1]}, bytes.data(), bytes.size());
  }

  // hash_of_teller is never 0.
  std::uint64_t hash_of_teller(const IpAddress& server) const {
    const IpAddress plain = server.unmapped();
    return keyed_hash(key_, plain.bytes().data(), plain.bytes().size()) | 1;
  }

  std::mutex& name_lock(std::uint64_t hash) const { return name_locks_[hash & mask_ & (kShards - 1)]; }
  std::mutex& address_lock(std::uint64_t hash) const { return address_locks_[hash & mask_ & (kShards - 1)]; }

  static void raise(std::atomic<std::int64_t>& value, std::int64_t to) {
    std::int64_t before = value.load(std::memory_order_relaxed);
    while (before < to && !value.compare_exchange_weak(before, to, std::memory_order_relaxed)) {
    }
  }

  // prolong needs the name's lock.
  static void prolong(Entry& entry, Timestamp now, Timestamp until) {
    const std::int64_t last = entry.told.load(std::memory_order_relaxed) + Duration(kBindingKeptMax).count();
    raise(entry.expires, std::min(count_of(until), last));
    raise(entry.used, count_of(now));
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
    for (std::uint32_t i = pairs_[bucket]; i != kNoEntry; i = entries_[i].next_of_pair) {
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
    std::uint32_t first_to_expire = kNoEntry;
    for (std::uint32_t i = names_[name_hash & mask_]; i != kNoEntry; i = entries_[i].next_of_name) {
      if (!is_of_name(entries_[i], name_hash, binding.name, binding.view)) continue;
      ++count;
      if (first_to_expire == kNoEntry || entries_[i].expires.load(std::memory_order_relaxed) <
                                          entries_[first_to_expire].expires.load(std::memory_order_relaxed)) {
        first_to_expire = i;
      }
    }
    const bool replaces = count >= kBindingsPerName;
    if (address_is_full(binding, address_hash)) return Outcome::kAddressFull;
    const std::uint8_t account = account_of(binding);
    if (!replaces && account != kLookups && answers() >= answers_max_) return Outcome::kFull;
    if (replaces) unlink(first_to_expire);
    const std::uint32_t index = take();
    if (index == kNoEntry) return Outcome::kFull;
    fill(entries_[index], binding, name_hash, address_hash, now);
    link(index);
    return replaces ? Outcome::kReplaced : Outcome::kNew;
  }

  bool address_is_full(const Binding& binding, std::uint64_t hash) const {
    const std::lock_guard lock(address_lock(hash));
    std::size_t count = 0;
    for (std::uint32_t i = addresses_[hash & mask_]; i != kNoEntry; i = entries_[i].next_of_address) {
      if (is_of_address(entries_[i], hash, binding.address, binding.view)) ++count;
    }
    return count >= kBindingsPerAddress;
  }

  // refresh needs the name's lock. The entry becomes the newest of its address. What own look-ups gave stays theirs, and
  // what they repeat becomes theirs.
  void refresh(Entry& entry, const Binding& binding, Timestamp now) {
    entry.teller.store(teller_of(binding), std::memory_order_relaxed);
    raise(entry.told, count_of(told_by(binding, now)));
    raise(entry.used, count_of(told_by(binding, now)));
    raise(entry.expires, count_of(binding.expires));
    if (binding.source == BindingSource::kLookup) {
      counts_[entry.account.load(std::memory_order_relaxed)].fetch_sub(1, std::memory_order_relaxed);
      counts_[kLookups].fetch_add(1, std::memory_order_relaxed);
      entry.account.store(kLookups, std::memory_order_relaxed);
    }
    const std::uint32_t index = static_cast<std::uint32_t>(&entry - entries_);
    const std::lock_guard lock(address_lock(entry.address_hash));
    if (entry.source != BindingSource::kLookup) entry.source = binding.source;
    unchain(addresses_[entry.address_hash & mask_], &Entry::next_of_address, index);
    chain(addresses_[entry.address_hash & mask_], &Entry::next_of_address, index);
  }

  std::uint64_t teller_of(const Binding& binding) const { return binding.teller ? hash_of_teller(*binding.teller) : 0; }

  static Timestamp told_by(const Binding& binding, Timestamp now) {
    return binding.told == Timestamp{} ? now : std::min(binding.told, now);
  }

  void fill(Entry& entry, const Binding& binding, std::uint64_t name_hash, std::uint64_t address_hash, Timestamp now) const {
    entry.address = binding.address;
    entry.name = binding.name;
    entry.view = binding.view;
    entry.source = binding.source;
    entry.name_hash.store(name_hash, std::memory_order_relaxed);
    entry.address_hash = address_hash;
    entry.account.store(account_of(binding), std::memory_order_relaxed);
    entry.teller.store(teller_of(binding), std::memory_order_relaxed);
    entry.told.store(count_of(told_by(binding, now)), std::memory_order_relaxed);
    entry.used.store(count_of(told_by(binding, now)), std::memory_order_relaxed);
    entry.expires.store(count_of(binding.expires), std::memory_order_release);  // The last.
  }

  // link, unlink and take: the name's lock is held.
  void link(std::uint32_t index) {
    Entry& entry = entries_[index];
    const std::uint64_t name_hash = entry.name_hash.load(std::memory_order_relaxed);
    counts_[entry.account.load(std::memory_order_relaxed)].fetch_add(1, std::memory_order_relaxed);
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
    counts_[entry.account.load(std::memory_order_relaxed)].fetch_sub(1, std::memory_order_relaxed);
    const std::lock_guard lock(free_lock_);
    free_.push_back(index);
  }

  std::uint32_t take() {
    const std::lock_guard lock(free_lock_);
    if (free_.empty()) {
      const std::size_t fresh = used_.load(std::memory_order_relaxed);
      if (fresh == capacity_) return kNoEntry;
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

  // remove_if takes an entry away that `chosen` picks. It is called with no lock held: by the time it has the lock the
  // entry may be another one.
  template <typename Chosen>
  bool remove_if(std::uint32_t index, Chosen&& chosen) {
    Entry& entry = entries_[index];
    const auto picked = [&] { return entry.expires.load(std::memory_order_acquire) != 0 && chosen(entry); };
    if (!picked()) return false;
    const std::uint64_t hash = entry.name_hash.load(std::memory_order_relaxed);
    const std::lock_guard lock(name_lock(hash));
    if (!picked() || entry.name_hash.load(std::memory_order_relaxed) != hash) return false;
    unlink(index);
    return true;
  }
  bool remove_if_expired(std::uint32_t index, Timestamp now) {
    return remove_if(index, [now](const Entry& entry) { return !entry.living(now); });
  }

  // Unused is the longest unused binding of those that it was shown.
  struct Unused {
    std::uint32_t index = kNoEntry;
    std::uint8_t account = kLookups;
    std::int64_t used = std::numeric_limits<std::int64_t>::max();

    void show(const Entry& entry, std::uint32_t at) {
      const std::int64_t its = entry.used.load(std::memory_order_relaxed);
      if (its >= used) return;
      index = at;
      used = its;
    }
  };
  bool remove(const Unused& unused) {
    return unused.index != kNoEntry && remove_if(unused.index, [&](const Entry& entry) {
             return entry.account.load(std::memory_order_relaxed) == unused.account &&
                    entry.used.load(std::memory_order_relaxed) == unused.used;
           });
  }

  std::size_t answers() const {
    std::size_t sum = 0;
    for (std::size_t i = kLookups + 1; i < kAccounts; ++i) sum += counts_[i].load(std::memory_order_relaxed);
    return sum;
  }

  // some_slot picks one of the first `used`, anywhere: what one account made lies together.
  std::uint32_t some_slot(std::size_t used) {
    std::uint64_t mixed = random_.fetch_add(0x9e3779b97f4a7c15, std::memory_order_relaxed);  // SplitMix64.
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return static_cast<std::uint32_t>((mixed ^ mixed >> 31) % used);
  }

  // make_room ends what has expired of some slots, and else a binding of the account that has most but for own look-ups.
  bool make_room(Timestamp now) {
    const auto size_of = [](const std::atomic<std::size_t>& count) { return count.load(std::memory_order_relaxed); };
    const auto largest = std::ranges::max_element(counts_.begin() + kLookups + 1, counts_.end(), {}, size_of);
    Unused unused{.account = static_cast<std::uint8_t>(largest - counts_.begin())};
    bool any = false;
    std::size_t candidates = 0;
    const std::size_t used = used_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < std::min(kSlotsWhenFull, used) && candidates < kCandidates; ++i) {
      const std::uint32_t index = some_slot(used);
      const Entry& entry = entries_[index];
      if (remove_if_expired(index, now)) {
        any = true;
      } else if (entry.account.load(std::memory_order_relaxed) == unused.account && entry.living(now)) {
        unused.show(entry, index);
        ++candidates;
      }
    }
    return any || remove(unused);
  }

  // make_room_at ends a binding of the account that has most of an address, but for own look-ups: the longest unused.
  bool make_room_at(const Binding& binding) {
    std::array<std::uint16_t, kAccounts> counts{};
    Unused unused;
    const std::uint64_t hash = hash_of(binding.view, binding.address.bytes());
    {
      const std::lock_guard lock(address_lock(hash));
      const auto visit = [&](auto&& visitor) {
        for (std::uint32_t i = addresses_[hash & mask_]; i != kNoEntry; i = entries_[i].next_of_address) {
          const Entry& entry = entries_[i];
          if (is_of_address(entry, hash, binding.address, binding.view)) visitor(entry, i, entry.account.load(std::memory_order_relaxed));
        }
      };
      visit([&](const Entry&, std::uint32_t, std::uint8_t account) { ++counts[account]; });
      unused.account = static_cast<std::uint8_t>(std::ranges::max_element(counts.begin() + kLookups + 1, counts.end()) - counts.begin());
      visit([&](const Entry& entry, std::uint32_t index, std::uint8_t account) {
        if (account == unused.account) unused.show(entry, index);
      });
    }
    return remove(unused);
  }

  // free_of_address gives some slots back whose bindings to this address have expired. True: there were some.
  bool free_of_address(const Binding& binding, Timestamp now) {
    std::array<std::uint32_t, kSweptPerBind> expired{};
    std::size_t count = 0;
    const std::uint64_t hash = hash_of(binding.view, binding.address.bytes());
    {
      const std::lock_guard lock(address_lock(hash));
      for (std::uint32_t i = addresses_[hash & mask_]; i != kNoEntry && count < expired.size(); i = entries_[i].next_of_address) {
        if (is_of_address(entries_[i], hash, binding.address, binding.view) && !entries_[i].living(now)) expired[count++] = i;
      }
    }
    bool any = false;
    for (std::size_t i = 0; i < count; ++i) any = remove_if_expired(expired[i], now) || any;
    return any;
  }

  const HashKey key_;
  const std::size_t capacity_;
  const std::size_t answers_max_;  // What all accounts but kLookups may have together.
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
  std::array<std::atomic<std::size_t>, kAccounts> counts_{};
  std::array<std::atomic<std::uint64_t>, kOutcomes> outcomes_{};
  std::atomic<std::size_t> used_{0};    // Slots from here on were never used; their pages are not touched.
  std::atomic<std::size_t> cursor_{0};  // Of the sweep.
  std::atomic<std::uint64_t> random_{0};
};

NameBindings::NameBindings(std::size_t capacity, std::array<std::uint64_t, 2> hash_key)
    : impl_(std::make_unique<Impl>(capacity, hash_key)) {}
NameBindings::~NameBindings() = default;

NameBindings::Outcome NameBindings::bind(const Binding& binding, Timestamp now) { return impl_->bind(binding, now); }
bool NameBindings::bound(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now) const {
  return impl_->bound(address, name, view, now);
}
std::uint64_t NameBindings::outcome_count(Outcome outcome) const { return impl_->outcome_count(outcome); }
BindingRef NameBindings::keep_until(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now,
                                    Timestamp until) {
  return impl_->keep_until(address, name, view, now, until);
}
void NameBindings::keep_until(BindingRef binding, const IpAddress& address, Timestamp now, Timestamp until) {
  impl_->keep_until(binding, address, now, until);
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
void NameBindings::forget_views() { impl_->forget_views(); }
std::size_t NameBindings::forget_untrusted(std::span<const IpAddress> trusted, bool lookups, Timestamp now,
                                           const std::function<bool(const DomainName&)>& keep) {
  return impl_->forget_untrusted(trusted, lookups, now, keep);
}
std::vector<Binding> NameBindings::list(Timestamp now) const { return impl_->list(now); }

}  // namespace sallyport::engine
