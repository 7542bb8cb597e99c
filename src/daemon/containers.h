// Which containers of Docker and Podman run, by the engine's API on a Unix socket. A thread of its own asks; workers read
// what it published last.
#pragma once

#include <condition_variable>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "sallyport/core/ip_address.h"
#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

struct Container {
  std::string id;
  std::string name;     // Without the slash that Docker puts in front.
  std::string project;  // Of compose; empty: none.
  std::string service;
  std::vector<IpAddress> addresses;
  std::string cgroup;  // Below the cgroup2 root, "/..."; empty: not known.
};

// read_containers reads the JSON list that GET /containers/json answers; cgroups are not in it. Fails with a message.
std::expected<std::vector<Container>, std::string> read_containers(std::string_view json);

// list_containers asks the engine behind this socket for its running containers and their cgroups. Waits for two seconds at
// most for each answer.
std::expected<std::vector<Container>, std::string> list_containers(const std::string& socket);

// ContainerScopes is a snapshot: immutable, shared by all workers.
class ContainerScopes {
 public:
  // Without `complete` an engine did not answer: nothing that is not found is known to be no container.
  ContainerScopes(const policy::Policy& policy, std::span<const Container> containers, bool complete);

  struct Found {
    policy::ScopeSet scopes = 0;
    bool unknown = false;  // It may be a container of these scopes all the same.
  };
  // by_address is for what comes in from a workload, by_cgroup for what a socket of this host sends.
  Found by_address(const IpAddress& source) const;
  Found by_cgroup(std::string_view cgroup) const;

 private:
  std::map<IpAddress, Found> addresses_;
  std::vector<std::pair<std::string, policy::ScopeSet>> cgroups_;
  bool complete_;
};

class ContainerWatch {
 public:
  // The sockets of Docker and Podman, those of them that are there.
  static std::vector<std::string> usual_sockets();

  // The constructor asks once, then a thread asks every second.
  ContainerWatch(std::shared_ptr<const policy::Policy> policy, std::vector<std::string> sockets);
  ~ContainerWatch();
  ContainerWatch(const ContainerWatch&) = delete;
  ContainerWatch& operator=(const ContainerWatch&) = delete;

  // scopes never waits for an engine; any thread.
  std::shared_ptr<const ContainerScopes> scopes() const;
  // refresh has the thread ask now. Never blocks; any thread.
  void refresh();
  // error returns why an engine did not answer, or an empty text.
  std::string error() const;

 private:
  void run();
  void ask();

  std::shared_ptr<const policy::Policy> policy_;
  std::vector<std::string> sockets_;
  mutable std::mutex mutex_;  // Of what follows.
  std::condition_variable wake_;
  std::shared_ptr<const ContainerScopes> scopes_;
  std::string error_;
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sallyport::daemon
