// Reads what is ours from the output of iptables-save.
#include "sallyport/netfilter/rule_text.h"
#include "save_lines.h"

namespace sallyport::netfilter {
namespace {

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
