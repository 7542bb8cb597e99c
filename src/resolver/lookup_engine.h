// LookupEngine carries look-ups out: channels to the servers of each view, both questions of a name, what their
// answers come to, and the bindings that follow. The resolver's thread owns it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dns_channel.h"
#include "lookup_answer.h"
#include "lookup_schedule.h"
#include "sallyport/core/limits.h"
#include "sallyport/engine/name_bindings.h"
#include "sallyport/engine/resolvers.h"
#include "sallyport/policy/policy.h"

namespace sallyport::resolver {

class LookupEngine {
 public:
  struct Counters {
    std::uint64_t lookups = 0, failures = 0, private_answers = 0;
    std::string last_error;
  };

  LookupEngine(std::shared_ptr<const policy::Policy> policy, std::shared_ptr<engine::NameBindings> bindings,
               std::shared_ptr<engine::Resolvers> resolvers, LookupSchedule& schedule, std::function<Timestamp()> clock, int epoll, std::uint16_t port);

  // set_servers replaces whom view 0 asks. What is under way there ends as failed.
  void set_servers(std::vector<IpAddress> servers);
  // set_policy goes by another policy. What is under way to the servers of scopes that are others now ends as failed.
  void set_policy(std::shared_ptr<const policy::Policy> policy);
  // start_due begins what is due, as far as there is room.
  void start_due();
  // process handles an event of the epoll set that carries a channel's tag.
  void process(std::uint64_t event_data, std::uint32_t events);
  void process_timeouts();
  std::optional<Duration> timeout() const;
  const Counters& counters() const { return counters_; }
  bool has_servers() const { return !servers_.empty(); }

 private:
  struct Lookup {
    bool used = false;
    std::size_t entry = 0;
    DomainName name;
    policy::View view = 0;
    unsigned open_questions = 0;
    bool failed = false;
    bool has_address = false;
    Duration ttl{0};
  };
  using Channels = std::array<std::unique_ptr<DnsChannel>, kResolverChannels>;

  DnsChannel* channel_for(policy::View view, std::size_t slot);
  std::vector<IpAddress> servers_of(policy::View view) const;
  void begin(std::size_t slot, const LookupSchedule::Lookup& due);
  void on_answer(std::uint64_t tag, ByteSpan message, const char* failure);
  void take_answer(Lookup& lookup, const LookupAnswer& answer);
  void fail(Lookup& lookup, const char* why);
  void end(Lookup& lookup);

  std::shared_ptr<const policy::Policy> policy_;
  std::shared_ptr<engine::NameBindings> bindings_;
  std::shared_ptr<engine::Resolvers> resolvers_;  // Learns of our sockets' ports.
  LookupSchedule& schedule_;
  std::function<Timestamp()> clock_;
  int epoll_;
  std::uint16_t port_;
  std::vector<IpAddress> servers_;
  std::array<Lookup, kResolverLookups> lookups_{};
  Counters counters_;
  std::map<policy::View, Channels> channels_;  // Last: its end calls back.
};

}  // namespace sallyport::resolver
