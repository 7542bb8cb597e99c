// The whole inspector: a sequence of IP packets, with their directions and the time between them, in;
// decisions out. Beside what InspectorWatch checks, reading on for details must change no verdict.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/policy/policy_file.h"
#include "support/inspector_watch.h"
#include "support/step_reader.h"

namespace {

using namespace sallyport;

// Names as they are claimed, and tunnels looked into.
constexpr const char* kClaimed = R"(
version = 1
[inspect]
tunnels = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
[dns]
resolvers = ["192.0.2.53"]
[[rules]]
to = ["10.91.0.0/16", "192.0.2.0/24"]
protocols = ["gre", "ipip", "6in4", "vxlan", "geneve", "teredo"]
ports = "any"
[[rules]]
to = ["good.example", "allowed.test", "*.wild.example"]
protocols = ["tls", "quic", "http", "dns", "dtls"]
bind = "any"
ports = "any"
[[rules]]
name = "strict, beside those that are not"
to = ["bound.example", "*.below.example"]
protocols = ["tls", "quic", "http", "smtp", "stun"]
ports = "any"
[[rules]]
to = ["192.0.2.0/24", "2001:db8::/32"]
protocols = ["ssh"]
[[rules]]
to = ["bad.wild.example"]
protocols = ["tls", "quic", "http"]
ports = "any"
action = "deny"
[[rules]]
to = ["192.0.2.0/24"]
protocols = ["tcp", "udp"]
ports = ["7000-7999"]
[[rules]]
name = "what they announce is expected"
to = ["10.91.9.2", "fd91:0:0:9::2"]
protocols = ["ftp", "stun"]
ports = [21, 2104, 2106, 2131, 3474, 3476]
ice = "allow"
)";

// Names only at their addresses, SSH host keys, a scope with resolvers of its own, keys taken out of answers.
constexpr const char* kStrict = R"(
version = 1
[inspect]
tunnels = ["gre", "vxlan"]
[dns]
resolvers = ["10.91.9.2", "192.0.2.53"]
private = [".test"]
wildcard_budget = 2
miss_wait = "500ms"
grace = "1m"
[scopes.agent]
users = [1000]
resolvers = ["203.0.113.53"]
[[rules]]
name = "strict claim"
to = ["allowed.test", "good.example", "*.wild.example"]
protocols = ["tls", "quic", "http", "dtls"]
ports = "any"
[[rules]]
name = "what has no ports, by name and by address"
to = ["allowed.test", "good.example", "10.91.0.0/16", "fd91::/16"]
protocols = ["icmp", "sctp", "esp", "ah", "ip-proto"]
icmp_types = ["echo-request", "timestamp-request", 139]
ip_protos = [89]
[[rules]]
to = ["224.0.0.0/24", "ff02::/16", "10.91.0.0/16"]
protocols = ["mdns", "llmnr"]
scope = "none"
[[rules]]
name = "strict for one scope"
scope = "agent"
to = ["own.example"]
protocols = ["tls", "ssh"]
[[rules]]
name = "strict with a key"
to = ["allowed.test"]
protocols = ["ssh"]
host_keys = ["SHA256:3WKTC+NBdKmq6Hfe2INnh6YRve3OE0/CnQXLzR6fTpY"]
[[rules]]
name = "strict with another key"
to = ["second.test"]
protocols = ["ssh"]
host_keys = ["SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"]
[[rules]]
name = "strict whatever the bytes are"
to = ["allowed.test", "time.example", "*.below.example"]
protocols = ["tcp", "udp", "ntp", "vxlan"]
ports = [53, 123, 4789, "7000-7999"]
[[rules]]
name = "strict, without ports"
to = ["allowed.test"]
protocols = ["gre"]
[[rules]]
to = ["198.51.100.0/24"]
protocols = ["ssh", "tls"]
[[rules]]
to = ["bad.wild.example", "bad.below.example"]
protocols = ["tls", "quic", "http", "tcp"]
ports = "any"
action = "deny"
refuse = "drop"
)";

// Every name may be asked, no hello with ECH passes, any server is a target, refusals are silent.
constexpr const char* kAnyName = R"(
version = 1
[defaults]
refuse = "drop"
[dns]
resolvers = ["10.91.9.2", "192.0.2.53"]
names = "any"
ech = "deny"
private = "any"
edns = ["client-subnet", 65001]
[[rules]]
name = "strict"
to = ["allowed.test", "second.test"]
protocols = ["ssh", "tls", "sip", "openvpn"]
ports = "any"
[[rules]]
name = "strict claim of one"
to = ["good.example"]
protocols = ["http", "tls"]
ports = "any"
ech = "allow"
[[rules]]
name = "strict where the server greets"
to = ["allowed.test", "second.test"]
protocols = ["ftp", "imap", "pop3", "mysql"]
ports = "any"
[[rules]]
to = "any"
protocols = ["quic"]
[[rules]]
name = "proxies"
to = ["10.91.0.0/16", "fd91::/16", "192.0.2.0/24"]
protocols = ["http", "socks"]
ports = "any"
proxy = true
[[rules]]
name = "strict claim of some requests"
to = ["allowed.test"]
protocols = ["http"]
ports = "any"
methods = ["GET", "CONNECT"]
paths = ["/", "re:/[a-z]+/[0-9]*"]
websocket = "deny"
[[rules]]
to = ["good.example"]
protocols = ["http"]
ports = "any"
paths = ["/admin"]
action = "deny"
[[rules]]
to = ["bad.wild.example"]
protocols = ["dns", "quic", "ssh"]
action = "deny"
)";

// No QUIC; VPNs denied wherever they come in a flow; a guarded port; no waiting; a key for an address; a server that may be asked anything, and one whose keys stay.
constexpr const char* kAtOnce = R"(
version = 1
[defaults]
bind = "any"
quic = "deny"
[dns]
resolvers = ["10.91.9.2"]
miss_wait = "0s"
ech = "strip"
wildcard_budget = 1
[[rules]]
to = ["10.91.9.2"]
protocols = ["ssh"]
host_keys = ["SHA256:3WKTC+NBdKmq6Hfe2INnh6YRve3OE0/CnQXLzR6fTpY"]
[[rules]]
to = ["192.0.2.53"]
protocols = ["dns"]
[[rules]]
to = ["good.example", "*.wild.example", "bound.example"]
protocols = ["tls", "quic"]
ech = "allow"
[[rules]]
to = ["10.91.9.0/24", "fd91:0:0:9::/64"]
protocols = ["udp"]
ports = [9000]
[[rules]]
to = ["any"]
protocols = ["wireguard", "openvpn", "ike", "ntp"]
ports = "any"
action = "deny"
[[guards]]
listen = ["*:80", "[fd91:0:0:9::2]:8081"]
hosts = ["allowed.test", "10.91.9.2"]
origins = ["allowed.test", "https://good.example:8443"]
[[rules]]
name = "strict by exception"
to = ["bound.example", "allowed.test"]
protocols = ["tls", "http", "ssh", "tcp"]
ports = [22, 80, 443]
bind = "strict"
)";

const std::vector<std::shared_ptr<const policy::Policy>>& policies() {
  static const std::vector<std::shared_ptr<const policy::Policy>> list = [] {
    std::vector<std::shared_ptr<const policy::Policy>> loaded;
    for (const char* text : {kClaimed, kStrict, kAnyName, kAtOnce}) loaded.push_back(policy::load_policy_text(text, "fuzz.toml").value());
    return loaded;
  }();
  return list;
}

DomainName name_number(std::size_t number) {
  static constexpr std::array<const char*, 8> kNames = {"good.example",  "allowed.test",    "second.test",  "a.wild.example",
                                                        "bound.example", "a.below.example", "own.example", "bad.below.example"};
  return *DomainName::parse(kNames[number % kNames.size()]);
}

// World is what is around an inspector: who binds names, which resolvers the host has, what other workers ask.
class World {
 public:
  World(testing::KeptInspector& kept, const policy::Policy& policy, bool observing)
      : kept_(kept), policy_(policy), watch_(kept, policy, observing) {
    watch_.on_miss([this](const engine::BindingMiss& miss) { answer_miss(miss); });
    set_resolvers(0x03);
  }

  std::vector<Verdict> run(testing::StepReader& steps) {
    do take_step(steps);
    while (steps.next());
    watch_.finish();
    return watch_.verdicts();
  }

 private:
  // Kinds 0 to 2 and 4 to 6: [length: 2][packet]; low two bits: origin; 4: a capture cut it; argument: time before it.
  // 7: time passes. 3: what the world does, by the argument.
  void take_step(testing::StepReader& step) {
    constexpr Duration kTime = std::chrono::milliseconds(40);
    ByteSpan packet;
    if (step.kind() == 3) return act(step, step.argument() & 7, step.argument() >> 3);
    if (step.kind() == 7) {
      bind_missed();
      watch_.wait(kTime * step.argument() * 4, true);
      return;
    }
    if (!step.read_packet(packet)) return;
    watch_.wait(kTime * step.argument(), step.argument() > 20);
    if (const auto ip = parsers::parse_ip_packet(packet, packet.size())) last_ = {ip->destination, ip->source};
    watch_.send(packet, static_cast<Origin>(step.kind() & 3), (step.kind() & 4) != 0, uid_);
  }

  void act(testing::StepReader& step, std::size_t action, std::size_t value) {
    std::uint8_t which = 0, much = 0;
    switch (action) {
      case 0:  // The policy; see LLVMFuzzerTestOneInput.
        break;
      case 1:  // [name, address][life]: a look-up binds, for the view `value`.
        if (step.read(which, much)) bind(which & 15, which >> 4, much, static_cast<policy::View>(value & 1));
        break;
      case 2:  // [set of addresses]: the host's resolvers change.
        if (step.read(which)) set_resolvers(which);
        break;
      case 3:  // [number]: another worker asks for so many names below a wildcard.
        if (!step.read(which)) return;
        for (unsigned i = 0; i < which; ++i) {
          (void)kept_.budget().admit(0, "wild.example", "x" + std::to_string(i) + ".wild.example", policy_.dns().wildcard_budget, watch_.now());
        }
        break;
      case 4:  // [name]: what comes of a miss from now on: nothing, the name at once or later, another name at once.
        if (!step.read(which)) return;
        answer_ = value;
        answer_name_ = which;
        break;
      case 5:  // Who sends from now on.
        uid_.reset();
        if (value != 0) uid_ = static_cast<std::uint32_t>(999 + value);
        break;
      case 6:  // What reports ask.
        (void)kept_.bindings().list(watch_.now());
        break;
      case 7:
        bind_missed();
        break;
    }
  }

  void bind(std::size_t name, std::size_t address, std::size_t life, policy::View view) {
    static constexpr std::array<const char*, 6> kAddresses = {"10.91.9.2",    "10.91.9.3",     "192.0.2.1",
                                                              "198.51.100.7", "203.0.113.5", "2001:db8::2"};
    const IpAddress to = address < 2 ? last_[address] : *IpAddress::parse(kAddresses[address % kAddresses.size()]);
    watch_.bind(to, name_number(name), std::chrono::seconds(1 + life * 16), view);
  }

  void set_resolvers(std::uint8_t set) {
    static const std::array<IpAddress, 4> kServers = {*IpAddress::parse("10.91.9.2"), *IpAddress::parse("192.0.2.53"),
                                                      *IpAddress::parse("203.0.113.5"), *IpAddress::parse("2001:db8::2")};
    std::vector<IpAddress> servers;
    for (std::size_t i = 0; i < kServers.size(); ++i) {
      if ((set >> i & 1) != 0) servers.push_back(kServers[i]);
    }
    if (engine::Resolvers* resolvers = kept_.resolvers()) (void)resolvers->set(servers);
  }

  void answer_miss(const engine::BindingMiss& miss) {
    constexpr std::size_t kNothing = 0, kLater = 2;
    if (answer_ == kNothing) return;
    const policy::View view = policy_.view_of(miss.scopes);
    if (answer_ == kLater) {
      missed_.push_back({miss.destination, view});
    } else {
      watch_.bind(miss.destination, name_number(answer_name_ + (answer_ == 3 ? 1 : 0)), std::chrono::minutes(1), view);
    }
  }

  void bind_missed() {
    for (const auto& [address, view] : missed_) watch_.bind(address, name_number(answer_name_), std::chrono::minutes(1), view);
    missed_.clear();
  }

  testing::KeptInspector& kept_;
  const policy::Policy& policy_;
  testing::InspectorWatch watch_;
  std::array<IpAddress, 2> last_{};  // Destination and source of the packet before.
  std::size_t answer_ = 0;
  std::size_t answer_name_ = 0;
  std::vector<std::pair<IpAddress, policy::View>> missed_;
  std::optional<std::uint32_t> uid_;
};

std::vector<Verdict> run(ByteSpan input, testing::KeptInspector& kept, bool observing = false) {
  constexpr std::size_t kStepsMax = 4'096;
  testing::StepReader steps(input, kStepsMax);
  if (!steps.next()) return {};
  const bool chosen = steps.kind() == 3 && (steps.argument() & 7) == 0;  // The first step may choose the policy.
  return World(kept, *policies()[chosen ? steps.argument() >> 3 : 0], observing).run(steps);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kScarce = 8;
  constexpr std::size_t kPlenty = 64;  // Details take more than the judgement, and must not change a verdict.
  static testing::KeptInspector scarce(testing::small_inspector(kScarce), true);
  static testing::KeptInspector scarce_details(testing::small_inspector(kScarce, true));
  static testing::KeptInspector plenty(testing::small_inspector(kPlenty), true);
  static testing::KeptInspector plenty_details(testing::small_inspector(kPlenty, true), true);
  static testing::KeptInspector observer(testing::small_inspector(kScarce, true, policy::Mode::kObserve));
  (void)run({data, size}, scarce);
  (void)run({data, size}, scarce_details);
  (void)run({data, size}, observer, true);
  testing::InspectorWatch::check(run({data, size}, plenty) == run({data, size}, plenty_details));
  return 0;
}
