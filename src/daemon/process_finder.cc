#include "process_finder.h"

#include <algorithm>
#include <utility>

#include "sallyport/core/limits.h"

namespace sallyport::daemon {
namespace {

constexpr std::chrono::milliseconds kContainerPatience{80};
constexpr std::chrono::seconds kContainersEvery{5};
constexpr std::chrono::milliseconds kPauseMax{200};

bool is_container_id(std::string_view text) {
  return text.size() >= 32 && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// id_of returns the id in a component of a cgroup's path, or an empty view.
std::string_view id_of(std::string_view part) {
  if (part.ends_with(".scope")) part.remove_suffix(6);
  for (const std::string_view prefix : {"docker-", "libpod-", "cri-containerd-", "crio-"}) {
    if (part.starts_with(prefix)) part.remove_prefix(prefix.size());
  }
  return is_container_id(part) ? part : std::string_view();
}

// root_of returns the container's own cgroup, where its first process may be below it: up to the component with its id.
std::string_view root_of(const Container& container) {
  const std::string_view cgroup = container.cgroup;
  for (std::size_t begin = 0; begin < cgroup.size();) {
    const std::size_t end = std::min(cgroup.find('/', begin), cgroup.size());
    if (id_of(cgroup.substr(begin, end - begin)) == container.id) return cgroup.substr(0, end);
    begin = end + 1;
  }
  return cgroup;
}

}  // namespace

std::string_view container_in(std::string_view cgroup) {
  std::string_view found;
  while (!cgroup.empty()) {
    const std::string_view part = cgroup.substr(0, cgroup.find('/'));
    cgroup.remove_prefix(std::min(part.size() + 1, cgroup.size()));
    if (const std::string_view id = id_of(part); !id.empty()) found = id;  // Of one inside another, the inner.
  }
  return found;
}

ContainerCgroups::ContainerCgroups(std::span<const Container> containers) {
  for (const Container& each : containers) {
    const std::string_view root = root_of(each);
    ids_[each.id] |= !root.empty();
    if (!root.empty()) cgroups_.emplace(root, Found{each.id, each.name});
  }
}

const ContainerCgroups::Found* ContainerCgroups::owner_of(std::string_view cgroup) const {
  for (; !cgroup.empty(); cgroup = cgroup.substr(0, cgroup.rfind('/'))) {
    if (const auto found = cgroups_.find(cgroup); found != cgroups_.end()) return &found->second;
    if (cgroup.find('/') == std::string_view::npos) return nullptr;
  }
  return nullptr;
}

ContainerCgroups::Found ContainerCgroups::of(std::string_view cgroup) const {
  if (const Found* owner = owner_of(cgroup)) return *owner;
  const std::string_view claimed = container_in(cgroup);
  const auto known = ids_.find(claimed);
  if (known != ids_.end() && known->second) return {};  // That one is elsewhere.
  return {std::string(claimed), {}};
}

bool ContainerCgroups::settles(std::string_view cgroup) const {
  return owner_of(cgroup) != nullptr || ids_.contains(container_in(cgroup));
}

ContainerNames::~ContainerNames() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

ContainerCgroups::Found ContainerNames::of(std::string_view cgroup, std::chrono::milliseconds patience) {
  if (container_in(cgroup).empty()) return {};
  std::unique_lock lock(mutex_);
  const auto known = [&] { return known_.settles(cgroup); };
  if (!known()) {
    const auto now = std::chrono::steady_clock::now();
    if (now - asked_ >= kContainersEvery || asked_.time_since_epoch().count() == 0) {
      asked_ = now;
      wanted_ = true;
      if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
      wake_.notify_all();
      (void)answered_.wait_for(lock, patience, [&] { return !wanted_ || known(); });
    }
  }
  return known_.of(cgroup);
}

void ContainerNames::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait(lock, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    lock.unlock();
    std::vector<Container> all;
    for (const std::string& socket : ContainerWatch::usual_sockets()) {
      const auto containers = list_containers(socket);
      if (containers) all.insert(all.end(), containers->begin(), containers->end());
    }
    ContainerCgroups known(all);
    lock.lock();
    known_ = std::move(known);
    wanted_ = false;
    answered_.notify_all();
  }
}

ProcessFinder::ProcessFinder(unsigned workers) {
  for (unsigned i = 0; i < workers; ++i) rings_.push_back(std::make_unique<SpscRing<Question>>(kProcessQuestionsPerWorker));
}

ProcessFinder::~ProcessFinder() {
  stopping_.store(true);
  wake();
  if (thread_.joinable()) thread_.join();
}

std::optional<std::string> ProcessFinder::start() {
  auto opened = netfilter::SocketCgroups::open_for_sockets();
  if (!opened) return opened.error();
  sockets_ = std::move(*opened);
  thread_ = std::thread([this] { run(); });
  return std::nullopt;
}

void ProcessFinder::wake() {
  bell_.fetch_add(1, std::memory_order_release);
  bell_.notify_one();  // No system call unless the thread sleeps.
}

void ProcessFinder::note_flow(unsigned worker, const FlowKey& key, std::uint32_t out_link, std::uint32_t uid) {
  if (rings_[worker]->push({key, out_link, uid})) wake();
}

ProcessFinder::Answer ProcessFinder::answer(const FlowKey& key, std::uint32_t uid) {
  if (!sockets_) return {.known = true, .facts = nullptr};
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = answers_.find(key); found != answers_.end()) return {.known = true, .facts = found->second};
    if (pending_.contains(key) || asked_.size() >= kProcessQuestionsPerWorker) return {};
    pending_.emplace(key, true);
    asked_.push_back({key, 0, uid});
  }
  wake();
  return {};
}

void ProcessFinder::run() {
  std::uint32_t heard = bell_.load(std::memory_order_acquire);
  while (!stopping_.load()) {
    take_questions();
    if (found_.empty()) {
      bell_.wait(heard, std::memory_order_acquire);
      heard = bell_.load(std::memory_order_acquire);
      continue;
    }
    const auto begun = std::chrono::steady_clock::now();
    find_processes();
    const auto took = std::chrono::steady_clock::now() - begun;
    const auto pause = std::min<std::chrono::steady_clock::duration>(3 * took, kPauseMax);
    if (took < std::chrono::milliseconds(1)) continue;
    // What comes meanwhile is asked of the kernel at once, as its socket may be gone soon; its process is looked for later.
    for (const auto until = begun + took + pause; std::chrono::steady_clock::now() < until && !stopping_.load();) {
      take_questions();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

void ProcessFinder::take_questions() {
  std::vector<Question> questions;
  Question question;
  for (const auto& ring : rings_) {
    while (questions.size() < kProcessQuestionsPerWorker && ring->pop(question)) questions.push_back(question);
  }
  {
    const std::lock_guard lock(mutex_);
    for (const Question& each : questions) {
      // A flow with the ports of an earlier one is another flow.
      if (const auto old = answers_.find(each.key); old != answers_.end()) {
        answers_.erase(old);
        std::erase(order_, each.key);
      }
      pending_.emplace(each.key, true);
    }
    questions.insert(questions.end(), asked_.begin(), asked_.end());
    asked_.clear();
  }
  for (const Question& each : questions) {
    const netfilter::LocalSocket socket = sockets_->socket_of(each.key, each.out_link, each.uid);
    if (socket.inode == 0) {
      publish(each.key, socket.cgroup.empty() ? nullptr : facts_of({each.key, 0, 0, std::string(socket.cgroup)}, nullptr));
    } else if (found_.size() < kProcessAnswersKept) {
      found_.push_back({each.key, socket.inode, socket.uid, std::string(socket.cgroup)});
    } else {
      publish(each.key, nullptr);
    }
  }
}

void ProcessFinder::find_processes() {
  std::vector<netfilter::ProcessSearch::Wanted> wanted;
  for (const Socket& each : found_) wanted.push_back({each.inode, each.uid});
  const auto owners = search_.find(wanted);
  for (const Socket& each : found_) {
    const auto owner = owners.find(each.inode);
    publish(each.key, facts_of(each, owner == owners.end() ? nullptr : &owner->second));
  }
  found_.clear();
}

std::shared_ptr<const ProcessFacts> ProcessFinder::facts_of(const Socket& socket, const netfilter::SocketOwner* owner) {
  auto facts = std::make_shared<ProcessFacts>();
  if (owner != nullptr) {
    facts->pid = owner->pid;
    facts->process = owner->process;
    facts->program = owner->program;
    facts->cgroup = owner->cgroup;
  }
  if (facts->cgroup.empty()) facts->cgroup = socket.cgroup;
  facts->unit = netfilter::unit_of(facts->cgroup);
  ContainerCgroups::Found container = containers_.of(facts->cgroup, kContainerPatience);
  facts->container_id = std::move(container.id);
  facts->container = std::move(container.name);
  if (facts->pid == 0 && facts->cgroup.empty()) return nullptr;
  return facts;
}

void ProcessFinder::publish(const FlowKey& key, std::shared_ptr<const ProcessFacts> facts) {
  const std::lock_guard lock(mutex_);
  pending_.erase(key);
  if (answers_.insert_or_assign(key, std::move(facts)).second) order_.push_back(key);
  if (order_.size() <= kProcessAnswersKept) return;
  answers_.erase(order_.front());
  order_.pop_front();
}

}  // namespace sallyport::daemon
