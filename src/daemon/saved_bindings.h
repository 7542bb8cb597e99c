// SavedBindings keeps the bindings in a file beside the control socket, so that a restart does not deny what clients
// were told before it. The owner's main thread calls it; the packet path never waits for it.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "sallyport/engine/name_bindings.h"
#include "sallyport/policy/policy.h"
#include "sallyport/resolver/bindings_file.h"

namespace sallyport::daemon {

// saved_bindings_path returns "DIR/NAME.bindings.json" for a control socket "DIR/NAME.sock"; empty for an abstract one.
std::string saved_bindings_path(const std::string& control_path);

class SavedBindings {
 public:
  using Say = std::function<void(const std::string&)>;

  // An empty path: nothing is kept.
  explicit SavedBindings(std::string path);

  // restore binds what the file has and still lives. A file that is not readable or makes no sense is said, and ignored.
  // So is what a server said that is not among `trusted` any more.
  void restore(engine::NameBindings& bindings, const policy::Policy& policy, std::span<const IpAddress> trusted,
               const Say& say);
  // due tells that there is something new and the last time is a while ago.
  bool due(const engine::NameBindings& bindings) const;
  // save writes now. A failure is said once, until it works again.
  void save(const engine::NameBindings& bindings, const policy::Policy& policy, std::span<const IpAddress> trusted,
            const Say& say);
  void remove();

  // error returns why the last save failed, or an empty text.
  const std::string& error() const { return error_; }
  // now returns the time as the workers count it: the wall clock at the start and the time since.
  Timestamp now() const;

 private:
  std::string path_;
  std::string error_;
  Duration wall_offset_;
  Duration saved_at_{0};  // Monotonic.
  std::uint64_t saved_version_ = 0;
};

}  // namespace sallyport::daemon
