#include "user_names.h"

#include <pwd.h>

#include <vector>

#include "event_line.h"

namespace sallyport::daemon {

const std::string& UserNames::of(std::uint32_t uid) {
  constexpr std::size_t kUsersMax = 4'096;  // A container can use any number of uids.
  if (const auto found = names_.find(uid); found != names_.end()) return found->second;
  if (names_.size() >= kUsersMax) names_.clear();
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  std::string name = std::to_string(uid);
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) name = entry.pw_name;
  return names_.emplace(uid, escaped(name)).first->second;
}

}  // namespace sallyport::daemon
