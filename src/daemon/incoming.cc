#include "incoming.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "sallyport/core/limits.h"
#include "sallyport/resolver/bindings_file.h"
#include "state_path.h"

namespace sallyport::daemon {
namespace {

constexpr int kVersion = 1;

std::optional<Endpoint> endpoint_of(const nlohmann::json& address, const nlohmann::json& port) {
  if (!address.is_string() || !port.is_number_unsigned()) return std::nullopt;
  const auto parsed = IpAddress::parse(address.get<std::string>());
  const auto number = port.get<std::uint64_t>();
  if (!parsed || number > std::numeric_limits<std::uint16_t>::max()) return std::nullopt;
  return Endpoint{*parsed, static_cast<std::uint16_t>(number)};
}

}  // namespace

std::string incoming_path(const std::string& control_path) {
  return state_path(control_path, "incoming");
}

std::string incoming_text(std::span<const netfilter::TcpSocket> sockets) {
  nlohmann::json rows = nlohmann::json::array();
  for (const netfilter::TcpSocket& socket : sockets.first(std::min(sockets.size(), kIncomingKept))) {
    rows.push_back({socket.local.address.to_string(), socket.local.port, socket.remote.address.to_string(), socket.remote.port, socket.cookie});
  }
  return nlohmann::json{{"version", kVersion}, {"connections", std::move(rows)}}.dump() + '\n';
}

std::vector<netfilter::TcpSocket> incoming_from_text(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  std::vector<netfilter::TcpSocket> sockets;
  if (!json.is_object() || json.value("version", nlohmann::json()) != kVersion) return sockets;
  const auto rows = json.find("connections");
  if (rows == json.end() || !rows->is_array()) return sockets;
  for (const nlohmann::json& row : *rows) {
    if (sockets.size() == kIncomingKept) break;
    if (!row.is_array() || row.size() != 5 || !row[4].is_number_unsigned()) continue;
    const auto local = endpoint_of(row[0], row[1]);
    const auto remote = endpoint_of(row[2], row[3]);
    if (local && remote) sockets.push_back({*local, *remote, false, row[4].get<std::uint64_t>()});
  }
  return sockets;
}

void Incoming::hold(std::vector<netfilter::TcpSocket> sockets) {
  const auto order = [](const netfilter::TcpSocket& socket) { return std::tie(socket.local, socket.remote, socket.cookie); };
  std::ranges::sort(sockets, {}, order);
  const auto repeated = std::ranges::unique(sockets, {}, order);
  sockets.erase(repeated.begin(), repeated.end());
  std::vector<FlowKey> keys;
  for (const netfilter::TcpSocket& socket : sockets) keys.push_back(key_of(socket));
  sockets_ = std::move(sockets);
  set_ = keys.empty() ? nullptr : std::make_shared<const netfilter::ConnectionSet>(keys);
}

void Incoming::look(const std::vector<netfilter::TcpSocket>& sockets, const netfilter::ConnectionSet& opened) {
  const netfilter::ConnectionSet found(netfilter::incoming_connections(sockets, opened));
  std::vector<netfilter::TcpSocket> held = sockets_;
  std::ranges::copy_if(sockets, std::back_inserter(held), [&](const auto& socket) { return !socket.listening && found.contains(key_of(socket)); });
  hold(std::move(held));
}

bool Incoming::restore(const std::vector<netfilter::TcpSocket>& sockets, std::span<const FlowKey> proven, const Say& say) {
  if (path_.empty()) return false;
  const auto text = resolver::read_bindings_file(path_);  // It checks whose the file is.
  if (!text) say(text.error());
  if (text && text->empty()) return false;
  const std::vector<netfilter::TcpSocket> kept = text ? incoming_from_text(*text) : std::vector<netfilter::TcpSocket>();
  std::set<std::uint64_t> cookies;
  for (const netfilter::TcpSocket& socket : kept) cookies.insert(socket.cookie);
  const netfilter::ConnectionSet came_in(proven);
  std::vector<netfilter::TcpSocket> held;
  for (const netfilter::TcpSocket& socket : sockets) {
    if (!socket.listening && (cookies.contains(socket.cookie) || came_in.contains(key_of(socket)))) held.push_back(socket);
  }
  hold(std::move(held));
  return true;
}

void Incoming::save(const Say& say) const {
  if (path_.empty()) return;
  if (const auto written = resolver::write_bindings_file(path_, incoming_text(sockets_)); !written) say(written.error());
}

void Incoming::remove() const {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

}  // namespace sallyport::daemon
