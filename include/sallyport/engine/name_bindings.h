// NameBindings remembers which addresses a name was really given by a trusted resolver (R3, R16). It is the one
// changing thing that the workers share: sharded, each shard behind a lock that is held for a look-up or an insertion,
// all memory taken in the constructor. A binding is a fact about DNS, not a permission: the rules decide which names
// may be used. A scope with resolvers of its own has a view of its own: what they answered counts for its flows alone,
// and what others answered does not (policy::View).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/limits.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"

namespace sallyport::engine {

// Where a binding comes from, for reports.
enum class BindingSource : std::uint8_t { kAnswer, kLookup, kState };

struct Binding {
  IpAddress address;  // Unmapped.
  DomainName name;    // The name that was asked for, not the CNAME chain's end.
  Timestamp expires;  // TTL and grace included.
  BindingSource source = BindingSource::kAnswer;
  policy::View view = 0;
  policy::ScopeSet scopes = 0;  // kAnswer: who asked, for the shares.
  Timestamp told{};             // When a resolver said it last; the epoch: now.
  std::optional<IpAddress> teller = {};  // The server whose answer it was, where that is known: not of own look-ups.
};

// BindingRef finds a binding again without its name.
struct BindingRef {
  static constexpr std::uint32_t kNone = UINT32_MAX;
  std::uint32_t slot = kNone;
  std::uint64_t name_hash = 0;
};

// may_bind tells whether an answer may give `name` this address: a public unicast one, or any unicast one that the policy
// lets be private for the name. What embeds an IPv4 address (RFC 6052, RFC 3056) counts as that.
bool may_bind(const IpAddress& address, const DomainName& name, const policy::Policy& policy);
// is_public_name tells a name that may be anybody's: not one of a single label, nor one below a domain that is never delegated
// (localhost, local, internal, home.arpa).
bool is_public_name(const DomainName& name);
// is_rebinding tells that an answer with this address would turn whoever trusts `name` (empty: one outside the host name alphabet)
// to this network: the name is public and the policy has no exception for it, the address is private, loopback, link-local or
// otherwise not public, or a metadata service. 0.0.0.0 and :: are what filtering resolvers answer, and are none.
bool is_rebinding(const IpAddress& address, const DomainName& name, const policy::Policy& policy);
// is_public_address tells a globally reachable unicast address, what embeds an IPv4 address (RFC 6052, RFC 3056) counting as that.
bool is_public_address(const IpAddress& address);
// binding_life returns how long a record with this TTL in seconds binds: clamped, and the policy's grace behind it.
Duration binding_life(std::uint32_t ttl, const policy::Policy& policy);

class NameBindings {
 public:
  explicit NameBindings(std::size_t capacity = kBindings, std::array<std::uint64_t, 2> hash_key = {});
  ~NameBindings();
  NameBindings(const NameBindings&) = delete;
  NameBindings& operator=(const NameBindings&) = delete;

  // kReplaced: the name had kBindingsPerName addresses, and the one of them that would have expired first made room.
  // kMadeRoom: the table, the share of answers or the address was full, and a binding that an answer had made and that
  // was unused for long gave way. kAddressFull, kFull: not bound.
  enum class Outcome : std::uint8_t { kNew, kReplaced, kMadeRoom, kRefreshed, kAddressFull, kFull };
  static constexpr std::size_t kOutcomes = 6;
  static constexpr std::string_view to_string(Outcome outcome) {
    constexpr std::string_view kWords[] = {"new", "replaced", "made_room", "refreshed", "address_full", "full"};
    return kWords[static_cast<std::size_t>(outcome)];
  }

  // All functions: thread-safe, no allocation but for list(). At a bound what has expired makes room, or an older
  // address of the same name.
  //
  // Shares: what answers made, those of the state file included, takes at most three quarters of the table, so that
  // there is always room for own look-ups. When that share or an address is full, whoever holds most of it (the flows of
  // one scope, those in no scope, the state file) loses the longest unused of some of his. So who asks for many names
  // drives out his own, and never what own look-ups made.
  //
  // A binding that has expired already is not made (kFull, and not counted).
  Outcome bind(const Binding& binding, Timestamp now);
  // outcome_count tells how often bind ended so.
  std::uint64_t outcome_count(Outcome outcome) const;
  bool bound(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now) const;
  // keep_until prolongs a living binding that a flow uses, at most to kBindingKeptMax after the last answer that gave
  // it; never shortens it. The second form is for the flow's further packets; it does nothing when the binding is gone.
  BindingRef keep_until(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now, Timestamp until);
  void keep_until(BindingRef binding, const IpAddress& address, Timestamp now, Timestamp until);
  // names_of copies at most `out.size()` living names of an address, those of own look-ups before the others and the
  // newest of each first, and returns how many.
  std::size_t names_of(const IpAddress& address, policy::View view, Timestamp now, std::span<DomainName> out) const;
  // any_name_of tells whether `accepts(context, name)` is true for some living name of an address. It is called under a
  // lock: it must be quick and must not come back here.
  bool any_name_of(const IpAddress& address, policy::View view, Timestamp now, bool (*accepts)(void*, const DomainName&),
                   void* context) const;
  // version changes with each new binding: a flow that waits for one asks again only then.
  std::uint64_t version() const;
  // size counts what is remembered; some of it may have expired.
  std::size_t size() const;
  // list returns all living bindings, for the state file and reports. Allocates; not for the packet path.
  std::vector<Binding> list(Timestamp now) const;
  // forget_views ends what scopes with resolvers of their own were told: under another policy their numbers are others'.
  void forget_views();
  // forget_untrusted ends what was told by servers that are not `trusted` any more, in view 0. Of what has no known teller it ends
  // what came from the state file, and what own look-ups made if `lookups`. What `keep` accepts stays for kDistrustedKept; it is called under a lock.
  // Who told a thing last counts. Returns how many ended.
  std::size_t forget_untrusted(std::span<const IpAddress> trusted, bool lookups, Timestamp now,
                               const std::function<bool(const DomainName&)>& keep);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::engine
