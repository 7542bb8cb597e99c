// SavedFlows keeps over a restart what the connections that the kernel passes alone were for, in a file beside the control socket, so that a
// later change of the policy judges them by their names. It is written at the end of an enforcing run and taken away by the next start: behind
// a kill there is none, and what no worker knows goes by its address alone. Main thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/engine/remembered_flow.h"

namespace sallyport::daemon {

// saved_flows_path returns "DIR/NAME.flows.json" for a control socket "DIR/NAME.sock"; empty for an abstract one.
std::string saved_flows_path(const std::string& control_path);

// FlowsByWorker is in the order of the queues: a flow's packets come to the same one as before, if there are as many.
using FlowsByWorker = std::vector<std::vector<engine::RememberedFlow>>;

class SavedFlows {
 public:
  using Say = std::function<void(const std::string&)>;
  // An empty path: nothing is kept.
  explicit SavedFlows(std::string path) : path_(std::move(path)) {}

  void save(const FlowsByWorker& flows, const policy::Policy& policy, const Say& say) const;
  // take returns what this very policy judged with as many workers, and removes the file; else empty ones.
  FlowsByWorker take(const policy::Policy& policy, std::size_t workers, const Say& say) const;
  void remove() const;

 private:
  std::string path_;
};

// flows_text and flows_from_text are the file's form; at most kFlowsSaved. What makes no sense, and another policy's file, is nothing.
std::string flows_text(const FlowsByWorker& flows, const policy::Policy& policy);
FlowsByWorker flows_from_text(std::string_view text, const policy::Policy& policy, std::size_t workers);

}  // namespace sallyport::daemon
