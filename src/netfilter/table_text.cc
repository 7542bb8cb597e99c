#include "table_text.h"

#include <algorithm>
#include <cstdio>
#include <span>
#include <string_view>

namespace sallyport::netfilter {
namespace {

void append_line(std::string& text, std::string_view a, std::string_view b = {}, std::string_view c = {}) {
  text.append(a).append(b).append(c).push_back('\n');
}

}  // namespace

std::string hex(std::uint32_t value) {
  char text[11];
  std::snprintf(text, sizeof text, "0x%x", value);
  return text;
}

std::string forget_former(const MarkField& mark, Generation generation) {
  return std::string(kSyn) + " -m connmark --mark " + hex(mark.encode(FlowMark::kAllow, generation)) + '/' + hex(mark.mask()) +
         " -j CONNMARK --set-xmark 0x0/" + hex(mark.mask());
}

std::string render(const TableText& t, const TableState& present) {
  std::string text;
  append_line(text, "*", t.table);
  for (const std::string& jump : present.jumps) append_line(text, "-D ", jump);
  const bool record = present.created.table || !present.created.base_chains.empty();
  for (const std::string& chain : t.chains) append_line(text, ":", chain, " - [0:0]");
  if (record) append_line(text, ":", kCreatedChain, " - [0:0]");
  std::vector<std::string_view> stale;
  for (const std::string& chain : present.chains) {
    if (chain == kCreatedChain && record) continue;
    if (std::ranges::find(t.chains, chain) == t.chains.end()) stale.push_back(chain);
  }
  for (const std::string_view chain : stale) append_line(text, "-F ", chain);
  for (const std::string_view chain : stale) append_line(text, "-X ", chain);
  for (const std::string& rule : t.rules) append_line(text, "-A ", rule);
  if (present.created.table) append_line(text, "-A ", kCreatedChain, " -m comment --comment table");
  for (const std::string& base : present.created.base_chains) {
    append_line(text, "-A ", std::string(kCreatedChain) + " -m comment --comment chain:", base);
  }
  for (const std::string& jump : t.jumps) {
    const std::size_t space = jump.find(' ');
    append_line(text, "-I ", jump.substr(0, space) + " 1", std::string_view(jump).substr(space));
  }
  append_line(text, "COMMIT");
  return text;
}

std::string removal_text(std::span<const TableState> present) {
  std::string text;
  for (const TableState& state : present) {
    if (state.empty()) continue;
    append_line(text, "*", state.table);
    for (const std::string& jump : state.jumps) append_line(text, "-D ", jump);
    std::vector<std::string> chains = state.chains;
    // The record goes with what it is of (remove_created): whoever takes over from a process that is killed between reads it.
    if (!state.created.empty()) std::erase(chains, kCreatedChain);
    for (const std::string& chain : chains) append_line(text, "-F ", chain);
    for (const std::string& chain : chains) append_line(text, "-X ", chain);
    append_line(text, "COMMIT");
  }
  return text;
}

}  // namespace sallyport::netfilter
