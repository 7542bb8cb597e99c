#include "sallyport/engine/lookup_budget.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>

#include "keyed_hash.h"
#include "sallyport/core/domain_name.h"

namespace sallyport::engine {
namespace {

constexpr Duration kWindow = std::chrono::hours(1);

// Slot is a place of a hash table with linear probing; hash 0 is a free one.
struct Slot {
  std::uint64_t hash = 0;
  std::uint32_t count = 0;
};

// Table is filled to half at most, so that probes stay short.
class Table {
 public:
  explicit Table(std::size_t entries)
      : size_(std::bit_ceil(std::max<std::size_t>(entries, 1) * 2)),
        room_(entries),
        slots_(static_cast<Slot*>(std::calloc(size_, sizeof(Slot)))) {  // Pages that are never used are never touched.
    if (slots_ == nullptr) throw std::bad_alloc();
  }

  // find returns the slot with this hash or a free one for it.
  Slot& find(std::uint64_t hash) {
    const std::size_t mask = size_ - 1;
    std::size_t at = static_cast<std::size_t>(hash) & mask;
    while (slots_[at].hash != 0 && slots_[at].hash != hash) at = (at + 1) & mask;
    return slots_[at];
  }
  bool full() const { return used_ == room_; }
  void take(Slot& slot, std::uint64_t hash) {
    slot.hash = hash;
    ++used_;
  }
  void clear() {
    if (used_ != 0) std::fill_n(slots_.get(), size_, Slot{});
    used_ = 0;
  }

 private:
  struct Free {
    void operator()(Slot* slots) const { std::free(slots); }
  };
  std::size_t size_;
  std::size_t room_;
  std::size_t used_ = 0;
  std::unique_ptr<Slot[], Free> slots_;
};

}  // namespace

class LookupBudget::Impl {
 public:
  Impl(const HashKey& key, std::size_t names, std::size_t counts) : key_(key), names_(names), counts_(counts) {}

  bool admit(policy::ScopeSet scopes, std::string_view wildcard, std::string_view name, std::uint32_t budget, Timestamp now) {
    const std::uint64_t count_hash = hash_of(scopes, wildcard, {});
    const std::uint64_t name_hash = hash_of(scopes, wildcard, name);
    const std::lock_guard lock(mutex_);
    if (now >= window_end_) {  // A worker whose clock is a little behind counts in the window that is.
      names_.clear();
      counts_.clear();
      window_end_ = now + kWindow;
    }
    Slot& known = names_.find(name_hash);
    if (known.hash != 0) return true;
    Slot& count = counts_.find(count_hash);
    if (names_.full() || (count.hash == 0 && counts_.full()) || count.count >= budget) return false;
    if (count.hash == 0) counts_.take(count, count_hash);
    ++count.count;
    names_.take(known, name_hash);
    return true;
  }

 private:
  // hash_of is never 0. A name has no zero octet, so no two inputs run into each other.
  std::uint64_t hash_of(policy::ScopeSet scopes, std::string_view wildcard, std::string_view name) const {
    std::array<std::uint8_t, sizeof scopes + 2 * (DomainName::kMaxLength + 1)> text;
    std::memcpy(text.data(), &scopes, sizeof scopes);
    std::size_t size = sizeof scopes;
    for (const std::string_view part : {wildcard, name}) {
      const std::string_view fits = part.substr(0, DomainName::kMaxLength);
      if (!fits.empty()) std::memcpy(text.data() + size, fits.data(), fits.size());
      size += fits.size();
      text[size++] = 0;
    }
    const std::uint64_t hash = keyed_hash(key_, text.data(), size);
    return hash == 0 ? 1 : hash;
  }

  const HashKey key_;
  std::mutex mutex_;
  Table names_;
  Table counts_;
  Timestamp window_end_ = Timestamp::min();
};

LookupBudget::LookupBudget(std::array<std::uint64_t, 2> hash_key, std::size_t names, std::size_t counts)
    : impl_(std::make_unique<Impl>(hash_key, names, counts)) {}
LookupBudget::~LookupBudget() = default;

bool LookupBudget::admit(policy::ScopeSet scopes, std::string_view wildcard, std::string_view name, std::uint32_t budget,
                         Timestamp now) {
  return budget == 0 || impl_->admit(scopes, wildcard, name, budget, now);
}

}  // namespace sallyport::engine
