// NameResolver looks names up that rules mention and binds what comes back, on a thread of its own. It keeps the
// policy's exact names warm, serves the misses of the workers, and follows this host's resolver configuration.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/engine/name_bindings.h"
#include "sallyport/engine/resolvers.h"
#include "sallyport/policy/policy.h"
#include "sallyport/resolver/resolv_conf.h"

namespace sallyport::resolver {

struct ResolverOptions {
  std::shared_ptr<const policy::Policy> policy;
  std::shared_ptr<engine::NameBindings> bindings;
  std::shared_ptr<engine::Resolvers> resolvers;  // Written by NameResolver alone.
  std::function<void(const std::string&)> say;   // One line for the operator. On the resolver's thread, or open's.
  ReadFile read_file = read_small_file;
  std::uint16_t port = 53;  // Where the servers are asked.
};

struct ResolverStatus {
  std::vector<IpAddress> trusted;  // View 0: whose answers are believed.
  std::vector<IpAddress> own;      // This host's addresses on inside interfaces, which `trusted` has, too, if it asks for them.
  std::vector<IpAddress> asked;    // View 0: whom the look-ups ask.
  std::uint64_t names = 0;         // Kept warm; a name counts once for each view.
  bool names_left_out = false;      // There are more than are kept warm.
  std::uint64_t under_way = 0;
  std::uint64_t failing = 0;  // Names whose last look-up failed.
  std::uint64_t lookups = 0;
  std::uint64_t failures = 0;
  std::uint64_t misses = 0;
  std::uint64_t misses_lost = 0;
  std::uint64_t private_answers = 0;  // Addresses that were not bound because they are not public.
  std::string last_error;             // With the name; empty: none yet.
};

class NameResolver {
 public:
  // open reads the resolver configuration and sets the trusted servers; nothing is asked before start. Having no
  // server is no failure: it is said once, and shown in the status.
  static std::expected<std::unique_ptr<NameResolver>, std::string> open(ResolverOptions options);
  ~NameResolver();
  NameResolver(const NameResolver&) = delete;
  NameResolver& operator=(const NameResolver&) = delete;

  void start();
  // stop gives up what is under way and joins the thread.
  void stop();

  // set_policy has it go by another policy: other names are kept warm, other servers believed and asked. Returns when the policy's
  // own servers are believed; what follows is done on its thread.
  void set_policy(std::shared_ptr<const policy::Policy> policy);

  // request is for the workers: thread-safe, never blocks; a full queue loses the miss and counts it.
  void request(const engine::BindingMiss& miss);

  // status is for any thread but the workers'.
  ResolverStatus status() const;

 private:
  class Impl;
  explicit NameResolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::resolver
