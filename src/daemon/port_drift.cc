#include "sallyport/daemon/port_drift.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "containers.h"

namespace sallyport::daemon {
namespace {

using netfilter::ListeningSocket;
using policy::Listener;

constexpr unsigned kLooksPerSearch = 3;
constexpr unsigned kTakesPerMemory = 30;
constexpr std::string_view kUnix = "unix:";
constexpr std::chrono::milliseconds kSecondLook{300};

bool is_any(const IpAddress& address) {
  return std::ranges::all_of(address.bytes(), [](std::uint8_t byte) { return byte == 0; });
}

// faces returns the addresses that a socket takes: one, or both unspecified ones.
std::vector<IpAddress> faces(const ListeningSocket& socket) {
  if (!socket.dual) return {socket.address};
  return {IpAddress(), socket.address};
}

bool is_owned(const Listener& entry, const Observed& observed) {
  if (entry.owner.empty()) return true;
  return std::ranges::any_of(observed.owners, [&](const netfilter::SocketOwner& owner) {
    return policy::names_owner(entry.owner, owner.process, owner.unit);
  });
}

// serves tells whether the socket takes what an entry for fewer addresses is for.
bool serves(const ListeningSocket& socket, const Listener& entry) {
  return std::ranges::any_of(faces(socket), [&](const IpAddress& face) {
    return entry.covers(face) || (entry.address && is_any(face) && entry.address->is_v6() == face.is_v6());
  });
}

struct Fit {
  bool declared = false;                // Every face by an entry of its owner.
  bool declared_for_others = false;     // Every face, whoever the entries are for.
  const Listener* covering = nullptr;   // The first entry that covers a face, whoever it is for.
  const Listener* nearest = nullptr;    // The first that the socket serves, too.
};

// Comparison remembers which entries have a socket.
class Comparison {
 public:
  explicit Comparison(const policy::Listeners& listeners) : listeners_(listeners), used_(listeners.allow.size()) {}

  // fit also notes which entries the socket accounts for.
  Fit fit(const Observed& observed) {
    Fit fit;
    fit.declared = fit.declared_for_others = true;
    const auto candidate = [&](const Listener& entry) {
      return entry.is_for(observed.socket.transport, observed.socket.port, observed.netns);
    };
    for (const IpAddress& face : faces(observed.socket)) {
      bool own = false, any = false;
      for (const Listener& entry : listeners_.allow) {
        if (!candidate(entry) || !entry.covers(face)) continue;
        any = true;
        own |= is_owned(entry, observed);
        if (fit.covering == nullptr) fit.covering = &entry;
      }
      fit.declared &= own;
      fit.declared_for_others &= any;
    }
    for (std::size_t i = 0; i < listeners_.allow.size(); ++i) {
      const Listener& entry = listeners_.allow[i];
      if (!candidate(entry) || !serves(observed.socket, entry)) continue;
      if (fit.nearest == nullptr) fit.nearest = &entry;
      // A socket that is declared accounts for its owner's entries; another for the one that its finding names.
      if (fit.declared && is_owned(entry, observed)) used_[i] = true;
    }
    if (!fit.declared) use(fit.declared_for_others ? fit.covering : fit.nearest);
    return fit;
  }

  void add_missing(bool all, std::vector<DriftFinding>& findings) const {
    for (std::size_t i = 0; i < used_.size(); ++i) {
      const Listener& entry = listeners_.allow[i];
      if (!used_[i] && entry.required && (all || entry.netns.empty())) findings.push_back({DriftKind::kMissing, std::nullopt, entry.text});
    }
  }

 private:
  void use(const Listener* entry) {
    if (entry != nullptr) used_[static_cast<std::size_t>(entry - listeners_.allow.data())] = true;
  }

  const policy::Listeners& listeners_;
  std::vector<bool> used_;
};

bool is_unix_only(const DriftRules& rules, const Observed& observed) {
  if (observed.socket.transport != Transport::kTcp) return false;
  return std::ranges::any_of(rules.unix_only, [&](const std::string& name) {
    if (name.starts_with(kUnix)) return std::ranges::find(observed.unix_sockets, name) != observed.unix_sockets.end();
    return std::ranges::any_of(observed.owners, [&](const netfilter::SocketOwner& owner) {
      return name.starts_with('/') ? name == owner.program : policy::names_owner(name, owner.process, owner.unit);
    });
  });
}

std::optional<DriftFinding> judge(const Fit& fit, const Observed& observed) {
  if (fit.declared) return std::nullopt;
  if (fit.declared_for_others) return DriftFinding{DriftKind::kOtherProcess, observed, fit.covering->text};
  if (fit.nearest != nullptr) return DriftFinding{DriftKind::kWider, observed, fit.nearest->text};
  return DriftFinding{DriftKind::kUnexpected, observed, {}};
}

bool is_declared(const DriftRules& rules) {
  return rules.listeners != nullptr && rules.listeners->declared;
}

}  // namespace

std::vector<std::string> unix_only_of(std::span<const policy::Guard> guards) {
  std::vector<std::string> names;
  for (const policy::Guard& guard : guards) {
    if (!guard.listen.empty()) continue;
    if (!guard.unix_socket.empty()) names.push_back(std::string(kUnix) + guard.unix_socket);
    if (!guard.process.empty()) names.push_back(guard.process);
  }
  return names;
}

std::string_view to_string(DriftKind kind) {
  switch (kind) {
    case DriftKind::kUnexpected: return "unexpected";
    case DriftKind::kWider: return "wider";
    case DriftKind::kOtherProcess: return "other_process";
    case DriftKind::kUnixOnly: return "unix_only";
    case DriftKind::kMissing: return "missing";
  }
  std::unreachable();
}

std::string DriftFinding::key() const {
  std::string text(to_string(kind));
  if (observed) {
    text += observed->socket.transport == Transport::kTcp ? " tcp " : " udp ";
    text += socket_text(observed->socket) + " in " + observed->netns;
  }
  return text + " of " + declared;
}

bool needs_owner(const DriftRules& rules, const Observed& observed) {
  if (!rules.unix_only.empty() && observed.socket.transport == Transport::kTcp) return true;
  if (!is_declared(rules)) return false;
  Observed nobodys = observed;
  nobodys.owners.clear();
  return !Comparison(*rules.listeners).fit(nobodys).declared;
}

std::vector<DriftFinding> compare(const DriftRules& rules, std::span<const Observed> observed) {
  std::vector<DriftFinding> findings;
  std::set<std::string> keys;  // Several sockets may share a port (SO_REUSEPORT).
  const auto add = [&](DriftFinding finding) {
    if (keys.insert(finding.key()).second) findings.push_back(std::move(finding));
  };
  const policy::Listeners none;
  Comparison comparison(is_declared(rules) ? *rules.listeners : none);
  for (const Observed& each : observed) {
    const Fit fit = comparison.fit(each);
    if (is_unix_only(rules, each)) {
      add({DriftKind::kUnixOnly, each, {}});
    } else if (is_declared(rules)) {
      if (auto finding = judge(fit, each)) add(std::move(*finding));
    }
  }
  if (is_declared(rules)) comparison.add_missing(rules.listeners->all_namespaces, findings);
  return findings;
}

std::expected<void, std::string> Inventory::find_namespaces() {
  auto found = netfilter::other_namespaces();
  if (!found) return std::unexpected(found.error());
  spaces_.clear();
  std::vector<Container> containers;
  bool asked = false;
  for (netfilter::NetworkNamespace& space : *found) {
    std::string name = space.name;
    if (name.empty() && space.pid != 0) {
      if (!std::exchange(asked, true)) {
        for (const std::string& engine : ContainerWatch::usual_sockets()) {
          if (auto listed = list_containers(engine)) std::ranges::move(*listed, std::back_inserter(containers));
        }
      }
      const std::string cgroup = netfilter::cgroup_of_process(space.pid);
      const auto is_it = [&](const Container& container) {
        return !container.cgroup.empty() && (cgroup == container.cgroup || cgroup.starts_with(container.cgroup + '/'));
      };
      if (const auto container = std::ranges::find_if(containers, is_it); container != containers.end()) name = container->name;
      if (name.empty()) name = netfilter::unit_of(cgroup);
    }
    if (name.empty()) name = "netns:" + std::to_string(space.inode);
    spaces_.push_back({std::move(space), std::move(name)});
  }
  return {};
}

std::expected<std::vector<Observed>, std::string> Inventory::list(bool all) {
  std::vector<Observed> observed;
  const auto own = netfilter::list_listening_sockets();
  if (!own) return std::unexpected(own.error());
  for (const ListeningSocket& socket : *own) observed.push_back({socket, {}});
  if (all) {
    if (looks_++ % kLooksPerSearch == 0) {
      if (const auto searched = find_namespaces(); !searched) return std::unexpected(searched.error());
    }
    for (const Space& space : spaces_) {
      const auto sockets = netfilter::list_listening_sockets_in(space.where);
      if (!sockets) return std::unexpected(sockets.error());
      for (const ListeningSocket& socket : *sockets) observed.push_back({socket, space.name});
    }
  }
  return observed;
}

// note_unix_sockets looks for the holders of a unix socket when it is new.
void Inventory::note_unix_sockets(std::span<const std::string> unix_only, std::vector<Observed>& observed) {
  std::set<std::string> paths;
  for (const std::string& name : unix_only) {
    if (name.starts_with(kUnix)) paths.insert(name.substr(kUnix.size()));
  }
  const auto sockets = netfilter::listening_unix_sockets(paths);
  std::set<std::uint64_t> fresh;
  std::map<std::uint64_t, std::set<pid_t>> known;
  for (const auto& [path, inodes] : sockets) {
    for (const std::uint64_t inode : inodes) {
      if (const auto old = unix_holders_.find(inode); old != unix_holders_.end()) {
        known.insert(*old);
      } else {
        fresh.insert(inode);
      }
    }
  }
  for (const auto& [inode, owners] : netfilter::find_owners(fresh)) {
    for (const netfilter::SocketOwner& owner : owners) {
      if (owner.pid != 1) known[inode].insert(owner.pid);  // The manager has the sockets of many services.
    }
  }
  unix_holders_ = std::move(known);
  for (Observed& each : observed) {
    for (const auto& [path, inodes] : sockets) {
      const bool holds = std::ranges::any_of(each.owners, [&](const netfilter::SocketOwner& owner) {
        return std::ranges::any_of(inodes, [&](std::uint64_t inode) { return unix_holders_[inode].contains(owner.pid); });
      });
      if (holds) each.unix_sockets.push_back(std::string(kUnix) + path);
    }
  }
}

template <typename Wanted>
std::expected<std::vector<Observed>, std::string> Inventory::take(bool all, std::span<const std::string> unix_only, Wanted&& wanted) {
  auto listed = list(all);
  if (!listed) return listed;
  std::vector<Observed>& observed = *listed;
  // A process may change its name, and hand its socket on.
  if (++takes_ % kTakesPerMemory == 0) {
    owners_.clear();
    unix_holders_.clear();
  }
  std::set<std::uint64_t> missing;
  for (const Observed& each : observed) {
    if (each.socket.inode != 0 && !owners_.contains(each.socket.cookie) && wanted(each)) missing.insert(each.socket.inode);
  }
  auto found = netfilter::find_owners(missing);
  std::map<std::uint64_t, std::vector<netfilter::SocketOwner>> known;  // Of those that are still there.
  for (Observed& each : observed) {
    if (const auto old = owners_.find(each.socket.cookie); old != owners_.end()) {
      each.owners = old->second;
    } else if (const auto fresh = found.find(each.socket.inode); fresh != found.end()) {
      each.owners = fresh->second;
    }
    if (!each.owners.empty() || missing.contains(each.socket.inode) || owners_.contains(each.socket.cookie)) known[each.socket.cookie] = each.owners;
  }
  owners_ = std::move(known);
  note_unix_sockets(unix_only, observed);
  return listed;
}

std::expected<std::vector<Observed>, std::string> Inventory::look(const DriftRules& rules, bool all) {
  return take(all, rules.unix_only, [&](const Observed& each) { return needs_owner(rules, each); });
}

std::expected<std::vector<Observed>, std::string> Inventory::everything(bool all) {
  return take(all, {}, [](const Observed&) { return true; });
}

std::expected<AuditResult, std::string> audit(const DriftRules& rules, bool all) {
  Inventory inventory;
  AuditResult result;
  const auto first = inventory.look(rules, all);
  if (!first) return std::unexpected(first.error());
  result.sockets = first->size();
  result.findings = compare(rules, *first);
  const auto passing = [](const DriftFinding& finding) { return finding.observed && finding.observed->socket.transport == Transport::kUdp; };
  if (std::ranges::none_of(result.findings, passing)) return result;
  std::this_thread::sleep_for(kSecondLook);
  const auto second = inventory.look(rules, all);
  if (!second) return std::unexpected(second.error());
  const std::vector<DriftFinding> still = compare(rules, *second);
  std::erase_if(result.findings, [&](const DriftFinding& finding) {
    return passing(finding) && std::ranges::none_of(still, [&](const DriftFinding& other) { return other.key() == finding.key(); });
  });
  return result;
}

}  // namespace sallyport::daemon
