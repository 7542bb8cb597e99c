#include "policy_text.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>

#include "fold.h"
#include "sallyport/policy/rule_words.h"

namespace sallyport::learn {
namespace {

using Ports = std::set<std::uint16_t>;
constexpr std::size_t kPortsPerRule = 200;  // rules.ports takes 256 entries.
constexpr std::size_t kInlineTargets = 1;

struct Granted {
  Grant grant;
  const FoldedGrant* folded = nullptr;
};

// terms_shape returns the part of a shape that is not words and ports.
Shape terms_shape(const Grant& grant, const Terms& terms, const TextStyle& style) {
  Shape shape;
  shape.addresses = grant.target.is_address;
  shape.proxy = grant.proxy;
  shape.ice = grant.word == "stun" && terms.ice;
  // What an address allows needs no binding.
  shape.any_bind = terms.any_bind && !grant.target.is_address;
  if (grant.word == "icmp") {
    constexpr std::size_t kPayloadOfPing = 56;  // The default of icmp_payload.
    const auto is_echo = [](std::uint8_t type) { return type == 8 || type == 128; };
    if (!std::ranges::all_of(terms.icmp_types, is_echo)) shape.icmp_types = terms.icmp_types;
    if (terms.icmp_payload > kPayloadOfPing) shape.icmp_payload = terms.icmp_payload;
  }
  if (grant.word == "ssh" && style.pin_host_keys) shape.host_keys = terms.host_keys;
  return shape;
}

// Drafts puts grants into rules.
class Drafts {
 public:
  explicit Drafts(const TextStyle& style) : style_(style) {}

  // target takes all that one target may do.
  void target(const std::vector<Granted>& grants) {
    std::map<Shape, std::map<std::string_view, Ports>> by_terms;  // With the ports of each word.
    std::map<Shape, std::vector<const Granted*>> members;
    for (const Granted& one : grants) {
      Shape shape = terms_shape(one.grant, one.folded->terms, style_);
      // Words that do not go with others are rules of their own.
      const auto word = policy::rule_word(one.grant.word);
      if (!word.has_ports || shape.ice || !shape.host_keys.empty()) shape.words = {one.grant.word};
      if (word.word == "ip-proto") shape.ip_protocols = {one.grant.ip_protocol};
      by_terms[shape][one.grant.word].insert(one.grant.port);
      members[shape].push_back(&one);
    }
    for (const auto& [shape, words] : by_terms) split(shape, words, members[shape]);
  }

  std::vector<RuleDraft> take() {
    std::vector<RuleDraft> rules;
    for (auto& [shape, targets] : rules_) rules.push_back({shape, std::move(targets), {}});
    std::ranges::stable_partition(rules, [&](const RuleDraft& rule) { return rule.shape.addresses == style_.broad_first; });
    return rules;
  }

 private:
  // split makes rules whose protocols and ports are what was seen and no more: a rule has every port for every word.
  void split(const Shape& terms, const std::map<std::string_view, Ports>& words, const std::vector<const Granted*>& members) {
    std::vector<std::string_view> own;
    std::map<Ports, std::vector<std::string_view>> others;
    for (const auto& [word, seen] : words) {
      const policy::RuleWordInfo info = policy::rule_word(word);
      Ports rest = seen;
      const bool has_own = !info.ports.empty() && std::ranges::all_of(info.ports, [&](std::uint16_t port) { return seen.contains(port); });
      if (has_own || !info.has_ports) own.push_back(word);
      if (!info.has_ports) continue;
      if (has_own) {
        for (const std::uint16_t port : info.ports) rest.erase(port);
      }
      if (!rest.empty()) others[rest].push_back(word);
    }
    if (!own.empty()) add(terms, own, {}, members);
    for (const auto& [ports, its_words] : others) {
      auto at = ports.begin();
      while (at != ports.end()) {
        std::vector<std::uint16_t> some;
        for (; at != ports.end() && some.size() < kPortsPerRule; ++at) some.push_back(*at);
        add(terms, its_words, some, members);
      }
    }
  }

  void add(Shape shape, std::vector<std::string_view> words, std::vector<std::uint16_t> ports,
           const std::vector<const Granted*>& members) {
    // The usual order, tls before quic before http, is that of the default.
    const auto rank = [](std::string_view word) { return word == "tls" ? 0 : word == "quic" ? 1 : word == "http" ? 2 : 3; };
    std::ranges::stable_sort(words, {}, rank);
    shape.words = words;
    shape.ports = ports;
    for (const Granted* one : members) {
      if (std::ranges::find(words, one->grant.word) == words.end()) continue;
      const auto own = policy::rule_word(one->grant.word).ports;
      const bool has = ports.empty() ? own.empty() || std::ranges::find(own, one->grant.port) != own.end()
                                     : std::ranges::find(ports, one->grant.port) != ports.end();
      if (!has) continue;
      auto& sources = rules_[shape][one->grant.target];
      sources.insert(sources.end(), one->folded->sources.begin(), one->folded->sources.end());
    }
  }

  const TextStyle& style_;
  std::map<Shape, std::map<Target, std::vector<Grant>>> rules_;
};

std::string in_quotes(std::string_view text) { return '"' + std::string(text) + '"'; }  // Words, names and addresses alone.

template <typename List, typename Text>
std::string list_text(const List& list, Text&& text) {
  std::string out = "[";
  for (const auto& one : list) out += (out.size() == 1 ? "" : ", ") + text(one);
  return out + ']';
}

// ports_text writes three and more in a row as a range.
std::string ports_text(const std::vector<std::uint16_t>& ports) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < ports.size();) {
    std::size_t end = i + 1;
    while (end < ports.size() && ports[end] == ports[end - 1] + 1) ++end;
    if (end - i >= 3) {
      parts.push_back(in_quotes(std::to_string(ports[i]) + '-' + std::to_string(ports[end - 1])));
    } else {
      for (std::size_t each = i; each < end; ++each) parts.push_back(std::to_string(ports[each]));
    }
    i = end;
  }
  return list_text(parts, [](const std::string& part) { return part; });
}

std::string when_text(const Terms& terms) {
  const std::string first = time_text(terms.first);
  const std::string last = time_text(terms.last);
  return first == last ? first : first + " to " + (first.substr(0, 11) == last.substr(0, 11) ? last.substr(11) : last);
}

std::string owners_text(const Terms& terms) {
  std::string text;
  for (const std::string& owner : terms.owners) text += (text.empty() ? " by " : ", ") + comment_text(owner);
  return text + (terms.more_owners ? " and others" : "");
}

std::string note_text(const Terms& terms) {
  if (terms.flows == 0) return "for what is looked up or connected besides";
  return flows_text(terms.flows) + owners_text(terms) + ", " + when_text(terms);
}

Terms terms_of(const RuleBook& book, const std::vector<Grant>& grants) {
  Terms all;
  for (const Grant& grant : grants) {
    if (const Terms* terms = book.find(grant)) all.add(*terms);
  }
  return all;
}

// remark tells why a rule is what it is.
std::string remark(const Shape& shape, const Terms& terms) {
  std::string text;
  const bool any_bytes = std::ranges::any_of(shape.words, [](std::string_view word) { return word == "tcp" || word == "udp"; });
  if (shape.proxy) text += "# Proxies: what they are asked for is allowed by the other rules.\n";
  if (shape.ice) text += "# With ice = \"allow\" the client's socket may talk to peers that answer it.\n";
  if (shape.addresses && !shape.proxy) text += "# By address: no name is known for these flows.\n";
  if (any_bytes) {
    text += "# Whatever the bytes are. Seen:";
    for (const std::string_view seen : terms.seen) text += ' ' + std::string(seen == "unknown" ? "no known protocol" : seen) + ',';
    if (text.back() == ',') text.back() = '.';
    text += '\n';
  }
  if (shape.any_bind) {
    text += "# No answer that was seen gave these names the addresses that were connected to, so they are taken as claimed:\n"
            "# a forged name passes. The live service looks names up itself; try without this line there.\n";
  }
  return text;
}

std::string rule_text(const RuleDraft& rule, const RuleBook& book, const TextStyle& style) {
  const Shape& shape = rule.shape;
  Terms all;
  for (const auto& [target, grants] : rule.targets) all.add(terms_of(book, grants));
  std::string text = "[[rules]]\n";
  if (style.comments) {
    text += "# " + note_text(all) + ".\n" + remark(shape, all);
    if (shape.host_keys.empty() && !all.host_keys.empty() && std::ranges::find(shape.words, "ssh") != shape.words.end()) {
      text += "# Host keys seen (--pin-host-keys writes them):\n";
      for (const std::string& key : all.host_keys) text += "# host_keys = [\"SHA256:" + comment_text(key) + "\"]\n";
    }
  }
  if (!style.comments || rule.targets.size() <= kInlineTargets) {
    text += "to = " + list_text(rule.targets, [](const auto& one) { return in_quotes(one.first.text()); }) + '\n';
  } else {
    text += "to = [\n";
    for (const auto& [target, grants] : rule.targets)
      text += "  " + in_quotes(target.text()) + ",  # " + note_text(terms_of(book, grants)) + '\n';
    text += "]\n";
  }
  const std::vector<std::string_view> usual = {"tls", "quic", "http"};
  if (shape.words != usual) text += "protocols = " + list_text(shape.words, in_quotes) + '\n';
  if (!shape.ports.empty()) text += "ports = " + ports_text(shape.ports) + '\n';
  const auto number = [](auto value) { return std::to_string(static_cast<unsigned>(value)); };
  if (!shape.icmp_types.empty()) text += "icmp_types = " + list_text(shape.icmp_types, number) + '\n';
  if (shape.icmp_payload != 0) text += "icmp_payload = " + std::to_string(shape.icmp_payload) + '\n';
  if (!shape.ip_protocols.empty()) text += "ip_protos = " + list_text(shape.ip_protocols, number) + '\n';
  if (!shape.host_keys.empty())
    text += "host_keys = " + list_text(shape.host_keys, [](const std::string& key) { return in_quotes("SHA256:" + key); }) + '\n';
  if (shape.proxy) text += "proxy = true\n";
  if (shape.ice) text += "ice = \"allow\"\n";
  if (shape.any_bind) text += "bind = \"any\"\n";
  else if (style.any_by_default && !shape.addresses) text += "bind = \"strict\"\n";
  if (!style.scope.empty()) text += "scope = " + in_quotes(style.scope) + '\n';
  return text;
}

}  // namespace

std::string comment_text(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::size_t kLongest = 300;
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (out.size() > kLongest) return out + "...";
    if (byte >= 0x20 && byte < 0x7f) out += c;
    else out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 0xf]};
  }
  return out;
}

std::string flows_text(std::uint64_t flows) { return std::to_string(flows) + (flows == 1 ? " flow" : " flows"); }

std::string time_text(Timestamp time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(seconds - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()));
  return text;
}

std::vector<RuleDraft> draft_rules(const RuleBook& book, const TextStyle& style) {
  const FoldedGrants folded = fold(book, style.fold);
  Drafts drafts(style);
  for (auto at = folded.begin(); at != folded.end();) {
    std::vector<Granted> of_target;
    const Target target = at->first.target;
    for (; at != folded.end() && at->first.target == target; ++at) of_target.push_back({at->first, &at->second});
    drafts.target(of_target);
  }
  std::vector<RuleDraft> rules = drafts.take();
  for (RuleDraft& rule : rules) rule.text = rule_text(rule, book, style);
  return rules;
}

std::string draft_settings(const RuleBook& book, bool comments) {
  if (book.resolvers().empty() && book.private_names.empty() && book.rebinding_except.empty()) return {};
  std::string text = "[dns]\n";
  if (!book.resolvers().empty()) {
    if (comments) text += "# The servers that were asked. \"system\" stands for those of this host's own configuration.\n";
    text += "resolvers = " + list_text(book.resolvers(), [](const IpAddress& one) { return in_quotes(one.to_string()); }) + '\n';
  }
  if (!book.private_names.empty()) {
    if (comments) text += "# Answers gave these names addresses that are not public, and they were connected to.\n";
    text += "private = " + list_text(book.private_names, in_quotes) + '\n';
  }
  if (!book.rebinding_except.empty()) {
    if (comments) text += "# Likewise, and nothing was connected to: is that meant, or DNS rebinding?\n";
    text += "rebinding_except = " + list_text(book.rebinding_except, in_quotes) + '\n';
  }
  return text;
}

}  // namespace sallyport::learn
