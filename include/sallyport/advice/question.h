// Question is a flow to explain: what is known of it, and what was decided where something was.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/decision.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/protocol.h"
#include "sallyport/core/time.h"
#include "sallyport/engine/inspector.h"
#include "sallyport/policy/policy.h"
#include "sallyport/replay/transcript.h"

namespace sallyport::advice {

struct Request {
  std::string method;
  std::string path;             // Canonical (core/http_path.h); empty: none.
  bool path_ambiguous = false;
  bool websocket = false;
};

// Outcome is what was decided of the flow by who saw its bytes.
struct Outcome {
  engine::FlowVerdict verdict = engine::FlowVerdict::kPending;
  Reason reason = Reason::kNotEvaluated;
  std::string rule;  // file:line, "default" or empty, as it was told.
};

struct Question {
  Transport transport = Transport::kTcp;
  std::uint8_t ip_protocol = 0;  // Transport::kOther
  Protocol protocol = Protocol::kUnknown;
  std::optional<DomainName> name;
  std::string shown_name;  // As the bytes had it, escaped; for what is no host name too.
  std::optional<IpAddress> client;
  std::uint16_t client_port = 0;
  std::optional<IpAddress> address;  // Nobody knows it: absent.
  std::uint16_t port = 0;
  policy::ScopeSet scopes = 0;
  Timestamp now;
  bool bound = true;    // The address belongs to the name, or is a trusted resolver's.
  std::vector<DomainName> address_names;  // Others that the address belongs to.
  std::optional<Request> request;         // HTTP
  std::optional<std::array<std::uint8_t, 32>> host_key;
  std::uint8_t icmp_type = 0;
  std::optional<Outcome> outcome;
};

// question_of_flow reads a row of a replay under `policy`.
Question question_of_flow(const replay::FlowRow& row, const policy::Policy& policy);

// question_of_json reads an event line of the service or a flow row of `replay --json`. The error is one line for people.
// Hostile input: nothing of it is believed but as text.
std::expected<Question, std::string> question_of_json(std::string_view line, const policy::Policy& policy);

// scope_named returns the set of the scope of that name; "none" is the empty set. nullopt: there is none.
std::optional<policy::ScopeSet> scope_named(const policy::Policy& policy, std::string_view name);

// transport_of returns what a protocol most often runs on; home_port_of its own port, or 0.
Transport transport_of(Protocol protocol);
std::uint16_t home_port_of(Transport transport, Protocol protocol);
// protocol_at returns what most likely runs at a port, or kUnknown.
Protocol protocol_at(Transport transport, std::uint16_t port);

}  // namespace sallyport::advice
