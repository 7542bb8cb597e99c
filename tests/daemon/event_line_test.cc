// Every form of an event: its members, docs/events.schema.json in both directions, and hostile texts.
#include "event_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "event_support.h"
#include "sallyport/daemon/port_drift.h"

namespace sallyport::daemon {
namespace {

using sallyport::testing::FlowText;
using sallyport::testing::kHostileTexts;
using sallyport::testing::make_policy;
using sallyport::testing::make_record;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::ordered_json;

constexpr const char* kPolicy = R"([scopes.agent]
users = [1000]
[scopes.builds]
users = [1001]
[[rules]]
to = "example.com"
name = "The example"
)";

Json schema_of(const char* kind) {
  std::ifstream file(SALLYPORT_SOURCE_DIR "/docs/events.schema.json");
  return Json::parse(file)["$defs"][kind];
}

bool is_of_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "array") return value.is_array();
  if (type == "boolean") return value.is_boolean();
  return type == value.type_name();
}

// check_value compares a value with what of JSON Schema the file uses.
void check_value(const Json& value, const Json& schema, const std::string& key) {
  if (schema.contains("const")) EXPECT_EQ(value, schema["const"]) << key;
  if (schema.contains("enum")) EXPECT_NE(std::ranges::find(schema["enum"], value), schema["enum"].end()) << key << ": " << value;
  if (schema.contains("type")) {
    const Json types = schema["type"].is_array() ? schema["type"] : Json::array({schema["type"]});
    EXPECT_TRUE(std::ranges::any_of(types, [&](const Json& type) { return is_of_type(value, type); })) << key << ": " << value;
  }
  if (schema.contains("minimum")) EXPECT_GE(value.get<double>(), schema["minimum"].get<double>()) << key;
  if (schema.contains("maximum")) EXPECT_LE(value.get<double>(), schema["maximum"].get<double>()) << key;
}

// check_row checks a row against the schema, and notes its members.
void check_row(const Json& row, const Json& schema, std::set<std::string>& seen) {
  for (const auto& [key, value] : row.items()) {
    ASSERT_TRUE(schema["properties"].contains(key)) << key << " is not in the schema";
    check_value(value, schema["properties"][key], key);
    seen.insert(key);
  }
  for (const auto& key : schema["required"]) EXPECT_TRUE(row.contains(key)) << key;
}

void expect_all_seen(const Json& schema, const std::set<std::string>& seen) {
  for (const auto& [key, value] : schema["properties"].items()) EXPECT_TRUE(seen.contains(key)) << key << " is in the schema, and nothing emits it";
}

// Rows makes rows of one policy.
struct Rows {
  std::shared_ptr<const policy::Policy> policy = make_policy(kPolicy);
  EventFormatter formatter{false};
  std::string id = "abc-1";

  EventRow row(const EventRecord& record, const ProcessFacts* process = nullptr, const Repeated* repeated = nullptr,
               policy::Mode mode = policy::Mode::kEnforce) const {
    return {record, id, *policy, mode, process, repeated};
  }
};

ProcessFacts full_facts() {
  return {.pid = 42, .process = "curl", .program = "/usr/bin/curl", .cgroup = "/system.slice/x.service", .unit = "x.service",
          .container_id = std::string(64, 'a'), .container = "web-1"};
}

TEST(EventLineTest, FlowsAndTheSchemaHaveTheSameMembers) {
  Rows rows;
  const Json schema = schema_of("flow");
  std::set<std::string> seen;
  EventRecord record = make_record({"example.com", std::string(43, 'k'), "proxy.example:443"});
  record.scopes = 0b10;
  record.rule = 0;
  record.answer = IpAddress::parse("10.0.0.1");
  record.tunnel = Protocol::kVxlan;
  const ProcessFacts facts = full_facts();
  const Repeated repeated{3, record.time, record.time, "abc-0"};
  const Json full = rows.formatter.fields(rows.row(record, &facts, &repeated));
  check_row(full, schema, seen);
  EXPECT_EQ(full["scopes"], Json({"builds"}));
  EXPECT_EQ(full["rule"], "policy.toml:6");
  EXPECT_EQ(full["rule_name"], "The example");
  EXPECT_EQ(full["decision_us"], 2'500);
  EXPECT_EQ(full["count"], 3);
  EXPECT_EQ(full["user"], "4294967294");
  EventRecord bare = make_record({}, engine::FlowVerdict::kPending);
  bare.kind = engine::FlowEvent::Kind::kEnd;
  bare.uid.reset();
  bare.key.transport = Transport::kOther;
  bare.key.ip_protocol = 47;
  const Json least = rows.formatter.fields(rows.row(bare, nullptr, nullptr, policy::Mode::kObserve));
  check_row(least, schema, seen);
  EXPECT_EQ(least["name"], nullptr);
  EXPECT_FALSE(least.contains("decision_us")) << "nothing was decided";
  expect_all_seen(schema, seen);
}

TEST(EventLineTest, PortDriftAndTheSchemaHaveTheSameMembers) {
  const Json schema = schema_of("port_drift");
  std::set<std::string> seen;
  DriftFinding finding;
  finding.kind = DriftKind::kWider;
  finding.declared = "127.0.0.1:80";
  Observed observed;
  observed.socket.address = IpAddress::parse("0.0.0.0").value();
  observed.socket.port = 80;
  observed.socket.interface = "eth0";
  observed.netns = "box";
  observed.owners.push_back({7, "web", "/bin/web", "/system.slice/web.service", "web.service"});
  finding.observed = observed;
  check_row(other_fields("abc-2", Timestamp{}, "port_drift", drift_fields(finding, true)), schema, seen);
  finding.observed.reset();
  finding.kind = DriftKind::kMissing;
  check_row(other_fields("abc-3", Timestamp{}, "port_drift", drift_fields(finding, false)), schema, seen);
  expect_all_seen(schema, seen);
}

TEST(EventLineTest, ThePageHasARowForEachMember) {
  std::ifstream file(SALLYPORT_SOURCE_DIR "/docs/events.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const char* kind : {"flow", "port_drift"}) {
    const std::size_t begin = page.find("### `" + std::string(kind) + "`");
    ASSERT_NE(begin, std::string::npos) << kind;
    const std::string section = page.substr(begin, page.find("\n## ", begin) - begin);
    const Json schema = schema_of(kind);
    for (const auto& [key, value] : schema["properties"].items()) {
      const bool common = key == "v" || key == "id" || key == "event" || key == "time";
      EXPECT_THAT(common ? page : section, HasSubstr("| `" + key + "` |")) << kind;
    }
  }
}

TEST(EventLineTest, TheSourceOfANameIsTold) {
  Rows rows;
  const auto source = [&](Protocol protocol, bool of_address) {
    EventRecord record = make_record({"example.com"});
    record.protocol = protocol;
    record.name_of_address = of_address;
    return rows.formatter.fields(rows.row(record))["name_source"].get<std::string>();
  };
  EXPECT_EQ(source(Protocol::kTls, false), "sni");
  EXPECT_EQ(source(Protocol::kHttp, false), "host");
  EXPECT_EQ(source(Protocol::kDns, false), "question");
  EXPECT_EQ(source(Protocol::kSocks, false), "proxy");
  EXPECT_EQ(source(Protocol::kSsh, true), "address");
}

TEST(EventLineTest, HostileTextsAreOneLineOfValidJson) {
  Rows rows;
  for (const std::string_view text : kHostileTexts) {
    const EventRecord record = make_record({std::string(text), {}, std::string(text)});
    ProcessFacts facts = full_facts();
    facts.process = facts.program = facts.cgroup = facts.unit = facts.container = std::string(text);
    const EventRow row = rows.row(record, &facts);
    const Json fields = rows.formatter.fields(row);
    for (const std::string& line : {json_line(fields), eve_line(row, fields)}) {
      EXPECT_EQ(std::ranges::count(line, '\n'), 1) << line;
      EXPECT_TRUE(std::ranges::all_of(line, [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7f); })) << line;
      const Json read = Json::parse(line);
      const Json& own = read.contains("sallyport") ? read["sallyport"] : read;
      EXPECT_EQ(own["v"], 1);
      EXPECT_EQ(own["name"], escaped(text));
      EXPECT_EQ(own["process"], escaped(text));
    }
    for (const std::string& line : {rows.formatter.text(row), rows.formatter.brief(row), rows.formatter.sentence(row) + '\n'}) {
      EXPECT_EQ(std::ranges::count(line, '\n'), 1) << line;
      EXPECT_TRUE(std::ranges::all_of(line, [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7f); })) << line;
    }
  }
}

// read_entry reads the journal's native protocol, as strictly as journald does.
std::vector<std::pair<std::string, std::string>> read_entry(std::string_view entry) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!entry.empty()) {
    const std::size_t end = entry.find('\n');
    if (end == std::string_view::npos) return {};
    const std::string_view line = entry.substr(0, end);
    entry.remove_prefix(end + 1);
    if (const std::size_t equals = line.find('='); equals != std::string_view::npos) {
      fields.emplace_back(line.substr(0, equals), line.substr(equals + 1));
      continue;
    }
    std::uint64_t size = 0;
    if (entry.size() < sizeof size) return {};
    std::memcpy(&size, entry.data(), sizeof size);
    entry.remove_prefix(sizeof size);
    if (entry.size() < size + 1 || entry[size] != '\n') return {};
    fields.emplace_back(line, entry.substr(0, size));
    entry.remove_prefix(size + 1);
  }
  return fields;
}

TEST(EventLineTest, NoValueBeginsAFieldOfTheJournal) {
  for (const std::string_view text : kHostileTexts) {
    const Json fields{{"name", std::string(text)}, {"strange=key\n", 1}, {"list", {"a", "b"}}, {"nothing", nullptr}, {"yes", true}};
    const auto read = read_entry(journal_entry(text, 4, fields));
    const std::vector<std::pair<std::string, std::string>> wanted = {
        {"MESSAGE", std::string(text)}, {"PRIORITY", "4"}, {"SYSLOG_IDENTIFIER", "sallyport"}, {"SALLYPORT_NAME", std::string(text)},
        {"SALLYPORT_STRANGE_KEY_", "1"}, {"SALLYPORT_LIST", "a b"}, {"SALLYPORT_YES", "true"}};
    EXPECT_EQ(read, wanted);
  }
}

TEST(EventLineTest, OtherEventsKeepTheirCommonMembersAndTheirMessageIsOneLine) {
  for (const std::string_view text : kHostileTexts) {
    const Json fields{{"v", 9}, {"id", "forged"}, {"message", std::string(text)}, {"cut", 3}};
    const Json row = other_fields("abc-4", Timestamp(std::chrono::milliseconds(1'500)), "reload", fields);
    EXPECT_EQ(row["v"], 1);
    EXPECT_EQ(row["id"], "abc-4");
    EXPECT_EQ(row["time"], 1.5);
    EXPECT_EQ(row["cut"], 3);
    EXPECT_EQ(Json::parse(json_line(row))["event"], "reload");
    const std::string told = other_text("control_change", fields);
    EXPECT_THAT(told, ::testing::StartsWith("control change: "));
    EXPECT_TRUE(std::ranges::all_of(told, [](char c) { return c >= 0x20 && c < 0x7f; })) << told;
  }
  EXPECT_EQ(other_text("reload", {{"cut", 3}, {"why", "SIGHUP"}}), R"(reload: cut=3 why="SIGHUP")");
}

TEST(EveTest, ADenialIsAnAlertThatWasBlocked) {
  Rows rows;
  const EventRecord record = make_record({"evil.example"});
  const EventRow row = rows.row(record);
  const Json eve = Json::parse(eve_line(row, rows.formatter.fields(row)));
  EXPECT_EQ(eve["timestamp"], "2023-11-14T22:13:20.002500+0000");
  EXPECT_EQ(eve["event_type"], "alert");
  EXPECT_EQ(eve["src_ip"], "10.0.0.2");
  EXPECT_EQ(eve["src_port"], 40'000);
  EXPECT_EQ(eve["dest_ip"], "192.0.2.10");
  EXPECT_EQ(eve["dest_port"], 443);
  EXPECT_EQ(eve["proto"], "TCP");
  EXPECT_EQ(eve["app_proto"], "tls");
  EXPECT_EQ(eve["tls"]["sni"], "evil.example");
  EXPECT_EQ(eve["alert"]["action"], "blocked");
  EXPECT_EQ(eve["alert"]["signature"], "Sallyport egress denied: name_not_allowed (default)");
  EXPECT_EQ(eve["verdict"]["action"], "drop");
  EXPECT_EQ(eve["flow"]["start"], "2023-11-14T22:13:20.000000+0000");
  EXPECT_LT(eve["flow_id"].get<std::uint64_t>(), std::uint64_t{1} << 53);
  EXPECT_EQ(eve["sallyport"]["id"], "abc-1");
  const EventRow observed = rows.row(record, nullptr, nullptr, policy::Mode::kObserve);
  const Json would = Json::parse(eve_line(observed, rows.formatter.fields(observed)));
  EXPECT_EQ(would["alert"]["action"], "allowed");
  EXPECT_EQ(would["verdict"]["action"], "alert");
}

TEST(EveTest, AnAllowedFlowIsOfItsProtocolsType) {
  Rows rows;
  const auto eve = [&](Protocol protocol, Transport transport, bool of_address = false) {
    EventRecord record = make_record({"example.com"}, engine::FlowVerdict::kAllow);
    record.protocol = protocol;
    record.key.transport = transport;
    record.name_of_address = of_address;
    const EventRow row = rows.row(record);
    return Json::parse(eve_line(row, rows.formatter.fields(row)));
  };
  EXPECT_EQ(eve(Protocol::kTls, Transport::kTcp)["event_type"], "tls");
  EXPECT_EQ(eve(Protocol::kQuic, Transport::kUdp)["quic"]["sni"], "example.com");
  EXPECT_EQ(eve(Protocol::kHttp, Transport::kTcp)["http"]["hostname"], "example.com");
  EXPECT_EQ(eve(Protocol::kDns, Transport::kUdp)["dns"]["rrname"], "example.com");
  const Json ssh = eve(Protocol::kSsh, Transport::kTcp, true);
  EXPECT_EQ(ssh["event_type"], "flow");
  EXPECT_EQ(ssh["app_proto"], "ssh");
  EXPECT_EQ(ssh["flow"]["state"], "new");
  EXPECT_FALSE(eve(Protocol::kTls, Transport::kTcp, true)["tls"].contains("sni")) << "the bytes carried no name";
  EXPECT_EQ(eve(Protocol::kUnknown, Transport::kOther)["proto"], "006");
}

TEST(EveTest, EachReasonHasASignatureOfItsOwn) {
  Rows rows;
  std::set<std::uint64_t> ids;
  for (std::size_t i = 0; i < kReasonCount; ++i) {
    EventRecord record = make_record({});
    record.reason = static_cast<Reason>(i);
    const EventRow row = rows.row(record);
    const auto id = Json::parse(eve_line(row, rows.formatter.fields(row)))["alert"]["signature_id"].get<std::uint64_t>();
    EXPECT_TRUE(id >= 1'900'000 && id < 2'000'000) << id;
    EXPECT_TRUE(ids.insert(id).second) << to_string(record.reason);
  }
}

TEST(EventLineTest, PeopleReadHowOftenItWas) {
  Rows rows;
  const EventRecord record = make_record({"evil.example"});
  const Repeated repeated{12, record.time, record.time, "abc-0"};
  EXPECT_THAT(rows.formatter.text(rows.row(record, nullptr, &repeated)), HasSubstr("deny (name_not_allowed) (12 times)\n"));
  EXPECT_THAT(rows.formatter.text(rows.row(record)), Not(HasSubstr("times")));
}

}  // namespace
}  // namespace sallyport::daemon
