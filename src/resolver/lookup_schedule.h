// LookupSchedule says which name is looked up next, and when. It reads no clock and asks nobody: the owner takes a
// name, looks it up, and tells how it went. Names of rules are kept warm: looked up again before their TTL ends. Names
// of a miss go first, each at most once per kResolverAskAgain. One thread owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/time.h"
#include "sallyport/policy/policy.h"

namespace sallyport::resolver {

class LookupSchedule {
 public:
  // At most `capacity` names at a time. `seed` makes the jitter.
  explicit LookupSchedule(std::size_t capacity, std::uint64_t seed = 0) : capacity_(capacity), random_(seed) {}

  // keep_warm adds a name that is due at once and then for ever. false: the schedule is full.
  bool keep_warm(const DomainName& name, policy::View view, Timestamp now);

  // forget_warm has no name kept warm any more; each is forgotten when it would be looked up again.
  void forget_warm();

  // ask makes a name due at once, before all that is only kept warm.
  enum class Asked : std::uint8_t { kQueued, kUnderWay, kTooSoon, kFull };
  Asked ask(const DomainName& name, policy::View view, Timestamp now);
  // ask_first is for a name that a flow claims: it goes before all others, and kResolverMisses of them have room beside
  // what fills the schedule.
  Asked ask_first(const DomainName& name, policy::View view, Timestamp now);
  // ask_longest_untouched asks for at most `at_most` of the names, those first that were not looked up for the longest
  // time, and returns how many of them were queued.
  std::size_t ask_longest_untouched(const std::vector<DomainName>& names, policy::View view, std::size_t at_most,
                                    Timestamp now);

  struct Lookup {
    std::size_t entry = 0;
    DomainName name;
    policy::View view = 0;
  };
  // take returns a name that is due, which is then under way until finish.
  std::optional<Lookup> take(Timestamp now);

  enum class Result : std::uint8_t { kAddresses, kNoAddress, kFailed };
  void finish(std::size_t entry, Result result, Duration ttl, Timestamp now);

  // all_due makes every warm name due at once: there are other servers now.
  void all_due(Timestamp now);
  // next_due returns when take can next return something; absent: nothing waits.
  std::optional<Timestamp> next_due() const;

  std::size_t warm() const { return warm_; }
  std::size_t under_way() const { return under_way_; }
  std::size_t failing() const { return failing_; }  // Names whose last look-up failed.

 private:
  struct Entry {
    DomainName name;
    policy::View view = 0;
    bool used = false;
    bool warm = false;
    bool under_way = false;
    bool wanted = false;  // By a miss.
    bool first = false;   // By one that claims the name.
    unsigned failures = 0;
    Timestamp due;
    std::optional<Timestamp> touched;  // The last look-up's end.
  };

  std::optional<std::size_t> find(const DomainName& name, policy::View view) const;
  std::optional<std::size_t> add(const DomainName& name, policy::View view, std::size_t room = 0);
  void remove(std::size_t index);
  void set_due(std::size_t index, Timestamp due);
  bool forget_one(Timestamp now);
  Asked ask(const DomainName& name, policy::View view, Timestamp now, bool first);
  Asked ask_entry(std::size_t index, Timestamp now, bool first);
  Duration jittered(Duration duration);

  std::size_t capacity_;
  std::uint64_t random_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> free_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::set<std::pair<Timestamp, std::size_t>> due_;  // What is not under way.
  std::uint64_t asked_ = 0;                          // Orders the names that misses want.
  std::size_t warm_ = 0, under_way_ = 0, failing_ = 0;
};

}  // namespace sallyport::resolver
