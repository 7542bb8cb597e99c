#include "sallyport/engine/expectations.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <mutex>
#include <vector>

#include "keyed_hash.h"

namespace sallyport::engine {
namespace {

constexpr std::size_t kLocks = 16;  // Sets share them.

struct Slot {
  std::uint64_t tag = 0;  // What is expected; 0: free.
  Timestamp expires;
  policy::ScopeSet scopes = 0;
  Expectations::Announcer rule = 0;
  std::uint32_t peers = 0;                                // Sockets: all so far;
  std::array<Timestamp, kIcePeersPerSocket> peer_times{};  // when the last of them were taken, in a ring.

  bool lives(Timestamp now) const { return tag != 0 && now < expires; }
};

using Set = std::array<Slot, kExpectationsPerClient>;

// Words is what a hash is made of.
class Words {
 public:
  void add(std::uint64_t word) { words_[count_++] = word; }
  void add(const IpAddress& address) {
    const IpAddress plain = address.unmapped();
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(plain.bytes(), bytes.begin());
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      high = high << 8 | bytes[i];
      low = low << 8 | bytes[8 + i];
    }
    add(plain.bits());
    add(high);
    add(low);
  }
  std::uint64_t hash(const HashKey& key) const {
    return keyed_hash(key, reinterpret_cast<const std::uint8_t*>(words_.data()), count_ * sizeof words_[0]);
  }

 private:
  std::array<std::uint64_t, 12> words_{};
  std::size_t count_ = 0;
};

}  // namespace

class Expectations::Impl {
 public:
  Impl(const HashKey& key, std::size_t sets) : key_(key), sets_(std::bit_ceil(std::max<std::size_t>(sets, 1))) {}

  // any tells whether something of this kind may be expected: a load that every new flow can afford.
  static bool any(const std::atomic<Timestamp::rep>& latest, Timestamp now) {
    return now.time_since_epoch().count() < latest.load(std::memory_order_relaxed);
  }

  static std::uint64_t who(const Owner& owner) {
    return owner.uid ? std::uint64_t{1} << 32 | *owner.uid : 0;
  }

  // The set is the client's, so that who announces much uses up his own room.
  std::size_t set_of(const IpAddress& client, const Owner& owner) const {
    Words words;
    words.add(client);
    words.add(who(owner));
    return static_cast<std::size_t>(words.hash(key_)) & (sets_.size() - 1);
  }
  std::uint64_t tag_of(Transport transport, const Endpoint& client, const Endpoint& server, const Owner& owner) const {
    Words words;
    words.add(static_cast<std::uint64_t>(transport) << 32 | std::uint64_t{client.port} << 16 | server.port);
    words.add(client.address);
    words.add(server.address);
    words.add(who(owner));
    return std::max<std::uint64_t>(words.hash(key_), 1);
  }

  // with calls `act(slot or null)` for the living slot with this tag, under its lock.
  template <typename Act>
  auto with(std::size_t set, std::uint64_t tag, const Owner& owner, Timestamp now, Act&& act) {
    const std::lock_guard lock(locks_[set % kLocks]);
    const auto found = std::ranges::find_if(sets_[set], [&](const Slot& slot) {
      return slot.tag == tag && slot.scopes == owner.scopes && slot.lives(now);
    });
    return act(found == sets_[set].end() ? nullptr : &*found);
  }

  bool put(std::size_t set, std::uint64_t tag, const Owner& owner, Announcer rule, Timestamp now, Duration life,
           std::atomic<Timestamp::rep>& latest) {
    const Timestamp expires = now + life;
    const bool put = with(set, tag, owner, now, [&](Slot* slot) {
      if (slot == nullptr) {
        // Opened again, a socket has the peers that it had.
        auto free = std::ranges::find_if(sets_[set], [&](const Slot& one) { return one.tag == tag && one.scopes == owner.scopes; });
        if (free == sets_[set].end()) free = std::ranges::find_if(sets_[set], [now](const Slot& one) { return !one.lives(now); });
        if (free == sets_[set].end()) return false;
        slot = &*free;
        if (slot->tag != tag) *slot = {.tag = tag, .expires = expires, .scopes = owner.scopes, .rule = rule};
      }
      slot->expires = expires;
      slot->rule = rule;
      return true;
    });
    Timestamp::rep before = latest.load(std::memory_order_relaxed);
    const Timestamp::rep end = expires.time_since_epoch().count();
    while (put && before < end && !latest.compare_exchange_weak(before, end, std::memory_order_relaxed)) {
    }
    return put;
  }

  std::atomic<Timestamp::rep> latest_connection{0};  // When the last one of them expires.
  std::atomic<Timestamp::rep> latest_socket{0};

 private:
  const HashKey key_;
  std::vector<Set> sets_;
  std::array<std::mutex, kLocks> locks_;
};

Expectations::Expectations(std::array<std::uint64_t, 2> hash_key, std::size_t sets)
    : impl_(std::make_unique<Impl>(hash_key, sets)) {}
Expectations::~Expectations() = default;

bool Expectations::expect_connection(const IpAddress& client, const Endpoint& server, const Owner& owner, Announcer rule,
                                     Timestamp now) {
  const std::uint64_t tag = impl_->tag_of(Transport::kTcp, {client, 0}, server, owner);
  return impl_->put(impl_->set_of(client, owner), tag, owner, rule, now, kFtpDataTime, impl_->latest_connection);
}

std::optional<Expectations::Announcer> Expectations::take_connection(const FlowKey& key, const Owner& owner, Timestamp now) {
  if (!Impl::any(impl_->latest_connection, now)) return std::nullopt;
  const std::uint64_t tag = impl_->tag_of(Transport::kTcp, {key.client.address, 0}, key.server, owner);
  return impl_->with(impl_->set_of(key.client.address, owner), tag, owner, now, [](Slot* slot) -> std::optional<Announcer> {
    if (slot == nullptr) return std::nullopt;
    slot->tag = 0;
    return slot->rule;
  });
}

bool Expectations::open_socket(const Endpoint& client, const Owner& owner, Announcer rule, Timestamp now) {
  const std::uint64_t tag = impl_->tag_of(Transport::kUdp, client, {}, owner);
  return impl_->put(impl_->set_of(client.address, owner), tag, owner, rule, now, kIceSocketTime, impl_->latest_socket);
}

bool Expectations::socket_open(const Endpoint& client, const Owner& owner, Timestamp now) {
  if (!Impl::any(impl_->latest_socket, now)) return false;
  const std::uint64_t tag = impl_->tag_of(Transport::kUdp, client, {}, owner);
  return impl_->with(impl_->set_of(client.address, owner), tag, owner, now, [](const Slot* slot) { return slot != nullptr; });
}

Expectations::Peer Expectations::take_peer(const Endpoint& client, const Owner& owner, Timestamp now, Announcer& rule) {
  if (!Impl::any(impl_->latest_socket, now)) return Peer::kNotOpen;
  const std::uint64_t tag = impl_->tag_of(Transport::kUdp, client, {}, owner);
  return impl_->with(impl_->set_of(client.address, owner), tag, owner, now, [&](Slot* slot) {
    if (slot == nullptr) return Peer::kNotOpen;
    rule = slot->rule;
    Timestamp& oldest = slot->peer_times[slot->peers % kIcePeersPerSocket];
    if (now < oldest + kIceSocketTime) return Peer::kTooMany;
    oldest = now;
    ++slot->peers;
    return Peer::kTaken;
  });
}

}  // namespace sallyport::engine
