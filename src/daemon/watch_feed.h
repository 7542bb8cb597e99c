// WatchFeed sends a frame a second to each client of the control socket's "watch" (docs/control.md). It has a thread of its own,
// which sleeps while nobody watches. A client that does not read loses frames and nothing else: what it missed is in the next.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "control_stream.h"
#include "flow_book.h"

namespace sallyport::daemon {

class WatchFeed {
 public:
  // Figures returns what each frame begins with; it is called on the feed's thread.
  using Figures = std::function<nlohmann::ordered_json()>;

  WatchFeed(const FlowBook& book, Figures figures) : book_(book), figures_(std::move(figures)) {}
  ~WatchFeed() { stop(); }
  WatchFeed(const WatchFeed&) = delete;
  WatchFeed& operator=(const WatchFeed&) = delete;

  // add begins to feed a client; any thread. The first frame comes at once, with the newest flows.
  void add(std::shared_ptr<ControlStream> stream);
  void stop();

 private:
  struct Client {
    std::shared_ptr<ControlStream> stream;
    std::uint64_t serial = 0;  // The last change that it was sent.
    std::uint64_t frames = 0;
  };
  void run();
  void send_frame(Client& client, const nlohmann::ordered_json& figures);

  const FlowBook& book_;
  Figures figures_;
  std::mutex mutex_;  // Of what follows.
  std::condition_variable wake_;
  std::vector<Client> arrivals_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sallyport::daemon
