// RuleBook collects what a learned policy is to allow, in its smallest pieces: one target, one word of `protocols`, one
// port. Memory is bounded: what is beyond kGrantsMax is refused and counted.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/learn/sighting.h"

namespace sallyport::learn {

inline constexpr std::size_t kGrantsMax = 200'000;
inline constexpr std::size_t kResolversMax = 16;  // dns.resolvers takes no more.
inline constexpr std::size_t kOwnersPerGrantMax = 4;
inline constexpr std::size_t kHostKeysPerGrantMax = 8;

// Target is what stands in a rule's `to`: a name, a wildcard ("*.x") or an address.
struct Target {
  bool is_address = false;
  IpAddress address;  // Of an address.
  std::string name;   // Of a name, in canonical form.

  static Target of(const DomainName& name) { return {false, {}, std::string(name.text())}; }
  static Target of(const IpAddress& address) { return {true, address.unmapped(), {}}; }
  std::string text() const { return is_address ? address.to_string() : name; }
  friend auto operator<=>(const Target&, const Target&) = default;
};

struct Grant {
  Target target;
  std::string_view word;  // Of policy::rule_word.
  std::uint16_t port = 0;  // 0: the word has none.
  std::uint8_t ip_protocol = 0;  // Of ip-proto.
  bool proxy = false;
  friend auto operator<=>(const Grant&, const Grant&) = default;
};

// Terms is what else a rule for the grant says, and what is known of the flows that it is for.
struct Terms {
  bool any_bind = false;  // No answer gave the name the address.
  bool ice = false;
  bool keep_exact = false;  // Not to be folded into a wildcard.
  std::set<std::uint8_t> icmp_types;
  std::size_t icmp_payload = 0;

  std::uint64_t flows = 0;
  Timestamp first, last;
  std::set<std::string> owners;
  bool more_owners = false;
  std::set<std::string_view> seen;  // Protocols, as the flows' bytes show them.
  std::set<std::string> host_keys;

  void note(const Sighting& sighting);
  // add joins another grant's terms to these, for a rule's summary.
  void add(const Terms& other);
};

class RuleBook {
 public:
  // allow gives the terms of a grant, made if it is new; null when the book is full.
  Terms* allow(const Grant& grant);
  const Terms* find(const Grant& grant) const;
  void remove(const Grant& grant) { grants_.erase(grant); }

  const std::map<Grant, Terms>& grants() const { return grants_; }
  std::map<Grant, Terms>& grants() { return grants_; }
  std::uint64_t refused() const { return refused_; }  // Grants beyond kGrantsMax.

  // Settings of [dns]. trust returns false when there are kResolversMax.
  bool trust(const IpAddress& resolver);
  const std::vector<IpAddress>& resolvers() const { return resolvers_; }
  std::set<std::string> private_names;     // dns.private
  std::set<std::string> rebinding_except;  // dns.rebinding_except

 private:
  std::map<Grant, Terms> grants_;
  std::uint64_t refused_ = 0;
  std::vector<IpAddress> resolvers_;  // Sorted.
};

}  // namespace sallyport::learn
