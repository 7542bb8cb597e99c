#include "packet_filters.h"

#include <linux/bpf_common.h>

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sallyport/parsers/quic.h"

namespace sallyport::netfilter {
namespace {

struct Instruction {
  unsigned code;
  unsigned jump_true;
  unsigned jump_false;
  std::uint32_t operand;
};

constexpr unsigned kLoadByte = BPF_LD | BPF_B | BPF_ABS;               // A = packet[operand]
constexpr unsigned kLoadByteIndexed = BPF_LD | BPF_B | BPF_IND;        // A = packet[X + operand]
constexpr unsigned kLoadHalf = BPF_LD | BPF_H | BPF_ABS;               // A = packet[operand..+1], big-endian
constexpr unsigned kLoadWord = BPF_LD | BPF_W | BPF_ABS;               // A = packet[operand..+3], big-endian
constexpr unsigned kLoadWordIndexed = BPF_LD | BPF_W | BPF_IND;        // A = packet[X + operand..+3]
constexpr unsigned kLoadIpv4HeaderLength = BPF_LDX | BPF_B | BPF_MSH;  // X = 4 * (packet[operand] & 15)
constexpr unsigned kAnd = BPF_ALU | BPF_AND | BPF_K;
constexpr unsigned kShiftRight = BPF_ALU | BPF_RSH | BPF_K;
constexpr unsigned kAddX = BPF_ALU | BPF_ADD | BPF_X;
constexpr unsigned kSubtractX = BPF_ALU | BPF_SUB | BPF_X;
constexpr unsigned kCopyToX = BPF_MISC;                       // BPF_TAX is zero.
constexpr unsigned kJumpIfEqual = BPF_JMP | BPF_JEQ | BPF_K;  // Skips jump_true or jump_false instructions.
constexpr unsigned kJumpIfNotBelow = BPF_JMP | BPF_JGE | BPF_K;
constexpr unsigned kJumpIfAbove = BPF_JMP | BPF_JGT | BPF_K;
constexpr unsigned kReturn = BPF_RET | BPF_K;

// The versions of parsers::quic_version_is_known but for the drafts from 22 to 34, which are a range.
constexpr std::array kKnownVersions = {parsers::kQuicV1,      parsers::kQuicV2,      parsers::kQuicV2Draft,
                                       parsers::kQuicMvfst22, parsers::kQuicMvfst27, parsers::kQuicMvfstExperimental,
                                       parsers::kGquicQ050,   parsers::kGquicT050,   parsers::kGquicT051};

// bytecode returns the program as iptables prints it: "COUNT,CODE TRUE FALSE OPERAND,...".
std::string bytecode(std::span<const Instruction> program) {
  std::string text = std::to_string(program.size());
  for (const Instruction& instruction : program) {
    text += ',' + std::to_string(instruction.code) + ' ' + std::to_string(instruction.jump_true) + ' ' +
            std::to_string(instruction.jump_false) + ' ' + std::to_string(instruction.operand);
  }
  return text;
}

std::string bytecode(std::initializer_list<Instruction> program) {
  return bytecode(std::span(program.begin(), program.size()));
}

// add_version_test ends a program that has the QUIC version in A: match if it is one that is read.
void add_version_test(std::vector<Instruction>& program) {
  auto to_match = static_cast<unsigned>(kKnownVersions.size()) + 2;  // Instructions between the next one and the match.
  for (const std::uint32_t version : kKnownVersions) program.push_back({kJumpIfEqual, --to_match, 0, version});
  program.push_back({kJumpIfNotBelow, 0, 2, parsers::kQuicDraft22});  // Below: no match.
  program.push_back({kJumpIfAbove, 1, 0, parsers::kQuicDraft34});     // Above: no match.
  program.push_back({kReturn, 0, 0, 1});
  program.push_back({kReturn, 0, 0, 0});
}

}  // namespace

std::string pure_ack_filter(Family family) {
  switch (family) {
    case Family::kIpv4:
      return bytecode({
          {kLoadHalf, 0, 0, 2},              //  0 A = total length of the packet
          {kJumpIfEqual, 13, 0, 0},          //  1 zero: an aggregate above 64 kB; no match (15)
          {kLoadIpv4HeaderLength, 0, 0, 0},  //  2 X = length of the IP header
          {kLoadByteIndexed, 0, 0, 13},      //  3 A = TCP flags
          {kAnd, 0, 0, 0x3f},                //  4 URG ACK PSH RST SYN FIN
          {kJumpIfEqual, 0, 9, 0x10},        //  5 more or less than ACK: no match (15)
          {kLoadByteIndexed, 0, 0, 12},      //  6 A = data offset, in the high four bits, in words
          {kAnd, 0, 0, 0xf0},                //  7
          {kShiftRight, 0, 0, 2},            //  8 A = length of the TCP header
          {kAddX, 0, 0, 0},                  //  9 A = length of both headers
          {kCopyToX, 0, 0, 0},               // 10 X = A
          {kLoadHalf, 0, 0, 2},              // 11 A = total length of the packet
          {kSubtractX, 0, 0, 0},             // 12 A = length of the payload
          {kJumpIfEqual, 0, 1, 0},           // 13 some payload: no match (15)
          {kReturn, 0, 0, 1},                // 14 match
          {kReturn, 0, 0, 0},                // 15 no match
      });
    case Family::kIpv6:
      return bytecode({
          {kLoadByte, 0, 0, 6},        //  0 A = next header
          {kJumpIfEqual, 0, 13, 6},    //  1 an extension header stands before TCP: no match (15)
          {kLoadHalf, 0, 0, 4},        //  2 A = payload length: everything behind the IPv6 header
          {kJumpIfEqual, 11, 0, 0},    //  3 zero: a jumbogram or an aggregate above 64 kB: no match (15)
          {kLoadByte, 0, 0, 40 + 13},  //  4 A = TCP flags
          {kAnd, 0, 0, 0x3f},          //  5 URG ACK PSH RST SYN FIN
          {kJumpIfEqual, 0, 8, 0x10},  //  6 more or less than ACK: no match (15)
          {kLoadByte, 0, 0, 40 + 12},  //  7 A = data offset, in the high four bits, in words
          {kAnd, 0, 0, 0xf0},          //  8
          {kShiftRight, 0, 0, 2},      //  9 A = length of the TCP header
          {kCopyToX, 0, 0, 0},         // 10 X = A
          {kLoadHalf, 0, 0, 4},        // 11 A = payload length
          {kSubtractX, 0, 0, 0},       // 12 A = length of the TCP payload
          {kJumpIfEqual, 0, 1, 0},     // 13 some payload: no match (15)
          {kReturn, 0, 0, 1},          // 14 match
          {kReturn, 0, 0, 0},          // 15 no match
      });
  }
  std::unreachable();
}

std::string long_header_filter(Family family) {
  // From the instruction that loads the version to the match, and one further to the end without one.
  constexpr auto kTest = static_cast<unsigned>(kKnownVersions.size()) + 3;
  std::vector<Instruction> program;
  switch (family) {
    case Family::kIpv4:
      program = {
          {kLoadIpv4HeaderLength, 0, 0, 0},       // X = length of the IP header
          {kLoadByteIndexed, 0, 0, 8},            // A = first byte behind the UDP header
          {kAnd, 0, 0, 0xc0},                     // header form and fixed bit
          {kJumpIfEqual, kTest + 1, 0, 0xc0},     // both: match
          {kJumpIfEqual, 0, kTest + 1, 0x80},     // no long header: no match
          {kLoadWordIndexed, 0, 0, 9},            // A = version
      };
      break;
    case Family::kIpv6:
      program = {
          {kLoadByte, 0, 0, 6},                // A = next header
          {kJumpIfEqual, 0, kTest + 4, 17},    // an extension header stands before UDP: to the queue
          {kLoadByte, 0, 0, 40 + 8},           // A = first byte behind the UDP header
          {kAnd, 0, 0, 0xc0},                  // header form and fixed bit
          {kJumpIfEqual, kTest + 1, 0, 0xc0},  // both: match
          {kJumpIfEqual, 0, kTest + 1, 0x80},  // no long header: no match
          {kLoadWord, 0, 0, 40 + 9},           // A = version
      };
      break;
  }
  add_version_test(program);
  return bytecode(program);
}

}  // namespace sallyport::netfilter
