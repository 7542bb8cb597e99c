#include "sallyport/resolver/resolv_conf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "sallyport/core/limits.h"
#include "sallyport/engine/resolvers.h"

namespace sallyport::resolver {
namespace {

constexpr std::string_view kBlank = " \t\r";

// Where stubs write the servers that they forward to: systemd-resolved, NetworkManager with a local cache, Debian's
// dnsmasq, resolvconf.
constexpr std::array<const char*, 6> kFiles = {
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/dnsmasq/resolv.conf",
    "/run/dnsmasq/resolv.conf.dnsmasq",
    "/run/resolvconf/resolv.conf",
};

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlank), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlank));
  line.remove_prefix(word.size());
  return word;
}

void add_once(std::vector<IpAddress>& list, const IpAddress& address) {
  if (list.size() < engine::Resolvers::kMax && std::ranges::find(list, address) == list.end()) {
    list.push_back(address);
  }
}

}  // namespace

std::vector<IpAddress> parse_resolv_conf(std::string_view text) {
  std::vector<IpAddress> servers;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (next_word(line) != "nameserver") continue;  // A comment's first word is none either.
    const std::string_view word = next_word(line);
    const std::optional<IpAddress> address = IpAddress::parse(word.substr(0, word.find('%')));
    if (address) add_once(servers, address->unmapped());
  }
  return servers;
}

std::span<const char* const> resolver_files() {
  return kFiles;
}

SystemResolvers read_system_resolvers(const ReadFile& read) {
  SystemResolvers result;
  result.asked = parse_resolv_conf(read(kFiles.front()).value_or(""));
  result.trusted = result.asked;
  if (std::ranges::none_of(result.asked, &IpAddress::is_loopback)) return result;
  for (const char* path : std::span(kFiles).subspan(1)) {
    for (const IpAddress& address : parse_resolv_conf(read(path).value_or(""))) {
      add_once(result.trusted, address);
    }
  }
  return result;
}

std::string stub_advice(const SystemResolvers& system, std::span<const IpAddress> listed, bool with_system) {
  const auto is_listed = [&](const IpAddress& address) { return std::ranges::find(listed, address) != listed.end(); };
  if (!with_system) {
    const auto missing = std::ranges::find_if_not(system.asked, is_listed);
    if (missing == system.asked.end() || listed.empty()) return {};
    return "/etc/resolv.conf names " + missing->to_string() +
           ", which is not in [dns] resolvers: what programs ask there is refused";
  }
  const auto stub = std::ranges::find_if(system.asked, &IpAddress::is_loopback);
  const auto is_network = [](const IpAddress& address) { return !address.is_loopback(); };
  if (stub == system.asked.end() || std::ranges::any_of(system.trusted, is_network) ||
      std::ranges::any_of(listed, is_network)) {
    return {};
  }
  return "/etc/resolv.conf names a stub on " + stub->to_string() +
         ", and no file tells whom it asks: add its servers to [dns] resolvers, or its own questions are refused";
}

std::optional<std::string> read_small_file(const char* path) {
  // O_NONBLOCK: a pipe under that name must not hold the thread.
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  std::optional<std::string> text;
  struct stat status {};
  if (::fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
    text.emplace(kResolvConfMax, '\0');
    std::size_t size = 0;
    for (ssize_t got = 0; size < text->size(); size += static_cast<std::size_t>(got)) {
      got = ::read(fd, text->data() + size, text->size() - size);
      if (got <= 0) break;
    }
    text->resize(size);
  }
  ::close(fd);
  return text;
}

}  // namespace sallyport::resolver
