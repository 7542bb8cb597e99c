#include "cgroup_pattern.h"

#include <algorithm>
#include <array>

namespace sallyport::policy {
namespace {

constexpr std::size_t kPathMax = 511;  // As far as rules of the kernel go.
// Those kinds of units that processes run in (systemd.unit(5)).
constexpr std::array<std::string_view, 6> kUnitKinds = {".service", ".scope", ".slice", ".socket", ".mount", ".swap"};

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

// next_component cuts the first component off a path without a slash in front.
std::string_view next_component(std::string_view& path) {
  const std::size_t end = path.find('/');
  const std::string_view component = path.substr(0, end);
  path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
  return component;
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view text) {
  std::size_t at = 0, in = 0;
  std::size_t star = std::string_view::npos, resume = 0;
  while (in < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      resume = in;
    } else if (at < pattern.size() && pattern[at] == text[in]) {
      ++at;
      ++in;
    } else if (star != std::string_view::npos) {
      at = star + 1;  // The last star takes one octet more.
      in = ++resume;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

std::expected<CgroupPattern, std::string> CgroupPattern::path(std::string_view text) {
  if (!text.starts_with('/')) return std::unexpected("a cgroup is a path from the root of cgroup2, such as \"/system.slice/ci.service\"");
  if (text.size() > kPathMax || !is_plain(text)) return std::unexpected("a cgroup's path has at most 511 octets and no control characters");
  const std::string_view whole = text.substr(1);
  std::string_view rest = whole;
  while (!rest.empty()) {
    const std::string_view component = next_component(rest);
    if (component == "." || component == "..") return std::unexpected("a cgroup's path has no \".\" and no \"..\"");
    if (component.find("**") != std::string_view::npos) return std::unexpected("\"*\" stands for octets of one component; what is below is meant anyway");
    if (component.empty()) return std::unexpected("an empty component in a cgroup's path");
  }
  if (whole.ends_with('/')) return std::unexpected("a cgroup's path does not end with \"/\"");
  return CgroupPattern(std::string(whole), false);
}

std::expected<CgroupPattern, std::string> CgroupPattern::unit(std::string_view name) {
  const bool known = std::ranges::any_of(kUnitKinds, [&](std::string_view kind) { return name.ends_with(kind) && name.size() > kind.size(); });
  if (!known || name.find('/') != std::string_view::npos || name.size() > kPathMax || !is_plain(name)) {
    return std::unexpected("expected a unit with its kind, such as \"ci.service\", \"machine.slice\" or \"build@*.service\"");
  }
  return CgroupPattern(std::string(name), true);
}

bool CgroupPattern::matches(std::string_view cgroup) const {
  if (!cgroup.starts_with('/')) return false;
  std::string_view path = cgroup.substr(1);
  if (is_unit_) {
    while (!path.empty()) {
      const std::string_view component = next_component(path);
      if (matches_glob(text_, component)) return true;
      if (!component.ends_with(".slice")) return false;
    }
    return false;
  }
  std::string_view pattern = text_;
  while (!pattern.empty()) {
    if (path.empty() || !matches_glob(next_component(pattern), next_component(path))) return false;
  }
  return true;
}

}  // namespace sallyport::policy
