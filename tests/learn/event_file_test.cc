#include "sallyport/learn/event_file.h"

#include <gmock/gmock.h>

#include <chrono>
#include <sstream>

namespace sallyport::testing {
namespace {

constexpr std::string_view kLine =
    R"({"v":1,"id":"a-1","event":"flow","time":1795350000.5,"proto":"tcp","src":"10.0.0.1","sport":4000,"dst":"192.0.2.1","dport":443,)"
    R"("uid":1000,"user":"alice","protocol":"tls","name":"a.example","verdict":"deny","reason":"name_not_allowed","rule":"default","mode":"observe"})";

learn::EventFile read(const std::string& text) {
  std::istringstream in(text);
  learn::EventFile events;
  learn::read_events(in, "events", events);
  return events;
}

TEST(EventFileTest, AFlowIsReadWithAllThatARuleCouldBeAbout) {
  const learn::EventFile events = read(std::string(kLine) + '\n');
  ASSERT_EQ(events.sightings.size(), 1u);
  const learn::Sighting& event = events.sightings.front();
  EXPECT_EQ(event.name, "a.example");
  EXPECT_EQ(event.key.server.port, 443);
  EXPECT_EQ(event.protocol, Protocol::kTls);
  EXPECT_EQ(event.reason, Reason::kNameNotAllowed);
  EXPECT_EQ(event.owner, "alice");
  EXPECT_FALSE(event.enforced);
  EXPECT_TRUE(event.bound.empty());
}

TEST(EventFileTest, TheNameOfAProtocolThatCarriesNoneIsOneOfItsAddress) {
  std::string line(kLine);
  line.replace(line.find("\"tls\""), 5, "\"ssh\"");
  const learn::EventFile events = read(line);
  ASSERT_EQ(events.sightings.size(), 1u);
  ASSERT_EQ(events.sightings.front().bound.size(), 1u);
  EXPECT_EQ(events.sightings.front().bound.front().text(), "a.example");
}

TEST(EventFileTest, EqualFlowsAreOneWithACount) {
  std::string folded(kLine);
  folded.replace(folded.find("\"time\""), 0, "\"count\":7,");
  const learn::EventFile events = read(std::string(kLine) + '\n' + std::string(kLine) + '\n' + folded);
  ASSERT_EQ(events.sightings.size(), 1u);
  EXPECT_EQ(events.sightings.front().count, 9u);
}

TEST(EventFileTest, LinesAboutOtherThingsAreCounted) {
  const learn::EventFile events = read("{\"event\":\"started\",\"v\":1}\n" + std::string(kLine));
  EXPECT_EQ(events.others, 1u);
  EXPECT_EQ(events.sightings.size(), 1u);
}

TEST(EventFileTest, NoPrefixOfALineIsAnEvent) {
  for (std::size_t length = 1; length < kLine.size(); ++length) {
    const learn::EventFile events = read(std::string(kLine.substr(0, length)));
    EXPECT_TRUE(events.sightings.empty()) << length;
    EXPECT_EQ(events.unreadable, 1u) << length;
  }
}

TEST(EventFileTest, TheLatestTimeIsReadAsItIs) {
  std::string line(kLine);
  line.replace(line.find("1795350000.5"), 12, "8999999999");
  const learn::EventFile events = read(line);
  ASSERT_EQ(events.sightings.size(), 1u);
  EXPECT_EQ(events.sightings.front().first, Timestamp(std::chrono::seconds(8'999'999'999)));
}

TEST(EventFileTest, ValuesOfAnotherTypeAndOutOfRangeAreRefused) {
  const auto with = [](std::string_view from, std::string_view to) {
    std::string line(kLine);
    line.replace(line.find(from), from.size(), to);
    return read(line);
  };
  for (const auto& [from, to] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
           {"\"dport\":443", "\"dport\":65536"}, {"\"dport\":443", "\"dport\":-1"}, {"\"dport\":443", "\"dport\":\"443\""},
           {"192.0.2.1", "192.0.2.256"}, {"\"tls\"", "\"tsl\""}, {"\"tls\"", "[\"tls\"]"}, {"1795350000.5", "1e300"}, {"1795350000.5", "-1"},
           {"1795350000.5", "2e10"}, {"1795350000.5", "9000000000"},
           {"name_not_allowed", "no"}, {"\"deny\"", "\"refuse\""}, {"\"tcp\"", "\"sctp\""}}) {
    const learn::EventFile events = with(from, to);
    EXPECT_TRUE(events.sightings.empty()) << to;
    EXPECT_EQ(events.unreadable, 1u) << to;
  }
}

TEST(EventFileTest, ALineThatIsTooLongIsSkippedAndTheNextIsRead) {
  const learn::EventFile events = read("{\"x\":\"" + std::string(learn::kEventLineMax, 'x') + "\"}\n" + std::string(kLine));
  EXPECT_EQ(events.unreadable, 1u);
  EXPECT_EQ(events.sightings.size(), 1u);
}

}  // namespace
}  // namespace sallyport::testing
