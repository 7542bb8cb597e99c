// EventRecord is a decided flow on its way from a worker to the log: a copy of fixed size, since the
// event's own text is valid only during the worker's call.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sallyport/engine/inspector.h"

namespace sallyport::daemon {

struct EventRecord {
  engine::FlowEvent::Kind kind = engine::FlowEvent::Kind::kVerdict;
  unsigned worker = 0;     // Whose flow it is; with `flow` it tells the flow from all others of the run.
  std::uint64_t flow = 0;  // FlowEvent::flow
  Timestamp opened;
  policy::ScopeSet scopes = 0;
  std::uint32_t packets = 0;  // FlowEvent::packets and bytes
  std::uint64_t bytes = 0;
  Timestamp time;
  FlowKey key;
  std::optional<std::uint32_t> uid;
  Protocol protocol = Protocol::kUnknown;
  Protocol tunnel = Protocol::kUnknown;
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  const policy::Policy* policy = nullptr;  // Whose rule that is; the log keeps it (EventLog::set_policy).
  bool name_of_address = false;  // FlowEvent::name_of_address
  std::uint16_t name_size = 0;
  std::array<char, 256> name_text;
  std::optional<IpAddress> answer;  // FlowEvent::answer
  std::uint8_t host_key_size = 0;
  std::array<char, 43> host_key_text{};  // Base 64 of 32 bytes.
  std::uint16_t proxy_target_size = 0;
  std::array<char, DomainName::kMaxLength + 8> proxy_target_text;

  std::string_view name() const { return {name_text.data(), name_size}; }
  // host_key returns the server's SSH host key (FlowEvent::host_key), or an empty text.
  std::string_view host_key() const { return {host_key_text.data(), host_key_size}; }
  // proxy_target returns what a proxy was asked for (FlowEvent::proxy_target), or an empty text.
  std::string_view proxy_target() const { return {proxy_target_text.data(), proxy_target_size}; }
  bool denied() const { return verdict == engine::FlowVerdict::kDeny; }

  // is_row tells whether the record is a decision (or the end of a flow that never had one), which is told to people.
  bool is_row() const {
    return (kind == engine::FlowEvent::Kind::kEnd) == (verdict == engine::FlowVerdict::kPending);
  }
  // is_local tells whether a socket of this host has sent the flow, as far as the packet said so.
  bool is_local() const {
    return uid.has_value() && key.tunnel == 0 && (key.transport == Transport::kTcp || key.transport == Transport::kUdp);
  }

  static EventRecord of(const engine::FlowEvent& event) {
    EventRecord record;
    record.kind = event.kind;
    record.flow = event.flow;
    record.opened = event.opened;
    record.scopes = event.scopes;
    record.packets = event.packets;
    record.bytes = event.bytes;
    record.time = event.time;
    record.key = event.key;
    record.uid = event.uid;
    record.protocol = event.protocol;
    record.tunnel = event.tunnel;
    record.verdict = event.verdict;
    record.reason = event.reason;
    record.rule = event.rule;
    record.policy = event.policy;
    record.name_of_address = event.name_of_address;
    record.answer = event.answer;
    record.name_size = static_cast<std::uint16_t>(event.text.copy(record.name_text.data(), record.name_text.size()));
    record.host_key_size = static_cast<std::uint8_t>(event.host_key.copy(record.host_key_text.data(), record.host_key_text.size()));
    record.proxy_target_size =
        static_cast<std::uint16_t>(event.proxy_target.copy(record.proxy_target_text.data(), record.proxy_target_text.size()));
    return record;
  }
};

}  // namespace sallyport::daemon
