#include "incoming.h"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "sallyport/core/limits.h"
#include "sallyport/resolver/bindings_file.h"

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
  if (control_path.empty() || control_path.front() == '@') return {};
  return std::filesystem::path(control_path).replace_extension(".incoming.json").string();
}

std::string incoming_text(std::span<const FlowKey> keys) {
  nlohmann::json rows = nlohmann::json::array();
  for (const FlowKey& key : keys) {
    rows.push_back({key.client.address.to_string(), key.client.port, key.server.address.to_string(), key.server.port});
  }
  return nlohmann::json{{"version", kVersion}, {"connections", std::move(rows)}}.dump() + '\n';
}

std::vector<FlowKey> incoming_from_text(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  std::vector<FlowKey> keys;
  if (!json.is_object() || json.value("version", nlohmann::json()) != kVersion) return keys;
  const auto rows = json.find("connections");
  if (rows == json.end() || !rows->is_array()) return keys;
  for (const nlohmann::json& row : *rows) {
    if (keys.size() == kIncomingKept) break;
    if (!row.is_array() || row.size() != 4) continue;
    const auto local = endpoint_of(row[0], row[1]);
    const auto remote = endpoint_of(row[2], row[3]);
    if (local && remote) keys.push_back({Transport::kTcp, IPPROTO_TCP, *local, *remote, 0});
  }
  return keys;
}

void Incoming::hold(std::span<const FlowKey> keys) {
  set_ = keys.empty() ? nullptr : std::make_shared<const netfilter::ConnectionSet>(keys);
  saved_ = SIZE_MAX;
}

void Incoming::look(const std::vector<netfilter::TcpSocket>& sockets, const netfilter::ConnectionSet& opened) {
  std::vector<FlowKey> keys = netfilter::incoming_connections(sockets, opened);
  if (set_ != nullptr) std::ranges::copy(set_->keys(), std::back_inserter(keys));
  hold(keys);
}

void Incoming::restore(const std::vector<netfilter::TcpSocket>& sockets, const netfilter::ConnectionSet& opened, const Say& say) {
  if (path_.empty()) return;
  const auto text = resolver::read_bindings_file(path_);  // It checks whose the file is.
  if (!text) return say(text.error());
  const std::vector<FlowKey> kept = incoming_from_text(*text);
  const netfilter::ConnectionSet known(kept);
  std::vector<FlowKey> keys;
  for (const netfilter::TcpSocket& socket : sockets) {
    const FlowKey key{Transport::kTcp, IPPROTO_TCP, socket.local, socket.remote, 0};
    if (!socket.listening && known.contains(key) && !opened.contains(key)) keys.push_back(key);
  }
  hold(keys);
}

void Incoming::save(const Say& say) {
  if (path_.empty()) return;
  std::vector<FlowKey> keys = set_ != nullptr ? set_->keys() : std::vector<FlowKey>();
  if (keys.size() == saved_) return;
  saved_ = keys.size();
  if (keys.size() > kIncomingKept) keys.resize(kIncomingKept);
  if (const auto written = resolver::write_bindings_file(path_, incoming_text(keys)); !written) say(written.error());
}

void Incoming::remove() {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

}  // namespace sallyport::daemon
