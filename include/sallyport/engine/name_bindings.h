// NameBindings remembers which addresses a name was really given by a trusted resolver (R3, R16). It is the one
// changing thing that the workers share: sharded, each shard behind a lock that is held for a look-up or an insertion,
// all memory taken in the constructor. A binding is a fact about DNS, not a permission: the rules decide which names
// may be used. A scope with resolvers of its own has a view of its own: what they answered counts for its flows alone,
// and what others answered does not (policy::View).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
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
};

// may_bind tells whether an answer may give `name` this address: a public unicast one, or any unicast one that the policy
// lets be private for the name. What embeds an IPv4 address (RFC 6052, RFC 3056) counts as that.
bool may_bind(const IpAddress& address, const DomainName& name, const policy::Policy& policy);
// binding_life returns how long a record with this TTL in seconds binds: clamped, and the policy's grace behind it.
Duration binding_life(std::uint32_t ttl, const policy::Policy& policy);

class NameBindings {
 public:
  explicit NameBindings(std::size_t capacity = kBindings, std::array<std::uint64_t, 2> hash_key = {});
  ~NameBindings();
  NameBindings(const NameBindings&) = delete;
  NameBindings& operator=(const NameBindings&) = delete;

  // kReplaced: the name had kBindingsPerName addresses, and the one of them that would have expired first made room.
  // kAddressFull, kFull: not bound.
  enum class Outcome : std::uint8_t { kNew, kReplaced, kRefreshed, kAddressFull, kFull };

  // All functions: thread-safe, no allocation but for list(). At a bound what has expired makes room, or an older
  // address of the same name; never a living binding of another name, whose flows it would deny. A binding that has
  // expired already is not made (kFull).
  Outcome bind(const Binding& binding, Timestamp now);
  bool bound(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now) const;
  // keep_until prolongs a living binding that a flow uses, at most to kBindingKeptMax after the last answer that gave
  // it; never shortens it.
  void keep_until(const IpAddress& address, const DomainName& name, policy::View view, Timestamp now, Timestamp until);
  // names_of copies at most `out.size()` living names of an address, the newest first, and returns how many.
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

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::engine
