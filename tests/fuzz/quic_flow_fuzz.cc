// A hostile client's QUIC packets, sealed with the right keys, which no fuzzer would find. The client sends
// pieces of ready hellos, allowed and forbidden ones, raw frames and other packets, on several connections of
// one tuple. Two promises:
// - whatever a server makes of the CRYPTO bytes that got through, it cannot read a forbidden hello;
// - who sends one allowed hello on one connection, in any pieces, order and number, is never denied.
// The server's address belongs to the allowed name; a first step of kUnbound makes it so only later, while packets wait.
//
// Input: repeated steps, see take_step().
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "sallyport/parsers/quic.h"
#include "sallyport/policy/policy_file.h"
#include "support/client_hello_builder.h"
#include "support/decoy_hello.h"
#include "support/inspector_watch.h"
#include "support/packet_builder.h"
#include "support/quic_builder.h"
#include "support/readable.h"
#include "support/step_reader.h"

namespace {

using namespace sallyport;
using testing::Bytes;

constexpr const char* kPolicy = R"(
version = 1
[[rules]]
name = "strict claim"
to = ["good.example"]
protocols = ["quic"]
ports = "any"
)";

// Even numbers are allowed, odd ones are not.
const std::vector<Bytes>& hellos() {
  static const std::vector<Bytes> list = {
      testing::ClientHelloBuilder::typical("good.example").message(),
      testing::ClientHelloBuilder::typical("evil.example").message(),
      testing::ClientHelloBuilder::post_quantum("good.example").message(),
      testing::ClientHelloBuilder::post_quantum("evil.example").message(),
      testing::decoy_hello(),
  };
  return list;
}

const std::vector<testing::Text>& forbidden() {
  static const std::vector<testing::Text> list = [] {
    std::vector<testing::Text> out;
    for (const std::size_t evil : {1u, 3u}) {
      out.push_back(testing::text_of(hellos()[evil]));
      for (const std::size_t good : {0u, 2u})
        out.push_back(testing::text_of(testing::joined(hellos()[good], hellos()[evil])));
    }
    return out;
  }();
  return list;
}

constexpr std::array<std::uint32_t, 4> kVersions = {testing::kTestQuicV1, testing::kTestQuicV2, 0xff00001d, 0x1a2a3a4a};

class Attack {
 public:
  Attack(testing::KeptInspector& kept, const policy::Policy& policy) : watch_(kept, policy) {}

  void run(ByteSpan input) {
    constexpr std::size_t kStepsMax = 96;
    testing::StepReader steps(input, kStepsMax);
    bool more = steps.next();
    if (more && steps.kind() == 7 && steps.argument() == kUnbound) {
      more = steps.next();
    } else {
      bind();
    }
    for (; more; more = steps.next()) take_step(steps);
    end_datagram();
    if (honest()) watch_.check(!watch_.denied());
    watch_.finish();
  }

 private:
  struct Piece {
    unsigned connection = 0;
    std::size_t offset = 0;
    Bytes data;
    std::size_t packet_at = 0;  // Where its packet begins in the datagram.
  };

  void take_step(testing::StepReader& step) {
    std::uint8_t size = 0;
    std::uint16_t at = 0;
    ByteSpan raw;
    const std::size_t argument = step.argument();
    switch (step.kind()) {
      case 0:  // [offset: 2][size: 1] of hello number `argument`, in units of eight bytes.
        if (!step.read(at, size)) return;
        add_piece(argument, at, size * std::size_t{8});
        break;
      case 1:  // [size: 1][bytes]: frames as they are. Their CRYPTO counts too.
        if (!step.read(raw)) return;
        add_raw(raw);
        break;
      case 2:  // PING, a little PADDING.
        frames_.push_back(1);
        frames_.insert(frames_.end(), argument, 0);
        break;
      case 3:  // The packet ends; `argument` 1: another follows in the datagram; from 2 on: number of the packet.
        end_packet(argument >= 2 ? argument : next_number_);
        if (argument != 1) end_datagram();
        break;
      case 4:  // Connection and version of what follows.
        end_datagram();
        connection_ = argument & 3;
        version_ = kVersions[argument >> 2 & 3];
        connections_used_.insert({connection_, version_});
        break;
      case 5:  // Time passes.
        end_datagram();
        hurried_ = false;
        arrive(watch_.wait(std::chrono::milliseconds(10) * argument * argument, true));
        break;
      case 6:  // [size: 1][bytes]: behind the packets of this datagram, or a datagram alone.
        if (!step.read(raw)) return;
        foreign_ = true;
        end_packet(next_number_);
        datagram_.insert(datagram_.end(), raw.begin(), raw.end());
        break;
      case 7:  // The server answers something; from 2 on: a look-up binds the name.
        end_datagram();
        if (argument < 2) return from_server(argument);
        bind();
        arrive(watch_.wait({}, true));
        break;
    }
  }

  void bind() { watch_.bind(kServer.address, *DomainName::parse("good.example"), std::chrono::hours(1)); }

  void add_piece(std::size_t number, std::size_t offset, std::size_t size) {
    const std::size_t index = number % hellos().size();
    const Bytes& hello = hellos()[index];
    if (offset >= hello.size()) return;
    hellos_used_.insert(index);
    ++pieces_used_;
    add_crypto(offset, ByteSpan(hello).subspan(offset, std::min(size, hello.size() - offset)));
  }

  void add_crypto(std::size_t offset, ByteSpan data) {
    frames_.push_back(0x06);
    for (const Bytes& part : {testing::quic_varint(offset), testing::quic_varint(data.size())})
      frames_.insert(frames_.end(), part.begin(), part.end());
    frames_.insert(frames_.end(), data.begin(), data.end());
    pieces_.push_back({connection_, offset, {data.begin(), data.end()}, datagram_.size()});
  }

  void add_raw(ByteSpan bytes) {
    foreign_ = true;
    frames_.insert(frames_.end(), bytes.begin(), bytes.end());
    // A server reads the whole packet or nothing of it, so frames before a malformed one do not count; that
    // they are counted all the same makes the check sharper.
    parsers::QuicFrameReader reader(bytes);
    for (auto frame = reader.next();
         frame.kind == parsers::QuicFrame::Kind::kCrypto || frame.kind == parsers::QuicFrame::Kind::kOther;
         frame = reader.next()) {
      if (frame.kind != parsers::QuicFrame::Kind::kCrypto || frame.offset > testing::Readable::kSize) continue;
      pieces_.push_back({connection_, frame.offset, {frame.data.begin(), frame.data.end()}, datagram_.size()});
    }
  }

  void end_packet(std::size_t number) {
    if (frames_.empty()) return;
    const Bytes id = {1, 2, 3, 4, 5, 6, 7, static_cast<std::uint8_t>(connection_)};
    constexpr std::size_t kNumberSize = 4;
    const Bytes packet = testing::QuicInitialBuilder(version_, id)
                             .packet_number(number, kNumberSize)
                             .datagram_size(0)
                             .frame(frames_.size() < kFramesMin ? padded(frames_) : frames_)
                             .build();
    next_number_ = static_cast<std::uint32_t>(number + 1);
    frames_.clear();
    datagram_.insert(datagram_.end(), packet.begin(), packet.end());
  }

  static Bytes padded(Bytes frames) {
    frames.resize(kFramesMin, 0);
    return frames;
  }

  void end_datagram() {
    end_packet(next_number_);
    if (datagram_.empty()) return;
    constexpr std::size_t kDatagramMax = 60'000;
    if (datagram_.size() < kDatagramMax) {
      ++datagrams_;
      std::erase_if(pieces_, [this](const Piece& piece) { return !is_reachable(piece.packet_at); });
      sent_[++packets_] = std::move(pieces_);
      arrive(watch_.send(
          testing::PacketBuilder::udp(kClient, kServer).payload(datagram_).build(), Origin::kOriginal));
    }
    pieces_.clear();
    datagram_.clear();
  }

  // is_reachable tells whether a server gets to the packet that begins there: over whole packets only, unless
  // the datagram is in truth several (segmentation offload), each large enough for an Initial.
  bool is_reachable(std::size_t at) const {
    if (datagram_.size() >= 2 * parsers::kQuicMinInitialDatagram) return true;
    ByteSpan rest = datagram_;
    while (rest.size() > datagram_.size() - at) {
      const auto header = parsers::parse_quic_long_header(rest);
      if (!header) return false;
      rest = rest.subspan(header->packet.size());
    }
    return rest.size() == datagram_.size() - at;
  }

  void arrive(const std::vector<PacketId>& left) {
    // A server has given a handshake up long before; nor is it remembered for longer.
    const bool remembered = watch_.passed() < kQuicConnectionMemory;
    for (const PacketId id : left) {
      for (const Piece& piece : sent_[id]) readable_[piece.connection].arrived(piece.offset, piece.data);
    }
    if (left.empty() || !remembered) return;
    for (const auto& [connection, stream] : readable_) {
      for (const testing::Text& text : forbidden()) watch_.check(!stream.as(text));
    }
  }

  void from_server(std::size_t kind) {
    const Bytes id = {1, 2, 3, 4, 5, 6, 7, static_cast<std::uint8_t>(connection_)};
    Bytes datagram = {0x40, 1, 2, 3};  // A short header.
    if ((kind & 1) != 0) {
      datagram = testing::QuicInitialBuilder(version_, id).from_server().crypto(0, testing::server_hello(false)).build();
    }
    ++packets_;
    arrive(watch_.send(testing::PacketBuilder::udp(kServer, kClient).payload(datagram).build(), Origin::kReply));
  }

  // honest tells that one allowed hello was sent in one version on one connection, within the bounds.
  bool honest() const {
    constexpr std::size_t kPacketsPerDatagram = 4;
    return !foreign_ && hurried_ && hellos_used_.size() == 1 && *hellos_used_.begin() % 2 == 0 &&
           connections_used_.size() == 1 && connections_used_.begin()->second != kVersions[3] &&
           pieces_used_ <= kStreamRangesMax && datagrams_ * kPacketsPerDatagram <= kQuicInitialsPerFlowMax;
  }

  static constexpr std::size_t kUnbound = 31;
  static constexpr std::size_t kFramesMin = 24;  // A header protection sample must fit.
  inline static const Endpoint kClient = testing::endpoint("198.51.100.1", 40'000);
  inline static const Endpoint kServer = testing::endpoint("203.0.113.1", 443);

  testing::InspectorWatch watch_;
  std::map<unsigned, testing::Readable> readable_;       // Of each connection.
  std::map<PacketId, std::vector<Piece>> sent_;
  PacketId packets_ = 0;
  // The packet and the datagram that are being made.
  unsigned connection_ = 0;
  std::uint32_t version_ = kVersions[0];
  std::uint32_t next_number_ = 0;
  Bytes frames_;
  Bytes datagram_;
  std::vector<Piece> pieces_;
  // What was sent.
  std::set<std::size_t> hellos_used_;
  std::set<std::pair<unsigned, std::uint32_t>> connections_used_ = {{0, kVersions[0]}};
  std::size_t pieces_used_ = 0;
  std::size_t datagrams_ = 0;
  bool foreign_ = false;  // Something was sent that is no piece of a hello.
  bool hurried_ = true;   // No time has passed.
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const policy::Policy> policy = *policy::load_policy_text(kPolicy, "fuzz.toml");
  static testing::KeptInspector kept(testing::small_inspector(8));
  Attack(kept, *policy).run({data, size});
  return 0;
}
