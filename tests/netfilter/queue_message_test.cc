#include "queue_message.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include <array>
#include <cstring>
#include <vector>

namespace sallyport::netfilter {
namespace {

constexpr Generation kGeneration = 5;
const MarkField kField;

struct PacketMessage {
  std::vector<char> buffer = std::vector<char>(8192);
  nlmsghdr* header;

  PacketMessage() {
    header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET;
    std::memset(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)), 0, sizeof(nfgenmsg));
  }
  void put_packet_header(std::uint32_t id, std::uint8_t hook) {
    const nfqnl_msg_packet_hdr packet_header{htonl(id), htons(0x0800), hook};
    mnl_attr_put(header, NFQA_PACKET_HDR, sizeof packet_header, &packet_header);
  }
  void put(std::uint16_t type, std::uint32_t value) { mnl_attr_put_u32(header, type, htonl(value)); }
};

TEST(DecodePacketTest, ReadsEveryAttribute) {
  PacketMessage message;
  message.put_packet_header(77, NF_INET_LOCAL_OUT);
  message.put(NFQA_MARK, 0x00000042);
  message.put(NFQA_IFINDEX_INDEV, 3);
  message.put(NFQA_CAP_LEN, 9000);
  message.put(NFQA_SKB_INFO, NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO);
  message.put(NFQA_UID, 1000);
  message.put(NFQA_GID, 100);
  const std::array<std::uint8_t, 4> payload = {0x45, 1, 2, 3};
  mnl_attr_put(message.header, NFQA_PAYLOAD, payload.size(), payload.data());

  const auto packet = decode_packet(*message.header);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->id, 77U);
  EXPECT_EQ(packet->hook, NF_INET_LOCAL_OUT);
  EXPECT_EQ(packet->mark, 0x42U);
  EXPECT_EQ(packet->in_interface, 3U);
  EXPECT_EQ(packet->wire_size, 9000U);
  EXPECT_TRUE(packet->checksum_pending);
  EXPECT_EQ(packet->uid, 1000U);
  EXPECT_EQ(packet->gid, 100U);
  EXPECT_EQ(std::vector<std::uint8_t>(packet->bytes.begin(), packet->bytes.end()),
            std::vector<std::uint8_t>(payload.begin(), payload.end()));
}

TEST(DecodePacketTest, WhatTheKernelLeavesOutIsAbsent) {
  PacketMessage message;
  message.put_packet_header(1, NF_INET_FORWARD);
  const auto packet = decode_packet(*message.header);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->mark, 0U);
  EXPECT_FALSE(packet->uid);
  EXPECT_FALSE(packet->reply);
  EXPECT_FALSE(packet->checksum_pending);
  EXPECT_TRUE(packet->bytes.empty());
  EXPECT_EQ(packet->wire_size, 0U);
}

TEST(DecodePacketTest, ReadsConntracksDirectionWhereItIsTold) {
  const auto reply_of = [](std::uint32_t info) {
    PacketMessage message;
    message.put_packet_header(1, NF_INET_FORWARD);
    message.put(NFQA_CT_INFO, info);
    return decode_packet(*message.header)->reply;
  };
  EXPECT_EQ(reply_of(IP_CT_NEW), false);
  EXPECT_EQ(reply_of(IP_CT_ESTABLISHED), false);
  EXPECT_EQ(reply_of(IP_CT_RELATED), false);
  EXPECT_EQ(reply_of(IP_CT_ESTABLISHED_REPLY), true);
  EXPECT_EQ(reply_of(IP_CT_RELATED_REPLY), true);
}

TEST(DecodePacketTest, RefusesOtherMessagesAndShortHeaders) {
  PacketMessage no_header;
  EXPECT_FALSE(decode_packet(*no_header.header));

  PacketMessage short_header;
  short_header.put(NFQA_PACKET_HDR, 1);
  EXPECT_FALSE(decode_packet(*short_header.header));

  PacketMessage error;
  error.put_packet_header(1, NF_INET_LOCAL_OUT);
  error.header->nlmsg_type = NLMSG_ERROR;
  EXPECT_FALSE(decode_packet(*error.header));
}

TEST(KernelVerdictTest, EveryRepeatCarriesACode) {
  for (const bool observe : {false, true}) {
    for (const Verdict verdict : {Verdict::kDrop, Verdict::kAccept}) {
      for (unsigned mark = 0; mark <= 8; ++mark) {
        Decision decision;
        decision.verdict = verdict;
        if (mark < 8) decision.mark = static_cast<FlowMark>(mark);
        const KernelVerdict result = kernel_verdict(decision, observe, kField, kGeneration, 0x00c0ffee);
        if (result.verdict == NF_REPEAT) {
          ASSERT_TRUE(result.mark);
          EXPECT_NE(kField.verdict_of(*result.mark), FlowMark::kUndecided);
          EXPECT_EQ(*result.mark & ~kField.mask(), 0x00c0ffeeU) << "foreign bits are kept";
        } else {
          EXPECT_EQ(result.verdict, static_cast<std::uint32_t>(NF_DROP));
          EXPECT_FALSE(observe);
        }
      }
    }
  }
}

TEST(KernelVerdictTest, MapsDecisionsWhenEnforcing) {
  const auto map = [](Verdict verdict, std::optional<FlowMark> mark) {
    return kernel_verdict({verdict, Reason::kNotEvaluated, kNoRule, mark}, false, kField, kGeneration, 0);
  };
  EXPECT_EQ(map(Verdict::kAccept, {}), (KernelVerdict{NF_REPEAT, 0xba000000}));
  EXPECT_EQ(map(Verdict::kAccept, FlowMark::kAllow), (KernelVerdict{NF_REPEAT, 0x3a000000}));
  EXPECT_EQ(map(Verdict::kAccept, FlowMark::kWatch), (KernelVerdict{NF_REPEAT, 0x9a000000}));
  EXPECT_EQ(map(Verdict::kDrop, {}), (KernelVerdict{NF_DROP, {}}));
  EXPECT_EQ(map(Verdict::kDrop, FlowMark::kReset), (KernelVerdict{NF_REPEAT, 0x5a000000}));
  EXPECT_EQ(map(Verdict::kDrop, FlowMark::kSilent), (KernelVerdict{NF_REPEAT, 0x7a000000}));
  EXPECT_EQ(map(Verdict::kDrop, FlowMark::kIcmp), (KernelVerdict{NF_REPEAT, 0xfa000000}));
  EXPECT_EQ(map(Verdict::kDrop, FlowMark::kAllow), (KernelVerdict{NF_DROP, {}}));
  EXPECT_EQ(map(Verdict::kAccept, FlowMark::kReset), (KernelVerdict{NF_REPEAT, 0xba000000}));
}

TEST(KernelVerdictTest, ADefaultDecisionDropsUnlessObserving) {
  EXPECT_EQ(kernel_verdict({}, false, kField, kGeneration, 0).verdict, static_cast<std::uint32_t>(NF_DROP));
  EXPECT_EQ(kernel_verdict({}, true, kField, kObserveGeneration, 0), (KernelVerdict{NF_REPEAT, 0xbf000000}));
}

TEST(EncodeVerdictTest, TheKernelsFieldsAreInPlace) {
  std::array<std::uint8_t, kVerdictSize> buffer{};
  const std::size_t size = encode_verdict(buffer, 3, 0x01020304, {NF_REPEAT, 0xa0000001});
  ASSERT_LE(size, kVerdictSize);
  const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
  EXPECT_EQ(header->nlmsg_len, size);
  EXPECT_EQ(header->nlmsg_type, (NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_VERDICT);
  const auto* family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(header));
  EXPECT_EQ(ntohs(family->res_id), 3);
  const auto* first = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, sizeof(nfgenmsg)));
  ASSERT_EQ(mnl_attr_get_type(first), NFQA_VERDICT_HDR);
  nfqnl_msg_verdict_hdr verdict;
  std::memcpy(&verdict, mnl_attr_get_payload(first), sizeof verdict);
  EXPECT_EQ(ntohl(verdict.verdict), static_cast<std::uint32_t>(NF_REPEAT));
  EXPECT_EQ(ntohl(verdict.id), 0x01020304U);
  const nlattr* second = mnl_attr_next(first);
  ASSERT_EQ(mnl_attr_get_type(second), NFQA_MARK);
  EXPECT_EQ(ntohl(mnl_attr_get_u32(second)), 0xa0000001U);
}

TEST(EncodeVerdictTest, AReplacementFollowsTheMark) {
  const std::vector<std::uint8_t> packet = {0x45, 0, 0, 7, 1, 2, 3};
  std::vector<std::uint8_t> buffer(verdict_size(packet));
  const std::size_t size = encode_verdict(buffer, 3, 0x01020304, {NF_REPEAT, 0xa0000001}, packet);
  ASSERT_LE(size, buffer.size());
  // Golden bytes of the attributes, on a little-endian machine: verdict and id, mark, payload and its padding.
  const std::vector<std::uint8_t> expected = {12, 0, 2, 0, 0, 0, 0, 4, 1, 2, 3, 4,         //
                                              8,  0, 3, 0, 0xa0, 0, 0, 1,                  //
                                              11, 0, 10, 0, 0x45, 0, 0, 7, 1, 2, 3, 0};
  const std::vector<std::uint8_t> attributes(buffer.begin() + 20, buffer.begin() + static_cast<std::ptrdiff_t>(size));
  EXPECT_EQ(attributes, expected);
  EXPECT_EQ(reinterpret_cast<const nlmsghdr*>(buffer.data())->nlmsg_len, size);
}

TEST(EncodeVerdictTest, TheLongestReplacementKeepsItsLength) {
  const std::vector<std::uint8_t> packet(kReplacementMax, 7);
  std::vector<std::uint8_t> buffer(verdict_size(packet));
  const std::size_t size = encode_verdict(buffer, 0, 1, {NF_REPEAT, 1}, packet);
  ASSERT_LE(size, buffer.size());
  const auto* first = static_cast<const nlattr*>(
      mnl_nlmsg_get_payload_offset(reinterpret_cast<const nlmsghdr*>(buffer.data()), sizeof(nfgenmsg)));
  const nlattr* payload = mnl_attr_next(mnl_attr_next(first));
  ASSERT_EQ(mnl_attr_get_type(payload), NFQA_PAYLOAD);
  EXPECT_EQ(mnl_attr_get_payload_len(payload), packet.size());
}

TEST(EncodeVerdictTest, ADropCarriesNoMark) {
  std::array<std::uint8_t, kVerdictSize> with{};
  std::array<std::uint8_t, kVerdictSize> without{};
  EXPECT_EQ(encode_verdict(with, 0, 1, {NF_REPEAT, 1}), encode_verdict(without, 0, 1, {NF_DROP, {}}) + 8);
}

}  // namespace
}  // namespace sallyport::netfilter
