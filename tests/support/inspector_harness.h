// InspectorHarness feeds packets to an inspector under a policy written in the test, and remembers what
// came of them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sallyport/engine/inspector.h"
#include "sallyport/policy/policy_file.h"
#include "support/packet_builder.h"

namespace sallyport::testing {

// Injected is a packet that the inspector made.
struct Injected {
  std::vector<std::uint8_t> packet;
  bool to_client = false;
};

struct Outcome {
  Decision decision;
  std::vector<engine::Release> releases;
  std::vector<Injected> injections{};
};

struct SeenVerdict {
  engine::FlowVerdict verdict;
  Reason reason;
  Protocol protocol;
  std::string name;
  Protocol tunnel = Protocol::kUnknown;
  std::string proxy_target = {};
};

class InspectorHarness {
 public:
  explicit InspectorHarness(const std::string& policy_text, engine::InspectorOptions options = small_options())
      : inspector_(options) {
    const auto loaded = policy::load_policy_text(with_any_address(policy_text), "test.toml");
    if (!loaded) {
      for (const auto& problem : loaded.error()) ADD_FAILURE() << problem.to_string();
      std::abort();
    }
    policy_ = *loaded;
  }

  // Most tests are about bytes: where the policy says nothing of `bind`, a name counts at any address.
  // Their names are public and their addresses often are not, so rebinding is allowed where the policy says nothing of it.
  static std::string with_any_address(std::string text) {
    if (text.find("rebinding") == std::string::npos) {
      constexpr std::string_view kDns = "[dns]\n", kAllow = "rebinding = \"allow\"\n";
      const std::size_t dns = text.find(kDns);
      if (dns == std::string::npos) {
        text.append("\n").append(kDns).append(kAllow);
      } else {
        text.insert(dns + kDns.size(), kAllow);
      }
    }
    if (text.find("bind =") != std::string::npos) return text;
    constexpr std::string_view kDefaults = "[defaults]\n", kBind = "bind = \"any\"\n";
    const std::size_t place = text.find(kDefaults);
    if (place == std::string::npos) return text.append("\n").append(kDefaults).append(kBind);
    return text.insert(place + kDefaults.size(), kBind);
  }

  static engine::InspectorOptions small_options() {
    engine::InspectorOptions options;
    options.flows = 256;
    options.stream_windows = 128;
    options.held_packets = 4'096;
    return options;
  }

  // The packets of a live queue: the client's are ORIGINAL, the server's REPLY.
  Outcome client(const std::vector<std::uint8_t>& bytes) { return feed(bytes, Origin::kOriginal); }
  Outcome server(const std::vector<std::uint8_t>& bytes) { return feed(bytes, Origin::kReply); }
  // inbound is a client's packet that came in for this host itself.
  Outcome inbound(const std::vector<std::uint8_t>& bytes, std::size_t wire_size = 0) {
    inbound_ = true;
    Outcome outcome = feed(bytes, Origin::kOriginal, wire_size);
    inbound_ = false;
    return outcome;
  }

  // cut is a packet of a connection that is to end (`existing = "kill"`).
  Outcome cut(const std::vector<std::uint8_t>& bytes, Origin origin) {
    cut_ = true;
    Outcome outcome = feed(bytes, origin);
    cut_ = false;
    return outcome;
  }

  Outcome feed(const std::vector<std::uint8_t>& bytes, Origin origin, std::size_t wire_size = 0) {
    // An exact heap block, so that a read too far is seen.
    const std::vector<std::uint8_t> exact(bytes);
    Packet packet;
    packet.id = ++last_id_;
    packet.bytes = exact;
    packet.wire_size = static_cast<std::uint32_t>(wire_size == 0 ? exact.size() : wire_size);
    packet.origin = origin;
    packet.in_link = in_link_;
    packet.in_interface = in_interface_;
    packet.inbound = inbound_;
    packet.cut = cut_;
    now_ += std::chrono::milliseconds(1);
    Outcome outcome{inspector_.inspect(packet, *policy_, now_), {}, {}};
    collect(outcome);
    fates_[packet.id] = outcome.decision.verdict;
    return outcome;
  }

  // from_link says by which interface the packets that follow come in; 0: none, as on the host itself.
  void from_link(std::uint32_t index) { in_link_ = index; }

  // from_interface says the interface's name, which guards go by.
  void from_interface(std::string name) { in_interface_ = std::move(name); }

  Outcome wait(Duration duration) {
    now_ += duration;
    inspector_.expire(*policy_, now_);
    Outcome outcome;
    collect(outcome);
    return outcome;
  }

  const std::vector<SeenVerdict>& verdicts() const { return verdicts_; }
  const std::vector<std::string>& names() const { return names_; }
  std::string detail(engine::Detail detail) const {
    const auto found = details_.find(detail);
    return found == details_.end() ? "" : found->second;
  }
  // accepted tells how many of the packets fed so far were let go, at once or later.
  std::size_t accepted() const {
    std::size_t count = 0;
    for (const auto& [id, verdict] : fates_) count += verdict == Verdict::kAccept ? 1U : 0U;
    return count;
  }
  // fate tells what became of the nth packet fed, from 0: at once, or when it was released.
  Verdict fate(std::size_t nth) const { return fates_.at(first_id_ + nth); }
  std::size_t fed() const { return fates_.size(); }

  // end ends every flow, as at the end of a capture, and returns what the last of them was.
  Protocol end() {
    inspector_.finish(*policy_, now_);
    Outcome outcome;
    collect(outcome);
    return inspector_.events().empty() ? Protocol::kUnknown : inspector_.events().back().protocol;
  }
  // take puts another policy in force and judges live flows again; it returns what their ct marks must become.
  std::vector<engine::Remark> take(std::shared_ptr<const policy::Policy> next) {
    std::vector<engine::Remark> remarks;
    for (bool more = true; more;) {
      more = inspector_.rejudge(*policy_, *next, now_, {});
      Outcome outcome;
      collect(outcome);
      remarks.insert(remarks.end(), inspector_.remarks().begin(), inspector_.remarks().end());
    }
    policy_ = std::move(next);
    return remarks;
  }
  // begin_anew forgets what was seen so far. Call end() before.
  void begin_anew() {
    fates_.clear();
    verdicts_.clear();
    names_.clear();
    details_.clear();
    first_id_ = last_id_ + 1;
  }

  // reload has every flow judged again by another policy. Returns what the ct marks must become.
  std::vector<engine::Remark> reload(const std::string& policy_text) {
    const auto loaded = policy::load_policy_text(with_any_address(policy_text), "test.toml");
    if (!loaded) {
      for (const auto& problem : loaded.error()) ADD_FAILURE() << problem.to_string();
      std::abort();
    }
    former_.push_back(policy_);
    policy_ = *loaded;
    std::vector<engine::Remark> remarks;
    bool more = true;
    while (more) {
      more = inspector_.rejudge(*former_.back(), *policy_, now_, {});
      remarks.insert(remarks.end(), inspector_.remarks().begin(), inspector_.remarks().end());
      Outcome outcome;
      collect(outcome);
    }
    return remarks;
  }

  // heed tells what the kernel has of a flow that it passes alone, as of `ago` before now.
  void heed(const FlowKey& key, bool over, Duration ago = {}) {
    const engine::Sighting sighting{key, over};
    inspector_.heed({&sighting, 1}, now_ - ago, *policy_, now_);
    Outcome outcome;
    collect(outcome);
  }
  std::uint64_t flows() const { return inspector_.counters().flows_active; }

  engine::Inspector& inspector() { return inspector_; }
  void recall(const std::vector<engine::RememberedFlow>& flows) { inspector_.recall(flows, *policy_, now_); }
  const policy::Policy& policy() const { return *policy_; }
  Timestamp now() const { return now_; }

 private:
  void collect(Outcome& outcome) {
    outcome.releases.assign(inspector_.releases().begin(), inspector_.releases().end());
    for (const engine::Release& release : outcome.releases) {
      EXPECT_EQ(fates_[release.id], Verdict::kHold) << "a packet that was not held is released";
      fates_[release.id] = release.decision.verdict;
    }
    for (const engine::Injection& injection : inspector_.injections()) {
      outcome.injections.push_back({{injection.packet.begin(), injection.packet.end()}, injection.to_client});
    }
    for (const engine::FlowEvent& event : inspector_.events()) {
      if (event.kind == engine::FlowEvent::Kind::kVerdict) {
        verdicts_.push_back({event.verdict, event.reason, event.protocol, std::string(event.text), event.tunnel, std::string(event.proxy_target)});
      }
      if (event.kind == engine::FlowEvent::Kind::kName) names_.emplace_back(event.text);
      if (event.kind == engine::FlowEvent::Kind::kDetail) details_.emplace(event.detail, event.text);
    }
  }

  engine::Inspector inspector_;
  std::shared_ptr<const policy::Policy> policy_;
  std::vector<std::shared_ptr<const policy::Policy>> former_;  // Events point to them.
  Timestamp now_{std::chrono::seconds(1'800'000'000)};
  PacketId last_id_ = 0;
  std::uint32_t in_link_ = 0;
  std::string in_interface_;
  bool inbound_ = false;
  bool cut_ = false;
  PacketId first_id_ = 1;
  std::map<PacketId, Verdict> fates_;
  std::vector<SeenVerdict> verdicts_;
  std::vector<std::string> names_;
  std::map<engine::Detail, std::string> details_;
};

}  // namespace sallyport::testing
