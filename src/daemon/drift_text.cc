// Findings of the drift audit as text.
#include <pwd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "event_line.h"
#include "sallyport/daemon/port_drift.h"

namespace sallyport::daemon {
namespace {

using netfilter::SocketOwner;

constexpr std::size_t kColumns = 8;
constexpr std::size_t kProcessesTold = 3;
using Row = std::array<std::string, kColumns>;

std::string_view word(Transport transport) {
  return transport == Transport::kTcp ? "tcp" : "udp";
}

std::string user_name(std::uint32_t uid) {
  std::vector<char> buffer(16'384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return escaped(entry.pw_name);
  return std::to_string(uid);
}

// speaking_owner returns the process that a socket is told by: not the manager that opened it for another.
const SocketOwner* speaking_owner(const Observed& observed) {
  const auto other = std::ranges::find_if(observed.owners, [](const SocketOwner& owner) { return owner.pid != 1; });
  if (other != observed.owners.end()) return &*other;
  return observed.owners.empty() ? nullptr : &observed.owners.front();
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : escaped(text);
}

std::string who(const Observed& observed) {
  std::string text;
  if (const SocketOwner* owner = speaking_owner(observed)) {
    text = escaped(owner->process) + ", pid " + std::to_string(owner->pid) + ", user " + user_name(observed.socket.uid);
    if (!owner->unit.empty()) text += ", unit " + escaped(owner->unit);
  } else {
    text = "no process found, user " + user_name(observed.socket.uid);
  }
  return text;
}

Row row_of(const DriftFinding& finding) {
  const std::string kind(to_string(finding.kind));
  if (!finding.observed) return {kind, "-", "-", "-", "-", "-", "-", finding.declared};
  const Observed& observed = *finding.observed;
  const SocketOwner* owner = speaking_owner(observed);
  return {kind,
          std::string(word(observed.socket.transport)),
          socket_text(observed.socket) + (observed.netns.empty() ? "" : " in " + escaped(observed.netns)),
          owner == nullptr ? "-" : or_dash(owner->process),
          owner == nullptr ? "-" : std::to_string(owner->pid),
          user_name(observed.socket.uid),
          owner == nullptr ? "-" : or_dash(owner->unit),
          finding.declared.empty() ? "-" : finding.declared};
}

// owner_word returns the name to declare a socket for, or an empty text where none can be written.
std::string owner_word(const Observed& observed) {
  const SocketOwner* owner = speaking_owner(observed);
  if (owner == nullptr) return {};
  const auto plain = [](std::string_view text) {
    return !text.empty() && text.find(" in ") == std::string_view::npos &&
           std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
  };
  // All programs of a user are of user@UID.service; a scope's name changes with the container or session.
  if (owner->unit.ends_with(".service") && !owner->unit.starts_with("user@") && plain(owner->unit)) return owner->unit;
  return plain(owner->process) && policy::names_owner(owner->process, owner->process, {}) ? owner->process : std::string();
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// Line is an entry of a declaration, in the order of the file.
struct Line {
  std::tuple<std::string, std::uint16_t, std::string_view, std::string> order;
  std::string entry;
  std::vector<std::string> processes;
};

Line line_of(const Observed& observed, std::pair<std::uint16_t, std::uint16_t> ephemeral) {
  const netfilter::ListeningSocket& socket = observed.socket;
  const std::string owner = owner_word(observed);
  const std::string address = socket.dual ? "*" : socket.address.is_v6() ? "[" + socket.address.to_string() + "]" : socket.address.to_string();
  const bool passing = socket.transport == Transport::kUdp && !owner.empty() && socket.port >= ephemeral.first && socket.port <= ephemeral.second;
  const std::string ports = passing ? std::to_string(ephemeral.first) + '-' + std::to_string(ephemeral.second) : std::to_string(socket.port);
  Line line;
  line.entry = address + ':' + ports + '/' + std::string(word(socket.transport)) + (owner.empty() ? "" : '@' + owner) +
               (observed.netns.empty() ? "" : " in " + observed.netns);
  line.order = {observed.netns, passing ? ephemeral.first : socket.port, word(socket.transport), line.entry};
  line.processes.push_back(who(observed));
  return line;
}

}  // namespace

std::string socket_text(const netfilter::ListeningSocket& socket) {
  const std::string link = socket.interface.empty() ? "" : '%' + escaped(socket.interface);
  const std::string port = ':' + std::to_string(socket.port);
  if (socket.dual) return '*' + link + port;
  if (socket.address.is_v6()) return '[' + socket.address.to_string() + link + ']' + port;
  return socket.address.to_string() + link + port;
}

std::string drift_table(std::span<const DriftFinding> findings) {
  std::vector<Row> rows = {{"FINDING", "PROTO", "SOCKET", "PROCESS", "PID", "USER", "UNIT", "DECLARED"}};
  for (const DriftFinding& finding : findings) rows.push_back(row_of(finding));
  std::array<std::size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i + 1 < kColumns; ++i) text += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    text += row.back() + '\n';
  }
  return text;
}

std::string drift_sentence(const DriftFinding& finding) {
  std::string text(to_string(finding.kind));
  if (!finding.observed) return text + ' ' + finding.declared;
  text += ' ' + std::string(word(finding.observed->socket.transport)) + ' ' + socket_text(finding.observed->socket);
  if (!finding.observed->netns.empty()) text += " in " + escaped(finding.observed->netns);
  if (!finding.declared.empty()) text += ", declared " + finding.declared;
  return text + " (" + who(*finding.observed) + ')';
}

namespace {

void add_finding(const DriftFinding& finding, nlohmann::ordered_json& row) {
  row["kind"] = to_string(finding.kind);
  if (finding.observed) {
    const Observed& observed = *finding.observed;
    row["proto"] = word(observed.socket.transport);
    row["address"] = observed.socket.address.to_string();
    row["port"] = observed.socket.port;
    row["dual_stack"] = observed.socket.dual;
    if (!observed.socket.interface.empty()) row["interface"] = escaped(observed.socket.interface);
    if (!observed.netns.empty()) row["netns"] = escaped(observed.netns);
    row["uid"] = observed.socket.uid;
    row["user"] = user_name(observed.socket.uid);
    if (const SocketOwner* owner = speaking_owner(observed)) {
      row["process"] = escaped(owner->process);
      row["pid"] = owner->pid;
      if (!owner->unit.empty()) row["unit"] = escaped(owner->unit);
      if (!owner->cgroup.empty()) row["cgroup"] = escaped(owner->cgroup);
    }
  }
  if (!finding.declared.empty()) row["declared"] = finding.declared;
}

}  // namespace

nlohmann::ordered_json drift_fields(const DriftFinding& finding, bool begins) {
  nlohmann::ordered_json row{{"state", begins ? "begin" : "end"}};
  add_finding(finding, row);
  row["message"] = (begins ? "" : "over: ") + drift_sentence(finding);
  return row;
}

std::string drift_json(const DriftFinding& finding) {
  nlohmann::ordered_json row;
  add_finding(finding, row);
  return row.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string declaration(std::span<const Observed> observed, bool all, std::pair<std::uint16_t, std::uint16_t> ephemeral) {
  std::vector<Line> lines;
  for (const Observed& each : observed) {
    Line line = line_of(each, ephemeral);
    const auto same = std::ranges::find(lines, line.entry, &Line::entry);
    if (same == lines.end()) {
      lines.push_back(std::move(line));
    } else if (std::ranges::find(same->processes, line.processes.front()) == same->processes.end()) {
      same->processes.push_back(line.processes.front());
    }
  }
  std::ranges::sort(lines, {}, &Line::order);
  std::string text = "[listeners]\n";
  if (all) text += "netns = \"all\"\n";
  text += "allow = [\n";
  for (const Line& line : lines) {
    text += "  " + in_quotes(line.entry) + ",  # ";
    for (std::size_t i = 0; i < std::min(line.processes.size(), kProcessesTold); ++i) text += (i == 0 ? "" : "; ") + line.processes[i];
    if (line.processes.size() > kProcessesTold) text += "; and " + std::to_string(line.processes.size() - kProcessesTold) + " more";
    text += '\n';
  }
  return text + "]\n";
}

std::pair<std::uint16_t, std::uint16_t> ephemeral_ports() {
  std::ifstream file("/proc/sys/net/ipv4/ip_local_port_range");
  std::uint16_t first = 0, last = 0;
  if (file >> first >> last && first != 0 && first <= last) return {first, last};
  return {0, 0};
}

}  // namespace sallyport::daemon
