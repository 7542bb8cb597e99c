#include "lookup_engine.h"

#include <sys/epoll.h>

#include <algorithm>

#include "sallyport/parsers/dns.h"

namespace sallyport::resolver {
namespace {

constexpr std::array<std::uint16_t, 2> kTypes = {parsers::kDnsTypeA, parsers::kDnsTypeAaaa};

// A question's tag is its look-up's slot and which of both types it asks.
std::uint64_t tag_of(std::size_t slot, std::size_t type_index) {
  return slot << 1 | type_index;
}

// An event's tag is its channel.
std::uint32_t event_tag_of(policy::View view, std::size_t channel) {
  return static_cast<std::uint32_t>(view * kResolverChannels + channel);
}

}  // namespace

LookupEngine::LookupEngine(std::shared_ptr<const policy::Policy> policy,
                           std::shared_ptr<engine::NameBindings> bindings,
                           std::shared_ptr<engine::Resolvers> resolvers, LookupSchedule& schedule,
                           std::function<Timestamp()> clock, int epoll,
                           std::uint16_t port)
    : policy_(std::move(policy)),
      bindings_(std::move(bindings)),
      resolvers_(std::move(resolvers)),
      schedule_(schedule),
      clock_(std::move(clock)),
      epoll_(epoll),
      port_(port) {}

void LookupEngine::set_servers(std::vector<IpAddress> servers) {
  servers_ = std::move(servers);
  channels_.erase(0);
}

void LookupEngine::set_policy(std::shared_ptr<const policy::Policy> policy) {
  const bool same = policy->same_views(*policy_);
  policy_ = std::move(policy);
  if (!same) std::erase_if(channels_, [](const auto& each) { return each.first != 0; });
}

std::vector<IpAddress> LookupEngine::servers_of(policy::View view) const {
  if (view == 0) return servers_;
  const std::span<const IpAddress> own = policy_->resolvers_of(view);
  return {own.begin(), own.end()};
}

DnsChannel* LookupEngine::channel_for(policy::View view, std::size_t slot) {
  const std::size_t index = slot % kResolverChannels;
  std::unique_ptr<DnsChannel>& channel = channels_[view][index];
  if (channel) return channel.get();
  const std::vector<IpAddress> servers = servers_of(view);
  if (servers.empty()) return nullptr;
  auto opened = DnsChannel::open(servers, port_, epoll_, event_tag_of(view, index),
                                 [this](std::uint64_t tag, ByteSpan message, const char* failure) {
                                   on_answer(tag, message, failure);
                                 },
                                 [this](Transport transport, std::uint16_t local_port, bool open) {
                                   resolvers_->own_port(transport, local_port, open);
                                 });
  if (!opened) {
    counters_.last_error = opened.error();
    return nullptr;
  }
  channel = std::move(*opened);
  return channel.get();
}

void LookupEngine::start_due() {
  for (std::size_t slot = 0; slot < lookups_.size(); ++slot) {
    if (lookups_[slot].used) continue;
    const std::optional<LookupSchedule::Lookup> due = schedule_.take(clock_());
    if (!due) return;
    begin(slot, *due);
  }
}

void LookupEngine::begin(std::size_t slot, const LookupSchedule::Lookup& due) {
  Lookup& lookup = lookups_[slot];
  lookup = {true, due.entry, due.name, due.view, static_cast<unsigned>(kTypes.size()), false, false, kBindingTtlMax};
  ++counters_.lookups;
  DnsChannel* channel = channel_for(due.view, slot);
  if (channel == nullptr) {
    fail(lookup, "there is no resolver to ask");
    end(lookup);
    return;
  }
  // An answer may come within ask: what follows it may not touch the look-up.
  for (std::size_t i = 0; i < kTypes.size(); ++i) channel->ask(due.name, kTypes[i], tag_of(slot, i));
}

void LookupEngine::on_answer(std::uint64_t tag, ByteSpan message, const char* failure) {
  Lookup& lookup = lookups_[static_cast<std::size_t>(tag >> 1)];
  if (message.empty()) {
    fail(lookup, failure);
  } else {
    take_answer(lookup, read_lookup_answer(message, lookup.name, kTypes[tag & 1]));
  }
  if (--lookup.open_questions == 0) end(lookup);
}

void LookupEngine::take_answer(Lookup& lookup, const LookupAnswer& answer) {
  switch (answer.kind) {
    case LookupAnswer::Kind::kUnusable: fail(lookup, "the answer makes no sense"); return;
    case LookupAnswer::Kind::kNoAddress: return;
    case LookupAnswer::Kind::kAddresses: break;
  }
  const auto rebinds = [&](const IpAddress& address) { return engine::is_rebinding(address, lookup.name, *policy_); };
  if (policy_->dns().rebinding == policy::Rebinding::kRefuse && std::ranges::any_of(answer.addresses, rebinds)) {
    ++counters_.private_answers;  // A client that asked would be refused the whole answer.
    return;
  }
  lookup.has_address = true;
  lookup.ttl = std::min(lookup.ttl, answer.ttl);
  const Timestamp now = clock_();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(answer.ttl).count();
  const Timestamp expires = now + engine::binding_life(static_cast<std::uint32_t>(seconds), *policy_);
  for (const IpAddress& address : answer.addresses) {
    if (!engine::may_bind(address, lookup.name, *policy_)) {
      ++counters_.private_answers;
      continue;
    }
    (void)bindings_->bind({policy_->plain(address), lookup.name, expires, engine::BindingSource::kLookup, lookup.view}, now);
  }
}

void LookupEngine::fail(Lookup& lookup, const char* why) {
  lookup.failed = true;
  counters_.last_error = std::string(lookup.name.text()) + ": " + why;
}

void LookupEngine::end(Lookup& lookup) {
  LookupSchedule::Result result = LookupSchedule::Result::kNoAddress;
  if (lookup.has_address) {
    result = LookupSchedule::Result::kAddresses;
  } else if (lookup.failed) {
    result = LookupSchedule::Result::kFailed;
    ++counters_.failures;
  }
  // One of both questions failed: what the other gave holds, but not for its whole TTL.
  const Duration ttl = lookup.failed ? kBindingTtlMin : lookup.ttl;
  lookup.used = false;
  schedule_.finish(lookup.entry, result, ttl, clock_());
}

void LookupEngine::process(std::uint64_t event_data, std::uint32_t events) {
  const auto tag = static_cast<std::uint32_t>(event_data >> 32);
  const auto found = channels_.find(static_cast<policy::View>(tag / kResolverChannels));
  if (found == channels_.end()) return;  // Closed within this round.
  const std::unique_ptr<DnsChannel>& channel = found->second[tag % kResolverChannels];
  if (!channel) return;
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  channel->process(static_cast<int>(event_data & 0xffffffff), broken || (events & EPOLLIN) != 0,
                   (events & EPOLLOUT) != 0);
}

void LookupEngine::process_timeouts() {
  for (auto& [view, channels] : channels_) {
    for (auto& channel : channels) {
      if (channel) channel->process_timeouts();
    }
  }
}

std::optional<Duration> LookupEngine::timeout() const {
  std::optional<Duration> least;
  for (const auto& [view, channels] : channels_) {
    for (const auto& channel : channels) {
      const std::optional<Duration> one = channel ? channel->timeout() : std::nullopt;
      if (one && (!least || *one < *least)) least = one;
    }
  }
  return least;
}

}  // namespace sallyport::resolver
