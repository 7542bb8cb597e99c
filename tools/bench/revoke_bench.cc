// How long a table of UDP flows takes to be judged again by a policy that allows half of them, with the ct marks in the kernel. It makes
// a network namespace of its own and fills its connection tracking by ctnetlink. Needs root. Usage: revoke_bench [FLOWS]
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sched.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "reload.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {
namespace {

using Clock = std::chrono::steady_clock;
constexpr netfilter::Generation kGeneration = 5;
constexpr std::uint32_t kPorts = 50'000;

Endpoint client_of(std::uint32_t flow) {
  return endpoint("10.0.0." + std::to_string(1 + flow / kPorts), static_cast<std::uint16_t>(1'024 + flow % kPorts));
}
Endpoint server_of(std::uint32_t flow) { return endpoint(flow % 2 == 0 ? "192.0.2.1" : "198.51.100.1", 9'000); }

void put_tuple(nlmsghdr* message, std::uint16_t type, const Endpoint& from, const Endpoint& to) {
  nlattr* tuple = mnl_attr_nest_start(message, type);
  nlattr* ip = mnl_attr_nest_start(message, CTA_TUPLE_IP);
  mnl_attr_put(message, CTA_IP_V4_SRC, 4, from.address.bytes().data());
  mnl_attr_put(message, CTA_IP_V4_DST, 4, to.address.bytes().data());
  mnl_attr_nest_end(message, ip);
  nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, IPPROTO_UDP);
  mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(from.port));
  mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(to.port));
  mnl_attr_nest_end(message, protocol);
  mnl_attr_nest_end(message, tuple);
}

// make_entry has the kernel follow a flow, and returns whether it does.
bool make_entry(mnl_socket* socket, std::uint32_t flow, std::uint32_t mark) {
  std::array<char, 4'096> buffer;
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
  message->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
  message->nlmsg_seq = flow + 1;
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = AF_INET;
  put_tuple(message, CTA_TUPLE_ORIG, client_of(flow), server_of(flow));
  put_tuple(message, CTA_TUPLE_REPLY, server_of(flow), client_of(flow));
  mnl_attr_put_u32(message, CTA_STATUS, htonl(IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED));
  mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(600));
  mnl_attr_put_u32(message, CTA_MARK, htonl(mark));
  if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return false;
  const ssize_t got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
  return got > 0 && mnl_cb_run(buffer.data(), static_cast<std::size_t>(got), flow + 1, mnl_socket_get_portid(socket), nullptr, nullptr) >= 0;
}

std::string rule(const char* prefix) { return std::string("[[rules]]\nto = [\"") + prefix + "\"]\nprotocols = [\"udp\"]\nports = [9000]\n"; }

long milliseconds(Clock::duration time) { return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()); }

int run(std::uint32_t flows) {
  const netfilter::MarkField field;
  mnl_socket* socket = mnl_socket_open(NETLINK_NETFILTER);
  if (socket == nullptr || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) return std::perror("netlink"), 1;
  engine::InspectorOptions options = InspectorHarness::small_options();
  options.flows = flows;
  InspectorHarness harness("version = 1\n" + rule("192.0.2.0/24") + rule("198.51.100.0/24"), options);
  for (std::uint32_t i = 0; i < flows; ++i) {
    if (!make_entry(socket, i, field.encode(FlowMark::kAllow, kGeneration))) return std::perror("an entry"), 1;
    (void)harness.client(PacketBuilder::udp(client_of(i), server_of(i)).payload("x").build());
  }
  const auto begun = Clock::now();
  const std::vector<engine::Remark> remarks = harness.reload("version = 1\n" + rule("192.0.2.0/24"));
  const auto judged = Clock::now();
  daemon::Changed changed;
  changed.remarks = remarks;
  const std::string failed = daemon::Cutter(field, kGeneration, false, [](auto) {}).carry_out(changed);
  const auto marked = Clock::now();
  if (!failed.empty()) return std::fprintf(stderr, "%s\n", failed.c_str()), 1;
  const auto& counts = harness.inspector().rejudge_counts();
  const auto cut = netfilter::Conntrack::open(field).value()->list(field.encode(FlowMark::kIcmp, kGeneration), field.mask());
  std::printf("%zu flows, %zu cut (%zu marked in the kernel): judged in %ld ms, marks set in %ld ms, together %ld ms\n", counts.judged, counts.cut,
              cut ? cut->size() : 0, milliseconds(judged - begun), milliseconds(marked - judged), milliseconds(marked - begun));
  mnl_socket_close(socket);
  return cut && cut->size() == counts.cut && counts.judged == flows ? 0 : 1;
}

}  // namespace
}  // namespace sallyport::testing

int main(int argc, char** argv) {
  const unsigned long flows = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100'000;
  if (flows == 0 || flows > 250'000) return std::fputs("usage: revoke_bench [FLOWS] (at most 250000)\n", stderr), 2;
  if (::unshare(CLONE_NEWNET) != 0) return std::perror("SKIPPED: a network namespace"), 1;
  return sallyport::testing::run(static_cast<std::uint32_t>(flows));
}
