// Port drift: what listens on this host, compared with what [listeners] declares (docs/listeners.md).
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sallyport/core/time.h"
#include "sallyport/netfilter/listening_sockets.h"
#include "sallyport/policy/guard.h"
#include "sallyport/policy/listeners.h"

namespace sallyport::daemon {

struct Observed {
  netfilter::ListeningSocket socket;
  std::string netns;  // Name of its network namespace; empty: the program's own.
  std::vector<std::string> unix_sockets{};     // Those of DriftRules::unix_only that a process of this socket listens at.
  std::vector<netfilter::SocketOwner> owners{};  // Empty: not looked for, or no process that may be seen has it.
};

enum class DriftKind : std::uint8_t {
  kUnexpected,    // Nothing declares it.
  kWider,         // Declared for fewer addresses: 0.0.0.0 where 127.0.0.1 was.
  kOtherProcess,  // Declared for another process or unit, or whose it is cannot be told.
  kUnixOnly,      // A TCP listener of a process that must have none.
  kMissing,       // Declared, and not there.
};
inline constexpr std::size_t kDriftKinds = 5;
// to_string returns the word of reports and events: "unexpected", "wider", "other_process", "unix_only", "missing".
std::string_view to_string(DriftKind kind);

struct DriftFinding {
  DriftKind kind = DriftKind::kUnexpected;
  std::optional<Observed> observed;  // Absent: kMissing.
  std::string declared;              // The entry that comes nearest, as the policy has it; empty: none.

  // key is the same for the same finding at another time: kind, socket and entry, not the process.
  std::string key() const;
};

// DriftRules is what sockets are compared with. Borrowed.
struct DriftRules {
  const policy::Listeners* listeners = nullptr;  // Null, or not declared: only unix_only counts.
  // Who serves a unix socket and must have no TCP listener, declared or not: processes and units (policy::names_owner), paths
  // of programs ("/..."), and whoever listens at a socket ("unix:/run/x.sock", "unix:@name").
  std::span<const std::string> unix_only{};
};

// unix_only_of returns DriftRules::unix_only of the guards that have no port.
std::vector<std::string> unix_only_of(std::span<const policy::Guard> guards);

// needs_owner tells whether it matters whose the socket is: it is not declared, or declared for somebody.
bool needs_owner(const DriftRules& rules, const Observed& observed);

// compare returns every difference, each once, sockets first, in the order of what was observed.
std::vector<DriftFinding> compare(const DriftRules& rules, std::span<const Observed> observed);

// Inventory takes stock, again and again. One thread.
class Inventory {
 public:
  // look lists what listens now and finds the owners of sockets that need_owner; a socket's owner is looked for once, and
  // again at every thirtieth look. `all`: in other network namespaces, too, which are looked for anew at every third look. Fails with a message.
  std::expected<std::vector<Observed>, std::string> look(const DriftRules& rules, bool all);
  // everything is look with the owner of each socket.
  std::expected<std::vector<Observed>, std::string> everything(bool all);

 private:
  template <typename Wanted>
  std::expected<std::vector<Observed>, std::string> take(bool all, std::span<const std::string> unix_only, Wanted&& wanted);
  std::expected<std::vector<Observed>, std::string> list(bool all);
  void note_unix_sockets(std::span<const std::string> unix_only, std::vector<Observed>& observed);
  std::expected<void, std::string> find_namespaces();

  struct Space {
    netfilter::NetworkNamespace where;
    std::string name;
  };
  std::vector<Space> spaces_;
  unsigned looks_ = 0;
  unsigned takes_ = 0;
  std::map<std::uint64_t, std::vector<netfilter::SocketOwner>> owners_;  // By the socket's cookie.
  std::map<std::uint64_t, std::set<pid_t>> unix_holders_;                  // By the unix socket's inode.
};

// audit looks, and looks again at what does not last: an unconnected UDP socket that a client had for one answer is no
// finding. Fails with a message.
struct AuditResult {
  std::size_t sockets = 0;
  std::vector<DriftFinding> findings;
};
std::expected<AuditResult, std::string> audit(const DriftRules& rules, bool all);

// socket_text returns "127.0.0.1:80", "[::]:53", "*:80" (dual-stack), "[fe80::1%eth0]:80".
std::string socket_text(const netfilter::ListeningSocket& socket);

// drift_table returns a table for people; what processes say of themselves is escaped.
std::string drift_table(std::span<const DriftFinding> findings);
// drift_json returns one line of JSON without its newline.
std::string drift_json(const DriftFinding& finding);
// drift_fields returns the members of the event that a finding begins, or is over.
nlohmann::ordered_json drift_fields(const DriftFinding& finding, bool begins);
// drift_sentence returns "unexpected tcp 0.0.0.0:8080 (python3, pid 7, user root, unit x.service)".
std::string drift_sentence(const DriftFinding& finding);
// declaration returns a [listeners] table that says what was observed, sorted, with the processes as comments. A UDP port of
// the range that the kernel gives to clients (`ephemeral`) becomes the range, for the process that has it.
std::string declaration(std::span<const Observed> observed, bool all, std::pair<std::uint16_t, std::uint16_t> ephemeral);
// ephemeral_ports returns the kernel's range, or {0, 0}.
std::pair<std::uint16_t, std::uint16_t> ephemeral_ports();

}  // namespace sallyport::daemon
