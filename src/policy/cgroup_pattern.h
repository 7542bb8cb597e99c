// CgroupPattern tells which cgroups (version 2) a scope means: a path and everything below it, or the unit of systemd with
// a name.
#pragma once

#include <expected>
#include <string>
#include <string_view>

namespace sallyport::policy {

// matches_glob compares with a pattern in which each "*" stands for any octets, none included. At most
// pattern.size() * text.size() steps.
bool matches_glob(std::string_view pattern, std::string_view text);

class CgroupPattern {
 public:
  // path takes "/", or "/COMPONENT/COMPONENT..."; a "*" stands for any octets within one component. Fails with what was
  // expected.
  static std::expected<CgroupPattern, std::string> path(std::string_view text);
  // unit takes the name of a unit that has a cgroup ("ci.service", "build@*.service"). It is looked for below slices alone:
  // what is below a service or a scope may belong to its user, who chooses names there.
  static std::expected<CgroupPattern, std::string> unit(std::string_view name);

  // matches takes the path of a cgroup below the cgroup2 root, "/..." or "/".
  bool matches(std::string_view cgroup) const;

 private:
  CgroupPattern(std::string text, bool is_unit) : text_(std::move(text)), is_unit_(is_unit) {}
  std::string text_;  // Without the slash in front.
  bool is_unit_;
};

}  // namespace sallyport::policy
