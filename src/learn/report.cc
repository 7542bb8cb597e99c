#include <nlohmann/json.hpp>

#include "policy_text.h"
#include "sallyport/learn/learner.h"

namespace sallyport::learn {
namespace {

std::string from_text(const LearnOptions& options) {
  constexpr std::size_t kNamed = 3;
  std::string text;
  std::size_t named = 0;
  for (const auto& file : options.captures) {
    if (named++ == kNamed) break;
    text += (text.empty() ? "" : ", ") + comment_text(file.filename().string());
  }
  if (options.captures.size() > kNamed) text += " and " + std::to_string(options.captures.size() - kNamed) + " more captures";
  if (!options.events.empty() || text.empty()) text += std::string(text.empty() ? "" : ", ") + "events";
  return text;
}

std::string checked_text(const Learned& learned, const LearnOptions& options) {
  if (options.captures.empty()) return "# Events cannot be replayed: try it with --observe first.\n";
  if (!learned.verified) return "# NOT CHECKED by a replay.\n";
  std::string text = learned.not_learned.empty() ? "# Replayed under it, the captures are denied nothing"
                                                 : "# Replayed under it, the captures are denied nothing but what stands at the end";
  text += learned.minimal ? "; without any one of its rules, something is.\n" : ".\n";
  return text;
}

std::string end_text(const Learned& learned) {
  std::string text;
  if (!learned.not_learned.empty()) {
    text += "\n# Not learned: no rule that would be safe to write allows these.\n";
    for (const NotLearned& one : learned.not_learned)
      text += "#   " + flows_text(one.flows) + ": " + one.text + (one.first.empty() ? "" : "; first in " + one.first) + '\n';
  }
  if (!learned.unused.empty()) {
    text += "\n# Rules of the running policy that decided nothing here:\n";
    for (const std::string& rule : learned.unused) text += "#   " + rule + '\n';
  }
  return text;
}

}  // namespace

std::string learned_text(const Learned& learned, const LearnOptions& options) {
  std::string text = "# Learned from " + from_text(options) + ": " + flows_text(learned.flows) + ".\n";
  if (options.running && learned.policy.empty()) return text + "# Nothing is missing.\n" + end_text(learned);
  if (options.running) text += "# Add these rules to " + comment_text(options.running->string()) + ":\n";
  else text += "# It allows what was seen and nothing else, whatever that was: read it before you enforce it.\n";
  if (learned.skipped != 0) text += "# " + flows_text(learned.skipped) + " that an enforcing service denied left out (--denied takes them in).\n";
  text += checked_text(learned, options);
  return text + (options.running ? "\n" : "") + learned.policy + end_text(learned);
}

std::string learned_json(const Learned& learned) {
  nlohmann::ordered_json object;
  object["flows"] = learned.flows;
  object["policy"] = learned.policy;
  object["head"] = learned.head;
  object["rules"] = learned.rules;
  object["verified"] = learned.verified;
  object["minimal"] = learned.minimal;
  auto not_learned = nlohmann::ordered_json::array();
  for (const NotLearned& one : learned.not_learned)
    not_learned.push_back({{"flows", one.flows}, {"why", one.text}, {"first", one.first}});
  object["not_learned"] = std::move(not_learned);
  object["unused"] = learned.unused;
  object["skipped"] = learned.skipped;
  object["unreadable"] = learned.unreadable;
  return object.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace sallyport::learn
