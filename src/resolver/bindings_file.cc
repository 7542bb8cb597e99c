#include "sallyport/resolver/bindings_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "sallyport/core/limits.h"

namespace sallyport::resolver {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 2;

std::int64_t seconds_of(Timestamp time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

// view_named returns the view that a scope's name stands for in this policy; an empty name: view 0.
std::optional<policy::View> view_named(std::string_view scope, const policy::Policy& policy) {
  if (scope.empty()) return policy::View{0};
  const std::vector<std::string>& names = policy.scope_names();
  const auto found = std::ranges::find(names, scope);
  if (found == names.end()) return std::nullopt;
  const auto index = static_cast<std::size_t>(found - names.begin());
  const policy::View view = policy.view_of(policy::ScopeSet{1} << index);
  if (view != index + 1) return std::nullopt;
  return view;
}

std::string text_in(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// still_trusted tells whether everybody whose word a view's bindings were is believed now.
bool still_trusted(const Json& resolvers, const std::string& scope, policy::View view, const policy::Policy& policy,
                   std::span<const IpAddress> trusted) {
  const auto list = resolvers.find(scope);
  if (list == resolvers.end() || !list->is_array() || list->empty()) return false;
  return std::ranges::all_of(*list, [&](const Json& server) {
    const auto address = server.is_string() ? IpAddress::parse(server.get<std::string>()) : std::nullopt;
    if (!address) return false;
    return view == 0 ? std::ranges::find(trusted, address->unmapped()) != trusted.end() : policy.view_trusts(view, *address);
  });
}

Json list_of(std::span<const IpAddress> servers) {
  Json list = Json::array();
  for (const IpAddress& server : servers) list.push_back(server.to_string());
  return list;
}

std::optional<engine::Binding> binding_from(const Json& entry, const policy::Policy& policy, Timestamp now) {
  if (!entry.is_object()) return std::nullopt;
  const auto address = IpAddress::parse(text_in(entry, "address"));
  const auto name = DomainName::parse(text_in(entry, "name"));
  const auto view = view_named(text_in(entry, "scope"), policy);
  const auto expires = entry.find("expires");
  const auto told = entry.find("told");
  if (!address || !name || !view || expires == entry.end() || !expires->is_number_integer()) return std::nullopt;
  if (told == entry.end() || !told->is_number_integer()) return std::nullopt;
  const std::int64_t seconds = expires->get<std::int64_t>();
  // The clock may have been set back since.
  const std::int64_t told_seconds = std::min(told->get<std::int64_t>(), seconds_of(now));
  const std::int64_t longest = seconds_of(Timestamp(kBindingTtlMax + policy.dns().grace));
  if (seconds <= seconds_of(now) || told_seconds <= 0 || seconds > told_seconds + longest) return std::nullopt;
  if (!engine::may_bind(*address, *name, policy)) return std::nullopt;
  return engine::Binding{policy.plain(*address), *name, Timestamp(std::chrono::seconds(seconds)),
                         engine::BindingSource::kState, *view, 0, Timestamp(std::chrono::seconds(told_seconds))};
}

std::unexpected<std::string> problem(const std::string& path, const char* what) {
  return std::unexpected("state file " + path + ": " + what + ": " + std::strerror(errno));
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

std::string bindings_to_text(std::span<const engine::Binding> bindings, const policy::Policy& policy,
                             std::span<const IpAddress> trusted, Timestamp now) {
  Json resolvers = Json::object();
  resolvers[""] = list_of(trusted);
  for (std::size_t scope = 0; scope < policy.scope_names().size(); ++scope) {
    const auto own = policy.resolvers_of(static_cast<policy::View>(scope + 1));
    if (!own.empty()) resolvers[policy.scope_names()[scope]] = list_of(own);
  }
  std::string text = R"({"version":)" + std::to_string(kVersion) + R"(,"resolvers":)" +
                     resolvers.dump(-1, ' ', true, Json::error_handler_t::replace) + ",\"bindings\":[";
  const char* between = "\n";
  for (const engine::Binding& binding : bindings) {
    if (binding.expires <= now || binding.view > policy.scope_names().size()) continue;
    Json entry = {{"address", binding.address.to_string()},
                  {"name", binding.name.text()},
                  {"expires", seconds_of(binding.expires)},
                  {"told", seconds_of(binding.told)}};
    if (binding.view != 0) entry["scope"] = policy.scope_names()[binding.view - 1u];
    text += between + entry.dump(-1, ' ', true, Json::error_handler_t::replace);
    between = ",\n";
  }
  return text + "]}\n";
}

std::expected<std::vector<engine::Binding>, std::string> bindings_from_text(std::string_view text,
                                                                           const policy::Policy& policy,
                                                                           std::span<const IpAddress> trusted, Timestamp now) {
  const Json state = Json::parse(text, nullptr, false);
  if (!state.is_object() || state.value("version", Json()) != kVersion) {
    return std::unexpected(std::string("it is no state of this version"));
  }
  const auto entries = state.find("bindings");
  if (entries == state.end() || !entries->is_array()) return std::unexpected(std::string("it has no bindings"));
  const auto resolvers = state.find("resolvers");
  if (resolvers == state.end() || !resolvers->is_object()) return std::unexpected(std::string("it has no resolvers"));
  std::array<bool, policy::kScopesMax + 1> believed{};
  for (std::size_t view = 0; view <= policy.scope_names().size() && view < believed.size(); ++view) {
    const std::string scope = view == 0 ? std::string() : policy.scope_names()[view - 1];
    believed[view] = still_trusted(*resolvers, scope, static_cast<policy::View>(view), policy, trusted);
  }
  std::vector<engine::Binding> bindings;
  for (const Json& entry : *entries) {
    if (bindings.size() >= kBindings) break;
    const auto binding = binding_from(entry, policy, now);
    if (binding && believed[binding->view]) bindings.push_back(*binding);
  }
  return bindings;
}

std::expected<void, std::string> write_bindings_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  (void)::unlink(fresh.c_str());  // Of a run that was killed in between.
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return problem(path, "cannot be written");
  const bool written = write_all(fd, text) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0) {
    if (!written) errno = error;
    auto result = problem(path, "cannot be written");
    (void)::unlink(fresh.c_str());
    return result;
  }
  return {};
}

std::expected<std::string, std::string> read_bindings_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return std::string();
  if (fd < 0) return problem(path, "cannot be read");
  struct stat status {};
  std::string text;
  const bool known = ::fstat(fd, &status) == 0;
  const bool ours = known && S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 022) == 0;
  const bool fits = ours && status.st_size >= 0 && static_cast<std::uint64_t>(status.st_size) <= kBindingsFileMax;
  if (fits) {
    text.resize(static_cast<std::size_t>(status.st_size));
    std::size_t size = 0;
    while (size < text.size()) {
      const ssize_t got = ::read(fd, text.data() + size, text.size() - size);
      if (got <= 0) break;
      size += static_cast<std::size_t>(got);
    }
    text.resize(size);
  }
  ::close(fd);
  if (!ours) return std::unexpected("state file " + path + ": others could have written it; it is not read");
  if (!fits) return std::unexpected("state file " + path + ": it is too large");
  return text;
}

}  // namespace sallyport::resolver
