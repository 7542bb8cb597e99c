#include "sallyport/netfilter/rule_notices.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "file_descriptor.h"
#include "rule_notice_text.h"

namespace sallyport::netfilter {
namespace {

constexpr std::array<const char*, 3> kTables = {"raw", "mangle", "filter"};
constexpr std::size_t kBufferSize = 32 * 1024;

bool wait_readable(int fd, int wake, std::chrono::milliseconds timeout) {
  pollfd fds[2] = {{fd, POLLIN, 0}, {wake, POLLIN, 0}};
  return ::poll(fds, 2, static_cast<int>(timeout.count())) > 0 && fds[0].revents != 0;
}

// NftNotices reads the multicast group of nf_tables.
class NftNotices : public RuleNotices {
 public:
  static std::expected<std::unique_ptr<RuleNotices>, std::string> open() {
    auto notices = std::make_unique<NftNotices>();
    notices->fd_ = FileDescriptor(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    int group = NFNLGRP_NFTABLES;
    if (!notices->fd_.valid() || ::bind(notices->fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::setsockopt(notices->fd_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
      return std::unexpected(std::string("notifications of nf_tables: ") + std::strerror(errno));
    }
    return notices;
  }

  RuleNotice wait(int wake, std::chrono::milliseconds timeout) override {
    RuleNotice notice;
    if (!wait_readable(fd_.get(), wake, timeout)) return notice;
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), buffer_.data(), buffer_.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == ENOBUFS) {  // Something was lost: it may have been ours.
        notice.changed = true;
        continue;
      }
      if (got <= 0) return notice;
      read_rule_notices({reinterpret_cast<const std::uint8_t*>(buffer_.data()), static_cast<std::size_t>(got)}, kTables, notice);
    }
  }

 private:
  FileDescriptor fd_;
  std::vector<char> buffer_ = std::vector<char>(kBufferSize);
};

// LegacyNotices asks for each table's size and layout: two rules swapped are not seen by that, so that every kFullLook a
// change is claimed, which makes the caller read the rules themselves.
class LegacyNotices : public RuleNotices {
 public:
  static std::expected<std::unique_ptr<RuleNotices>, std::string> open() {
    auto notices = std::make_unique<LegacyNotices>();
    notices->v4_ = FileDescriptor(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    if (!notices->v4_.valid()) return std::unexpected(std::string("looking at iptables-legacy's tables: ") + std::strerror(errno));
    notices->v6_ = FileDescriptor(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));  // Without IPv6: nothing to look at.
    notices->last_ = notices->look();
    return notices;
  }

  RuleNotice wait(int wake, std::chrono::milliseconds timeout) override {
    const auto end = std::chrono::steady_clock::now() + timeout;
    for (;;) {
      std::vector<xt_counts> now = look();
      const bool full = std::chrono::steady_clock::now() - claimed_ >= kFullLook;
      if (now != last_ || full) {
        last_ = std::move(now);
        claimed_ = std::chrono::steady_clock::now();
        return {true, 0, {}};
      }
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (left.count() <= 0) return {};
      pollfd waked{wake, POLLIN, 0};
      if (::poll(&waked, 1, static_cast<int>(std::min(left, kInterval).count())) > 0) return {};
    }
  }

 private:
  static constexpr std::chrono::milliseconds kInterval{500};
  static constexpr std::chrono::seconds kFullLook{10};
  using xt_counts = std::array<unsigned, 2 + 2 * NF_INET_NUMHOOKS>;

  template <typename Info>
  static void ask(int fd, int level, int option, std::vector<xt_counts>& all) {
    for (const char* table : kTables) {
      Info info{};
      std::strncpy(info.name, table, sizeof info.name - 1);
      socklen_t size = sizeof info;
      xt_counts counts{};
      if (fd >= 0 && ::getsockopt(fd, level, option, &info, &size) == 0) {
        counts[0] = info.num_entries;
        counts[1] = info.size;
        for (std::size_t i = 0; i < NF_INET_NUMHOOKS; ++i) {
          counts[2 + 2 * i] = info.hook_entry[i];
          counts[3 + 2 * i] = info.underflow[i];
        }
      }
      all.push_back(counts);
    }
  }
  std::vector<xt_counts> look() const {
    std::vector<xt_counts> all;
    ask<ipt_getinfo>(v4_.get(), SOL_IP, IPT_SO_GET_INFO, all);
    ask<ip6t_getinfo>(v6_.get(), SOL_IPV6, IP6T_SO_GET_INFO, all);
    return all;
  }

  FileDescriptor v4_, v6_;
  std::vector<xt_counts> last_;
  std::chrono::steady_clock::time_point claimed_ = std::chrono::steady_clock::now();
};

}  // namespace

void read_rule_notices(ByteSpan datagram, std::span<const char* const> tables, RuleNotice& notice) {
  int left = static_cast<int>(datagram.size());
  for (const auto* h = reinterpret_cast<const nlmsghdr*>(datagram.data()); mnl_nlmsg_ok(h, left);
       h = reinterpret_cast<const nlmsghdr*>(mnl_nlmsg_next(h, &left))) {
    if ((h->nlmsg_type >> 8) != NFNL_SUBSYS_NFTABLES || mnl_nlmsg_get_payload_len(h) < sizeof(nfgenmsg)) continue;
    const int type = h->nlmsg_type & 0xff;
    const auto* general = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(h));
    const bool of_rules = type == NFT_MSG_NEWTABLE || type == NFT_MSG_DELTABLE || type == NFT_MSG_NEWCHAIN ||
                          type == NFT_MSG_DELCHAIN || type == NFT_MSG_NEWRULE || type == NFT_MSG_DELRULE;
    if (type != NFT_MSG_NEWGEN && (!of_rules || (general->nfgen_family != NFPROTO_IPV4 && general->nfgen_family != NFPROTO_IPV6))) continue;
    const char* end = reinterpret_cast<const char*>(h) + h->nlmsg_len;
    for (const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(h, sizeof(nfgenmsg)));
         mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute))); attribute = mnl_attr_next(attribute)) {
      const std::size_t length = mnl_attr_get_payload_len(attribute);
      const auto* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
      const unsigned kind = mnl_attr_get_type(attribute);
      if (type == NFT_MSG_NEWGEN) {
        if (kind == NFTA_GEN_PROC_PID && length == sizeof(std::uint32_t)) notice.pid = ntohl(mnl_attr_get_u32(attribute));
        if (kind == NFTA_GEN_PROC_NAME) notice.process.assign(text, ::strnlen(text, length));
      } else if (kind == 1) {  // NFTA_TABLE_NAME, NFTA_CHAIN_TABLE and NFTA_RULE_TABLE alike.
        const std::string_view name(text, ::strnlen(text, length));
        for (const char* table : tables) notice.changed = notice.changed || name == table;
      }
    }
  }
}

std::expected<std::unique_ptr<RuleNotices>, std::string> RuleNotices::open(Backend backend) {
  return backend == Backend::kNft ? NftNotices::open() : LegacyNotices::open();
}

}  // namespace sallyport::netfilter
