#include "sallyport/learn/learner.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <system_error>

#include "attribution.h"
#include "event_judge.h"
#include "ladder.h"
#include "policy_text.h"

namespace sallyport::learn {
namespace {

using Problems = std::vector<policy::Problem>;
using PolicyPtr = std::shared_ptr<const policy::Policy>;
constexpr std::size_t kClientsMax = 4'096;  // scopes.NAME.sources takes no more.
constexpr std::size_t kDenialsMax = 2'000'000;
constexpr std::size_t kObservedMax = 100'000;

// Everything is seen and nothing stopped.
constexpr std::string_view kObserving = R"(version = 1
defaults = { action = "allow", mode = "observe" }
dns = { names = "any", ech = "allow", rebinding = "allow", private = "any" }
)";

// RowId tells a row in a replay of the same captures.
using RowId = std::pair<std::size_t, std::pair<std::uint64_t, bool>>;

// Impossible is what no rule allows, and why. The texts are the learner's.
using Impossible = std::map<RowId, const std::string*>;

// Denials is what one replay denied.
struct Denials {
  std::map<int, std::vector<Step>> steps;  // By turn, those that are not in the book yet.
  Impossible impossible;
};

// Observed is what a flow was when nothing stopped it: of one that is denied early nothing more is read.
struct Observed {
  Endpoint server;
  Protocol protocol = Protocol::kUnknown;
  std::vector<DomainName> bound;
};

std::string endpoint_text(const Sighting& sighting) {
  const auto& server = sighting.key.server;
  std::string text(to_string(sighting.key.transport));
  if (sighting.key.transport == Transport::kOther) text = "ip-proto " + std::to_string(sighting.key.ip_protocol);
  text += ' ' + (server.address.is_v6() ? '[' + server.address.to_string() + ']' : server.address.to_string());
  if (sighting.key.transport == Transport::kTcp || sighting.key.transport == Transport::kUdp) text += ':' + std::to_string(server.port);
  return text;
}

std::string why_not(const Sighting& sighting) {
  std::string text = endpoint_text(sighting) + ' ' + std::string(to_string(sighting.protocol));
  if (!sighting.name.empty()) text += ' ' + comment_text(sighting.name);
  const ReasonInfo& reason = kReasonInfo[static_cast<std::size_t>(sighting.reason)];
  text += ": " + std::string(reason.word) + " (" + std::string(reason.text) + ')';
  // A rule does not help here, and the settings of a policy that is there already are not learned.
  if (sighting.reason == Reason::kRebinding) text += "; if the name is one of your own, put it into private of [dns]";
  return text;
}

class Learner {
 public:
  explicit Learner(const LearnOptions& options) : options_(options) {
    style_.fold = options.fold;
    style_.pin_host_keys = options.pin_host_keys;
    facts_.settings = !options.running;
    for (const auto& file : options.captures) {
      std::error_code error;
      const auto size = std::filesystem::file_size(file, error);
      if (!error) octets_ += size;
    }
  }

  std::expected<Learned, Problems> run() {
    if (options_.running) {
      auto loaded = policy::load_policy_file(*options_.running);
      if (!loaded) return std::unexpected(loaded.error());
      running_ = *loaded;
      const auto& scopes = running_->scope_names();
      if (!options_.scope.empty() && std::ranges::find(scopes, options_.scope) == scopes.end())
        return std::unexpected(Problems{{options_.running->string(), 0, 0, "there is no scope " + options_.scope + " to learn for"}});
      style_.any_by_default = running_->defaults().bind == policy::Bind::kAny;
    }
    if (!observe()) return std::unexpected(problems_);
    take_events();
    // A scope of nobody is none.
    if (running_ || !clients_.empty() || !users_.empty()) style_.scope = options_.scope;
    const bool replays = options_.verify && !options_.captures.empty();
    const bool done = replays ? (refine() && prune() && refine() && settle_peers() && drop_one() && take_questions() && count()) : take_questions();
    if (!done) return std::unexpected(problems_);
    return result();
  }

 private:
  // head returns what stands before the rules.
  std::string head(bool comments) const {
    if (running_) return {};
    std::string text = "version = 1\n";
    if (const std::string settings = draft_settings(book_, comments); !settings.empty()) text += '\n' + settings;
    if (options_.scope.empty() || (clients_.empty() && users_.empty())) return text;
    text += "\n[scopes." + options_.scope + "]\n";
    const auto add = [&](const std::string& value) { text += (text.back() == '[' ? "" : ", ") + value; };
    if (!clients_.empty()) {
      text += "sources = [";
      for (const std::string& client : clients_) add('"' + client + '"');
      text += "]\n";
    }
    if (!users_.empty()) {
      text += "users = [";
      for (const std::uint32_t user : users_) add(std::to_string(user));
      text += "]\n";
    }
    return text;
  }

  std::string text_of(const std::vector<RuleDraft>& rules, std::size_t without = SIZE_MAX) const {
    std::string text = running_ ? "version = 1\n" : head(false);
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (i != without) text += '\n' + rules[i].text;
    }
    return text;
  }

  std::vector<RuleDraft> rules(bool broad_first = false, bool comments = false) const {
    TextStyle style = style_;
    style.broad_first = broad_first;
    style.comments = comments;
    return draft_rules(book_, style);
  }

  // compile loads a learned text, behind the running policy's rules if there is one. Null: problems_ has why.
  PolicyPtr compile(const std::string& text) {
    auto loaded = running_ ? policy::load_policy_file_with(*options_.running, text, "learned") : policy::load_policy_text(text, "learned");
    if (loaded) return *loaded;
    problems_ = loaded.error();
    return nullptr;
  }
  RuleId first_rule() const { return running_ ? static_cast<RuleId>(running_->rules().size()) : RuleId{0}; }

  template <typename OnSighting>
  void replay(const PolicyPtr& policy, std::string_view step, OnSighting&& on_sighting) {
    replay::ReplayOptions options;
    options.policy = policy;
    options.jobs = options_.jobs;
    std::size_t file = 0;
    std::set<std::pair<Transport, Endpoint>> sockets;
    unreadable_.clear();
    replay::replay_all(
        options_.captures, options,
        [&](replay::CaptureResult&& result) {
          const std::string name = result.file.filename().string();
          if (result.error) unreadable_.push_back(result.file.string() + ": " + *result.error);
          sockets.clear();
          for (const replay::FlowRow& row : result.flows) {
            const RowId id{file, {row.flow, row.turned}};
            Sighting sighting = sighting_of(row, name);
            if (row.key.transport == Transport::kUdp) sighting.first_of_socket = sockets.emplace(row.key.transport, row.key.client).second;
            recall(sighting, id);
            on_sighting(sighting, id);
          }
          ++file;
        },
        [&](std::uint64_t done, std::uint64_t total) {
          if (options_.on_progress) options_.on_progress(step, done, total);
        });
  }

  void remember(const Sighting& sighting, const RowId& id) {
    if (observed_.size() < kObservedMax) observed_[id] = {sighting.key.server, sighting.protocol, sighting.bound};
  }
  void recall(Sighting& sighting, const RowId& id) const {
    const auto found = observed_.find(id);
    if (found == observed_.end() || found->second.server != sighting.key.server) return;
    if (sighting.protocol == Protocol::kUnknown) sighting.protocol = found->second.protocol;
    if (sighting.bound.empty()) sighting.bound = found->second.bound;
  }

  void take_client(const Sighting& sighting) {
    if (clients_.size() < kClientsMax) clients_.insert(sighting.key.client.address.to_string());
  }

  void take_all(const std::vector<Step>& steps) {
    for (const Step& step : steps) take(book_, step);
  }

  // observe reads the captures under a policy that stops nothing, and takes what each flow asks for by itself.
  bool observe() {
    if (options_.captures.empty()) return true;
    const auto observing = policy::load_policy_text(kObserving, "observing");
    if (!observing) {
      problems_ = observing.error();
      return false;
    }
    replay(*observing, "reading", [&](const Sighting& sighting, const RowId& id) {
      take_client(sighting);
      flows_ += sighting.count;
      facts_.take(sighting);
      // Replays tell which lookups need a rule.
      if (!options_.verify && sighting.protocol == Protocol::kDns) note_question(sighting);
      if (sighting.denied()) {
        if (!options_.verify) add_not_learned(not_learned_, why_not(sighting), sighting);
        return;
      }
      const std::vector<Step> steps = options_.verify ? first_steps(sighting, facts_) : event_steps(sighting, facts_);
      if (steps.empty() || running_) remember(sighting, id);
      if (!running_) take_all(steps);
    });
    return true;
  }

  void note_question(const Sighting& sighting) {
    constexpr std::size_t kQuestionsMax = 500'000;
    for (const std::string& name : sighting.names) {
      if (const auto parsed = DomainName::parse(name); parsed && questions_.size() < kQuestionsMax) questions_[std::string(parsed->text())].note(sighting);
    }
  }

  // take_events takes what events tell; there is nothing to replay.
  void take_events() {
    for (const Sighting& event : options_.events) {
      flows_ += event.count;
      if (event.enforced && event.denied() && !options_.denied) {
        skipped_ += event.count;
        continue;
      }
      if (event.denied() && !is_for_rules(event.reason)) {
        add_not_learned(event_not_learned_, why_not(event), event);
        continue;
      }
      if (running_) {
        const policy::PolicyMatch match = judge_event(*running_, event);
        if (match.action == policy::Action::kAllow) {
          if (match.rule != kNoRule) used_rules_.insert(match.rule);
          continue;
        }
      }
      take_event(event);
    }
  }

  void take_event(const Sighting& event) {
    if (event.reason == Reason::kExpected) return;
    if (!event.uid) take_client(event);
    else if (users_.size() < kClientsMax) users_.insert(*event.uid);
    if (event.protocol == Protocol::kDns) {
      note_question(event);
      if (event.reason == Reason::kResolverNotTrusted && event.key.server.port == kDnsPort && !running_) (void)book_.trust(event.key.server.address.unmapped());
      return;
    }
    for (const Step& step : event_steps(event, facts_)) {
      take(book_, step);
      if (step.kind != Step::Kind::kGrant) continue;
      if (Terms* terms = book_.allow(step.grant)) terms->note(event);
    }
  }

  // take_questions adds rules for names that were only looked up, where nothing was replayed.
  bool take_questions() {
    if (questions_.empty()) return true;
    const PolicyPtr policy = compile(text_of(rules()));
    if (policy == nullptr) return false;
    const policy::ScopeSet scopes = options_.scope.empty() ? 0 : policy::ScopeSet{1};
    for (const auto& [text, terms] : questions_) {
      const auto name = DomainName::parse(text);
      if (judge_question(*policy, scopes, &*name, terms.last).action == policy::Action::kAllow) continue;
      const Step question{.grant = {Target::of(*name), "dns", kDnsPort, 0, false}};
      if (!can_be_written(question)) continue;
      Terms* added = book_.allow(question.grant);
      if (added != nullptr) added->add(terms);
    }
    return compile(text_of(rules())) != nullptr;
  }

  static void add_not_learned(std::map<std::string, NotLearned>& all, const std::string& text, const Sighting& sighting) {
    const auto found = all.find(text);
    if (found != all.end()) {
      found->second.flows += sighting.count;
    } else if (all.size() < kNotLearnedMax) {
      all.emplace(text, NotLearned{sighting.count, text, comment_text(sighting.where)});
    } else {
      NotLearned& rest = all["~"];  // Behind all others.
      rest.flows += sighting.count;
      rest.text = "of other kinds";
    }
  }

  // why_text keeps what many rows share once.
  const std::string& why_text(const Sighting& sighting) {
    static const std::string kOther = "of other kinds";
    std::string text = why_not(sighting);
    if (texts_.size() < kNotLearnedMax || texts_.contains(text)) return *texts_.insert(std::move(text)).first;
    return kOther;
  }

  void deny(const Sighting& sighting, const RowId& id, Denials& denials) {
    if (impossible_.contains(id)) return;
    for (Step& step : next_steps(sighting, facts_)) {
      if (is_taken(book_, step)) continue;
      denials.steps[turn_of(sighting)].push_back(std::move(step));
      return;
    }
    if (denials.impossible.size() < kDenialsMax) denials.impossible.emplace(id, &why_text(sighting));
  }

  // refine replays under what is learned until every denial is one that no rule can change.
  bool refine() {
    verified_ = false;
    for (unsigned round = 0; round < kRoundsMax; ++round) {
      const PolicyPtr policy = compile(text_of(rules()));
      if (policy == nullptr) return false;
      Denials denials;
      replay(policy, "checking", [&](const Sighting& sighting, const RowId& id) {
        if (sighting.denied()) deny(sighting, id, denials);
      });
      if (denials.steps.empty()) {
        impossible_.merge(denials.impossible);
        verified_ = true;
        return true;
      }
      // Only now: what two rows ask for is asked for under the same policy.
      take_all(denials.steps.begin()->second);
    }
    return true;  // verified_ stays false, and the result says so.
  }

  // prune drops the grants that no flow uses when rules for addresses are asked first.
  bool prune() {
    const std::vector<RuleDraft> drafts = rules(true);
    const PolicyPtr policy = compile(text_of(drafts));
    if (policy == nullptr) return false;
    std::set<Grant> used;
    replay(policy, "pruning", [&](const Sighting& sighting, const RowId&) { used.merge(used_by(sighting, drafts, first_rule(), book_)); });
    std::erase_if(book_.grants(), [&](const auto& entry) { return entry.second.flows == 0 && !used.contains(entry.first); });
    return true;
  }

  // settle_peers takes ice = "allow" off the servers that no flow to a peer needed.
  bool settle_peers() {
    std::set<Grant> candidates;
    for (const auto& [grant, terms] : book_.grants()) {
      if (terms.ice) candidates.insert(grant);
    }
    if (candidates.empty()) return true;
    for (const Grant& grant : candidates) {
      book_.grants()[grant].ice = false;
      const PolicyPtr policy = compile(text_of(rules()));
      if (policy == nullptr) return false;
      if (denies_more(policy)) book_.grants()[grant].ice = true;
    }
    return true;
  }

  // denies_more tells whether a policy denies a row that the learned one does not.
  bool denies_more(const PolicyPtr& policy) {
    bool more = false;
    replay(policy, "dropping", [&](const Sighting& sighting, const RowId& id) {
      more = more || (sighting.denied() && !impossible_.contains(id));
    });
    return more;
  }

  // drop_one leaves out each rule in turn, and for good if nothing is denied then.
  bool drop_one() {
    std::vector<RuleDraft> drafts = rules();
    const bool affordable = octets_ == 0 || drafts.size() <= options_.drop_one_octets / octets_;
    if (!affordable || !verified_ || drafts.size() > 2'000) return true;
    for (std::size_t i = drafts.size(); i-- > 0;) {
      const PolicyPtr policy = compile(text_of(drafts, i));
      if (policy == nullptr) return false;
      const auto is_of_events = [&](const auto& entry) {
        return std::ranges::any_of(entry.second, [&](const Grant& grant) { return book_.grants()[grant].flows != 0; });
      };
      if (std::ranges::any_of(drafts[i].targets, is_of_events) || denies_more(policy)) continue;
      for (const auto& [target, grants] : drafts[i].targets) {
        for (const Grant& grant : grants) book_.remove(grant);
      }
      drafts.erase(drafts.begin() + static_cast<std::ptrdiff_t>(i));
    }
    minimal_ = options_.events.empty();
    return true;
  }

  // count replays the final policy once more, for the figures in its comments and as a last check.
  bool count() {
    const std::vector<RuleDraft> drafts = rules();
    const PolicyPtr policy = compile(text_of(drafts));
    if (policy == nullptr) return false;
    // What no rule could change on the way may be allowed in the end, by a rule that another flow needed: what this replay denies
    // is listed, each flow once, for the reason that it was given up for.
    std::set<std::pair<RowId::first_type, std::uint64_t>> listed;
    replay(policy, "counting", [&](const Sighting& sighting, const RowId& id) {
      if (sighting.denied()) {
        const auto found = impossible_.find(id);
        verified_ = verified_ && found != impossible_.end();
        const bool first = listed.size() >= kDenialsMax || listed.emplace(id.first, id.second.first).second;
        if (first) add_not_learned(not_learned_, found != impossible_.end() ? *found->second : why_text(sighting), sighting);
        return;
      }
      if (running_ && sighting.rule < first_rule()) used_rules_.insert(sighting.rule);
      for (const Grant& grant : used_by(sighting, drafts, first_rule(), book_)) {
        if (Terms* terms = book_.allow(grant)) terms->note(sighting);
      }
    });
    return true;
  }

  Learned result() {
    Learned learned;
    for (const RuleDraft& rule : rules(false, true)) learned.rules.push_back(rule.text);
    learned.head = head(true);
    learned.policy = learned.head;
    for (const std::string& rule : learned.rules) learned.policy += (learned.policy.empty() ? "" : "\n") + rule;
    const bool changed = !learned.rules.empty() || !running_;
    if (!changed) learned.policy.clear();
    for (const auto* all : {&not_learned_, &event_not_learned_}) {
      for (const auto& [text, one] : *all) learned.not_learned.push_back(one);
    }
    if (book_.refused() != 0)
      learned.not_learned.push_back({book_.refused(), "more than " + std::to_string(kGrantsMax) + " destinations", {}});
    if (running_) {
      for (std::size_t id = 0; id < running_->rules().size(); ++id) {
        const policy::RuleInfo& rule = running_->rules()[id];
        if (rule.action == policy::Action::kAllow && !used_rules_.contains(static_cast<RuleId>(id)) && !rule.file.starts_with("preset:"))
          learned.unused.push_back(rule.file + ':' + std::to_string(rule.line) + (rule.name.empty() ? "" : " " + comment_text(rule.name)));
      }
    }
    learned.unreadable = unreadable_;
    learned.flows = flows_;
    learned.skipped = skipped_;
    learned.verified = verified_;
    learned.minimal = minimal_;
    return learned;
  }

  const LearnOptions& options_;
  TextStyle style_;
  Facts facts_;
  RuleBook book_;
  PolicyPtr running_;
  Problems problems_;
  Impossible impossible_;
  std::set<std::string> texts_;  // Of `impossible_`.
  std::map<std::string, NotLearned> not_learned_;
  std::map<RowId, Observed> observed_;
  std::map<std::string, Terms> questions_;
  std::map<std::string, NotLearned> event_not_learned_;
  std::set<std::string> clients_;
  std::set<std::uint32_t> users_;
  std::set<RuleId> used_rules_;
  std::vector<std::string> unreadable_;
  std::uint64_t octets_ = 0;
  std::uint64_t flows_ = 0;
  std::uint64_t skipped_ = 0;
  bool verified_ = false;
  bool minimal_ = false;
};

}  // namespace

std::expected<Learned, std::vector<policy::Problem>> learn(const LearnOptions& options) { return Learner(options).run(); }

}  // namespace sallyport::learn
