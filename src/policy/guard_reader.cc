#include "guard_reader.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <expected>
#include <optional>
#include <string>

#include "sallyport/policy/idna.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/limits.h"
#include "stable_hash.h"
#include "target_text.h"

namespace sallyport::policy {
namespace {

using Text = std::string_view;

// GuardFrame reads one guard; `failed` is set when anything was reported.
class GuardFrame {
 public:
  GuardFrame(const Reader& reader, const Value& table, std::string path)
      : reader_(reader), table_(table), path_(std::move(path)) {}

  std::optional<Guard> read();

 private:
  void error(Position position, Text key, Text message) {
    failed_ = true;
    reader_.error(position, join(path_, key), message);
  }
  // each calls `read(item, text)` for each string of a list.
  template <typename Read>
  void each(Text key, std::size_t at_most, Read&& read);
  void read_listener(const Value& item, Text text, Guard& out);
  void read_origin(const Value& item, Text text, Guard& out);
  void read_socket(Guard& out);
  void read_labels(Guard& out);
  void check();
  void refuse_key(Text key, Text why);

  const Reader& reader_;
  const Value& table_;
  std::string path_;
  bool failed_ = false;
};

template <typename Read>
void GuardFrame::each(Text key, std::size_t at_most, Read&& read) {
  const auto* entry = table_.find(key);
  if (entry == nullptr) return;
  const auto items = one_or_many(entry->value);
  if (items.empty()) return error(entry->value.position, key, "an empty list");
  if (items.size() > at_most) return error(entry->value.position, key, "at most " + std::to_string(at_most) + " entries");
  for (const Value& item : items) {
    const auto text = reader_.string(item, join(path_, key));
    failed_ |= !text;
    if (text) read(item, *text);
  }
}

// parse_guarded_host reads a host as people write it. The error says what is wrong.
std::expected<GuardHost, std::string> parse_guarded_host(Text text) {
  if (text.find("://") != Text::npos) return std::unexpected("a URL; expected the host alone");
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (const auto address = IpAddress::parse(text)) {
    if (address->unmapped() != *address) {
      return std::unexpected("an IPv4-mapped address; write it as IPv4: " + address->unmapped().to_string());
    }
    return GuardHost{{}, *address};
  }
  if (text.find('*') != Text::npos || text.starts_with('.')) {
    return std::unexpected("a guard's hosts are whole names: whoever has a name below a wildcard could point it here");
  }
  if (looks_like_address(text)) return std::unexpected("expected a name or an address, without a port");
  if (text.find(':') != Text::npos) return std::unexpected("expected the host without a port; a request's port does not count");
  auto name = to_domain_name(text);
  if (!name) return std::unexpected(std::move(name.error()));
  return GuardHost{*name, std::nullopt};
}

std::optional<std::uint16_t> parse_listen_port(Text text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0 || text.front() == '0') return std::nullopt;
  return port;
}

std::expected<GuardListener, std::string> parse_listener(Text text) {
  constexpr Text kExpected = "expected an address and a port, such as \"127.0.0.1:8080\", \"[::1]:8080\" or \"*:8080\"";
  const std::size_t colon = text.rfind(':');
  if (colon == Text::npos) return std::unexpected(std::string(kExpected));
  GuardListener out;
  const auto port = parse_listen_port(text.substr(colon + 1));
  if (!port) return std::unexpected(std::string(kExpected));
  if (*port == kDnsPort) return std::unexpected("port 53 is judged as DNS");
  out.port = *port;
  Text host = text.substr(0, colon);
  if (host == "*") return out;
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  if (!address || address->is_v6() != bracketed) {
    const bool bare = address && address->is_v6();
    return std::unexpected(bare ? "an IPv6 address stands in brackets: \"[" + std::string(host) + "]:" + std::to_string(*port) + "\"" : std::string(kExpected));
  }
  if (address->unmapped() != *address) {
    return std::unexpected("an IPv4-mapped address; write it as IPv4: " + address->unmapped().to_string());
  }
  if (*address == IpAddress()) {
    out.v6 = false;
  } else if (*address != IpAddress::parse("::")) {  // Which has both families (RFC 3493 §3.7).
    out.v4 = address->is_v4();
    out.v6 = address->is_v6();
    out.address = address;
  }
  return out;
}

void GuardFrame::read_listener(const Value& item, Text text, Guard& out) {
  const auto listener = parse_listener(text);
  if (!listener) return error(item.position, "listen", quote(text) + ": " + listener.error());
  const auto same = std::find_if(out.listen.begin(), out.listen.end(), [&](const GuardListener& one) { return one.overlaps(*listener); });
  if (same != out.listen.end()) return error(item.position, "listen", quote(text) + ": another entry of the list has it already");
  out.listen.push_back(*listener);
}

void GuardFrame::read_origin(const Value& item, Text text, Guard& out) {
  if (text == "null") {
    return error(item.position, "origins", "\"null\" is the origin of every sandboxed page and local file; it cannot be listed");
  }
  GuardOrigin origin;
  std::string host(text);
  if (text.find("://") != Text::npos) {
    const auto parts = split_origin(text);
    if (!parts) return error(item.position, "origins", quote(text) + ": expected scheme, host and port alone, such as \"https://app.example:8443\"");
    host = parts->host;
    origin.scheme = parts->scheme;
    std::transform(origin.scheme.begin(), origin.scheme.end(), origin.scheme.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    origin.port = parts->port.value_or(default_port_of(origin.scheme));
  }
  const auto parsed = parse_guarded_host(host);
  if (!parsed) return error(item.position, "origins", quote(text) + ": " + parsed.error());
  origin.host = *parsed;
  if (std::find(out.origins.begin(), out.origins.end(), origin) == out.origins.end()) out.origins.push_back(std::move(origin));
}

void GuardFrame::read_socket(Guard& out) {
  if (const auto* entry = table_.find("unix_socket")) {
    const auto text = reader_.string(entry->value, join(path_, "unix_socket"));
    failed_ |= !text;
    if (text) {
      const bool fits = text->size() > 1 && text->size() < sizeof(sockaddr_un::sun_path) && text->find('\0') == Text::npos;
      if (fits && (text->starts_with('/') || text->starts_with('@'))) {
        out.unix_socket = *text;
      } else {
        error(entry->value.position, "unix_socket", quote(*text) + ": expected the absolute path of a socket, or \"@\" and the name of an abstract one");
      }
    }
  }
  if (const auto* entry = table_.find("process")) {
    const auto text = reader_.label(entry->value, join(path_, "process"));
    failed_ |= !text;
    if (text) out.process = *text;
  }
}

void GuardFrame::read_labels(Guard& out) {
  if (const auto* entry = table_.find("name")) {
    const auto text = reader_.label(entry->value, join(path_, "name"));
    failed_ |= !text;
    if (text) out.name = *text;
  }
  each("interfaces", kGuardInterfacesMax, [&](const Value& item, Text) {
    const auto name = reader_.interface(item, join(path_, "interfaces"));
    failed_ |= !name;
    if (name && name->front() == '-') return error(item.position, "interfaces", quote(*name) + ": not the name of a network interface");
    if (name && std::find(out.interfaces.begin(), out.interfaces.end(), *name) == out.interfaces.end()) out.interfaces.emplace_back(*name);
  });
  each("sources", kGuardSourcesMax, [&](const Value& item, Text text) {
    const auto prefix = parse_prefix(text);
    if (!prefix) return error(item.position, "sources", quote(text) + ": " + prefix.error());
    if (std::find(out.sources.begin(), out.sources.end(), *prefix) == out.sources.end()) out.sources.push_back(*prefix);
  });
}

void GuardFrame::refuse_key(Text key, Text why) {
  if (const auto* entry = table_.find(key)) error(entry->position, key, why);
}

// check holds the rules that need the whole guard.
void GuardFrame::check() {
  const bool listens = table_.find("listen") != nullptr;
  const bool has_socket = table_.find("unix_socket") != nullptr;
  if (!listens && !has_socket) {
    error(table_.position, "listen", "required: the addresses and ports that are guarded, or \"unix_socket\" for a service that has no port");
  } else if (listens && has_socket) {
    refuse_key("unix_socket", "the service has no port then; leave \"listen\" out, or declare two guards");
  } else if (has_socket) {
    for (const Text key : {"hosts", "origins", "interfaces", "sources"}) refuse_key(key, "says nothing of a service that has no port");
  } else {
    refuse_key("process", "belongs to \"unix_socket\"");
    if (table_.find("hosts") == nullptr) {
      error(table_.position, "hosts", "required: the hosts that requests may be for, such as [\"localhost\", \"127.0.0.1\"]; without them a page with a rebound name could ask anything");
    }
  }
}

std::optional<Guard> GuardFrame::read() {
  Guard guard;
  guard.file = reader_.file();
  guard.line = table_.position.line;
  reader_.check_keys(table_, "guards", path_);
  read_labels(guard);
  each("listen", kGuardListenersMax, [&](const Value& item, Text text) { read_listener(item, text, guard); });
  each("hosts", kGuardHostsMax, [&](const Value& item, Text text) {
    const auto host = parse_guarded_host(text);
    if (!host) return error(item.position, "hosts", quote(text) + ": " + host.error());
    if (std::find(guard.hosts.begin(), guard.hosts.end(), *host) == guard.hosts.end()) guard.hosts.push_back(*host);
  });
  each("origins", kGuardOriginsMax, [&](const Value& item, Text text) { read_origin(item, text, guard); });
  read_socket(guard);
  check();
  if (failed_) return std::nullopt;
  return guard;
}

std::uint64_t hash_of(const GuardHost& host) {
  return host.address ? stable_hash(host.address->to_string(), 1) : stable_hash(host.name.text(), 2);
}

std::uint64_t hash_of(const Guard& guard) {
  constexpr std::uint64_t kListen = 3, kHost = 4, kOrigin = 5, kInterface = 6, kSource = 7, kSocket = 8, kProcess = 9;
  std::uint64_t sum = 0;
  for (const GuardListener& one : guard.listen) {
    const std::uint64_t families = (one.v4 ? 1U : 0U) | (one.v6 ? 2U : 0U);
    const std::uint64_t address = one.address ? stable_hash(one.address->to_string()) : 0;
    sum += stable_hash(stable_hash(families << 16 | one.port, address), kListen);
  }
  for (const GuardHost& host : guard.hosts) sum += stable_hash(hash_of(host), kHost);
  for (const GuardOrigin& origin : guard.origins) {
    sum += stable_hash(stable_hash(origin.scheme, hash_of(origin.host)) + origin.port, kOrigin);
  }
  for (const std::string& name : guard.interfaces) sum += stable_hash(name, kInterface);
  for (const IpPrefix& prefix : guard.sources) sum += stable_hash(prefix.to_string(), kSource);
  if (!guard.unix_socket.empty()) sum += stable_hash(guard.unix_socket, kSocket);
  if (!guard.process.empty()) sum += stable_hash(guard.process, kProcess);
  return mixed(sum);
}

}  // namespace

void read_guards(const Reader& reader, const Value& list, std::vector<Guard>& out) {
  const std::string path = "guards";
  if (list.kind != Value::Kind::kArray) {
    reader.error(list.position, path, "expected a list of tables; write [[guards]]");
    return;
  }
  if (list.children->items.size() > kGuardsMax) {
    reader.error(list.position, path, "a policy has at most " + std::to_string(kGuardsMax) + " guards");
    return;
  }
  for (std::size_t i = 0; i < list.children->items.size(); ++i) {
    const Value& item = list.children->items[i];
    const std::string at = path + "[" + std::to_string(i) + "]";
    if (!reader.is_table(item, at)) continue;
    auto guard = GuardFrame(reader, item, at).read();
    if (!guard) continue;
    for (const Guard& other : out) {
      const bool both = std::any_of(guard->listen.begin(), guard->listen.end(), [&](const GuardListener& one) {
        return std::any_of(other.listen.begin(), other.listen.end(), [&](const GuardListener& two) { return one.overlaps(two); });
      });
      if (both) reader.error(item.position, join(at, "listen"), "the guard in line " + std::to_string(other.line) + " has one of these addresses and ports already");
    }
    out.push_back(std::move(*guard));
  }
}

std::uint64_t hash_of_guards(const std::vector<Guard>& guards) {
  std::uint64_t sum = 0;
  for (const Guard& guard : guards) sum += hash_of(guard);
  return sum;
}

}  // namespace sallyport::policy
