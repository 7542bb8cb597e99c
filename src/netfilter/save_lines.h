// The lines of iptables-save, for those who look for what is ours in them.
#pragma once

#include <string_view>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

// next_line cuts the first line off `text`.
inline std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

inline std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find(' '));
}

// enters_ours tells whether a rule's target is one of our chains. Our jumps end with the target, so a
// comment that only mentions one (it would end with a quote) does not count.
inline bool enters_ours(std::string_view rule) {
  const std::size_t space = rule.rfind(' ');
  if (space == std::string_view::npos || !rule.substr(space + 1).starts_with(kChainPrefix)) return false;
  if (rule.ends_with('"')) return false;
  const std::string_view before = rule.substr(0, space);
  return before.ends_with(" -j") || before.ends_with(" -g");
}

}  // namespace sallyport::netfilter
