// Who owns a flow's socket: the keys of a scope that go by user, group, cgroup, unit and container.
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "sallyport/core/limits.h"
#include "section_reader.h"
#include "stable_hash.h"

namespace sallyport::policy {
namespace {

constexpr std::uint32_t kNoId = std::numeric_limits<std::uint32_t>::max();  // (uid_t)-1, (gid_t)-1
constexpr std::string_view kCompose = "compose:";

std::optional<std::uint32_t> number_in(std::string_view text) {
  std::uint32_t number = kNoId;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number == kNoId) return std::nullopt;
  return number;
}

// user_id and group_id return the number of a user or group of this host, or the number that the text is.
std::optional<std::uint32_t> user_id(std::string_view name) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16'384);
  const std::string text(name);
  if (getpwnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return number_in(name);
  return found->pw_uid;
}

std::optional<std::uint32_t> group_id(std::string_view name) {
  group entry{};
  group* found = nullptr;
  std::vector<char> buffer(1'048'576);  // It holds the members' names, too.
  const std::string text(name);
  if (getgrnam_r(text.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return number_in(name);
  return found->gr_gid;
}

// read_id reads a name or a number; `kind` is "user" or "group".
std::optional<std::uint32_t> read_id(const Reader& reader, const Value& value, const std::string& path, const std::string& kind,
                                     std::optional<std::uint32_t> (*find)(std::string_view)) {
  std::optional<std::uint32_t> id;
  if (value.kind == Value::Kind::kInteger) {
    if (value.integer >= 0 && value.integer < kNoId) {
      id = static_cast<std::uint32_t>(value.integer);
    } else {
      reader.error(value.position, path, "expected a " + kind + " number from 0 to 4294967294");
    }
  } else if (value.kind == Value::Kind::kString) {
    if (value.text.size() <= kPolicyTextMax && value.text.find('\0') == std::string_view::npos) id = find(value.text);
    if (!id) reader.error(value.position, path, quote(value.text) + ": this host has no such " + kind);
  } else {
    reader.error(value.position, path, "expected a " + kind + " name or number, got " + std::string(kind_name(value.kind)));
  }
  return id;
}

// is_container_name tells what Docker and Podman let a container be named, and "*" in it.
bool is_container_name(std::string_view text) {
  if (text.empty() || text.size() > kPolicyTextMax) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("_.-*").contains(c);
  });
}

}  // namespace

void ScopeReader::read_user(const Reader& reader, const Value& value, const std::string& path) {
  const auto uid = read_id(reader, value, path, "user", user_id);
  if (!uid) return;
  table_.users[*uid] |= bit();
  note("user", std::to_string(*uid));
}

void ScopeReader::read_group(const Reader& reader, const Value& value, const std::string& path) {
  const auto gid = read_id(reader, value, path, "group", group_id);
  if (!gid) return;
  table_.groups[*gid] |= bit();
  note("group", std::to_string(*gid));
}

void ScopeReader::read_cgroup(const Reader& reader, const Value& value, const std::string& path, bool unit) {
  const auto text = reader.string(value, path);
  if (!text) return;
  auto pattern = unit ? CgroupPattern::unit(*text) : CgroupPattern::path(*text);
  if (!pattern) {
    reader.error(value.position, path, quote(*text) + ": " + pattern.error());
    return;
  }
  table_.cgroups.emplace_back(std::move(*pattern), bit());
  table_.by_owner |= bit();
  note(unit ? "unit" : "cgroup", *text);
}

void ScopeReader::read_container(const Reader& reader, const Value& value, const std::string& path) {
  const auto text = reader.string(value, path);
  if (!text) return;
  ContainerScope container;
  container.scopes = bit();
  std::string_view name = *text;
  bool valid = true;
  if (name.starts_with(kCompose)) {
    name.remove_prefix(kCompose.size());
    const std::size_t slash = name.find('/');
    container.project = name.substr(0, slash);
    valid = slash != std::string_view::npos && is_container_name(container.project);
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
  }
  container.name = name;
  if (!valid || !is_container_name(name)) {
    reader.error(value.position, path, quote(*text) + ": expected a container's name, or \"compose:PROJECT/SERVICE\"");
    return;
  }
  table_.containers.push_back(std::move(container));
  table_.by_owner |= bit();
  note("container", *text);
}

}  // namespace sallyport::policy
