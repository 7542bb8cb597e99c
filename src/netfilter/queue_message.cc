#include "queue_message.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include <libnetfilter_queue/libnetfilter_queue.h>

#include <array>
#include <cstring>

namespace sallyport::netfilter {
namespace {

using Attributes = std::array<nlattr*, NFQA_MAX + 1>;

std::optional<std::uint32_t> read_u32(const nlattr* attribute) {
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(std::uint32_t))
    return std::nullopt;
  return ntohl(mnl_attr_get_u32(attribute));
}

}  // namespace

std::optional<QueuedPacket> decode_packet(const nlmsghdr& message) {
  constexpr std::uint16_t kPacketType = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET;
  if (message.nlmsg_type != kPacketType || mnl_nlmsg_get_payload_len(&message) < sizeof(nfgenmsg)) {
    return std::nullopt;
  }
  Attributes attributes{};
  if (nfq_nlmsg_parse(&message, attributes.data()) < 0) return std::nullopt;
  const nlattr* header = attributes[NFQA_PACKET_HDR];
  if (header == nullptr || mnl_attr_get_payload_len(header) < sizeof(nfqnl_msg_packet_hdr))
    return std::nullopt;
  nfqnl_msg_packet_hdr packet_header;
  std::memcpy(&packet_header, mnl_attr_get_payload(header), sizeof packet_header);

  QueuedPacket packet;
  packet.id = ntohl(packet_header.packet_id);
  packet.hook = packet_header.hook;
  packet.mark = read_u32(attributes[NFQA_MARK]).value_or(0);
  packet.in_interface = read_u32(attributes[NFQA_IFINDEX_INDEV]).value_or(0);
  packet.out_interface = read_u32(attributes[NFQA_IFINDEX_OUTDEV]).value_or(0);
  if (const nlattr* payload = attributes[NFQA_PAYLOAD]; payload != nullptr) {
    packet.bytes = {static_cast<const std::uint8_t*>(mnl_attr_get_payload(payload)),
                    mnl_attr_get_payload_len(payload)};
  }
  packet.wire_size = static_cast<std::uint32_t>(packet.bytes.size());
  // NFQA_CAP_LEN is there only for a packet that was cut, and is its whole length.
  if (const auto whole = read_u32(attributes[NFQA_CAP_LEN]); whole && *whole > packet.wire_size) {
    packet.wire_size = *whole;
  }
  packet.checksum_pending = (read_u32(attributes[NFQA_SKB_INFO]).value_or(0) & NFQA_SKB_CSUMNOTREADY) != 0;
  if (const auto info = read_u32(attributes[NFQA_CT_INFO])) {
    packet.reply = *info == IP_CT_ESTABLISHED_REPLY || *info == IP_CT_RELATED_REPLY;
  }
  packet.uid = read_u32(attributes[NFQA_UID]);
  packet.gid = read_u32(attributes[NFQA_GID]);
  return packet;
}

KernelVerdict kernel_verdict(const Decision& decision, bool observe, const MarkField& field,
                             Generation generation, std::uint32_t packet_mark) {
  const auto repeat = [&](FlowMark mark) {
    return KernelVerdict{NF_REPEAT, field.replace(packet_mark, mark, generation)};
  };
  const FlowMark mark = decision.mark.value_or(FlowMark::kUndecided);
  const bool lasting = mark == FlowMark::kAllow || mark == FlowMark::kWatch;
  if (decision.verdict == Verdict::kAccept) return repeat(lasting ? mark : FlowMark::kPass);
  if (observe) return repeat(FlowMark::kPass);
  switch (mark) {
    case FlowMark::kReset:
    case FlowMark::kSilent:
    case FlowMark::kIcmp:
      return repeat(mark);
    case FlowMark::kUndecided:
    case FlowMark::kAllow:
    case FlowMark::kWatch:
    case FlowMark::kPass:
    case FlowMark::kReply:
      return {NF_DROP, std::nullopt};
  }
  return {NF_DROP, std::nullopt};
}

std::size_t encode_verdict(std::span<std::uint8_t> out, std::uint16_t queue, std::uint32_t id,
                           const KernelVerdict& verdict, ByteSpan replacement) {
  nlmsghdr* message = nfq_nlmsg_put(reinterpret_cast<char*>(out.data()), NFQNL_MSG_VERDICT, queue);
  nfq_nlmsg_verdict_put(message, static_cast<int>(id), static_cast<int>(verdict.verdict));
  if (verdict.mark) nfq_nlmsg_verdict_put_mark(message, *verdict.mark);
  if (!replacement.empty()) {
    mnl_attr_put(message, NFQA_PAYLOAD, replacement.size(), replacement.data());
  }
  return message->nlmsg_len;
}

}  // namespace sallyport::netfilter
