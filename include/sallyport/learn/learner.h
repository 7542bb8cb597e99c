// Learner turns what was seen into the smallest policy that allows it: captures by replaying them under what was learned so far
// until nothing is denied that a rule could allow, events by what they say. The replay is the judge: whatever the
// inspector says of the captures under the final policy was seen to be said.
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sallyport/learn/sighting.h"
#include "sallyport/policy/policy_file.h"
#include "sallyport/replay/replay.h"

namespace sallyport::learn {

inline constexpr unsigned kRoundsMax = 40;
inline constexpr std::size_t kNotLearnedMax = 200;  // Lines of each kind; further ones are counted.

struct LearnOptions {
  std::vector<std::filesystem::path> captures;
  std::vector<Sighting> events;
  std::optional<std::filesystem::path> running;  // --diff: this policy's rules stand, and only what it lacks is learned.
  std::string scope;
  std::size_t fold = 0;  // docs/learn.md; 0: exact names alone.
  bool pin_host_keys = false;
  bool verify = true;    // Replay under the result until nothing is denied.
  bool denied = false;   // Learn what an enforcing service denied as well.
  unsigned jobs = 0;
  // Rules are dropped one by one, each time with a replay, if that reads no more octets than this.
  std::uint64_t drop_one_octets = 64u << 20;
  // Told now and then from the calling thread, as replay_all does; `step` says what is being done.
  std::function<void(std::string_view step, std::uint64_t done, std::uint64_t total)> on_progress;
};

// NotLearned is what no rule allows.
struct NotLearned {
  std::uint64_t flows = 0;
  std::string text;  // "tcp 192.0.2.1:443 tls: malformed: the message breaks its standard"; printable.
  std::string first;  // Where: "day.pcap, flow 3".
};


struct Learned {
  std::string policy;  // TOML; under --diff the missing rules alone. Empty there: nothing is missing.
  std::vector<std::string> rules;   // Its rules, as they stand in it.
  std::string head;                 // What stands before them.
  std::vector<NotLearned> not_learned;
  std::vector<std::string> unused;  // --diff: "FILE:LINE" of rules that decided nothing.
  std::vector<std::string> unreadable;  // Captures that could not be read to their end, and why.
  std::uint64_t flows = 0;
  std::uint64_t skipped = 0;        // Events of an enforcing service's denials.
  bool verified = false;            // Under the policy the captures' flows are denied only if not_learned says so.
  bool minimal = false;             // And without any one of its rules, more of them.
};

// learn gives problems only for the running policy, or for a scope that it lacks.
std::expected<Learned, std::vector<policy::Problem>> learn(const LearnOptions& options);

// learned_text returns the whole answer as TOML: what it is from, the policy or the missing rules, and as comments what could not be
// learned and what was unused.
std::string learned_text(const Learned& learned, const LearnOptions& options);
// learned_json returns the same as one JSON object (docs/learn.md) and a line feed.
std::string learned_json(const Learned& learned);

}  // namespace sallyport::learn
