// The whole way from a capture file to rows, with the real inspector.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "sallyport/policy/policy_file.h"
#include "sallyport/replay/replay.h"
#include "support/packet_builder.h"
#include "support/pcap_writer.h"

namespace sallyport::replay {
namespace {

namespace fs = std::filesystem;
using testing::at;
using testing::Bytes;
using testing::endpoint;
using testing::PacketBuilder;
using testing::PcapWriter;
using testing::TcpConversation;

constexpr const char* kPolicy = R"(version = 1
[defaults]
action = "deny"
mode = "enforce"
[[rules]]
name = "plain pages"
to = ["good.example"]
protocols = ["http"]
bind = "any"
)";

std::shared_ptr<const policy::Policy> policy() {
  auto loaded = policy::load_policy_text(kPolicy, "policy.toml");
  if (!loaded) ADD_FAILURE() << loaded.error().at(0).to_string();
  return loaded ? *loaded : policy::embedded_policy();
}

std::string request(const std::string& host) {
  return "GET /" + host + " HTTP/1.1\r\nHost: " + host + "\r\nUser-Agent: test\r\n\r\n";
}

std::string response() { return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"; }

// A connection whose first request is allowed, and whose second, in two segments, is for another host.
std::vector<Bytes> second_host_refused() {
  TcpConversation tcp(endpoint("192.0.2.10", 40'000), endpoint("198.51.100.80", 80));
  std::vector<Bytes> packets = tcp.handshake();
  packets.push_back(tcp.client_data(request("good.example")));
  packets.push_back(tcp.server_data(response()));
  packets.push_back(tcp.client_ack());
  for (const Bytes& segment : tcp.client_segments(as_bytes_of(request("evil.example")), 40)) {
    packets.push_back(segment);
  }
  packets.push_back(tcp.client_fin());
  return packets;
}

Bytes capture(const std::vector<Bytes>& packets) {
  PcapWriter writer({.link_type = testing::kLinkEthernet});
  Duration offset{};
  for (const Bytes& packet : packets) {
    writer.add(testing::ethernet(packet), at(offset));
    offset += std::chrono::milliseconds(10);
  }
  return writer.bytes();
}

std::vector<nlohmann::json> rows(const std::string& text) {
  std::vector<nlohmann::json> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(nlohmann::json::parse(line));
  return out;
}

class ReplayCaptureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              (std::string("replay_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    options_.policy = policy();
    options_.json = true;
    options_.frames = true;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const Bytes& bytes) {
    const fs::path path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::binary);
    out.write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
    return path;
  }

  CaptureResult replay(const Bytes& bytes) {
    std::atomic<std::uint64_t> read{0};
    CaptureResult result = replay_capture(write("input.pcap", bytes), options_, read);
    EXPECT_EQ(read.load(), bytes.size());
    return result;
  }

  fs::path folder_;
  ReplayOptions options_;
};

TEST_F(ReplayCaptureTest, EveryRequestOfAConnectionIsJudged) {
  const CaptureResult result = replay(capture(second_host_refused()));
  EXPECT_FALSE(result.error);
  const auto flows = rows(result.flow_json);
  ASSERT_EQ(flows.size(), 2u);
  EXPECT_EQ(flows[0]["name"], "good.example");
  EXPECT_EQ(flows[0]["verdict"], "allow");
  EXPECT_EQ(flows[0]["rule"], "policy.toml:5");
  EXPECT_EQ(flows[1]["turned"], true);
  EXPECT_EQ(flows[1]["name"], "evil.example");
  EXPECT_EQ(flows[1]["reason"], "name_not_allowed");
}

TEST_F(ReplayCaptureTest, NoSegmentOfARefusedRequestPasses) {
  const auto frames = rows(replay(capture(second_host_refused())).frame_json);
  ASSERT_GE(frames.size(), 8u);
  EXPECT_EQ(frames[6]["verdict"], "hold");
  EXPECT_EQ(frames[6]["released"], "drop");
  EXPECT_EQ(frames[7]["verdict"], "drop");
}

TEST_F(ReplayCaptureTest, ObserveLetsEveryFrameThroughAndTellsTheSameVerdicts) {
  const std::string enforced = replay(capture(second_host_refused())).flow_json;
  options_.mode = policy::Mode::kObserve;
  const CaptureResult observed = replay(capture(second_host_refused()));
  EXPECT_EQ(observed.flow_json, enforced);
  for (const auto& frame : rows(observed.frame_json)) EXPECT_EQ(frame["verdict"], "accept");
}

TEST_F(ReplayCaptureTest, FragmentsAreJudgedTogether) {
  std::vector<Bytes> packets;
  TcpConversation tcp(endpoint("192.0.2.10", 40'000), endpoint("198.51.100.80", 80));
  for (const Bytes& packet : tcp.handshake()) packets.push_back(packet);
  for (const Bytes& piece : tcp.client_at(0).payload(request("good.example")).build_fragments(24, 9)) {
    packets.push_back(piece);
  }
  const CaptureResult result = replay(capture(packets));
  const auto flows = rows(result.flow_json);
  ASSERT_EQ(flows.size(), 1u);
  EXPECT_EQ(flows[0]["name"], "good.example");
  EXPECT_EQ(flows[0]["packets"], packets.size());
  const auto frames = rows(result.frame_json);
  EXPECT_EQ(frames[3]["verdict"], "hold");
  EXPECT_EQ(frames[3]["released"], frames.back()["verdict"]);
  EXPECT_EQ(frames[3]["flow"], 1);
}

TEST_F(ReplayCaptureTest, ADatagramWithACutFragmentIsPending) {
  const auto query = PacketBuilder::udp(endpoint("192.0.2.10", 40'000), endpoint("192.0.2.53", 443)).payload(std::string(150, 'q'));
  for (std::size_t which = 0; which < 3; ++which) {
    PcapWriter writer;
    const auto pieces = query.build_fragments(64, 9);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const std::size_t kept = pieces[i].size() - (i == which ? 3 : 0);
      writer.add(ByteSpan(pieces[i]).first(kept), at(), static_cast<std::uint32_t>(pieces[i].size()));
    }
    const auto flows = rows(replay(writer.bytes()).flow_json);
    ASSERT_EQ(flows.size(), 1u) << "fragment " << which;
    EXPECT_EQ(flows[0]["verdict"], "pending");
    EXPECT_EQ(flows[0]["reason"], "truncated");
  }
}

// Whatever a short snapshot length cuts off a hello: no verdict is given that the whole capture would not give.
TEST_F(ReplayCaptureTest, NoSnapshotLengthMakesAGuess) {
  std::vector<Bytes> packets;
  TcpConversation tcp(endpoint("192.0.2.10", 40'000), endpoint("198.51.100.80", 80));
  for (const Bytes& packet : tcp.handshake()) packets.push_back(packet);
  const std::string text = request("good.example");
  for (const Bytes& packet : tcp.client_segments(as_bytes_of(text), text.size() / 3 + 1)) packets.push_back(packet);
  for (std::size_t which = 0; which < packets.size(); ++which) {
    for (std::size_t length = 40; length < packets[which].size(); ++length) {
      PcapWriter writer;
      for (std::size_t i = 0; i < packets.size(); ++i) {
        const std::size_t kept = i == which ? length : packets[i].size();
        writer.add(ByteSpan(packets[i]).first(kept), at(), static_cast<std::uint32_t>(packets[i].size()));
      }
      const auto flows = rows(replay(writer.bytes()).flow_json);
      ASSERT_EQ(flows.size(), 1u);
      EXPECT_EQ(flows[0]["verdict"], "pending") << "frame " << which + 1 << ", " << length << " bytes";
      EXPECT_EQ(flows[0]["reason"], "truncated") << "frame " << which + 1 << ", " << length << " bytes";
    }
  }
}

TEST_F(ReplayCaptureTest, AHeldFrameTimesOutByTheCapturesOwnClock) {
  TcpConversation tcp(endpoint("192.0.2.10", 40'000), endpoint("198.51.100.80", 80));
  PcapWriter writer;
  for (const Bytes& packet : tcp.handshake()) writer.add(packet, at());
  writer.add(tcp.client_data("GET / HT"), at(std::chrono::seconds(1)));
  writer.add(tcp.client_ack(), at(std::chrono::seconds(40)));
  const auto frames = rows(replay(writer.bytes()).frame_json);
  EXPECT_EQ(frames[3]["verdict"], "hold");
  EXPECT_EQ(frames[3]["released"], "drop");
  EXPECT_EQ(frames[3]["released_by"], 5);
}

TEST_F(ReplayCaptureTest, TimeThatGoesBackIsNoHarm) {
  PcapWriter writer;
  Duration offset = std::chrono::hours(1);
  for (const Bytes& packet : second_host_refused()) writer.add(packet, at(offset -= std::chrono::minutes(1)));
  const auto flows = rows(replay(writer.bytes()).flow_json);
  ASSERT_EQ(flows.size(), 2u);
  EXPECT_EQ(flows[0]["verdict"], "allow");
  EXPECT_EQ(flows[0]["time"], "2026-01-31T12:59:00.000000Z") << "a row tells the capture's own time";
}

TEST_F(ReplayCaptureTest, ACutCaptureTellsWhatItHoldsAndTheDamage) {
  Bytes bytes = capture(second_host_refused());
  bytes.resize(bytes.size() - 10);
  const CaptureResult result = replay(bytes);
  EXPECT_THAT(result.error.value_or(""), ::testing::HasSubstr("truncated"));
  EXPECT_EQ(rows(result.flow_json).size(), 2u);
}

TEST_F(ReplayCaptureTest, NoPrefixOfACaptureIsAllowedMoreThanTheWhole) {
  const Bytes whole = capture(second_host_refused());
  for (std::size_t length = 0; length < whole.size(); length += 13) {
    for (const auto& row : rows(replay(Bytes(whole.data(), whole.data() + length)).flow_json)) {
      EXPECT_FALSE(row["verdict"] == "allow" && row["name"] != "good.example") << length << " bytes: " << row;
    }
  }
}

TEST_F(ReplayCaptureTest, AnUnknownLinkTypeIsAnError) {
  PcapWriter writer({.link_type = 105});
  writer.add(Bytes(64, 0), at());
  EXPECT_EQ(replay(writer.bytes()).error, "link type 105 (802.11) is not supported");
}

TEST_F(ReplayCaptureTest, FoldersAreSearchedAndSortedAndOutputKeepsTheirOrder) {
  const Bytes bytes = capture(second_host_refused());
  for (const char* name : {"b/2.pcap", "b/1.pcapng", "a.cap", "c.txt", "d.pcap.gz", "e.pcap.zst", "f.gz"}) {
    write(name, bytes);
  }
  const auto files = list_captures({folder_, folder_ / "b" / "2.pcap"});
  ASSERT_TRUE(files);
  std::vector<fs::path> expected;
  for (const char* name : {"a.cap", "b/1.pcapng", "b/2.pcap", "d.pcap.gz", "e.pcap.zst", "b/2.pcap"}) {
    expected.push_back(folder_ / name);
  }
  EXPECT_EQ(*files, expected);

  std::vector<fs::path> many;
  for (int i = 0; i < 40; ++i) many.insert(many.end(), expected.begin(), expected.end());
  options_.jobs = 4;
  std::vector<fs::path> order;
  std::uint64_t last_done = 0;
  replay_all(many, options_, [&](CaptureResult&& result) {
    order.push_back(result.file);
    EXPECT_EQ(rows(result.flow_json).size(), 2u);
  }, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_LE(done, total);
    last_done = done;
  });
  EXPECT_EQ(order, many);
  EXPECT_EQ(last_done, bytes.size() * many.size());
  EXPECT_FALSE(list_captures({folder_ / "missing-folder-is-a-file", fs::path("/proc/self/fdinfo")}));
}

// The captures of pcaps/ that are made by code must be what the code makes. To write one anew, run this test
// with SALLYPORT_WRITE_CASES=1 in the environment.
TEST(MadeCapturesTest, TheCasesInTheTreeAreWhatTheCodeMakes) {
  const std::pair<const char*, Bytes> made[] = {{"http-second-host-refused", capture(second_host_refused())}};
  for (const auto& [name, bytes] : made) {
    const fs::path path = fs::path(SALLYPORT_SOURCE_DIR) / "pcaps" / name / "input.pcap";
    if (std::getenv("SALLYPORT_WRITE_CASES") != nullptr) {
      std::ofstream(path, std::ios::binary)
          .write(as_text(bytes).data(), static_cast<std::streamsize>(bytes.size()));
    }
    std::ifstream in(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(text, as_text(bytes)) << path;
  }
}

}  // namespace
}  // namespace sallyport::replay
