#include "listeners_reader.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "cgroup_pattern.h"
#include "dns_reader.h"
#include "sallyport/core/limits.h"

namespace sallyport::policy {
namespace {

constexpr std::size_t kProcessNameMax = 15;  // TASK_COMM_LEN less its final NUL.
constexpr std::size_t kNamespaceNameMax = 255;
constexpr Duration kIntervalMin = std::chrono::seconds(1);
constexpr Duration kIntervalMax = std::chrono::seconds(30);  // Two looks within a minute.
constexpr std::array<std::string_view, 2> kNamespaces = {"own", "all"};
constexpr std::array<std::string_view, 2> kTransports = {"tcp", "udp"};
constexpr std::array<std::string_view, 6> kUnitKinds = {".service", ".scope", ".slice", ".socket", ".mount", ".swap"};
constexpr std::string_view kExpected = R"(expected an address and a port, such as "127.0.0.1:8080/tcp", "[::1]:53/udp" or "*:443")";

using Outcome = std::expected<void, std::string>;

bool is_unit(std::string_view name) {
  return std::ranges::any_of(kUnitKinds, [&](std::string_view kind) { return name.ends_with(kind) && name.size() > kind.size(); });
}

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_any(const IpAddress& address) {
  return std::ranges::all_of(address.bytes(), [](std::uint8_t byte) { return byte == 0; });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

Outcome read_ports(std::string_view text, Listener& out) {
  const std::size_t dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::unexpected("expected a port from 1 to 65535 or a range \"first-last\" behind the address");
  out.first_port = *first;
  out.last_port = *last;
  out.required = dash == std::string_view::npos;
  return {};
}

Outcome read_address(std::string_view text, std::string_view rest, Listener& out) {
  if (text == "*") return {};
  const auto suggest = [&](const std::string& address) { return "; did you mean " + quote(address + std::string(rest)) + "?"; };
  if (text.empty()) return std::unexpected(std::string(kExpected) + suggest("*"));
  if (text == "localhost") return std::unexpected("a socket has an address, not a name" + suggest("127.0.0.1"));
  const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
  const auto address = IpAddress::parse(bracketed ? text.substr(1, text.size() - 2) : text);
  if (!address) return std::unexpected(std::string(kExpected));
  if (address->is_v6() != bracketed) {
    return std::unexpected(bracketed ? "only IPv6 addresses stand in brackets" + suggest(address->to_string())
                                     : "an IPv6 address stands in brackets" + suggest("[" + address->to_string() + "]"));
  }
  if (const IpAddress plain = address->unmapped(); plain != *address) {
    return std::unexpected("an IPv4-mapped address; write it as IPv4" + suggest(plain.to_string()));
  }
  out.address = *address;
  return {};
}

Outcome read_owner(std::string_view name, Listener& out) {
  if (name.empty()) return std::unexpected("expected the name of a process or a unit behind \"@\"");
  if (!is_plain(name) || name.size() > kPolicyTextMax) {
    return std::unexpected("a name of a process or unit has at most " + std::to_string(kPolicyTextMax) + " octets and no control characters");
  }
  if (!is_unit(name) && name.size() > kProcessNameMax) {
    return std::unexpected("the kernel cuts the name of a process to 15 octets; did you mean \"@" + std::string(name.substr(0, kProcessNameMax)) +
                           "\", or the unit with its kind, such as \"@ssh.service\"?");
  }
  out.owner = name;
  return {};
}

// read_transport cuts "/tcp" off the end of `text`.
Outcome read_transport(std::string_view& text, Listener& out) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view word = text.substr(slash + 1);
  if (word != "tcp" && word != "udp") return std::unexpected(R"(expected "/tcp", "/udp" or neither behind the port)" + did_you_mean(word, kTransports));
  out.transport = word == "tcp" ? Transport::kTcp : Transport::kUdp;
  text = text.substr(0, slash);
  return {};
}

// did_mean_bare tells what somebody meant who wrote a port alone.
std::string did_mean_bare(std::string_view text) {
  return parse_port(text.substr(0, text.find('/'))) ? "; did you mean " + quote("127.0.0.1:" + std::string(text)) + "?" : std::string();
}

void read_entry(const Reader& reader, const Value& value, Listeners& out) {
  const std::string path = "listeners.allow";
  if (value.kind == Value::Kind::kInteger) {
    reader.error(value.position, path, std::to_string(value.integer) + ": " + std::string(kExpected) + did_mean_bare(std::to_string(value.integer)));
    return;
  }
  const auto text = reader.string(value, path);
  if (!text) return;
  auto listener = parse_listener(*text);
  if (!listener) {
    reader.error(value.position, path, quote(*text) + ": " + listener.error());
    return;
  }
  listener->line = value.position.line;
  const auto same = [&](const Listener& other) {
    return other.address == listener->address && other.first_port == listener->first_port && other.last_port == listener->last_port &&
           other.transport == listener->transport && other.owner == listener->owner && other.netns == listener->netns;
  };
  if (const auto earlier = std::ranges::find_if(out.allow, same); earlier != out.allow.end()) {
    reader.error(value.position, path, quote(*text) + ": line " + std::to_string(earlier->line) + " says the same");
    return;
  }
  out.allow.push_back(std::move(*listener));
}

}  // namespace

bool names_owner(std::string_view name, std::string_view process, std::string_view unit) {
  return matches_glob(name, is_unit(name) ? unit : process);
}

bool Listener::covers(const IpAddress& at) const {
  if (!address) return true;
  return *address == at || (is_any(*address) && address->is_v6() == at.is_v6());
}

bool Listener::is_for(Transport socket_transport, std::uint16_t port, std::string_view socket_netns) const {
  if (port < first_port || port > last_port || (transport && *transport != socket_transport)) return false;
  return netns.empty() ? socket_netns.empty() : !socket_netns.empty() && matches_glob(netns, socket_netns);
}

std::expected<Listener, std::string> parse_listener(std::string_view text) {
  constexpr std::string_view kIn = " in ";
  Listener out;
  out.text = text;
  std::string_view rest = text;
  if (const std::size_t in = rest.rfind(kIn); in != std::string_view::npos) {
    const std::string_view name = rest.substr(in + kIn.size());
    if (name.empty() || name.size() > kNamespaceNameMax || !is_plain(name)) return std::unexpected("expected the name of a network namespace behind \"in\"");
    out.netns = name;
    rest = rest.substr(0, in);
  }
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    if (const Outcome owner = read_owner(rest.substr(at + 1), out); !owner) return std::unexpected(owner.error());
    rest = rest.substr(0, at);
  }
  const std::string_view whole = rest;
  if (const Outcome transport = read_transport(rest, out); !transport) return std::unexpected(transport.error());
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return std::unexpected(std::string(kExpected) + did_mean_bare(whole));
  if (const Outcome ports = read_ports(rest.substr(colon + 1), out); !ports) return std::unexpected(ports.error());
  if (const Outcome address = read_address(rest.substr(0, colon), whole.substr(colon), out); !address) return std::unexpected(address.error());
  return out;
}

void read_listeners(const Reader& reader, const Value& table, Listeners& out) {
  if (!reader.is_table(table, "listeners")) return;
  reader.check_keys(table, "listeners", "listeners");
  out.declared = true;
  if (const auto* entry = table.find("allow"); entry == nullptr) {
    reader.error(table.position, "listeners.allow", "required: what may listen here; an empty list for nothing. `sallyport audit --write` prints what does now");
  } else {
    const auto items = one_or_many(entry->value);
    if (items.size() > kListenersMax) {
      reader.error(entry->value.position, "listeners.allow", "at most " + std::to_string(kListenersMax) + " listeners");
      return;
    }
    for (const Value& item : items) read_entry(reader, item, out);
  }
  if (const auto* entry = table.find("netns")) {
    if (const auto index = reader.word(entry->value, "listeners.netns", kNamespaces)) out.all_namespaces = *index == 1;
  }
  if (const auto* entry = table.find("interval")) {
    read_duration(reader, entry->value, "listeners.interval", kIntervalMin, kIntervalMax, "a time from 1 to 30 seconds, such as \"10s\"", out.interval);
  }
}

}  // namespace sallyport::policy
