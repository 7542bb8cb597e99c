#include "sallyport/resolver/bindings_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "sallyport/core/limits.h"

namespace sallyport::resolver {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

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

std::optional<engine::Binding> binding_from(const Json& entry, const policy::Policy& policy, Timestamp now) {
  if (!entry.is_object()) return std::nullopt;
  const auto address = IpAddress::parse(text_in(entry, "address"));
  const auto name = DomainName::parse(text_in(entry, "name"));
  const auto view = view_named(text_in(entry, "scope"), policy);
  const auto expires = entry.find("expires");
  if (!address || !name || !view || expires == entry.end() || !expires->is_number_integer()) return std::nullopt;
  const std::int64_t seconds = expires->get<std::int64_t>();
  // What a flow in use prolongs may live for kTcpIdleTimeout more.
  const Timestamp latest = now + kBindingTtlMax + policy.dns().grace + kTcpIdleTimeout;
  if (seconds <= seconds_of(now) || seconds > seconds_of(latest) || !engine::may_bind(*address, *name, policy)) return std::nullopt;
  return engine::Binding{address->unmapped(), *name, Timestamp(std::chrono::seconds(seconds)),
                         engine::BindingSource::kState, *view};
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

std::string bindings_to_text(std::span<const engine::Binding> bindings, const policy::Policy& policy, Timestamp now) {
  std::string text = R"({"version":)" + std::to_string(kVersion) + ",\"bindings\":[";
  const char* between = "\n";
  for (const engine::Binding& binding : bindings) {
    if (binding.expires <= now || binding.view > policy.scope_names().size()) continue;
    Json entry = {{"address", binding.address.to_string()},
                  {"name", binding.name.text()},
                  {"expires", seconds_of(binding.expires)}};
    if (binding.view != 0) entry["scope"] = policy.scope_names()[binding.view - 1u];
    text += between + entry.dump(-1, ' ', true, Json::error_handler_t::replace);
    between = ",\n";
  }
  return text + "]}\n";
}

std::expected<std::vector<engine::Binding>, std::string> bindings_from_text(std::string_view text,
                                                                           const policy::Policy& policy,
                                                                           Timestamp now) {
  const Json state = Json::parse(text, nullptr, false);
  if (!state.is_object() || state.value("version", Json()) != kVersion) {
    return std::unexpected(std::string("it is no state of this version"));
  }
  const auto entries = state.find("bindings");
  if (entries == state.end() || !entries->is_array()) return std::unexpected(std::string("it has no bindings"));
  std::vector<engine::Binding> bindings;
  for (const Json& entry : *entries) {
    if (bindings.size() >= kBindings) break;
    if (const auto binding = binding_from(entry, policy, now)) bindings.push_back(*binding);
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
