// Records of decided flows for the tests of events.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "event_line.h"
#include "sallyport/policy/policy_file.h"

namespace sallyport::testing {

// HostileTexts are what a name, a process or a rule's name could try.
inline const std::string_view kHostileTexts[] = {
    "a\nb", "a\r\nMESSAGE=forged", "\"}{\"v\":2", "\x1b[31mred\x1b[0m", "back\\slash", "\xff\xfe not utf8", "ümlaut \u202e", "tab\tNUL",
    std::string_view("nul\0nul", 7), "</script>"};

struct FlowText {
  std::string name{};
  std::string host_key{};
  std::string proxy_target{};
};

inline daemon::EventRecord make_record(const FlowText& text, engine::FlowVerdict verdict = engine::FlowVerdict::kDeny) {
  engine::FlowEvent event;
  event.kind = engine::FlowEvent::Kind::kVerdict;
  event.flow = 7;
  event.key.transport = Transport::kTcp;
  event.key.ip_protocol = 6;
  event.key.client = {IpAddress::parse("10.0.0.2").value(), 40'000};
  event.key.server = {IpAddress::parse("192.0.2.10").value(), 443};
  event.opened = Timestamp(std::chrono::seconds(1'700'000'000));
  event.time = event.opened + std::chrono::microseconds(2'500);
  event.uid = 4'294'967'294U;  // Nobody's.
  event.protocol = Protocol::kTls;
  event.verdict = verdict;
  event.reason = verdict == engine::FlowVerdict::kDeny ? Reason::kNameNotAllowed : Reason::kRuleAllows;
  event.packets = 4;
  event.bytes = 700;
  event.text = text.name;
  event.host_key = text.host_key;
  event.proxy_target = text.proxy_target;
  return daemon::EventRecord::of(event);
}

inline std::shared_ptr<const policy::Policy> make_policy(const std::string& body) {
  auto loaded = policy::load_policy_text("version = 1\n" + body, "policy.toml");
  return loaded ? *loaded : nullptr;
}

}  // namespace sallyport::testing
