#include "dns_channel.h"

#include <ares.h>
#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "sallyport/parsers/dns.h"

namespace sallyport::resolver {
namespace {

// The first repetition goes out within the second that a flow waits for its address.
constexpr int kTryTimeoutMs = 600;
constexpr int kTries = 3;
// RFC 9715 §3: what passes without fragments.
constexpr int kUdpSize = 1'232;

// Library is c-ares's process-wide state, made once and kept.
int library_status() {
  static const int status = ares_library_init(ARES_LIB_INIT_ALL);
  return status;
}

std::vector<ares_addr_port_node> server_list(std::span<const IpAddress> servers, std::uint16_t port) {
  std::vector<ares_addr_port_node> nodes(servers.size());
  for (std::size_t i = 0; i < servers.size(); ++i) {
    nodes[i].next = i + 1 < servers.size() ? &nodes[i + 1] : nullptr;
    nodes[i].family = servers[i].is_v6() ? AF_INET6 : AF_INET;
    nodes[i].udp_port = port;  // In the host's order.
    nodes[i].tcp_port = port;
    std::memcpy(&nodes[i].addr, servers[i].bytes().data(), servers[i].bytes().size());
  }
  return nodes;
}

}  // namespace

class DnsChannel::Impl {
 public:
  Impl(int epoll, std::uint32_t event_tag, OnAnswer on_answer, OnSocket on_socket)
      : epoll_(epoll), event_tag_(event_tag), on_answer_(std::move(on_answer)), on_socket_(std::move(on_socket)) {}
  ~Impl() {
    if (channel_ != nullptr) ares_destroy(channel_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int open(std::span<const IpAddress> servers, std::uint16_t port) {
    if (const int status = library_status(); status != ARES_SUCCESS) return status;
    // Everything that c-ares would otherwise read from the machine's files is given.
    ares_options options{};
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
    options.timeout = kTryTimeoutMs;
    options.tries = kTries;
    options.ndots = 1;
    options.ednspsz = kUdpSize;
    char lookups[] = "b";
    options.lookups = lookups;
    options.sock_state_cb = [](void* self, ares_socket_t socket, int readable, int writable) {
      static_cast<Impl*>(self)->watch(socket, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    const int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_EDNSPSZ |
                    ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS | ARES_OPT_SERVERS |
                    ARES_OPT_SORTLIST | ARES_OPT_NOROTATE;
    if (const int status = ares_init_options(&channel_, &options, set); status != ARES_SUCCESS) {
      channel_ = nullptr;
      return status;
    }
    std::vector<ares_addr_port_node> nodes = server_list(servers, port);
    return ares_set_servers_ports(channel_, nodes.empty() ? nullptr : nodes.data());
  }

  void ask(const DomainName& name, std::uint16_t type, std::uint64_t tag) {
    std::array<char, DomainName::kMaxLength + 1> text{};  // Ends with a NUL.
    std::ranges::copy(name.text(), text.begin());
    // Owned by the query: answer() frees it, which c-ares calls once for each.
    auto* question = new Question{this, tag};
    ares_query(channel_, text.data(), kClassIn, type, &Impl::answer, question);
  }

  void process(ares_socket_t readable, ares_socket_t writable) { ares_process_fd(channel_, readable, writable); }

  std::optional<Duration> timeout() const {
    timeval limit{};
    if (ares_timeout(channel_, nullptr, &limit) == nullptr) return std::nullopt;
    return std::chrono::seconds(limit.tv_sec) + std::chrono::microseconds(limit.tv_usec);
  }

 private:
  struct Question {
    Impl* owner;
    std::uint64_t tag;
  };
  static constexpr int kClassIn = parsers::kDnsClassIn;

  static void answer(void* argument, int status, int /*timeouts*/, unsigned char* bytes, int size) {
    const std::unique_ptr<Question> question(static_cast<Question*>(argument));
    // The message is there with "no such name" and "no data", too.
    const bool usable = bytes != nullptr && size > 0 &&
                        (status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA);
    const ByteSpan message = usable ? ByteSpan(bytes, static_cast<std::size_t>(size)) : ByteSpan();
    question->owner->on_answer_(question->tag, message, usable ? "" : ares_strerror(status));
  }

  // c-ares tells of a socket when it is connected, before the first question, and of its end before it is closed.
  void note_port(int socket, bool open) {
    const auto known = ports_.find(socket);
    if (open == (known != ports_.end())) return;
    if (!open) {
      on_socket_(known->second.first, known->second.second, false);
      ports_.erase(known);
      return;
    }
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    int type = 0;
    socklen_t type_size = sizeof type;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&local), &size) != 0 ||
        ::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &type_size) != 0) {
      return;
    }
    const std::uint16_t port = local.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(local).sin6_port
                                                           : reinterpret_cast<const sockaddr_in&>(local).sin_port;
    const Transport transport = type == SOCK_STREAM ? Transport::kTcp : Transport::kUdp;
    ports_.emplace(socket, std::pair(transport, ntohs(port)));
    on_socket_(transport, ntohs(port), true);
  }

  void watch(int socket, bool readable, bool writable) {
    note_port(socket, readable || writable);
    epoll_event event{};
    event.events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
    event.data.u64 = std::uint64_t{event_tag_} << 32 | static_cast<std::uint32_t>(socket);
    if (event.events == 0) {
      (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, nullptr);
    } else if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, socket, &event) != 0) {
      (void)::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event);
    }
  }

  int epoll_;
  std::uint32_t event_tag_;
  OnAnswer on_answer_;
  OnSocket on_socket_;
  std::map<int, std::pair<Transport, std::uint16_t>> ports_;
  ares_channel channel_ = nullptr;
};

std::expected<std::unique_ptr<DnsChannel>, std::string> DnsChannel::open(std::span<const IpAddress> servers, std::uint16_t port,
                                                                         int epoll, std::uint32_t event_tag, OnAnswer on_answer,
                                                                         OnSocket on_socket) {
  auto impl = std::make_unique<Impl>(epoll, event_tag, std::move(on_answer), std::move(on_socket));
  if (const int status = impl->open(servers, port); status != ARES_SUCCESS) {
    return std::unexpected(std::string("c-ares: ") + ares_strerror(status));
  }
  return std::unique_ptr<DnsChannel>(new DnsChannel(std::move(impl)));
}

DnsChannel::DnsChannel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DnsChannel::~DnsChannel() = default;

void DnsChannel::ask(const DomainName& name, std::uint16_t type, std::uint64_t tag) {
  impl_->ask(name, type, tag);
}

void DnsChannel::process(int socket, bool readable, bool writable) {
  impl_->process(readable ? socket : ARES_SOCKET_BAD, writable ? socket : ARES_SOCKET_BAD);
}

void DnsChannel::process_timeouts() {
  impl_->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

std::optional<Duration> DnsChannel::timeout() const {
  return impl_->timeout();
}

}  // namespace sallyport::resolver
