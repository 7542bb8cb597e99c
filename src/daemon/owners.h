// Owners finds out what a policy's scopes want to know of who opened a flow: the cgroup of its socket, and its container.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "containers.h"
#include "sallyport/engine/inspector.h"
#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

class Owners {
 public:
  using OwnerOf = std::function<engine::FlowOwner(const FlowKey&, const Packet&)>;

  explicit Owners(std::shared_ptr<const policy::Policy> policy) : policy_(std::move(policy)) {}

  // start begins to watch containers, if the policy names any; a container engine that does not answer is said. Before
  // for_worker; single-threaded until then.
  void start(const std::function<void(const std::string&)>& say);

  // set_policy prepares for another policy; for_worker goes by it then. What was returned before stays valid.
  void set_policy(std::shared_ptr<const policy::Policy> policy, const std::function<void(const std::string&)>& say);

  // for_worker returns what one worker asks, an empty function when the policy has no such scope. Fails with a message
  // where the kernel does not tell what the policy needs.
  std::expected<OwnerOf, std::string> for_worker() const;

 private:
  std::shared_ptr<const policy::Policy> policy_;
  std::shared_ptr<ContainerWatch> containers_;
};

}  // namespace sallyport::daemon
