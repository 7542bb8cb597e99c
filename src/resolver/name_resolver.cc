#include "sallyport/resolver/name_resolver.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "file_watch.h"
#include "lookup_engine.h"
#include "lookup_schedule.h"
#include "miss_filter.h"
#include "miss_queue.h"
#include "sallyport/core/clock.h"

namespace sallyport::resolver {
namespace {

// The wake-up's mark in epoll_data; channels have theirs in the upper half.
constexpr std::uint64_t kWakeUp = ~std::uint64_t{0};
// How soon a change of the resolver configuration is seen.
constexpr Duration kWatchInterval = std::chrono::seconds(2);

std::uint64_t random_seed() {
  std::uint64_t seed = 0;
  (void)!::getrandom(&seed, sizeof seed, 0);
  return seed;
}

std::string list_text(const std::vector<IpAddress>& addresses) {
  std::string text;
  for (const IpAddress& address : addresses) text += (text.empty() ? "" : ", ") + address.to_string();
  return text.empty() ? "none" : text;
}

// c-ares has no place for the zone that a link-local address needs.
bool can_be_asked(const IpAddress& address) {
  return !(address.is_v6() && address.is_link_local());
}

}  // namespace

class NameResolver::Impl {
 public:
  explicit Impl(ResolverOptions options)
      : options_(std::move(options)),
        // As the workers' clock: later steps of the wall clock must not expire or prolong anything.
        wall_offset_(std::chrono::system_clock::now().time_since_epoch() - monotonic_now()),
        schedule_(kResolverNames + kResolverNames, random_seed()),
        watch_(resolver_files()),
        misses_(kResolverMisses) {}
  ~Impl() {
    stop();
    lookups_.reset();  // Its sockets leave the epoll set.
    for (const int fd : {epoll_, wake_up_}) {
      if (fd >= 0) ::close(fd);
    }
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::expected<void, std::string> open() {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    wake_up_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kWakeUp;
    if (epoll_ < 0 || wake_up_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_up_, &event) != 0) {
      return std::unexpected(std::string("resolver: ") + std::strerror(errno));
    }
    lookups_.emplace(options_.policy, options_.bindings, options_.resolvers, schedule_, [this] { return now(); }, epoll_,
                     options_.port);
    (void)watch_.changed();
    own_ = inside_addresses();
    (void)read_configuration({});
    if (trusted_.empty()) {
      options_.say("no DNS resolver is configured: no name can be looked up, and no answer is believed");
    }
    keep_names_warm();
    publish_status();
    return {};
  }

  void start() {
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }

  void stop() {
    stopping_.store(true, std::memory_order_relaxed);
    wake();
    if (thread_.joinable()) thread_.join();
  }

  void set_policy(std::shared_ptr<const policy::Policy> policy) {
    {
      const std::lock_guard lock(status_mutex_);
      next_policy_ = std::move(policy);
    }
    wake();
    // A moment: its thread does nothing that takes longer. Without the thread it is too early or too late to matter.
    std::unique_lock lock(status_mutex_);
    (void)policy_taken_.wait_for(lock, std::chrono::seconds(1), [this] { return next_policy_ == nullptr || stopping_.load(); });
  }

  void request(const engine::BindingMiss& miss) {
    if (!misses_.push(miss)) {
      misses_lost_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    wake();
  }

  ResolverStatus status() const {
    const std::lock_guard lock(status_mutex_);
    ResolverStatus copy = status_;
    copy.misses_lost = misses_lost_.load(std::memory_order_relaxed);
    return copy;
  }

 private:
  Timestamp now() const { return Timestamp(monotonic_now() + wall_offset_); }

  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_up_, &one, sizeof one);  // EAGAIN: it is awake 2^64 times already.
  }

  void run() {
    while (!stopping_.load(std::memory_order_relaxed)) {
      lookups_->start_due();
      publish_status();
      std::array<epoll_event, 64> events;
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms());
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.u64 == kWakeUp) {
          std::uint64_t ignored = 0;
          (void)!::read(wake_up_, &ignored, sizeof ignored);
        } else {
          lookups_->process(event.data.u64, event.events);
        }
      }
      lookups_->process_timeouts();
      take_policy();
      take_misses();
      follow_configuration();
    }
  }

  // wait_ms returns how long the loop may sleep; when every slot is taken, what is due waits for answers.
  int wait_ms() const {
    Duration wait = kWatchInterval;
    if (const std::optional<Duration> timeout = lookups_->timeout()) wait = std::min(wait, *timeout);
    const std::optional<Timestamp> due = schedule_.next_due();
    if (due && schedule_.under_way() < kResolverLookups) wait = std::min(wait, std::max(*due - now(), Duration(0)));
    return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(wait).count());
  }

  void take_policy() {
    std::shared_ptr<const policy::Policy> policy;
    {
      const std::lock_guard lock(status_mutex_);
      policy = next_policy_;
    }
    if (policy == nullptr) return;
    const std::vector<IpAddress> asked = asked_;
    options_.policy = policy;
    lookups_->set_policy(policy);
    schedule_.forget_warm();
    const std::vector<IpAddress> own = std::exchange(own_, inside_addresses());
    const bool forgot = read_configuration(own);
    keep_names_warm();
    if (asked_ != asked || forgot) schedule_.all_due(now());
    publish_status();
    {
      const std::lock_guard lock(status_mutex_);
      if (next_policy_ == policy) next_policy_ = nullptr;
    }
    policy_taken_.notify_all();
  }

  void take_misses() {
    engine::BindingMiss miss;
    for (std::size_t i = 0; i < kResolverMisses && misses_.pop(miss); ++i) {
      ++miss_count_;
      const policy::Policy& policy = *options_.policy;
      const policy::View view = policy.view_of(miss.scopes);
      // The name that the flow claims is what it waits for, and goes first, if a rule has the very name. One below a
      // wildcard is the client's own choice of words, which must not leave in a question of ours.
      if (!miss.name.empty()) {
        if (policy.looks_up(miss.name) && policy.names_cover(miss.scopes, miss.transport, miss.port, miss.name, now())) {
          (void)schedule_.ask_first(miss.name, view, now());
        }
        continue;
      }
      if (!filter_.admit(miss, now())) continue;
      const std::vector<DomainName> names =
          policy.exact_names_for(miss.scopes, miss.transport, miss.port, now(), kResolverNames);
      (void)schedule_.ask_longest_untouched(names, view, kResolverMissNames, now());
    }
  }

  void keep_names_warm() {
    // A deny rule holds only at addresses that are known, and nobody waits for them: its names come first, in every view.
    std::size_t room = kResolverNames;
    const auto keep = [&](const std::vector<DomainName>& names, policy::View view) {
      for (const DomainName& name : names) {
        if (room == 0) return false;
        if (schedule_.keep_warm(name, view, now())) room = kResolverNames - schedule_.warm();
      }
      return true;
    };
    const policy::Policy& policy = *options_.policy;
    // One more than are kept tells that there are more.
    const std::vector<DomainName> denied = policy.denied_names(now(), kResolverNames + 1);
    bool all = keep(denied, 0);
    for (std::size_t view = 1; view <= policy.scope_names().size(); ++view) {
      if (!policy.resolvers_of(static_cast<policy::View>(view)).empty()) all = keep(denied, static_cast<policy::View>(view)) && all;
    }
    if (!all) {
      options_.say("deny rules have more names than the " + std::to_string(kResolverNames) +
                   " that are kept looked up: protocols without names reach the addresses of those behind them");
    }
    if (!keep(policy.exact_names(now(), kResolverNames + 1), 0)) {
      all = false;
      options_.say("rules have more than " + std::to_string(kResolverNames) +
                   " names: those behind them are looked up only when a flow waits for one");
    }
    names_left_out_ = !all;
  }

  void follow_configuration() {
    if (monotonic_now() - watched_ < kWatchInterval) return;
    watched_ = monotonic_now();
    if (!options_.policy->dns().system_resolvers) return;
    std::vector<IpAddress> own = inside_addresses();
    if (!watch_.changed() && own == own_) return;
    const std::vector<IpAddress> trusted = trusted_, asked = asked_;
    std::swap(own, own_);
    const bool forgot = read_configuration(own);
    if (trusted_ != trusted) options_.say("the trusted DNS resolvers are now: " + list_text(trusted_));
    if (asked_ != asked || forgot) schedule_.all_due(now());
  }

  // inside_addresses returns where workloads may ask a resolver of this host itself; only the forward hook sees them.
  std::vector<IpAddress> inside_addresses() const {
    const policy::Deploy& deploy = options_.policy->deploy();
    return deploy.hook_forward ? own_addresses(deploy.inside) : std::vector<IpAddress>{};
  }

  // advise says what about the host's stub would surprise; only the output hook sees what it asks.
  void advise(const SystemResolvers& system) {
    const policy::Dns& dns = options_.policy->dns();
    std::string advice;
    if (options_.policy->deploy().hook_output) advice = stub_advice(system, dns.resolvers, dns.system_resolvers);
    if (!advice.empty() && advice != advice_) options_.say(advice);
    advice_ = std::move(advice);
  }

  // read_configuration takes what has changed. `own` are this host's addresses of before: what was told by one that is gone
  // stays as true, so containers that come and go disturb nothing. True: a server is not trusted any more, and what it told is
  // forgotten.
  bool read_configuration(const std::vector<IpAddress>& own) {
    const policy::Dns& dns = options_.policy->dns();
    SystemResolvers servers = read_system_resolvers(options_.read_file);
    advise(servers);
    if (!dns.system_resolvers) servers = {};
    for (std::vector<IpAddress>* list : {&servers.trusted, &servers.asked}) {
      for (const IpAddress& address : dns.resolvers) {
        if (std::ranges::find(*list, address) == list->end()) list->push_back(address);
      }
    }
    if (dns.system_resolvers) {
      for (const IpAddress& address : own_) {
        if (std::ranges::find(servers.trusted, address) == servers.trusted.end()) servers.trusted.push_back(address);
      }
    }
    std::erase_if(servers.asked, [](const IpAddress& address) { return !can_be_asked(address); });
    if (servers.trusted != trusted_ && !options_.resolvers->set(servers.trusted)) {
      options_.say("only the first " + std::to_string(engine::Resolvers::kMax) + " DNS resolvers are believed");
    }
    const auto lost = [](const std::vector<IpAddress>& before, const std::vector<IpAddress>& after) {
      return std::ranges::any_of(before, [&](const IpAddress& address) { return std::ranges::find(after, address) == after.end(); });
    };
    std::vector<IpAddress> believed = servers.trusted;
    believed.insert(believed.end(), own.begin(), own.end());
    const bool distrusts = lost(trusted_, believed);
    const bool asked_lost = lost(asked_, servers.asked);
    trusted_ = std::move(servers.trusted);
    if (servers.asked != asked_) {
      asked_ = std::move(servers.asked);
      lookups_->set_servers(asked_);  // Its questions under way end, so no answer comes behind what is forgotten.
    }
    if (distrusts) forget(believed, asked_lost);
    return distrusts;
  }

  // forget ends what servers told that are not believed any more. Addresses of names that rules only deny stay known for a while: to
  // forget them at once would let protocols without names pass there until they are looked up again.
  void forget(const std::vector<IpAddress>& believed, bool lookups) {
    const policy::Policy& policy = *options_.policy;
    const std::size_t count = options_.bindings->forget_untrusted(
        believed, lookups, now(), [&](const DomainName& name) { return policy.only_denies(name, now()); });
    if (count != 0) options_.say("a DNS resolver is not trusted any more: forgot " + std::to_string(count) + " addresses that it told");
  }

  void publish_status() {
    const LookupEngine::Counters& counters = lookups_->counters();
    const std::lock_guard lock(status_mutex_);
    status_.trusted = trusted_;
    status_.own = own_;
    status_.asked = asked_;
    status_.names = schedule_.warm();
    status_.names_left_out = names_left_out_;
    status_.under_way = schedule_.under_way();
    status_.failing = schedule_.failing();
    status_.lookups = counters.lookups;
    status_.failures = counters.failures;
    status_.misses = miss_count_;
    status_.private_answers = counters.private_answers;
    status_.last_error = counters.last_error;
  }

  ResolverOptions options_;
  Duration wall_offset_;
  LookupSchedule schedule_;
  FileWatch watch_;
  MissFilter filter_;
  MissQueue<engine::BindingMiss> misses_;
  std::optional<LookupEngine> lookups_;
  std::vector<IpAddress> trusted_, asked_;
  std::vector<IpAddress> own_;  // This host's addresses on the inside interfaces.
  std::string advice_;
  Duration watched_ = monotonic_now();
  bool names_left_out_ = false;
  std::uint64_t miss_count_ = 0;
  int epoll_ = -1;
  int wake_up_ = -1;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> misses_lost_{0};
  mutable std::mutex status_mutex_;
  ResolverStatus status_;
  std::shared_ptr<const policy::Policy> next_policy_;  // status_mutex_
  std::condition_variable policy_taken_;
  std::thread thread_;
};

std::expected<std::unique_ptr<NameResolver>, std::string> NameResolver::open(ResolverOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  if (const auto opened = impl->open(); !opened) return std::unexpected(opened.error());
  return std::unique_ptr<NameResolver>(new NameResolver(std::move(impl)));
}

NameResolver::NameResolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NameResolver::~NameResolver() = default;
void NameResolver::start() {
  impl_->start();
}
void NameResolver::stop() {
  impl_->stop();
}
void NameResolver::request(const engine::BindingMiss& miss) {
  impl_->request(miss);
}
void NameResolver::set_policy(std::shared_ptr<const policy::Policy> policy) {
  impl_->set_policy(std::move(policy));
}
ResolverStatus NameResolver::status() const {
  return impl_->status();
}

}  // namespace sallyport::resolver
