#include "sallyport/netfilter/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

namespace sallyport::netfilter {
namespace {

constexpr std::size_t kChangesPerSend = 100;  // Two thirds of the time of one by one, and answers that fit a socket.
constexpr std::size_t kMessageMax = 512;
constexpr int kReceiveBuffer = 4 << 20;

using Socket = std::unique_ptr<mnl_socket, int (*)(mnl_socket*)>;

std::unexpected<std::string> failed() {
  return std::unexpected(std::string("ctnetlink: ") + std::strerror(errno));
}

nlmsghdr* put_header(char* buffer, std::uint16_t type, int flags, std::uint32_t sequence, std::uint8_t family) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer);
  message->nlmsg_type = static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
  message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  message->nlmsg_seq = sequence;
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = family;
  header->version = NFNETLINK_V0;
  header->res_id = 0;
  return message;
}

void put_address(nlmsghdr* message, std::uint16_t v4, std::uint16_t v6, const IpAddress& address) {
  const ByteSpan bytes = address.bytes();
  mnl_attr_put(message, address.is_v6() ? v6 : v4, bytes.size(), bytes.data());
}

void put_tuple(nlmsghdr* message, const FlowKey& key) {
  nlattr* tuple = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
  nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
  put_address(message, CTA_IP_V4_SRC, CTA_IP_V6_SRC, key.client.address);
  put_address(message, CTA_IP_V4_DST, CTA_IP_V6_DST, key.server.address);
  mnl_attr_nest_end(message, addresses);
  nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, key.transport == Transport::kTcp ? IPPROTO_TCP : IPPROTO_UDP);
  mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(key.client.port));
  mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(key.server.port));
  mnl_attr_nest_end(message, protocol);
  mnl_attr_nest_end(message, tuple);
}

// Attributes indexes attributes by type; null where there is none.
template <std::size_t kCount>
using Attributes = std::array<const nlattr*, kCount>;

template <std::size_t kCount>
int note(const nlattr* attribute, void* data) {
  const std::uint16_t type = mnl_attr_get_type(attribute);
  if (type < kCount) (*static_cast<Attributes<kCount>*>(data))[type] = attribute;
  return MNL_CB_OK;
}

struct Tuple {
  Endpoint source;
  Endpoint destination;
  std::uint8_t protocol = 0;
  std::uint16_t identifier = 0;
};

std::optional<IpAddress> address_of(const nlattr* v4, const nlattr* v6) {
  const nlattr* attribute = v4 != nullptr ? v4 : v6;
  if (attribute == nullptr) return std::nullopt;
  const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  const std::size_t size = mnl_attr_get_payload_len(attribute);
  if (size != (v4 != nullptr ? 4U : 16U)) return std::nullopt;
  return IpAddress::from_bytes({bytes, size});
}

std::uint16_t port_of(const nlattr* attribute) {
  return attribute != nullptr && mnl_attr_get_payload_len(attribute) >= sizeof(std::uint16_t) ? ntohs(mnl_attr_get_u16(attribute)) : std::uint16_t{0};
}

std::optional<Tuple> read_tuple(const nlattr* nest) {
  Attributes<CTA_TUPLE_MAX + 1> parts{};
  Attributes<CTA_IP_MAX + 1> ip{};
  Attributes<CTA_PROTO_MAX + 1> proto{};
  if (nest == nullptr) return std::nullopt;
  (void)mnl_attr_parse_nested(nest, note<CTA_TUPLE_MAX + 1>, &parts);
  if (parts[CTA_TUPLE_IP] == nullptr || parts[CTA_TUPLE_PROTO] == nullptr) return std::nullopt;
  (void)mnl_attr_parse_nested(parts[CTA_TUPLE_IP], note<CTA_IP_MAX + 1>, &ip);
  (void)mnl_attr_parse_nested(parts[CTA_TUPLE_PROTO], note<CTA_PROTO_MAX + 1>, &proto);
  const auto source = address_of(ip[CTA_IP_V4_SRC], ip[CTA_IP_V6_SRC]);
  const auto destination = address_of(ip[CTA_IP_V4_DST], ip[CTA_IP_V6_DST]);
  if (!source || !destination || proto[CTA_PROTO_NUM] == nullptr) return std::nullopt;
  Tuple tuple;
  tuple.source = {*source, port_of(proto[CTA_PROTO_SRC_PORT])};
  tuple.destination = {*destination, port_of(proto[CTA_PROTO_DST_PORT])};
  tuple.protocol = mnl_attr_get_u8(proto[CTA_PROTO_NUM]);
  tuple.identifier = port_of(proto[CTA_PROTO_ICMP_ID] != nullptr ? proto[CTA_PROTO_ICMP_ID] : proto[CTA_PROTO_ICMPV6_ID]);
  return tuple;
}

// key_of puts together what the hooks see: the source of the original direction, and whoever answers.
FlowKey key_of(const Tuple& original, const Tuple& reply) {
  FlowKey key;
  key.ip_protocol = original.protocol;
  key.client = original.source;
  key.server = reply.source;
  switch (original.protocol) {
    case IPPROTO_TCP: key.transport = Transport::kTcp; break;
    case IPPROTO_UDP: key.transport = Transport::kUdp; break;
    case IPPROTO_ICMP: key.transport = Transport::kIcmp; break;
    case IPPROTO_ICMPV6: key.transport = Transport::kIcmpv6; break;
    default: key.transport = Transport::kOther; break;
  }
  if (key.transport == Transport::kIcmp || key.transport == Transport::kIcmpv6) {
    key.client.port = original.identifier;
    key.server.port = 0;
  }
  if (key.transport == Transport::kOther) key.client.port = key.server.port = 0;
  return key;
}

void append(std::vector<std::uint8_t>& out, const nlattr* attribute) {
  if (attribute == nullptr) return;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(attribute);
  out.insert(out.end(), bytes, bytes + attribute->nla_len);
  out.resize((out.size() + 3) & ~std::size_t{3});
}

}  // namespace

class Conntrack::Impl {
 public:
  Impl(Socket socket, const MarkField& field) : field_(field), socket_(std::move(socket)) {}

  std::expected<std::vector<ConntrackEntry>, std::string> list(std::uint32_t mark, std::uint32_t mask) {
    std::array<char, kMessageMax> request;
    nlmsghdr* message = put_header(request.data(), IPCTNL_MSG_CT_GET, NLM_F_DUMP, ++sequence_, AF_UNSPEC);
    mnl_attr_put_u32(message, CTA_MARK, htonl(mark));
    mnl_attr_put_u32(message, CTA_MARK_MASK, htonl(mask));
    if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0) return failed();
    std::vector<ConntrackEntry> entries;
    wanted_ = {mark & mask, mask};
    found_ = &entries;
    for (;;) {
      const ssize_t got = receive();
      if (got < 0) return failed();
      const int more = mnl_cb_run(buffer_.data(), static_cast<std::size_t>(got), sequence_, mnl_socket_get_portid(socket_.get()), read_entry, this);
      if (more == MNL_CB_STOP) return entries;
      if (more < 0 && errno != EINTR) return failed();  // EINTR: the table changed meanwhile; what is new came through the queues.
    }
  }

  using PutTuple = std::function<void(nlmsghdr*, std::size_t)>;

  // change sends the marks of `count` entries, many at a time, and calls `missing` with the index of each that is not there.
  template <typename FamilyOf, typename Put, typename MarkOf, typename Missing>
  std::expected<void, std::string> change(std::size_t count, Generation generation, FamilyOf&& family_of, Put&& put, MarkOf&& mark_of, Missing&& missing) {
    std::vector<char> batch;
    for (std::size_t begin = 0; begin < count; begin += kChangesPerSend) {
      const std::size_t end = std::min(count, begin + kChangesPerSend);
      batch.clear();
      const std::uint32_t first = sequence_ + 1;
      for (std::size_t i = begin; i < end; ++i) {
        std::array<char, kMessageMax> text;
        nlmsghdr* message = put_header(text.data(), IPCTNL_MSG_CT_NEW, NLM_F_ACK, ++sequence_, family_of(i));
        put(message, i);
        mnl_attr_put_u32(message, CTA_MARK, htonl(field_.encode(mark_of(i), generation)));
        mnl_attr_put_u32(message, CTA_MARK_MASK, htonl(field_.mask()));
        batch.insert(batch.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(message->nlmsg_len));
      }
      if (mnl_socket_sendto(socket_.get(), batch.data(), batch.size()) < 0) return failed();
      std::size_t answered = 0;
      while (answered < end - begin) {
        const ssize_t got = receive();
        if (got < 0) return failed();
        int left = static_cast<int>(got);
        for (const auto* answer = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
          if (answer->nlmsg_type != NLMSG_ERROR || answer->nlmsg_seq < first || answer->nlmsg_seq > sequence_) continue;
          ++answered;
          const int error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
          if (error == -ENOENT) {
            missing(begin + (answer->nlmsg_seq - first));
          } else if (error != 0) {
            errno = -error;
            return failed();
          }
        }
      }
    }
    return {};
  }

 private:
  static void read_tcp(const nlattr* info, ConntrackEntry& entry) {
    Attributes<CTA_PROTOINFO_MAX + 1> parts{};
    Attributes<CTA_PROTOINFO_TCP_MAX + 1> tcp{};
    if (info != nullptr) (void)mnl_attr_parse_nested(info, note<CTA_PROTOINFO_MAX + 1>, &parts);
    if (parts[CTA_PROTOINFO_TCP] == nullptr) return;
    (void)mnl_attr_parse_nested(parts[CTA_PROTOINFO_TCP], note<CTA_PROTOINFO_TCP_MAX + 1>, &tcp);
    if (const nlattr* attribute = tcp[CTA_PROTOINFO_TCP_STATE]; attribute != nullptr && mnl_attr_get_payload_len(attribute) >= 1) {
      const std::uint8_t state = mnl_attr_get_u8(attribute);
      entry.over = state == TCP_CONNTRACK_TIME_WAIT || state == TCP_CONNTRACK_CLOSE;
    }
    // What is picked up in its middle is tracked liberally, since the kernel knows nothing of its windows.
    nf_ct_tcp_flags flags{};
    if (const nlattr* attribute = tcp[CTA_PROTOINFO_TCP_FLAGS_ORIGINAL]; attribute != nullptr && mnl_attr_get_payload_len(attribute) >= sizeof flags) {
      std::memcpy(&flags, mnl_attr_get_payload(attribute), sizeof flags);
      entry.syn_seen = (flags.flags & IP_CT_TCP_FLAG_BE_LIBERAL) == 0;
    }
  }

  ssize_t receive() {
    ssize_t got = 0;
    do {
      got = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    } while (got < 0 && errno == EINTR);
    return got;
  }

  static int read_entry(const nlmsghdr* message, void* data) {
    auto& self = *static_cast<Impl*>(data);
    Attributes<CTA_MAX + 1> parts{};
    (void)mnl_attr_parse(message, sizeof(nfgenmsg), note<CTA_MAX + 1>, &parts);
    const auto original = read_tuple(parts[CTA_TUPLE_ORIG]);
    const auto reply = read_tuple(parts[CTA_TUPLE_REPLY]);
    if (!original || !reply) return MNL_CB_OK;
    ConntrackEntry entry;
    entry.key = key_of(*original, *reply);
    if (parts[CTA_MARK] != nullptr) entry.mark = ntohl(mnl_attr_get_u32(parts[CTA_MARK]));
    if ((entry.mark & self.wanted_.mask) != self.wanted_.mark) return MNL_CB_OK;  // An old kernel filters less.
    if (parts[CTA_STATUS] != nullptr) entry.confirmed_reply = (ntohl(mnl_attr_get_u32(parts[CTA_STATUS])) & IPS_SEEN_REPLY) != 0;
    read_tcp(parts[CTA_PROTOINFO], entry);
    entry.family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message))->nfgen_family;
    append(entry.original, parts[CTA_TUPLE_ORIG]);
    append(entry.original, parts[CTA_ZONE]);
    self.found_->push_back(std::move(entry));
    return MNL_CB_OK;
  }

  struct Wanted {
    std::uint32_t mark = 0;
    std::uint32_t mask = 0;
  };
  MarkField field_;
  Socket socket_;
  std::uint32_t sequence_ = 0;
  std::vector<char> buffer_ = std::vector<char>(262'144);
  Wanted wanted_;
  std::vector<ConntrackEntry>* found_ = nullptr;
};

std::expected<std::unique_ptr<Conntrack>, std::string> Conntrack::open(const MarkField& field) {
  Socket socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC), mnl_socket_close);
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) return failed();
  const int fd = mnl_socket_get_fd(socket.get());
  const int size = kReceiveBuffer;
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  const timeval patience{2, 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const int on = 1;
  (void)mnl_socket_setsockopt(socket.get(), NETLINK_CAP_ACK, const_cast<int*>(&on), sizeof on);
  return std::unique_ptr<Conntrack>(new Conntrack(std::make_unique<Impl>(std::move(socket), field)));
}

Conntrack::Conntrack(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Conntrack::~Conntrack() = default;

std::expected<std::vector<ConntrackEntry>, std::string> Conntrack::list(std::uint32_t mark, std::uint32_t mask) {
  return impl_->list(mark, mask);
}

std::expected<std::vector<std::size_t>, std::string> Conntrack::set_marks(std::span<const MarkChange> changes, Generation generation) {
  std::vector<std::size_t> missing;
  std::vector<std::size_t> by_name;
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const bool has_ports = changes[i].key.transport == Transport::kTcp || changes[i].key.transport == Transport::kUdp;
    (has_ports ? by_name : missing).push_back(i);
  }
  const auto change = [&](std::size_t i) -> const MarkChange& { return changes[by_name[i]]; };
  const auto done = impl_->change(
      by_name.size(), generation,
      [&](std::size_t i) { return static_cast<std::uint8_t>(change(i).key.client.address.is_v6() ? AF_INET6 : AF_INET); },
      [&](nlmsghdr* message, std::size_t i) { put_tuple(message, change(i).key); }, [&](std::size_t i) { return change(i).mark; },
      [&](std::size_t i) { missing.push_back(by_name[i]); });
  if (!done) return std::unexpected(done.error());
  return missing;
}

std::expected<void, std::string> Conntrack::set_mark(std::span<const ConntrackEntry> entries, FlowMark mark, Generation generation) {
  return impl_->change(
      entries.size(), generation, [&](std::size_t i) { return entries[i].family; },
      [&](nlmsghdr* message, std::size_t i) {
        auto* tail = static_cast<char*>(mnl_nlmsg_get_payload_tail(message));
        std::memcpy(tail, entries[i].original.data(), entries[i].original.size());
        message->nlmsg_len += static_cast<std::uint32_t>(entries[i].original.size());
      },
      [mark](std::size_t) { return mark; }, [](std::size_t) {});
}

}  // namespace sallyport::netfilter
