#include "owners.h"

#include <algorithm>

#include "sallyport/netfilter/socket_cgroups.h"

namespace sallyport::daemon {

void Owners::start(const std::function<void(const std::string&)>& say) {
  if (policy_->containers().empty()) return;
  containers_ = std::make_shared<ContainerWatch>(policy_, ContainerWatch::usual_sockets());
  if (const std::string error = containers_->error(); !error.empty()) say("no flow can be known to be a container's: " + error);
}

void Owners::set_policy(std::shared_ptr<const policy::Policy> policy, const std::function<void(const std::string&)>& say) {
  const bool same = std::ranges::equal(policy_->containers(), policy->containers());
  policy_ = std::move(policy);
  if (same) return;  // The scopes that the watch tells are the same bits.
  containers_ = nullptr;
  start(say);
}

std::expected<Owners::OwnerOf, std::string> Owners::for_worker() const {
  const bool has_containers = containers_ != nullptr;
  if (!policy_->has_cgroups() && !has_containers) return OwnerOf();
  auto opened = netfilter::SocketCgroups::open();
  if (!opened && policy_->has_cgroups()) return std::unexpected(opened.error());
  // A gateway may do without: containers behind it are known by their addresses.
  const std::shared_ptr<netfilter::SocketCgroups> cgroups = opened ? std::move(*opened) : nullptr;
  return [cgroups, watch = containers_](const FlowKey& key, const Packet& packet) {
    engine::FlowOwner owner;
    const bool local = packet.in_link == 0;  // Else it came in: no socket of this host sent it.
    if (local) {
      if (cgroups) owner.cgroup = cgroups->cgroup_of(key, packet.out_link, packet.uid);
      owner.unknown = owner.cgroup.empty();
    }
    if (watch != nullptr) {
      const auto scopes = watch->scopes();
      const ContainerScopes::Found found = local ? scopes->by_cgroup(owner.cgroup) : scopes->by_address(key.client.address);
      owner.containers = found.scopes;
      owner.unknown |= found.unknown;
      if (found.unknown) watch->refresh();
    }
    return owner;
  };
}

}  // namespace sallyport::daemon
