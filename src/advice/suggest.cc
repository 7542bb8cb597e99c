// The narrowest rule that allows a flow, loaded and asked before it is offered.
#include <nlohmann/json.hpp>

#include "ask.h"
#include "sallyport/engine/denial.h"
#include "sallyport/policy/base64.h"

namespace sallyport::advice {
namespace {

// toml_string is a TOML basic string: JSON's escapes are all TOML's.
std::string toml_string(std::string_view text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

class Writer {
 public:
  Writer(const policy::Policy& policy, const Question& question, const Answer& answer)
      : policy_(policy), question_(question), answer_(answer), word_(policy::word_for(question.transport, question.protocol)) {}

  // write returns an empty text where the flow has neither a name nor an address that a rule could have.
  std::string write() {
    if (word_.empty()) return {};
    const std::string target = choose_target();
    if (target.empty()) return {};
    text_ = "[[rules]]\n";
    line("to", "[" + toml_string(target) + "]");
    line("protocols", "[" + toml_string(word_) + "]");
    ports();
    scope();
    request();
    const bool by_address = IpAddress::parse(target).has_value();
    const bool named = engine::carries_name(question_.protocol) || question_.protocol == Protocol::kDns;
    if (any_address_) line("bind", toml_string("any"));
    if (!by_address && !named && policy_.defaults().bind == policy::Bind::kAny) line("bind", toml_string("strict"));
    if (word_ == "icmp") line("icmp_types", "[" + std::to_string(question_.icmp_type) + "]");
    if (word_ == "ip-proto") line("ip_protos", "[" + std::to_string(question_.ip_protocol) + "]");
    if (answer_.reason == Reason::kHostKeyNotAllowed && question_.host_key) line("host_keys", "[" + toml_string("SHA256:" + policy::encode_base64(*question_.host_key)) + "]");
    return text_;
  }
  std::string note() const { return note_; }

 private:
  void line(std::string_view key, const std::string& value) { text_ += std::string(key) + " = " + value + "\n"; }

  std::string choose_target() {
    const std::string address = question_.address ? question_.address->to_string() : std::string();
    if (answer_.match.metadata) return address;
    const bool dns = question_.protocol == Protocol::kDns;
    if (dns && !question_.bound) return address;
    const bool claimed = question_.name && (dns || engine::carries_name(question_.protocol));
    if (claimed && !question_.bound) {
      any_address_ = true;
      note_ = "It takes the name's word for it, at any address. Safer: let the client look the name up at a resolver that the policy trusts.";
    }
    if (claimed || (question_.name && question_.bound)) return std::string(question_.name->text());
    if (!address.empty() && (word_ == "tcp" || word_ == "udp")) note_ = "The bytes are no protocol that is known, so the rule can go by the address alone.";
    return address;
  }
  void ports() {
    if (question_.transport != Transport::kTcp && question_.transport != Transport::kUdp) return;
    for (const std::uint16_t home : policy::home_ports_of(word_)) {
      if (home == question_.port) return;
    }
    line("ports", "[" + std::to_string(question_.port) + "]");
  }
  void scope() {
    const auto& names = policy_.scope_names();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if ((question_.scopes >> i & 1) == 0) continue;
      return line("scope", toml_string(names[i]));
    }
    if (!names.empty() && question_.scopes == 0) line("scope", toml_string("none"));
  }
  void request() {
    if (answer_.match.other_request == kNoRule || !question_.request) return;
    const Request& request = *question_.request;
    if (!request.method.empty()) line("methods", "[" + toml_string(request.method) + "]");
    if (!request.path.empty() && !request.path_ambiguous) line("paths", "[" + toml_string(request.path) + "]");
  }

  const policy::Policy& policy_;
  const Question& question_;
  const Answer& answer_;
  std::string_view word_;
  bool any_address_ = false;
  std::string text_;
  std::string note_;
};

}  // namespace

Suggestion suggest(const policy::Policy& policy, const Question& question, const Answer& answer, const LoadWith& load_with) {
  Suggestion out;
  if (answer.reason == Reason::kQuicDenied) {
    out.note = "[defaults] quic = \"deny\" takes every QUIC flow; no rule can allow one. Clients fall back to TCP.";
    return out;
  }
  if (answer.match.rule != kNoRule) {
    out.note = "A deny rule wins over every allow rule: " + policy.location(answer.match.rule) + " must be narrowed or go.";
    return out;
  }
  Writer writer(policy, question, answer);
  out.toml = writer.write();
  out.note = writer.note();
  if (out.toml.empty()) {
    out.note = "The flow has neither a name nor an address that a rule could go by.";
    return out;
  }
  if (!load_with) return out;
  const policy::LoadResult loaded = load_with(out.toml);
  out.proven = loaded && ask(**loaded, question).match.action == policy::Action::kAllow;
  if (!out.proven) {
    out.note = loaded ? "This rule alone would not do: another part of the policy denies the flow." : "This rule does not load: " + loaded.error().front().to_string();
  }
  return out;
}

}  // namespace sallyport::advice
