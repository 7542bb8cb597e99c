// Sighting is a flow as a capture or an event file shows it: all that a rule for it could be about. Its texts come from
// hostile bytes; who prints them escapes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/reason.h"
#include "sallyport/core/time.h"
#include "sallyport/engine/inspector.h"
#include "sallyport/replay/transcript.h"

namespace sallyport::learn {

struct Sighting {
  FlowKey key;
  Protocol protocol = Protocol::kUnknown;
  Protocol tunnel = Protocol::kUnknown;
  std::string name;                // The one that decided, or the first.
  std::vector<std::string> names;  // All that the flow told.
  std::vector<DomainName> bound;   // What its address was given for, the newest first.
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  RuleId rule = kNoRule;
  bool enforced = false;  // An event of a service that enforced: what it denied was never reached.
  Timestamp first, last;
  std::uint64_t count = 1;
  std::string owner;         // Who, for people: the user and the process, or the client's address.
  std::optional<std::uint32_t> uid;
  std::string host_key;      // SHA-256 of the SSH server's, without "SHA256:".
  std::string proxy_target;  // "name:port"
  std::string http_method, http_target;
  std::vector<std::string> answers;
  std::vector<std::uint8_t> icmp_types;
  std::size_t icmp_payload = 0;
  bool first_of_socket = true;  // Of the flows of its client's address and port.
  std::string where;  // "FILE, flow 12"; for reports.

  bool denied() const { return verdict == engine::FlowVerdict::kDeny; }
};

Sighting sighting_of(const replay::FlowRow& row, const std::string& file);

// is_for_rules tells the reasons that a rule can change. The others are about the bytes, or about a bound.
bool is_for_rules(Reason reason);

}  // namespace sallyport::learn
