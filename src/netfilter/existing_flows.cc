#include "sallyport/netfilter/existing_flows.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "sock_diag.h"

namespace sallyport::netfilter {
namespace {

constexpr std::uint32_t state_bit(unsigned state) {
  return std::uint32_t{1} << state;
}
constexpr std::uint32_t kStates = state_bit(TCP_ESTABLISHED) | state_bit(TCP_FIN_WAIT1) |
                                  state_bit(TCP_FIN_WAIT2) | state_bit(TCP_TIME_WAIT) |
                                  state_bit(TCP_CLOSE_WAIT) | state_bit(TCP_LAST_ACK) |
                                  state_bit(TCP_CLOSING) | state_bit(TCP_LISTEN);

IpAddress address_of(std::uint8_t family, const std::uint32_t (&words)[4]) {
  std::array<std::uint8_t, 16> bytes;
  std::memcpy(bytes.data(), words, bytes.size());
  const std::size_t size = family == AF_INET ? 4 : 16;
  return IpAddress::from_bytes(ByteSpan(bytes).first(size)).value_or(IpAddress()).unmapped();
}

int read_socket(const nlmsghdr* message, void* data) {
  auto& sockets = *static_cast<std::vector<TcpSocket>*>(data);
  if (mnl_nlmsg_get_payload_len(message) < sizeof(inet_diag_msg)) return MNL_CB_OK;
  inet_diag_msg entry;
  std::memcpy(&entry, mnl_nlmsg_get_payload(message), sizeof entry);
  TcpSocket socket;
  socket.local = {address_of(entry.idiag_family, entry.id.idiag_src), ntohs(entry.id.idiag_sport)};
  socket.remote = {address_of(entry.idiag_family, entry.id.idiag_dst), ntohs(entry.id.idiag_dport)};
  socket.listening = entry.idiag_state == TCP_LISTEN;
  socket.cookie = std::uint64_t{entry.id.idiag_cookie[1]} << 32 | entry.id.idiag_cookie[0];
  sockets.push_back(socket);
  return MNL_CB_OK;
}

std::expected<void, std::string> list_family(mnl_socket* socket, std::uint8_t family,
                                             std::vector<TcpSocket>& sockets) {
  const DiagRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, family, IPPROTO_TCP, kStates);
  if (!request.send(socket)) return std::unexpected(std::string("sock_diag: ") + std::strerror(errno));
  std::vector<char> buffer(65'536);
  for (;;) {
    const ssize_t got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(std::string("sock_diag: ") + std::strerror(errno));
    const int more = mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), family,
                                mnl_socket_get_portid(socket), read_socket, &sockets);
    if (more < 0) return std::unexpected(std::string("sock_diag: ") + std::strerror(errno));
    if (more == MNL_CB_STOP) return {};
  }
}

}  // namespace

std::expected<std::vector<TcpSocket>, std::string> list_tcp_sockets() {
  const DiagSocket socket = open_diag_socket();
  if (!socket) return std::unexpected(std::string("sock_diag: ") + std::strerror(errno));
  std::vector<TcpSocket> sockets;
  for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    const std::expected<void, std::string> listed = list_family(socket.get(), family, sockets);
    if (!listed) return std::unexpected(listed.error());
  }
  return sockets;
}

namespace {

struct TcpHead {
  Endpoint source;
  Endpoint destination;
  bool syn = false;
};

// read_tcp_head reads the addresses, ports and SYN flag of a TCP packet; IPv6 only without extension
// headers, which the kernel's own TCP does not use.
std::optional<TcpHead> read_tcp_head(ByteSpan packet) {
  if (packet.empty()) return std::nullopt;
  const unsigned version = packet[0] >> 4;
  if (version != 4 && version != 6) return std::nullopt;
  const std::size_t header_size = version == 4 ? std::size_t{4} * (packet[0] & 0x0fU) : 40;
  ByteReader in(packet);
  ByteSpan header;
  if (header_size < 20 || !in.read_bytes(header_size, header)) return std::nullopt;
  if ((version == 4 ? header[9] : header[6]) != IPPROTO_TCP) return std::nullopt;
  const std::size_t address_size = version == 4 ? 4 : 16;
  const ByteSpan addresses = header.subspan(version == 4 ? 12 : 8, 2 * address_size);
  const std::optional<IpAddress> source = IpAddress::from_bytes(addresses.first(address_size));
  const std::optional<IpAddress> destination = IpAddress::from_bytes(addresses.last(address_size));
  TcpHead head;
  constexpr std::size_t kBetweenPortsAndFlags = 9;
  std::uint8_t flags = 0;
  if (!source || !destination || !in.read_u16(head.source.port) || !in.read_u16(head.destination.port) ||
      !in.skip(kBetweenPortsAndFlags) || !in.read_u8(flags)) {
    return std::nullopt;
  }
  head.source.address = *source;
  head.destination.address = *destination;
  head.syn = (flags & TH_SYN) != 0;
  return head;
}

}  // namespace

ConnectionSet::ConnectionSet(std::span<const FlowKey> keys) {
  for (const FlowKey& key : keys) flows_.push_back({key.client, key.server});
  std::ranges::sort(flows_);
  const auto repeated = std::ranges::unique(flows_);
  flows_.erase(repeated.begin(), repeated.end());
  ended_ = std::make_unique<std::atomic<bool>[]>(flows_.size());
}

bool ConnectionSet::contains(const FlowKey& key) const {
  const Flow flow{key.client, key.server};
  const auto found = std::ranges::lower_bound(flows_, flow);
  if (found == flows_.end() || *found != flow) return false;
  return !ended_[static_cast<std::size_t>(found - flows_.begin())].load(std::memory_order_relaxed);
}

std::vector<FlowKey> ConnectionSet::keys() const {
  std::vector<FlowKey> keys;
  for (std::size_t i = 0; i < flows_.size(); ++i) {
    if (!ended_[i].load(std::memory_order_relaxed)) keys.push_back({Transport::kTcp, IPPROTO_TCP, flows_[i].client, flows_[i].server, 0});
  }
  return keys;
}

bool ConnectionSet::has(ByteSpan packet, bool reply) const {
  if (flows_.empty()) return false;
  const std::optional<TcpHead> head = read_tcp_head(packet);
  if (!head) return false;
  const Flow flow = reply ? Flow{head->destination, head->source} : Flow{head->source, head->destination};
  const auto found = std::ranges::lower_bound(flows_, flow);
  if (found == flows_.end() || *found != flow) return false;
  std::atomic<bool>& ended = ended_[static_cast<std::size_t>(found - flows_.begin())];
  if (head->syn && !reply) ended.store(true, std::memory_order_relaxed);
  return !ended.load(std::memory_order_relaxed);
}

FlowKey key_of(const TcpSocket& socket) {
  return {Transport::kTcp, IPPROTO_TCP, socket.local, socket.remote, 0};
}

ConnectionSet opened_connections(std::span<const ConntrackEntry> entries) {
  std::vector<FlowKey> keys;
  for (const ConntrackEntry& entry : entries) {
    if (entry.key.transport == Transport::kTcp && entry.syn_seen) keys.push_back(entry.key);
  }
  return ConnectionSet(keys);
}

std::vector<FlowKey> came_in_by_tracking(const std::vector<TcpSocket>& sockets, std::span<const ConntrackEntry> entries) {
  const ConnectionSet opened = opened_connections(entries);
  std::vector<FlowKey> keys;
  for (const TcpSocket& socket : sockets) {
    const FlowKey key = key_of(socket);
    if (!socket.listening && opened.contains(key.reversed()) && !opened.contains(key)) keys.push_back(key);
  }
  return keys;
}

std::vector<FlowKey> incoming_connections(const std::vector<TcpSocket>& sockets, const ConnectionSet& opened) {
  const auto any = [](const IpAddress& address) {
    return std::ranges::all_of(address.bytes(), [](std::uint8_t byte) { return byte == 0; });
  };
  std::vector<Endpoint> listeners;
  for (const TcpSocket& socket : sockets) {
    if (socket.listening) listeners.push_back(socket.local);
  }
  std::vector<FlowKey> keys;
  for (const TcpSocket& socket : sockets) {
    if (socket.listening) continue;
    // A listener on [::] takes IPv4 too (RFC 3493 §5.3); whether it does is not told, so it is believed.
    const auto accepts = [&](const Endpoint& listener) {
      return listener.port == socket.local.port && (any(listener.address) || listener.address == socket.local.address);
    };
    const FlowKey key = key_of(socket);
    if (!opened.contains(key) && std::ranges::any_of(listeners, accepts)) keys.push_back(key);
  }
  return keys;
}

std::vector<FlowKey> outgoing_connections(const std::vector<TcpSocket>& sockets, const ConnectionSet& incoming) {
  std::vector<IpAddress> own;
  for (const TcpSocket& socket : sockets) own.push_back(socket.local.address);
  std::ranges::sort(own);
  std::vector<FlowKey> keys;
  for (const TcpSocket& socket : sockets) {
    const FlowKey key = key_of(socket);
    if (!socket.listening && !incoming.contains(key) && !std::ranges::binary_search(own, key.server.address)) keys.push_back(key);
  }
  return keys;
}

ExistingFlows::ExistingFlows(Shared incoming, Shared allowed, Shared cut)
    : incoming_(std::move(incoming)), allowed_(std::move(allowed)), cut_(std::move(cut)) {}

bool ExistingFlows::admit(ByteSpan packet) const {
  return (incoming_ != nullptr && incoming_->has(packet)) || (allowed_ != nullptr && allowed_->has(packet));
}

}  // namespace sallyport::netfilter
