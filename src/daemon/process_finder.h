// ProcessFinder finds out which process sends a local flow, in a thread of its own: workers hand it the flows that begin, the
// log asks for what came of it. It looks for at most a quarter of the time, so that a storm of short connections costs no more.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "containers.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/netfilter/socket_cgroups.h"
#include "sallyport/netfilter/socket_processes.h"
#include "spsc_ring.h"

namespace sallyport::daemon {

struct ProcessFacts {
  pid_t pid = 0;             // 0: no process was found; what follows of it is empty then.
  std::string process;       // What the process calls itself (/proc/PID/comm); any octets.
  std::string program;       // The path of its program.
  std::string cgroup;        // Of the process, else of the socket; "/..."; empty: not known.
  std::string unit;          // Of systemd.
  std::string container_id;  // Of whose cgroup it is, as Docker or Podman say; else as the cgroup has it. Empty: none.
  std::string container;     // Its name, where Docker or Podman told its cgroup.
};

// container_in returns the id (at least 32 hexadecimal digits) of the container that a cgroup is of, or an empty view: Docker's,
// Podman's, containerd's and CRI-O's forms, "docker-ID.scope" or a component that is the id. Whoever may make cgroups may make one
// of any id: it is a claim.
std::string_view container_in(std::string_view cgroup);

// ContainerCgroups tells whose container a cgroup is of, by where the engines have their containers.
class ContainerCgroups {
 public:
  ContainerCgroups() = default;
  explicit ContainerCgroups(std::span<const Container> containers);

  struct Found {
    std::string id;    // Empty: of none.
    std::string name;  // Empty: no engine says that it is this container's cgroup.
  };
  // of returns the container whose own cgroup it is or is below. Else the id is the cgroup's claim, unless an engine has that
  // container elsewhere.
  Found of(std::string_view cgroup) const;
  // settles tells whether engines that are asked again could not tell more.
  bool settles(std::string_view cgroup) const;

 private:
  const Found* owner_of(std::string_view cgroup) const;

  std::map<std::string, Found, std::less<>> cgroups_;
  std::map<std::string, bool, std::less<>> ids_;  // Whether its cgroup is known.
};

// ContainerNames asks the container engines for names, in a thread of its own that begins with the first question.
class ContainerNames {
 public:
  ContainerNames() = default;
  ~ContainerNames();
  ContainerNames(const ContainerNames&) = delete;
  ContainerNames& operator=(const ContainerNames&) = delete;

  // of waits for at most `patience` where the id is new; engines are asked at most every five seconds.
  ContainerCgroups::Found of(std::string_view cgroup, std::chrono::milliseconds patience);

 private:
  void run();

  std::mutex mutex_;  // Of what follows.
  std::condition_variable wake_;
  std::condition_variable answered_;
  ContainerCgroups known_;
  std::chrono::steady_clock::time_point asked_{};
  bool wanted_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

class ProcessFinder {
 public:
  explicit ProcessFinder(unsigned workers);
  ~ProcessFinder();
  ProcessFinder(const ProcessFinder&) = delete;
  ProcessFinder& operator=(const ProcessFinder&) = delete;

  // start fails with a message where the kernel does not tell sockets; every answer is then that nothing is known.
  std::optional<std::string> start();

  // note_flow is for the thread of worker `worker` alone, with a flow's first packet; never blocks, and is lost when too many
  // wait.
  void note_flow(unsigned worker, const FlowKey& key, std::uint32_t out_link, std::uint32_t uid);

  struct Answer {
    bool known = false;                          // Else the answer is still to come.
    std::shared_ptr<const ProcessFacts> facts;  // Null: it was looked for, and not found.
  };
  // answer asks for what is not known yet. Any thread; waits for a lock that is held for moments.
  Answer answer(const FlowKey& key, std::uint32_t uid);

 private:
  struct Question {
    FlowKey key;
    std::uint32_t out_link = 0;
    std::uint32_t uid = 0;
  };
  struct Socket {
    FlowKey key;
    std::uint64_t inode = 0;
    std::uint32_t uid = 0;
    std::string cgroup;
  };
  void run();
  void wake();
  // take_questions asks the kernel for the sockets of the flows that wait.
  void take_questions();
  void find_processes();
  void publish(const FlowKey& key, std::shared_ptr<const ProcessFacts> facts);
  std::shared_ptr<const ProcessFacts> facts_of(const Socket& socket, const netfilter::SocketOwner* owner);

  std::vector<std::unique_ptr<SpscRing<Question>>> rings_;
  std::atomic<std::uint32_t> bell_{0};
  std::atomic<bool> stopping_{false};
  std::unique_ptr<netfilter::SocketCgroups> sockets_;
  netfilter::ProcessSearch search_;
  ContainerNames containers_;
  std::vector<Socket> found_;  // Their processes are looked for next.
  std::mutex mutex_;  // Of what follows.
  std::deque<Question> asked_;
  std::map<FlowKey, std::shared_ptr<const ProcessFacts>> answers_;
  std::deque<FlowKey> order_;  // Of answers_, the oldest first.
  std::map<FlowKey, bool> pending_;
  std::thread thread_;
};

}  // namespace sallyport::daemon
