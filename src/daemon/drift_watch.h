// DriftWatch looks at the listening sockets again and again, in a thread of its own, and reports what changed.
#pragma once

#include <array>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sallyport/daemon/port_drift.h"
#include "sallyport/policy/policy.h"

namespace sallyport::daemon {

// DriftTracker turns the findings of one look after another into changes. A finding that may be over in a moment (an
// unconnected UDP socket, a declared one that is missing) counts from its second look on.
class DriftTracker {
 public:
  struct Changes {
    std::vector<DriftFinding> begun;
    std::vector<DriftFinding> ended;
  };
  Changes update(std::vector<DriftFinding> findings);
  // current returns the findings that began and have not ended.
  std::vector<DriftFinding> current() const;

 private:
  struct Entry {
    DriftFinding finding;
    bool reported = false;
  };
  std::map<std::string, Entry> entries_;  // By key, of the last look.
};

struct DriftStatus {
  bool watching = false;
  std::uint64_t looks = 0;
  std::size_t sockets = 0;
  std::array<std::size_t, kDriftKinds> current{};
  std::uint64_t begun = 0;
  std::uint64_t ended = 0;
  std::string error;  // Of the last look; empty: it was complete.
};

class DriftWatch {
 public:
  using Report = std::function<void(const DriftFinding&, bool begins)>;
  using Say = std::function<void(const std::string&)>;

  // `report` and `say` are called in the watch's thread.
  DriftWatch(std::shared_ptr<const policy::Policy> policy, std::vector<std::string> unix_only, Report report, Say say);
  ~DriftWatch() { stop(); }
  DriftWatch(const DriftWatch&) = delete;
  DriftWatch& operator=(const DriftWatch&) = delete;

  // start does nothing if the policy declares no listeners and nobody must have none.
  void start();
  void stop();
  // set_policy compares with another policy from the next look on; the caller of start calls it.
  void set_policy(std::shared_ptr<const policy::Policy> policy, std::vector<std::string> unix_only);
  DriftStatus status() const;

 private:
  void run();
  void look();

  std::shared_ptr<const policy::Policy> policy_;
  std::vector<std::string> unix_only_;
  Report report_;
  Say say_;
  Inventory inventory_;
  DriftTracker tracker_;
  mutable std::mutex mutex_;  // Of what follows.
  std::condition_variable wake_;
  DriftStatus status_;
  std::shared_ptr<const policy::Policy> next_policy_;
  std::vector<std::string> next_unix_only_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sallyport::daemon
