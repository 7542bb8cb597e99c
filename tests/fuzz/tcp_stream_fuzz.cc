// A hostile client's TCP stream against an honest server. The client sends pieces of ready messages, allowed
// and forbidden ones, and raw bytes, anywhere in its stream and as often as it likes, and begins new connections
// on the same ports; the server acknowledges as much as it likes of what arrived. Two promises:
// - whatever the server makes of the bytes that got through, it cannot read a forbidden message;
// - who sends one allowed message only, in any pieces, order and number, is never denied.
// The server's address belongs to the allowed name; a first step of kUnbound makes it so only later, while bytes wait.
//
// Input: repeated steps, see take_step().
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sallyport/policy/policy_file.h"
#include "support/client_hello_builder.h"
#include "support/decoy_hello.h"
#include "support/inspector_watch.h"
#include "support/packet_builder.h"
#include "support/readable.h"
#include "support/step_reader.h"

namespace {

using namespace sallyport;
using testing::Bytes;
using testing::Text;

constexpr const char* kPolicy = R"(
version = 1
[dns]
resolvers = ["203.0.113.1"]
[[rules]]
name = "strict"
to = ["good.example", "neighbour.example"]
protocols = ["tls", "http", "dns"]
ports = "any"
)";

Bytes request(std::string_view method, std::string_view host, std::string_view fields = {}) {
  std::string text;
  text.append(method).append(" / HTTP/1.1\r\nHost: ").append(host).append("\r\n").append(fields).append("\r\n");
  return {text.begin(), text.end()};
}

constexpr std::size_t kBodySize = 120;

Bytes post(std::string_view host) {
  Bytes text = request("POST", host, "Content-Length: 120\r\n");
  text.insert(text.end(), kBodySize, 'x');
  return text;
}

Bytes chunked(std::string_view host) {
  const std::string_view chunks = "20\r\n0123456789abcdef0123456789abcdef\r\n0\r\n\r\n";
  return testing::joined(request("POST", host, "Transfer-Encoding: chunked\r\n"), {chunks.begin(), chunks.end()});
}

Bytes dns_query(const std::string& label) {
  Bytes query = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(label.size())};
  query.insert(query.end(), label.begin(), label.end());
  query.insert(query.end(), {7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1});
  query.insert(query.begin(), {0, static_cast<std::uint8_t>(query.size())});
  return query;
}

// Messages have pairs, allowed and forbidden, of one length; the last one is a decoy.
struct Message {
  Bytes bytes;
  bool allowed = false;
};

const std::vector<Message>& messages() {
  static const std::vector<Message> list = [] {
    std::vector<Message> out;
    for (const std::string label : {"good", "evil"}) {
      const std::string host = label + ".example";
      const auto hello = testing::ClientHelloBuilder::typical(host);
      const auto both = [](const Bytes& first, const Bytes& second) { return testing::joined(first, second); };
      const Bytes retry_first = testing::ClientHelloBuilder::typical("good.example").record();
      const bool good = label == "good";
      out.push_back({hello.record(), good});
      out.push_back({hello.records({40, 9, 1, 200}), good});
      out.push_back({both(retry_first, hello.record()), false});  // Allowed only after a retry request.
      out.push_back({both(request("GET", "good.example"), request("GET", host)), good});
      out.push_back({both(post("good.example"), request("GET", host)), good});
      out.push_back({both(chunked("good.example"), request("GET", host)), good});
      out.push_back({request("GET", host), good});
      out.push_back({both(dns_query("good"), dns_query(label)), good});
    }
    out.push_back({testing::tls_records(testing::decoy_hello()), true});
    return out;
  }();
  return list;
}

// What no server may be able to read. The body of a request may be anything.
struct Forbidden {
  Text text;
  bool after_retry = false;
};

const std::vector<Forbidden>& forbidden() {
  static const std::vector<Forbidden> list = [] {
    std::vector<Forbidden> out;
    const auto evil_hello = testing::ClientHelloBuilder::typical("evil.example");
    const auto add = [&out](const Bytes& first, const Bytes& second) {
      out.push_back({testing::text_of(testing::joined(first, second)), false});
    };
    const Bytes evil = request("GET", "evil.example");
    add(evil_hello.record(), {});
    add(evil_hello.records({40, 9, 1, 200}), {});
    add(evil, {});
    add(request("GET", "good.example"), evil);
    add(chunked("good.example"), evil);
    add(dns_query("evil"), {});
    add(dns_query("good"), dns_query("evil"));
    const Bytes posted = post("good.example");
    Text body = testing::text_of(ByteSpan(posted).first(posted.size() - kBodySize));
    body.insert(body.end(), kBodySize, std::nullopt);
    testing::append(body, evil);
    out.push_back({body, false});
    const Bytes first = testing::ClientHelloBuilder::typical("good.example").record();
    out.push_back({testing::text_of(testing::joined(first, evil_hello.record())), true});
    return out;
  }();
  return list;
}

class Attack {
 public:
  Attack(testing::KeptInspector& kept, const policy::Policy& policy) : watch_(kept, policy) {
    bind("neighbour.example");  // So that the SYN need not wait.
    watch_.send(connection_.syn(), Origin::kOriginal);
    watch_.send(connection_.syn_ack(), Origin::kReply);
    watch_.send(connection_.client_ack(), Origin::kOriginal);
  }

  void run(ByteSpan input) {
    constexpr std::size_t kStepsMax = 200;
    testing::StepReader steps(input, kStepsMax);
    bool more = steps.next();
    if (more && steps.kind() == 5 && steps.argument() == kUnbound) {
      more = steps.next();
    } else {
      bind("good.example");
    }
    for (; more; more = steps.next()) take_step(steps);
    if (honest()) watch_.check(!watch_.denied());
    watch_.finish();
  }

 private:
  void take_step(testing::StepReader& step) {
    std::uint8_t size = 0;
    std::uint16_t at = 0;
    ByteSpan raw;
    const std::size_t argument = step.argument();
    switch (step.kind()) {
      case 0:  // [offset: 2][size: 1] of message number `argument`, in units of one byte,
      case 1:  // of four bytes,
      case 2:  // or from there to its end.
        if (!step.read(at, size)) return;
        send_piece(argument, at, step.kind() == 0 ? size : step.kind() == 1 ? size * std::size_t{4} : SIZE_MAX);
        break;
      case 3:  // [offset: 2][size: 1][bytes]
        if (!step.read(at, raw)) return;
        foreign_ = true;
        send(at % testing::Readable::kSize, raw, argument);
        break;
      case 4:  // [size: 2]: the server acknowledges so much of what it has.
        if (!step.read(at)) return;
        acknowledge(at);
        break;
      case 5:  // The server answers; from 2 on: a look-up binds the name.
        if (argument < 2) return answer(argument);
        bind("good.example");
        deliver(watch_.wait({}, true));
        break;
      case 6:  // Time passes.
        hurried_ = false;
        deliver(watch_.wait(std::chrono::milliseconds(20) * argument * argument, true));
        break;
      case 7:
        foreign_ = true;
        send_control(argument & 3, (argument & 4) != 0, kStarts[argument >> 3]);
        break;
    }
  }

  void bind(const char* name) {
    watch_.bind(testing::endpoint("203.0.113.1", 443).address, *DomainName::parse(name), std::chrono::hours(1));
  }

  void send_piece(std::size_t number, std::size_t offset, std::size_t size) {
    const Message& message = messages()[number % messages().size()];
    if (offset >= message.bytes.size() || size == 0) return;
    used_.insert(number % messages().size());
    send(offset, ByteSpan(message.bytes).subspan(offset, std::min(size, message.bytes.size() - offset)), 0);
  }

  // send sends payload at an offset of the stream; `flags`: 1 FIN, 2 RST, 4 URG, 8 cut by a capture.
  void send(std::size_t offset, ByteSpan payload, std::size_t flags) {
    auto builder = connection_.client_at(0);
    builder.seq(client_base_ + static_cast<std::uint32_t>(offset));
    std::uint8_t bits = testing::kAck | testing::kPsh;
    if ((flags & 1) != 0) bits |= testing::kFin;
    if ((flags & 2) != 0) bits |= testing::kRst;
    if ((flags & 4) != 0) bits |= testing::kUrg;
    const Bytes packet = builder.flags(bits).payload(payload).build();
    ++segments_;
    segments_sent_[++packets_] = {client_base_ + static_cast<std::uint32_t>(offset), {payload.begin(), payload.end()}};
    deliver(watch_.send(packet, Origin::kOriginal, (flags & 8) != 0));
  }

  // send_control sends what carries no payload; `lost`: it gets through the firewall, but not to the server.
  void send_control(std::size_t kind, bool lost, std::uint32_t start) {
    auto builder = connection_.client_at(0);
    builder.seq(client_base_);
    switch (kind) {
      case 0:
        if (!left_through(builder.build(), Origin::kOriginal)) return;
        break;
      case 1:
        if (left_through(builder.flags(testing::kRst | testing::kAck).build(), Origin::kOriginal) && !lost) open_ = false;
        break;
      case 2:
        client_base_ = start + 1;
        if (!left_through(builder.seq(start).flags(testing::kSyn).build(), Origin::kOriginal) || lost) return;
        server_takes_syn(start + 1);
        break;
      case 3:
        send_syn_ack();
        break;
    }
  }

  // A living connection answers a SYN with an acknowledgement and goes on (RFC 9293 §3.10.7.4).
  void server_takes_syn(std::uint32_t base) {
    if (open_ && base != server_side_base_) return acknowledge(0);
    if (!open_) {
      open_ = true;
      server_side_base_ = base;
      readable_ = {};
      server_sent_ = 0;
      retried_ = false;
    }
    send_syn_ack();
  }

  void send_syn_ack() {
    if (!open_ || server_sent_ != 0) return;
    from_server(connection_.server_at(UINT32_MAX).flags(testing::kSyn).ack(server_side_base_).build());
  }

  bool left_through(const Bytes& packet, Origin origin) {
    const PacketId id = ++packets_;
    const std::vector<PacketId> left = watch_.send(packet, origin);
    deliver(left);
    return std::ranges::find(left, id) != left.end();
  }

  void deliver(const std::vector<PacketId>& left) {
    for (const PacketId id : left) {
      const auto segment = segments_sent_.find(id);
      if (segment == segments_sent_.end() || !open_) continue;  // Without payload; or nobody is there.
      const auto offset = static_cast<std::int32_t>(segment->second.sequence - server_side_base_);
      const ByteSpan payload = segment->second.payload;
      const std::size_t before = offset < 0 ? static_cast<std::size_t>(-std::int64_t{offset}) : 0;  // The server has them.
      if (before >= payload.size()) continue;
      readable_.arrived(offset < 0 ? 0 : static_cast<std::size_t>(offset), payload.subspan(before));
    }
    if (left.empty()) return;
    for (const Forbidden& text : forbidden()) {
      watch_.check(!readable_.as(text.text) || (text.after_retry && !retried_));
    }
  }

  void acknowledge(std::size_t size) {
    if (!open_) return;
    const std::size_t taken = std::max(readable_.taken(), std::min(size, readable_.contiguous()));
    readable_.take(taken);
    auto builder = connection_.server_at(server_sent_);
    from_server(builder.ack(client_sequence(taken)).build());
  }

  // answer sends what a server that has a whole hello sends, once.
  void answer(std::size_t kind) {
    const std::size_t hello_size = messages()[0].bytes.size();
    if (!open_ || server_sent_ != 0 || readable_.contiguous() < hello_size) return;
    retried_ = (kind & 1) != 0;
    readable_.take(std::max(readable_.taken(), hello_size));
    const Bytes flight = testing::server_hello(retried_);
    from_server(connection_.server_at(0).ack(client_sequence(readable_.taken())).payload(flight).build());
    server_sent_ = static_cast<std::uint32_t>(flight.size());
  }

  void from_server(const Bytes& packet) {
    ++packets_;
    deliver(watch_.send(packet, Origin::kReply));
  }

  std::uint32_t client_sequence(std::size_t offset) const {
    return server_side_base_ + static_cast<std::uint32_t>(offset);
  }

  // honest tells that one allowed message was sent, and within the bounds on segments.
  bool honest() const {
    return !foreign_ && hurried_ && used_.size() == 1 && messages()[*used_.begin()].allowed &&
           segments_ <= kStreamRangesMax;
  }

  static constexpr std::size_t kUnbound = 31;
  struct Segment {
    std::uint32_t sequence = 0;
    Bytes payload;
  };
  static constexpr std::uint32_t kClientStart = 0xffffff00;  // The sequence numbers wrap.
  // Of further connections: the same, overlapping ones, one far away.
  static constexpr std::array<std::uint32_t, 4> kStarts = {kClientStart, kClientStart + 36, kClientStart - 60, 0x40000000};
  testing::TcpConversation connection_{testing::endpoint("198.51.100.1", 40'000),
                                       testing::endpoint("203.0.113.1", 443), kClientStart};
  testing::InspectorWatch watch_;
  std::uint32_t client_base_ = kClientStart + 1;  // Where the client's stream begins, as the client says,
  std::uint32_t server_side_base_ = kClientStart + 1;  // and as the server knows.
  bool open_ = true;                                   // The server has a connection.
  testing::Readable readable_;
  std::map<PacketId, Segment> segments_sent_;
  PacketId packets_ = 3;
  std::set<std::size_t> used_;
  std::size_t segments_ = 0;
  bool foreign_ = false;  // Something was sent that is no piece of a message.
  bool hurried_ = true;   // No time has passed.
  bool retried_ = false;
  std::uint32_t server_sent_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const policy::Policy> policy = *policy::load_policy_text(kPolicy, "fuzz.toml");
  static testing::KeptInspector kept([] {
    engine::InspectorOptions options = testing::small_inspector(8);
    options.held_packets = 256;
    return options;
  }());
  Attack(kept, *policy).run({data, size});
  return 0;
}
