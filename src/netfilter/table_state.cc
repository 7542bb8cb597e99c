// Reads what is ours from the output of iptables-save.
#include <algorithm>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {
namespace {

// next_line cuts the first line off `text`.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find(' '));
}

// enters_ours tells whether a rule's target is one of our chains. Our jumps end with the target, so a
// comment that only mentions one (it would end with a quote) does not count.
bool enters_ours(std::string_view rule) {
  const std::size_t space = rule.rfind(' ');
  if (space == std::string_view::npos || !rule.substr(space + 1).starts_with(kChainPrefix)) return false;
  if (rule.ends_with('"')) return false;
  const std::string_view before = rule.substr(0, space);
  return before.ends_with(" -j") || before.ends_with(" -g");
}

void read_created(std::string_view rule, Created& created) {
  std::string_view note = rule.substr(rule.rfind(' ') + 1);
  if (note.size() > 2 && note.front() == '"' && note.back() == '"') note = note.substr(1, note.size() - 2);
  constexpr std::string_view kChain = "chain:";
  if (note == "table") created.table = true;
  if (note.starts_with(kChain)) created.base_chains.emplace_back(note.substr(kChain.size()));
}

}  // namespace

std::vector<TableState> read_table_states(std::string_view save_output) {
  std::vector<TableState> states;
  TableState current;
  while (!save_output.empty()) {
    const std::string_view line = next_line(save_output);
    if (line.starts_with('*')) {
      current = {};
      current.table = line.substr(1);
    } else if (line.starts_with(':')) {
      const std::string_view chain = first_word(line.substr(1));
      if (chain.starts_with(kChainPrefix)) current.chains.emplace_back(chain);
    } else if (line.starts_with("-A ")) {
      const std::string_view rule = line.substr(3);
      const std::string_view chain = first_word(rule);
      if (chain == kCreatedChain) {
        read_created(rule, current.created);
      } else if (!chain.starts_with(kChainPrefix) && enters_ours(rule)) {
        current.jumps.emplace_back(rule);
      }
    } else if (line == "COMMIT" && !current.empty()) {
      states.push_back(current);
    }
  }
  return states;
}

bool has_rules(std::string_view save_output) {
  while (!save_output.empty()) {
    const std::string_view line = next_line(save_output);
    if (line.starts_with("-A ")) return true;
    if (!line.starts_with(':')) continue;
    const std::string_view rest = line.substr(first_word(line).size());
    if (!rest.starts_with(" ACCEPT ")) return true;  // A chain of its own, or a policy that drops.
  }
  return false;
}

}  // namespace sallyport::netfilter
