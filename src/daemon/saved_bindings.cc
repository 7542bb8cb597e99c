#include "saved_bindings.h"

#include <unistd.h>

#include <chrono>
#include <vector>

#include "sallyport/core/clock.h"
#include "state_path.h"

namespace sallyport::daemon {
namespace {

constexpr Duration kSaveInterval = std::chrono::seconds(30);
// Without a new binding only the ends of old ones have moved.
constexpr Duration kRefreshInterval = std::chrono::minutes(5);

}  // namespace

std::string saved_bindings_path(const std::string& control_path) {
  return state_path(control_path, "bindings");
}

SavedBindings::SavedBindings(std::string path)
    : path_(std::move(path)),
      wall_offset_(std::chrono::system_clock::now().time_since_epoch() - monotonic_now()),
      saved_at_(monotonic_now()) {}

Timestamp SavedBindings::now() const {
  return Timestamp(monotonic_now() + wall_offset_);
}

void SavedBindings::restore(engine::NameBindings& bindings, const policy::Policy& policy,
                            std::span<const IpAddress> trusted, const Say& say) {
  if (path_.empty()) return;
  const auto text = resolver::read_bindings_file(path_);
  if (!text) {
    say(text.error());
    return;
  }
  if (text->empty()) return;
  const auto restored = resolver::bindings_from_text(*text, policy, trusted, now());
  if (!restored) {
    say("state file " + path_ + " is ignored: " + restored.error());
    return;
  }
  for (const engine::Binding& binding : *restored) (void)bindings.bind(binding, now());
  saved_version_ = bindings.version();
}

bool SavedBindings::due(const engine::NameBindings& bindings) const {
  const Duration since = monotonic_now() - saved_at_;
  return since >= kRefreshInterval || (since >= kSaveInterval && bindings.version() != saved_version_);
}

void SavedBindings::save(const engine::NameBindings& bindings, const policy::Policy& policy,
                         std::span<const IpAddress> trusted, const Say& say) {
  if (path_.empty()) return;
  saved_at_ = monotonic_now();
  const std::uint64_t version = bindings.version();
  const std::vector<engine::Binding> living = bindings.list(now());
  const auto written = resolver::write_bindings_file(path_, resolver::bindings_to_text(living, policy, trusted, now()));
  if (written) {
    saved_version_ = version;
    error_.clear();
    return;
  }
  if (error_.empty()) say(written.error());
  error_ = written.error();
}

void SavedBindings::remove() {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

}  // namespace sallyport::daemon
