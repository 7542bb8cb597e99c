#include "reload.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "event_line.h"
#include "sallyport/netfilter/socket_end.h"
#include "sallyport/resolver/bindings_file.h"
#include "state_path.h"

namespace sallyport::daemon {
namespace {

// A worker takes a policy within 50 ms; the rest is for the flows of a full table.
constexpr std::chrono::seconds kPatience{10};

struct KeyHash {
  std::size_t operator()(const FlowKey& key) const {
    std::size_t hash = std::size_t{key.ip_protocol} << 32 | std::size_t{key.client.port} << 16 | key.server.port;
    for (const IpAddress* address : {&key.client.address, &key.server.address}) {
      for (const std::uint8_t byte : address->bytes()) hash = (hash ^ byte) * 0x100000001b3u;
    }
    return hash ^ hash >> 29;
  }
};

std::string endpoint_text(const Endpoint& endpoint) {
  const std::string address = endpoint.address.to_string();
  return (endpoint.address.is_v6() ? '[' + address + ']' : address) + ':' + std::to_string(endpoint.port);
}

// twins_of returns the keys of several entries: one whose destination DNAT translated, and one that went to the same server without, from the same port.
std::unordered_set<FlowKey, KeyHash> twins_of(const std::vector<netfilter::ConntrackEntry>& entries) {
  std::unordered_map<FlowKey, const netfilter::ConntrackEntry*, KeyHash> first;
  std::unordered_set<FlowKey, KeyHash> twins;
  for (const netfilter::ConntrackEntry& entry : entries) {
    const auto [place, added] = first.try_emplace(entry.key, &entry);
    if (!added && place->second->original != entry.original) twins.insert(entry.key);
  }
  return twins;
}

}  // namespace

nlohmann::ordered_json reload_json(const ReloadReport& report) {
  nlohmann::ordered_json json;
  json["changed"] = report.changed;
  if (!report.error.empty()) json["error"] = report.error;
  for (const policy::Problem& problem : report.problems) json["problems"].push_back(problem.to_string());
  json["judged"] = report.judged;
  json["kept"] = report.kept;
  json["cut"] = report.cut;
  if (report.unknown != 0) json["unknown"] = report.unknown;
  if (report.sockets_left != 0) json["sockets_left"] = report.sockets_left;
  json["took_us"] = report.took.count();
  json["cut_flows"] = nlohmann::ordered_json::array();
  for (const CutFlow& flow : report.cut_flows) {
    nlohmann::ordered_json row;
    row["protocol"] = to_string(flow.protocol);
    if (!flow.name.empty()) row["name"] = escaped(flow.name);
    row["client"] = endpoint_text(flow.key.client);
    row["server"] = endpoint_text(flow.key.server);
    row["rule"] = flow.rule;
    json["cut_flows"].push_back(std::move(row));
  }
  return json;
}

std::string unchangeable(const policy::Policy& before, const policy::Policy& policy, bool mode_is_fixed) {
  const policy::Deploy& old = before.deploy();
  const policy::Deploy& now = policy.deploy();
  const char* key = nullptr;
  if (old.queues != now.queues) key = "deploy.queues";
  if (old.ct_mark_mask != now.ct_mark_mask) key = "deploy.ct_mark_mask";
  if (old.control != now.control) key = "deploy.control";
  const policy::Metrics& figures = before.metrics();
  const policy::Metrics& wanted = policy.metrics();
  if (figures.address != wanted.address || figures.port != wanted.port || figures.hosts != wanted.hosts) key = "metrics";
  if (!mode_is_fixed && before.defaults().mode != policy.defaults().mode) key = "defaults.mode";
  return key == nullptr ? std::string() : std::string(key) + " cannot change while the service runs; restart it";
}

bool same_rules(const netfilter::RulePlan& one, const netfilter::RulePlan& other) {
  return std::ranges::all_of(netfilter::kFamilies, [&](netfilter::Family family) {
    return netfilter::restore_text(one, family) == netfilter::restore_text(other, family);
  });
}

Changed change_workers(const std::vector<std::unique_ptr<netfilter::QueueWorker>>& workers, const std::shared_ptr<const policy::Policy>& policy,
                       const std::vector<OwnerOf>& owners, ReloadReport& report) {
  std::vector<std::shared_ptr<netfilter::PolicyChange>> changes;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    auto& change = changes.emplace_back(std::make_shared<netfilter::PolicyChange>());
    change->policy = policy;
    change->owner_of = owners[i];
    workers[i]->set_policy(change);
  }
  Changed changed;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (const auto& change : changes) {
    while (!change->done.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    if (!change->done.load(std::memory_order_acquire)) {
      changed.unfinished.push_back(change);
      continue;
    }
    report.judged += change->counts.judged;
    report.kept += change->counts.kept;
    report.cut += change->counts.cut;
    changed.remarks.insert(changed.remarks.end(), change->remarks.begin(), change->remarks.end());
    for (const netfilter::RevokedFlow& flow : change->revoked) {
      if (report.cut_flows.size() == kCutFlowsReported) break;
      report.cut_flows.push_back({flow.key, flow.name, flow.protocol, policy->location(flow.rule)});
    }
  }
  return changed;
}

void PolicyFiles::watch(std::vector<std::string> paths) {
  if (paths == paths_) return;
  paths_ = std::move(paths);
  seen_.assign(paths_.size(), Signature{});
  (void)changed();
}

bool PolicyFiles::changed() {
  bool any = false;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    struct stat status {};
    Signature now{};
    if (::stat(paths_[i].c_str(), &status) == 0) {
      now = {static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino), status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
    }
    any = any || now != seen_[i];
    seen_[i] = now;
  }
  unsettled_ = false;
  return any;
}

bool PolicyFiles::settled() {
  const bool before = unsettled_;
  const bool now = changed();
  unsettled_ = now;
  return before && !now;
}

std::string saved_generation_path(const std::string& control_path) {
  return state_path(control_path, "policy");
}

std::optional<SavedGeneration::Marks> SavedGeneration::restore(const policy::Policy& policy, const Say& say) const {
  if (path_.empty()) return std::nullopt;
  const auto text = resolver::read_bindings_file(path_);  // It checks whose the file is.
  if (!text) say(text.error());
  if (!text || text->empty()) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(*text, nullptr, false);
  const auto number = [&](const char* key) { return json.is_object() && json.contains(key) && json[key].is_number_unsigned() ? json[key].get<std::uint64_t>() : 0; };
  constexpr std::uint64_t kGenerationMax = 31;
  const std::uint64_t generation = number("generation");
  if (generation == 0 || generation > kGenerationMax) return std::nullopt;
  if (number("fingerprint") == policy.fingerprint()) {
    const auto judged = std::min<std::uint64_t>(number("judged"), std::numeric_limits<std::uint32_t>::max());
    return Marks{static_cast<netfilter::Generation>(generation), Timestamp(std::chrono::seconds(judged))};
  }
  // Another policy's marks must mean nothing, whatever generation this one would have by itself.
  const netfilter::Generation own = netfilter::generation_of(policy.fingerprint());
  return Marks{own != generation ? own : static_cast<netfilter::Generation>(generation % kGenerationMax + 1), std::nullopt};
}

void SavedGeneration::save(std::optional<std::uint64_t> fingerprint, netfilter::Generation generation, Timestamp judged, const Say& say) const {
  if (path_.empty()) return;
  const nlohmann::json json{{"fingerprint", fingerprint ? nlohmann::json(*fingerprint) : nlohmann::json()},
                            {"generation", generation},
                            {"judged", std::chrono::duration_cast<std::chrono::seconds>(judged.time_since_epoch()).count()}};
  if (const auto written = resolver::write_bindings_file(path_, json.dump() + '\n'); !written) say(written.error());
}

std::string carried_out(const std::function<std::string()>& attempt, const std::function<void(std::chrono::milliseconds)>& pause) {
  for (int tries = 1;; ++tries) {
    const std::string failed = attempt();
    if (failed.empty()) return {};
    if (tries == kCutTries) return failed + " (tried " + std::to_string(kCutTries) + " times)";
    pause(kCutPause);
  }
}

std::string Cutter::carry_out(const Changed& changed) {
  std::vector<engine::Remark> remarks;
  for (const engine::Remark& remark : changed.remarks) {
    if (!remark.passed) remarks.push_back(remark);
  }
  const auto pause = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); };
  left_.clear();
  for (const engine::Remark& remark : remarks) {
    if (local_ && remark.cut && remark.key.transport == Transport::kTcp) left_.push_back(remark.key);
  }
  // First the sockets: the mark still lets their RST through. Nobody waits for those that the kernel refuses; when the marks are set
  // the workers let it through.
  if (!left_.empty()) (void)end_sockets();
  const std::string failed = carried_out([&] { return set_all(changed, remarks); }, pause);
  if (!left_.empty()) (void)carried_out([this] { return end_sockets(); }, pause);
  return failed;
}

std::string Cutter::end_sockets() {
  const auto sockets = netfilter::TcpSockets::open();
  if (!sockets) return sockets.error();
  std::erase_if(left_, [&](const FlowKey& key) { return (*sockets)->end(key) != netfilter::SocketEnd::kRefused; });
  return left_.empty() ? "" : "sockets are left";
}

// set_all may be done again: a mark that is set already is set to the same. Its socket is new each time, without late answers.
std::string Cutter::set_all(const Changed& changed, const std::vector<engine::Remark>& remarks) {
  auto conntrack = netfilter::Conntrack::open(mark_);
  if (!conntrack) return conntrack.error();
  if (const std::string failed = set_marks(**conntrack, remarks); !failed.empty()) return failed;
  return changed.complete() ? forget_the_rest(**conntrack, changed) : std::string();
}

// set_marks sets those of flows by name, and looks for the others, whose addresses are translated, in the whole table.
std::string Cutter::set_marks(netfilter::Conntrack& conntrack, const std::vector<engine::Remark>& remarks) {
  std::vector<netfilter::MarkChange> changes;
  for (const engine::Remark& remark : remarks) changes.push_back({remark.key, remark.mark});
  const auto missing = conntrack.set_marks(changes, generation_);
  if (!missing) return missing.error();
  if (missing->empty()) return {};
  std::unordered_map<FlowKey, FlowMark, KeyHash> wanted;
  for (const std::size_t index : *missing) wanted[changes[index].key] = changes[index].mark;
  const auto entries = conntrack.list(0, 0);
  if (!entries) return entries.error();
  std::vector<netfilter::ConntrackEntry> found[8];
  for (const netfilter::ConntrackEntry& entry : *entries) {
    const auto place = wanted.find(entry.key);
    if (place != wanted.end()) found[static_cast<std::size_t>(place->second)].push_back(entry);
  }
  for (std::size_t mark = 0; mark < std::size(found); ++mark) {
    if (found[mark].empty()) continue;
    if (const auto set = conntrack.set_mark(found[mark], static_cast<FlowMark>(mark), generation_); !set) return set.error();
  }
  return {};
}

// forget_the_rest is of connections that the former policy decided and no worker remembers, as after a restart. What it allowed, and this
// policy may deny, is cut; datagrams are judged anew, and so are those that it denied.
std::string Cutter::forget_the_rest(netfilter::Conntrack& conntrack, const Changed& changed) {
  std::unordered_set<FlowKey, KeyHash> known;
  for (const engine::Remark& remark : changed.remarks) known.insert(remark.key);
  std::vector<netfilter::ConntrackEntry> anew, over, lost;
  std::vector<FlowKey> keys;
  const auto twins = twins_of(changed.older);
  for (const netfilter::ConntrackEntry& entry : changed.older) {
    const bool twin = twins.contains(entry.key);
    if (!twin && known.contains(entry.key)) continue;
    if (entry.key.transport != Transport::kTcp) {
      anew.push_back(entry);
    } else if (twin || entry.over) {
      over.push_back(entry);
    } else {
      lost.push_back(entry);
      keys.push_back(entry.key);
    }
  }
  const auto denied = conntrack.list(mark_.deny_bit(), mark_.deny_bit());
  if (!denied) return denied.error();
  for (const netfilter::ConntrackEntry& entry : *denied) {
    if (entry.key.transport != Transport::kTcp && !known.contains(entry.key)) anew.push_back(entry);
  }
  if (const auto set = conntrack.set_mark(anew, FlowMark::kUndecided, generation_); !set) return set.error();
  // Of twins a worker knows one. And one reset makes an entry over; what goes on all the same must find no way, in neither direction.
  if (const auto set = conntrack.set_mark(over, FlowMark::kReset, generation_); !set) return set.error();
  if (keys.empty()) return {};
  watch_(keys);
  if (const auto set = conntrack.set_mark(lost, FlowMark::kWatch, generation_); !set) return set.error();
  unknown_ = keys.size();
  if (local_) left_.insert(left_.end(), keys.begin(), keys.end());  // They end when the marks are set.
  return {};
}

void UnfinishedCut::add_to(Changed& changed) {
  if (!changed_) return;
  std::unordered_set<FlowKey, KeyHash> newer;
  for (const engine::Remark& remark : changed.remarks) newer.insert(remark.key);
  for (const engine::Remark& remark : take_finished().remarks) {
    if (!newer.contains(remark.key)) changed.remarks.push_back(remark);
  }
  changed.unfinished.insert(changed.unfinished.end(), changed_->unfinished.begin(), changed_->unfinished.end());
  changed.older.insert(changed.older.end(), changed_->older.begin(), changed_->older.end());
  if (!changed.relist) {
    changed.relist = std::move(changed_->relist);
  } else if (changed_->relist) {
    changed.relist = [one = std::move(changed.relist), other = std::move(changed_->relist)](const FlowKey& key) { return one(key) || other(key); };
  }
  changed_.reset();
}

void UnfinishedCut::relisted(std::vector<netfilter::ConntrackEntry> older) {
  changed_->older.insert(changed_->older.end(), std::make_move_iterator(older.begin()), std::make_move_iterator(older.end()));
  changed_->relist = nullptr;
}

const Changed& UnfinishedCut::take_finished() {
  std::erase_if(changed_->unfinished, [&](const auto& change) {
    if (!change->done.load(std::memory_order_acquire)) return false;
    changed_->remarks.insert(changed_->remarks.end(), change->remarks.begin(), change->remarks.end());
    return true;
  });
  return *changed_;
}

}  // namespace sallyport::daemon
