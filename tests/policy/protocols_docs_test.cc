// docs/protocols.md has a row for each protocol that is told apart and each word of rules, with the word's own ports.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "rule.h"
#include "sallyport/core/protocol.h"

namespace sallyport::policy {
namespace {

struct Row {
  std::string word;  // As in the second cell, without backticks; "-": none.
  std::string over;
};

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line.substr(1));
  for (std::string cell; std::getline(in, cell, '|');) {
    const std::size_t begin = cell.find_first_not_of(" `"), end = cell.find_last_not_of(" `");
    cells.push_back(begin == std::string::npos ? "" : cell.substr(begin, end - begin + 1));
  }
  return cells;
}

// rows returns the rows by the protocol of their first cell. Two rows for one protocol are an error.
std::map<std::string, Row> rows() {
  std::map<std::string, Row> rows;
  std::ifstream file(SALLYPORT_SOURCE_DIR "/docs/protocols.md");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    const std::vector<std::string> cells = cells_of(line);
    EXPECT_EQ(cells.size(), 6U) << line;
    if (cells.size() < 6) continue;
    for (const std::string& cell : cells) EXPECT_FALSE(cell.empty()) << line;
    EXPECT_TRUE(rows.emplace(cells[0], Row{cells[1], cells[2]}).second) << "twice: " << cells[0];
  }
  return rows;
}

// numbers_of returns the numbers of a cell: "TCP 25, 587" has two.
std::vector<unsigned> numbers_of(const std::string& cell) {
  std::vector<unsigned> numbers;
  for (std::size_t at = 0; at < cell.size();) {
    const bool within_word = at > 0 && cell[at - 1] != ' ';
    if (cell[at] < '0' || cell[at] > '9' || within_word) {
      ++at;
      continue;
    }
    unsigned number = 0;
    for (; at < cell.size() && cell[at] >= '0' && cell[at] <= '9'; ++at) number = number * 10 + static_cast<unsigned>(cell[at] - '0');
    numbers.push_back(number);
  }
  return numbers;
}

std::vector<unsigned> numbers_of(const RuleWord& word) {
  std::vector<unsigned> numbers;
  for (const std::uint16_t port : word.ports) {
    if (port != 0) numbers.push_back(port);
  }
  constexpr unsigned kNoNumber = 255, kIcmpv6 = 58;  // ip-proto has those of its rule.
  if (word.ip_protocol != 0 && word.ip_protocol != kNoNumber) numbers.push_back(word.ip_protocol);
  if (word.protocol == Protocol::kIcmp) numbers.push_back(kIcmpv6);
  return numbers;
}

TEST(ProtocolsDocsTest, EachProtocolHasARow) {
  const auto known = rows();
  for (const std::string_view name : kProtocolNames) EXPECT_TRUE(known.contains(std::string(name))) << name;
}

TEST(ProtocolsDocsTest, EachWordHasARowWithItsTransportsAndPorts) {
  const auto known = rows();
  for (const RuleWord& word : kRuleWords) {
    const std::string name(word.protocol == Protocol::kUnknown ? word.word : to_string(word.protocol));
    const auto found = known.find(name);
    ASSERT_NE(found, known.end()) << name;
    EXPECT_EQ(found->second.word, word.word);
    EXPECT_EQ(numbers_of(found->second.over), numbers_of(word)) << found->second.over;
    EXPECT_EQ(found->second.over.find("TCP") != std::string::npos, word.on_tcp) << name;
    EXPECT_EQ(found->second.over.find("UDP") != std::string::npos, word.on_udp) << name;
  }
}

TEST(ProtocolsDocsTest, NoRowIsOfAnythingElse) {
  for (const auto& [name, row] : rows()) {
    const bool is_word = std::ranges::find(kRuleProtocolNames, std::string_view(name)) != kRuleProtocolNames.end();
    EXPECT_TRUE(is_word || protocol_from_string(name)) << name;
    const bool has_word = std::ranges::find(kRuleProtocolNames, std::string_view(row.word)) != kRuleProtocolNames.end();
    EXPECT_TRUE(row.word == "-" || has_word) << row.word;
  }
}

}  // namespace
}  // namespace sallyport::policy
