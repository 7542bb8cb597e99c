// docs/policy.md and the loader know the same keys and presets, and the page's example loads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "policy_support.h"
#include "sallyport/policy/policy_keys.h"

namespace sallyport::policy {
namespace {

std::string page() {
  std::ifstream file(SALLYPORT_SOURCE_DIR "/docs/policy.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string path_of(const PolicyKey& key) {
  return key.table.empty() ? std::string(key.key) : std::string(key.table) + "." + std::string(key.key);
}

// rows returns the lines of the page that begin with "| `" and have five cells: those of the key tables.
std::vector<std::string> key_rows() {
  std::vector<std::string> rows;
  std::istringstream lines(page());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| `") && std::count(line.begin(), line.end(), '|') == 6) rows.push_back(line);
  }
  return rows;
}

TEST(PolicyDocsTest, EachKeyHasItsRow) {
  const std::vector<std::string> rows = key_rows();
  std::size_t supported = 0;
  for (const PolicyKey& key : policy_keys()) {
    if (key.stage != KeyStage::kSupported) continue;
    ++supported;
    const std::string row =
        "| `" + path_of(key) + "` | " + std::string(key.type) + " | " + std::string(key.default_value) + " |";
    EXPECT_EQ(std::count_if(rows.begin(), rows.end(),
                            [&](const std::string& line) { return line.starts_with(row); }),
              1)
        << row;
  }
  EXPECT_EQ(rows.size(), supported) << "a row for a key that the loader does not know";
}

TEST(PolicyDocsTest, KeysOfLaterStagesAreListed) {
  const std::string text = page();
  const std::size_t begin = text.find("### Keys of later stages");
  const std::size_t end = text.find("\n## ", begin);
  ASSERT_NE(end, std::string::npos);
  std::set<std::string> listed;
  for (std::size_t at = text.find('`', begin); at < end; at = text.find('`', at)) {
    const std::size_t close = text.find('`', at + 1);
    listed.insert(text.substr(at + 1, close - at - 1));
    at = close + 1;
  }
  std::set<std::string> known;
  for (const PolicyKey& key : policy_keys()) {
    if (key.stage == KeyStage::kLater) known.insert(path_of(key));
  }
  EXPECT_EQ(listed, known);
}

TEST(PolicyDocsTest, PresetsAreListed) {
  const std::string text = page();
  std::size_t rows = 0;
  for (std::size_t at = text.find("| `preset:"); at != std::string::npos;
       at = text.find("| `preset:", at + 1))
    ++rows;
  EXPECT_EQ(rows, presets().size());
  for (const Preset& preset : presets())
    EXPECT_THAT(text, testing::HasSubstr("| `preset:" + std::string(preset.name) + "` |"));
}

TEST(PolicyDocsTest, ExamplesLoad) {
  const std::string text = page();
  std::size_t examples = 0;
  for (std::size_t at = text.find("```toml\n"); at != std::string::npos;
       at = text.find("```toml\n", at + 1)) {
    const std::size_t begin = at + 8;
    EXPECT_THAT(problems(text.substr(begin, text.find("```", begin) - begin)), testing::IsEmpty());
    ++examples;
  }
  EXPECT_GE(examples, 1u);
}

TEST(PolicyKeysTest, EveryLaterKeyIsRefused) {
  for (const PolicyKey& key : policy_keys()) {
    if (key.stage != KeyStage::kLater) continue;
    std::string text = "version = 1\n";
    if (key.table == "rules") text += "[[rules]]\nto = \"a.example\"\n";
    if (key.table == "scopes.NAME") text += "[scopes.a]\nusers = 0\n";
    text += std::string(key.key) + " = []\n";
    EXPECT_THAT(problems(text),
                testing::ElementsAre(testing::HasSubstr(std::string(key.key) + ": not supported yet")));
  }
}

}  // namespace
}  // namespace sallyport::policy
