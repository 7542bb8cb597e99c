#include "sallyport/view/keys.h"

#include <gmock/gmock.h>

#include "sallyport/view/rule_text.h"
#include "view/frames.h"

namespace sallyport::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using view::Effect;
using view::Key;

Key character(char c) {
  return {Key::Kind::kCharacter, c};
}

class KeysTest : public ViewTest {
 protected:
  KeysTest() { show({flow_row(1, "one.example"), flow_row(2, "two.example", "deny"), flow_row(3, "three.example", "deny")}); }
  void show(const Json& rows) { EXPECT_TRUE(model.apply_frame(frame(++frames_, rows, Json::array({denied_row("two.example", 7)})).dump())); }
  void show_with_scopes(Json row) {
    Json denied = denied_row(row["name"], 9);
    for (const char* key : {"scopes", "in_none"}) denied[key] = row[key];
    Json with = frame(++frames_, Json::array({std::move(row)}), Json::array({std::move(denied)}));
    with["has_scopes"] = true;
    EXPECT_TRUE(model.apply_frame(with.dump()));
  }
  Effect press(char c) { return view::press(model, character(c), 10); }
  Effect press(Key::Kind kind) { return view::press(model, {kind, 0}, 10); }
  void type(std::string_view text) {
    for (const char c : text) press(c);
  }
  unsigned frames_ = 0;
};

TEST_F(KeysTest, TheSelectionStaysWithItsFlowWhileOthersArrive) {
  press('j');
  press('j');
  ASSERT_NE(model.selected_flow(), nullptr);
  EXPECT_EQ(model.selected_flow()->name, "two.example");
  show({flow_row(4, "evil.example", "deny"), flow_row(5, "evil2.example", "deny")});
  ASSERT_NE(model.selected_flow(), nullptr);
  EXPECT_EQ(model.selected_flow()->name, "two.example");
  EXPECT_EQ(model.flows().front()->name, "evil2.example");
}

TEST_F(KeysTest, NothingIsAllowedThatWasNotSelected) {
  EXPECT_EQ(press('a').kind, Effect::Kind::kNone);
  EXPECT_TRUE(model.message_is_problem);
  EXPECT_THAT(model.message, HasSubstr("select a row first"));
}

TEST_F(KeysTest, AllowsTheSelectedNameForTenMinutes) {
  press('j');
  const Effect effect = press('a');
  ASSERT_EQ(effect.kind, Effect::Kind::kAsk);
  EXPECT_EQ(effect.text, R"({"command":"allow","name":"three.example","protocols":["tls"],"ports":[443],"for":"10m"})");
  view::show_answer(model, effect.text, R"({"ok":true,"id":12})");
  EXPECT_EQ(model.message, "allowed: tls three.example 443 for ten minutes; sallyport revoke 12 takes it back");
  view::show_answer(model, effect.text, R"({"error":"no room"})");
  EXPECT_EQ(model.message, "no room");
  EXPECT_TRUE(model.message_is_problem);
}

TEST_F(KeysTest, DeniesFromTheListOfNames) {
  press(Key::Kind::kTab);
  press(Key::Kind::kDown);
  const Effect effect = press('d');
  ASSERT_EQ(effect.kind, Effect::Kind::kAsk);
  EXPECT_THAT(effect.text, HasSubstr(R"("command":"deny","name":"two.example")"));
}

TEST_F(KeysTest, CopiesTheRuleAndKeepsItForTheEnd) {
  Json scoped = flow_row(4, "four.example", "deny");
  scoped["scopes"] = {"agent"};
  show_with_scopes(scoped);
  press('j');
  const Effect effect = press('c');
  press('c');
  ASSERT_EQ(effect.kind, Effect::Kind::kCopy);
  EXPECT_EQ(effect.text, "[[rules]]\nscope = \"agent\"\nto = [\"four.example\"]\nprotocols = [\"tls\"]\nports = [443]\naction = \"allow\"\n");
  EXPECT_THAT(model.copied, ElementsAre(effect.text));
}

TEST_F(KeysTest, AFlowInNoScopeGetsNoRuleForEveryScope) {
  show_with_scopes(flow_row(4, "four.example", "deny"));
  for (int pane = 0; pane < 2; ++pane) {
    press(Key::Kind::kDown);
    EXPECT_EQ(press('a').text, R"({"command":"allow","name":"four.example","protocols":["tls"],"ports":[443],"scope":"none","for":"10m"})");
    EXPECT_THAT(press('d').text, HasSubstr(R"("scope":"none")"));
    EXPECT_THAT(press('c').text, HasSubstr("scope = \"none\"\n"));
    press(Key::Kind::kTab);
  }
}

TEST_F(KeysTest, AServiceThatDoesNotTellOfItsScopesIsTakenToHaveSome) {
  Json silent = frame(++frames_, Json::array({flow_row(4, "four.example", "deny")}));
  silent.erase("has_scopes");
  ASSERT_TRUE(model.apply_frame(silent.dump()));
  press('j');
  EXPECT_THAT(press('a').text, HasSubstr(R"("scope":"none")"));
}

// Rules for scope "none" are not for it, and one without a scope is for more than it.
TEST_F(KeysTest, AWorkloadThatNoScopeNamesGetsNoRuleByAKey) {
  Json unnamed = flow_row(4, "four.example", "deny");
  unnamed["in_none"] = false;
  show_with_scopes(unnamed);
  for (int pane = 0; pane < 2; ++pane) {
    press(Key::Kind::kDown);
    for (const auto& [key, action] : {std::pair{'a', "allow"}, std::pair{'d', "deny"}, std::pair{'c', "allow"}}) {
      EXPECT_EQ(press(key).kind, Effect::Kind::kNone) << key;
      EXPECT_TRUE(model.message_is_problem);
      EXPECT_EQ(model.message, std::string("no scope has this flow; for all flows: sallyport ") + action + " four.example --protocol tls --port 443 --for 10m");
    }
    EXPECT_TRUE(model.copied.empty());
    press(Key::Kind::kTab);
  }
}

TEST_F(KeysTest, FiltersWhileTypingAndEscapeClears) {
  press('/');
  type("TWO");
  ASSERT_EQ(model.flows().size(), 1U);
  EXPECT_EQ(model.flows().front()->name, "two.example");
  press(Key::Kind::kBackspace);
  EXPECT_EQ(model.filter(), "TW");
  press(Key::Kind::kEnter);
  EXPECT_EQ(press('q').kind, Effect::Kind::kQuit);
  press('/');
  EXPECT_EQ(press('q').kind, Effect::Kind::kNone) << "q is a letter of the filter here";
  press(Key::Kind::kEscape);
  EXPECT_EQ(model.flows().size(), 3U);
}

TEST_F(KeysTest, PauseHoldsTheListStill) {
  press('p');
  show(Json::array({flow_row(4, "four.example")}));
  EXPECT_EQ(model.flows().size(), 3U);
  press('p');
  EXPECT_EQ(model.flows().size(), 4U);
}

TEST_F(KeysTest, EndedFlowsCanBeHidden) {
  Json ended = flow_row(1, "one.example");
  ended["state"] = "ended";
  show(Json::array({ended}));
  press('e');
  EXPECT_EQ(model.flows().size(), 2U);
  press('e');
  EXPECT_EQ(model.flows().size(), 3U);
}

TEST_F(KeysTest, MovesStayWithinTheList) {
  press('k');
  EXPECT_EQ(model.selected_flow()->number, 3U);
  press('G');
  EXPECT_EQ(model.selected_flow()->number, 1U);
  press(Key::Kind::kPageDown);
  EXPECT_EQ(model.selected_flow()->number, 1U);
  press('g');
  EXPECT_EQ(model.selected_flow()->number, 3U);
  press(Key::Kind::kEscape);
  EXPECT_EQ(model.selected_flow(), nullptr);
}

TEST_F(KeysTest, AServiceThatBeganAnewLeavesNoOldFlows) {
  ASSERT_TRUE(model.apply_frame(frame(0, Json::array({flow_row(1, "other.example")})).dump()));
  ASSERT_EQ(model.flows().size(), 1U);
  EXPECT_EQ(model.flows().front()->name, "other.example");
}

TEST_F(KeysTest, NonsenseChangesNothing) {
  for (const char* line : {"", "{", "[]", "null", R"({"ok":true})", R"({"flows":3})", R"({"flows":{}})"}) EXPECT_FALSE(model.apply_frame(line)) << line;
  EXPECT_EQ(model.flows().size(), 3U);
  EXPECT_TRUE(model.apply_frame(R"({"flows":[3,null,{"number":-1},{"number":9,"name":{},"dport":99999999,"scopes":"x"}],"rates":[],"queues":3,"top_denied":{}})"));
}

// A name comes from the network: it must never become a target that means more than itself.
TEST(RuleTextTest, OnlyPlainNamesAndTheFlowsOwnAddressBecomeTargets) {
  view::Flow flow;
  flow.transport = "tcp";
  flow.protocol = "tls";
  flow.port = 443;
  flow.address = "203.0.113.7";
  for (const char* name : {"any", "none", "*.example", ".example", "0.0.0.0/0", "a.example\"]\naction = \"allow", "a b", "preset:github", "x\\x1b.example", "ANY",
                           "198.51.100.1", "::/0", "a..example", "UPPER.example"}) {
    flow.name = name;
    EXPECT_FALSE(view::wanted_of(flow, false)) << name;
  }
  flow.name = "a-b_c.example";
  ASSERT_TRUE(view::wanted_of(flow, false));
  EXPECT_EQ(view::wanted_of(flow, false)->target, "a-b_c.example");
  flow.name.clear();
  ASSERT_TRUE(view::wanted_of(flow, false));
  EXPECT_EQ(view::wanted_of(flow, false)->target, "203.0.113.7");
  flow.name = flow.address;  // An HTTP Host can be the address.
  ASSERT_TRUE(view::wanted_of(flow, false));
  flow.scopes = {"evil\"scope"};
  EXPECT_FALSE(view::wanted_of(flow, true)) << "not one for every scope";
}

TEST(RuleTextTest, ProtocolsThatNoRuleNamesBecomeTheTransportOrNoRule) {
  view::Flow flow;
  flow.address = "203.0.113.7";
  flow.port = 5004;
  flow.transport = "udp";
  flow.protocol = "rtp";
  ASSERT_TRUE(view::wanted_of(flow, false));
  EXPECT_EQ(view::wanted_of(flow, false)->protocol, "udp");
  flow.protocol = "http2";
  flow.transport = "tcp";
  EXPECT_EQ(view::wanted_of(flow, false)->protocol, "http");
  flow.protocol = "icmp";
  flow.transport = "icmp";
  EXPECT_FALSE(view::wanted_of(flow, false));
  flow.protocol = "gre";
  flow.transport = "other";
  EXPECT_FALSE(view::wanted_of(flow, false));
}

}  // namespace
}  // namespace sallyport::testing
