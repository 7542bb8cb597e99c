// Model is what the live view knows: the service's frames (docs/control.md), what is selected, and what the keys did. It reads no
// clock and no terminal; the screen is drawn from it by a pure function (screen.h). One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::view {

// Flow is a row of the service, its texts made visible (text.h).
struct Flow {
  std::uint64_t number = 0;  // The newest has the highest.
  std::string id;
  bool ended = false;
  double opened = 0, time = 0;  // Seconds since 1970.
  std::string transport;        // "tcp"
  std::string protocol;         // "tls", or the transport where the bytes are no known protocol.
  std::string source;
  std::uint16_t source_port = 0;
  std::string address;
  std::uint16_t port = 0;
  std::string user;  // Empty: a forwarded flow.
  std::vector<std::string> scopes;
  bool in_none = false;  // Rules for scope "none" are for it.
  std::string name;  // Empty: none.
  std::string verdict;  // "allow", "deny", "pending"
  std::string reason;
  std::string rule;
  std::string tunnel, proxy_target, answer, host_key;
  std::optional<std::uint64_t> octets_out, octets_in;  // Where connection tracking counts them.

  bool denied() const { return verdict == "deny"; }
  std::string endpoint() const;  // "192.0.2.1:443", "[2001:db8::1]:443"
};

struct DeniedName {
  std::string name;  // Or the address.
  std::string protocol, transport;
  std::uint16_t port = 0;
  std::uint64_t count = 0;
  double last = 0;
  std::string reason, rule, user;
  std::vector<std::string> scopes;  // Of the last such flow; in_none, too.
  bool in_none = false;

  // same tells whether it is the same entry, whatever its count is now.
  bool same(const DeniedName& other) const {
    return name == other.name && protocol == other.protocol && transport == other.transport && port == other.port;
  }
};

struct Header {
  double time = 0;
  std::string mode, policy;
  bool has_scopes = true;  // The policy; what is not told counts as true, since a rule without a scope is then for more flows.
  std::uint64_t uptime_s = 0;
  std::uint64_t held = 0, awaiting_binding = 0, live = 0, forgotten = 0, events_lost = 0;
  double opened = 0, allowed = 0, denied = 0;  // A second, the last one.
  double allowed_minute = 0, denied_minute = 0;
  std::uint64_t packets = 0;
  double packet_rate = 0, hold_rate = 0;  // Between the last two frames.
  std::uint64_t holds = 0;
  std::uint64_t queues = 0, waiting = 0, queue_dropped = 0, user_dropped = 0;
  std::vector<std::string> grants;    // "allow github.com tls 443 for 8 min"
  std::vector<std::string> bypasses;  // "agent for 3 min"
};

enum class Pane : std::uint8_t { kFlows, kDenied };
enum class Overlay : std::uint8_t { kNone, kDetails, kHelp };

class Model {
 public:
  // apply_frame takes a line of the stream, apply_grants the answer to "grants"; false: it makes no sense, nothing changes.
  bool apply_frame(std::string_view line);
  bool apply_grants(std::string_view line);

  const Header& header() const { return header_; }
  bool observing() const { return header_.mode == "observe"; }
  // flows returns what the list shows: the newest first, filtered; while paused those that were known then.
  std::vector<const Flow*> flows() const;
  std::vector<const DeniedName*> denied() const;
  // selected_flow and selected_denied return what the operator chose; null: nothing yet, and the list follows the newest.
  const Flow* selected_flow() const;
  const DeniedName* selected_denied() const;

  // What the keys change (keys.h).
  void move(std::ptrdiff_t rows);
  void deselect();
  void set_pane(Pane pane) { pane_ = pane; }
  void set_filter(std::string filter) { filter_ = std::move(filter); }
  void set_paused(bool paused);
  void set_hide_ended(bool hide) { hide_ended_ = hide; }
  void show(Overlay overlay, std::size_t scroll = 0) {
    overlay_ = overlay;
    overlay_scroll_ = scroll;
  }

  Pane pane() const { return pane_; }
  const std::string& filter() const { return filter_; }
  bool paused() const { return frozen_.has_value(); }
  bool hide_ended() const { return hide_ended_; }
  Overlay overlay() const { return overlay_; }
  std::size_t overlay_scroll() const { return overlay_scroll_; }

  bool editing_filter = false;
  bool connected = false;
  std::string connection_problem;   // Why it is not connected.
  std::string message;              // What the last key did; shown until the next.
  bool message_is_problem = false;
  std::vector<std::string> copied;  // Rules, for when the view is over.

 private:
  struct Frozen {
    std::map<std::uint64_t, Flow, std::greater<>> flows;
    std::vector<DeniedName> denied;
  };
  const std::map<std::uint64_t, Flow, std::greater<>>& shown() const { return frozen_ ? frozen_->flows : flows_; }
  bool passes(const Flow& flow) const;
  bool passes(const DeniedName& name) const;

  Header header_;
  bool has_frame_ = false;
  std::map<std::uint64_t, Flow, std::greater<>> flows_;
  std::vector<DeniedName> denied_;
  std::optional<Frozen> frozen_;
  std::optional<std::uint64_t> selected_;
  std::optional<DeniedName> selected_denied_;
  Pane pane_ = Pane::kFlows;
  Overlay overlay_ = Overlay::kNone;
  std::size_t overlay_scroll_ = 0;
  std::string filter_;
  bool hide_ended_ = false;
};

// parse_flows reads the rows of an answer to "flows"; nullopt: it makes no sense.
std::optional<std::vector<Flow>> parse_flows(std::string_view answer);

}  // namespace sallyport::view
