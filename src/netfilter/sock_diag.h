// What all questions to the kernel about sockets share (sock_diag(7)): the netlink socket, the request, the cgroup's id.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <memory>

namespace sallyport::netfilter {

using DiagSocket = std::unique_ptr<mnl_socket, int (*)(mnl_socket*)>;

// open_diag_socket returns an empty pointer when it cannot, and errno says why.
inline DiagSocket open_diag_socket() {
  DiagSocket socket(mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC), mnl_socket_close);
  if (socket && mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) socket.reset();
  return socket;
}

// DiagRequest is a message about sockets of one family and protocol in these states (a bit for each); `body` is in `message`,
// and both are in the object.
class DiagRequest {
 public:
  DiagRequest(std::uint16_t type, int flags, std::uint32_t sequence, std::uint8_t family, std::uint8_t protocol, std::uint32_t states)
      : message(mnl_nlmsg_put_header(buffer_.data())) {
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    message->nlmsg_seq = sequence;
    body = static_cast<inet_diag_req_v2*>(mnl_nlmsg_put_extra_header(message, sizeof(inet_diag_req_v2)));
    body->sdiag_family = family;
    body->sdiag_protocol = protocol;
    body->idiag_states = states;
  }
  DiagRequest(const DiagRequest&) = delete;
  DiagRequest& operator=(const DiagRequest&) = delete;

  bool send(const mnl_socket* socket) const { return mnl_socket_sendto(socket, message, message->nlmsg_len) >= 0; }

 private:
  std::array<char, 256> buffer_{};

 public:
  nlmsghdr* message;
  inet_diag_req_v2* body;
};

// diag_cgroup returns the id of the cgroup that the socket of an answer is of; 0: it is not told, or on its way out.
inline std::uint64_t diag_cgroup(const nlmsghdr* answer) {
  const auto read = [](const nlattr* attribute, void* data) {
    if (mnl_attr_get_type(attribute) == INET_DIAG_CGROUP_ID && mnl_attr_get_payload_len(attribute) == sizeof(std::uint64_t)) {
      *static_cast<std::uint64_t*>(data) = mnl_attr_get_u64(attribute);
    }
    return MNL_CB_OK;
  };
  std::uint64_t id = 0;
  (void)mnl_attr_parse(answer, sizeof(inet_diag_msg), read, &id);
  return id;
}

}  // namespace sallyport::netfilter
