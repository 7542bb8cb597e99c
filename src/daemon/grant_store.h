// GrantStore is the list of grants and bypasses in force, and the file that keeps it across restarts. It decides nothing: a
// change is tried by whoever has the policy (grant_commands.h) and committed here.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/policy/overlay.h"

namespace sallyport::daemon {

inline constexpr std::size_t kGrantsMax = 1'000;  // Grants and bypasses together.

// GrantMaker is who made a grant, as the kernel told.
struct GrantMaker {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  pid_t pid = 0;
  std::string process;
};

// GrantEntry is a grant or a bypass.
struct GrantEntry {
  policy::Grant grant;      // Of a bypass: id, scope and expires alone.
  bool is_bypass = false;
  GrantMaker maker;
  Timestamp made;

  bool ended(Timestamp now) const { return grant.expires && *grant.expires <= now; }
};
using GrantList = std::vector<GrantEntry>;

// overlay_of returns what the policy is compiled with.
policy::Overlay overlay_of(const GrantList& list);

// grants_path returns the state file that belongs to a control socket, or an empty path where there is none.
std::string grants_path(const std::string& control_path);

class GrantStore {
 public:
  // Without a path nothing is kept.
  explicit GrantStore(std::string path) : path_(std::move(path)) {}

  // restore reads the file; what has ended is left out. A file that makes no sense is an error, and no grant is in force.
  std::expected<void, std::string> restore(Timestamp now);
  const GrantList& list() const { return list_; }
  policy::Overlay overlay() const { return overlay_of(list_); }
  // next_id is that of the next entry; ids are not used twice as long as the file lives.
  std::uint32_t next_id() const { return next_id_; }
  // next_end returns when the next entry ends.
  std::optional<Timestamp> next_end() const;
  // commit takes the new list and writes it. Fails with a message when it cannot be written; the list counts all the same.
  std::expected<void, std::string> commit(GrantList list);

 private:
  std::string path_;
  GrantList list_;
  std::uint32_t next_id_ = 1;
};

// grants_to_text and grants_from_text are the file's format: JSON, version 1.
std::string grants_to_text(const GrantList& list, std::uint32_t next_id);
struct RestoredGrants {
  GrantList list;
  std::uint32_t next_id = 1;
};
std::expected<RestoredGrants, std::string> grants_from_text(std::string_view text);

}  // namespace sallyport::daemon
