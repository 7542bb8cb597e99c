// The book as a policy: rules with the same protocols, ports and terms are one, and every line says what it is for.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/learn/rule_book.h"

namespace sallyport::learn {

struct TextStyle {
  std::string scope;            // Every rule's; empty: none.
  std::size_t fold = 0;         // Names that must share their parent to become a wildcard; 0: never.
  bool pin_host_keys = false;
  bool broad_first = false;     // Address rules before those for names: so a verdict names what is not covered otherwise.
  bool comments = true;
  bool any_by_default = false;  // The policy that the rules are for takes names as claimed: strict rules say so.
};

// Shape is what a rule says beside its targets.
struct Shape {
  bool addresses = false;
  bool any_bind = false;
  bool proxy = false;
  bool ice = false;
  std::vector<std::string_view> words;
  std::vector<std::uint16_t> ports;  // Empty: each word's own, or none.
  std::set<std::uint8_t> icmp_types;
  std::size_t icmp_payload = 0;
  std::set<std::uint8_t> ip_protocols;
  std::set<std::string> host_keys;
  friend auto operator<=>(const Shape&, const Shape&) = default;
};

struct RuleDraft {
  Shape shape;
  std::map<Target, std::vector<Grant>> targets;  // With the grants of the book that each stands for.
  std::string text;                              // "[[rules]]" and what follows it, with its comments.
};

std::vector<RuleDraft> draft_rules(const RuleBook& book, const TextStyle& style);
// draft_settings returns [dns], or nothing where its defaults do.
std::string draft_settings(const RuleBook& book, bool comments);

// comment_text returns hostile text for a comment or a message: printable ASCII on one line.
std::string comment_text(std::string_view text);
std::string flows_text(std::uint64_t flows);  // "1 flow", "2 flows"
// time_text returns "2026-01-31 12:00:00Z".
std::string time_text(Timestamp time);

}  // namespace sallyport::learn
