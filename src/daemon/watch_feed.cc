#include "watch_feed.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "flow_json.h"

namespace sallyport::daemon {
namespace {

constexpr std::chrono::seconds kInterval{1};
constexpr std::size_t kTopDenied = 50;

}  // namespace

void WatchFeed::add(std::shared_ptr<ControlStream> stream) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    arrivals_.push_back(Client{std::move(stream)});
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  wake_.notify_one();
}

void WatchFeed::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void WatchFeed::run() {
  std::vector<Client> clients;
  auto next = std::chrono::steady_clock::now();
  for (;;) {
    std::vector<Client> arrivals;
    {
      std::unique_lock lock(mutex_);
      const auto wanted = [this] { return stopping_ || !arrivals_.empty(); };
      if (clients.empty()) {
        wake_.wait(lock, wanted);
      } else {
        wake_.wait_until(lock, next, wanted);
      }
      if (stopping_) return;
      arrivals.swap(arrivals_);
    }
    const nlohmann::ordered_json figures = figures_();
    for (Client& each : arrivals) send_frame(each, figures);
    const auto now = std::chrono::steady_clock::now();
    if (now >= next) {
      for (Client& each : clients) send_frame(each, figures);
      next = std::max(next + kInterval, now + kInterval / 2);
    }
    std::ranges::move(arrivals, std::back_inserter(clients));
    std::erase_if(clients, [](const Client& each) { return each.stream->closed(); });
  }
}

void WatchFeed::send_frame(Client& client, const nlohmann::ordered_json& figures) {
  std::uint64_t serial = client.serial;
  const std::vector<FlowRow> rows = book_.changed_since(serial, kWatchChangesMax);
  nlohmann::ordered_json frame{{"frame", client.frames}, {"lost", client.stream->lost()}};
  frame.update(figures);
  const FlowTotals totals = book_.totals();
  frame["live"] = totals.live;
  frame["forgotten"] = totals.forgotten;
  frame["rates"] = rates_json(book_.rates(std::chrono::system_clock::now()));
  frame["top_denied"] = denied_json(book_.top_denied(kTopDenied));
  frame["flows"] = nlohmann::ordered_json::array();
  for (const FlowRow& row : rows) frame["flows"].push_back(flow_row_json(row));
  if (!client.stream->send(frame.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace))) return;
  client.serial = serial;
  ++client.frames;
}

}  // namespace sallyport::daemon
