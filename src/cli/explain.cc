#include <CLI/CLI.hpp>

#include <pwd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.h"
#include "input_files.h"
#include "policy_option.h"
#include "sallyport/advice/explanation.h"
#include "sallyport/core/http_path.h"
#include "sallyport/daemon/control_client.h"
#include "sallyport/policy/explain.h"
#include "sallyport/policy/idna.h"
#include "sallyport/policy/suggestion.h"
#include "sallyport/replay/replay.h"
#include "sallyport/replay/report.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  sallyport explain --policy p.toml example.com                    TLS to port 443 of it
  sallyport explain --policy p.toml example.com --protocol http --method POST --path /api/x
  sallyport explain --policy p.toml git.example --protocol ssh --scope agent
  sallyport explain --policy p.toml --tuple "tcp 10.0.0.1:40000 203.0.113.5:443"
  sallyport explain --policy p.toml day.pcap --flow 3              a flow of a capture
  sallyport explain --policy p.toml --events events.jsonl          what the last denied flow there lacked
  sallyport explain --policy p.toml --events - tguhqo1c-4          that event, from standard input
  sallyport explain --policy p.toml tguhqo1c-4                     an event of the running service

A name is judged as if a trusted resolver had given the address; --unbound asks the contrary. The policy is that of --policy,
not the running service's. A tuple is looked up in the running service, ended flows included, and explained with the name
that the service remembers; without a service, without such a flow, or with a NAME or other facts beside it, it is judged by the
policy alone, which is said.
Exit codes: 0 allowed (all of them), 1 denied, not found or a damaged capture, 2 wrong use, a bad policy, or a file that cannot be
read, 3 the service does not run (of an event).)";
constexpr std::size_t kExplainedMax = 1'000;  // Flows of a capture that are told one by one.

struct Arguments {
  std::string policy;
  std::string subject;
  std::string protocol;
  std::optional<std::uint16_t> port;
  std::string transport;
  std::string scope;
  std::string user;
  std::string address;
  bool unbound = false;
  std::string method;
  std::string path;
  bool websocket = false;
  std::string tuple;
  std::string event;
  std::string events;
  std::optional<std::uint64_t> flow;
  bool all = false;
  const CLI::App* command = nullptr;
  std::string control = policy::Deploy().control;
  bool json = false;
};

// wrong_use says one line, whatever the argument held.
int wrong_use(const std::string& text) {
  std::fprintf(stderr, "sallyport explain: %s (see sallyport explain --help)\n", replay::printable(text).c_str());
  return kExitUsage;
}

bool is_capture_name(const std::string& text) {
  for (const char* end : {".pcap", ".pcapng", ".cap"}) {
    for (const char* packed : {"", ".gz", ".zst"}) {
      if (text.ends_with(std::string(end) + packed)) return true;
    }
  }
  return text.find('/') != std::string::npos;
}

// is_event_id tells an event's id (two numbers of base 36) from a host name, which seldom has no dot.
bool is_event_id(const std::string& text) {
  const std::size_t dash = text.find('-');
  const auto digits = [](std::string_view part) { return !part.empty() && part.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz") == std::string_view::npos; };
  return dash != std::string::npos && dash >= 6 && digits(std::string_view(text).substr(0, dash)) && digits(std::string_view(text).substr(dash + 1)) &&
         text.find_first_of("0123456789") != std::string::npos;
}

// Printer prints one explanation after the other.
class Printer {
 public:
  Printer(const policy::Policy& policy, const Arguments& arguments) : policy_(policy), arguments_(arguments), texts_(policy) {}

  void print(const advice::Question& question, const std::string& title) {
    const advice::LoadWith load_with = [&](const std::string& toml) {
      const std::string text = "version = 1\n" + toml;
      return arguments_.policy.empty() ? policy::load_policy_text(text, "added") : policy::load_policy_file_with(arguments_.policy, text, "added");
    };
    const advice::Explanation explanation = advice::explain(policy_, question, texts_, load_with);
    if (explanation.verdict == engine::FlowVerdict::kDeny) denied_ = true;
    std::string text;
    if (arguments_.json) {
      text = advice::to_json(explanation) + "\n";
    } else {
      if (count_ > 0) text += "\n";
      if (!title.empty()) text += title + "\n";
      text += advice::to_text(explanation, {.colour = terminal_has_colour()});
    }
    ++count_;
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  int exit_code() const { return denied_ ? kExitNo : kExitOk; }

 private:
  const policy::Policy& policy_;
  const Arguments& arguments_;
  advice::RuleTexts texts_;
  std::size_t count_ = 0;
  bool denied_ = false;
};

Timestamp now() { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

// Asking takes the arguments that a name or a tuple is explained by. An error is one line.
class Asking {
 public:
  Asking(const policy::Policy& policy, const Arguments& arguments) : policy_(policy), arguments_(arguments) {}

  std::expected<advice::Question, std::string> take() {
    question_.now = now();
    using Part = std::string (Asking::*)();
    for (const Part part : {&Asking::what, &Asking::which, &Asking::where, &Asking::whose, &Asking::request}) {
      if (std::string error = (this->*part)(); !error.empty()) return std::unexpected(std::move(error));
    }
    return std::move(question_);
  }

 private:
  // what reads the name, address or tuple.
  std::string what() {
    if (!arguments_.tuple.empty()) return tuple();
    if (const auto address = IpAddress::parse(arguments_.subject)) {
      question_.address = *address;
      return {};
    }
    if (read_name()) return {};
    if (Endpoint endpoint; read_endpoint(arguments_.subject, endpoint)) return arguments_.subject + ": expected the address alone; the port goes into --port";
    const std::size_t colon = arguments_.subject.rfind(':');
    if (colon != std::string::npos && policy::to_domain_name(std::string_view(arguments_.subject).substr(0, colon))) {
      return arguments_.subject + ": expected the host name alone; the port goes into --port";
    }
    return arguments_.subject + ": no host name, address, capture or event id";
  }
  bool read_name() {
    const auto name = policy::to_domain_name(arguments_.subject);
    if (!name) return false;
    question_.name = *name;
    question_.shown_name = name->text();
    return true;
  }
  static bool read_endpoint(std::string_view text, Endpoint& out) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return false;
    std::string_view address = text.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    const auto parsed = IpAddress::parse(address);
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (!parsed || error != std::errc() || out.port == 0 || end != port.data() + port.size()) return false;
    out.address = *parsed;
    return true;
  }
  std::string tuple() {
    const std::string& text = arguments_.tuple;
    const std::size_t first = text.find(' ');
    const std::size_t second = first == std::string::npos ? first : text.find(' ', first + 1);
    const std::string_view view(text);
    Endpoint client, server;
    const std::string_view proto = view.substr(0, first);
    if (second == std::string::npos || (proto != "tcp" && proto != "udp") || !read_endpoint(view.substr(first + 1, second - first - 1), client) ||
        !read_endpoint(view.substr(second + 1), server) || client.address.is_v4() != server.address.is_v4()) {
      return "--tuple: expected \"tcp|udp SOURCE:PORT DESTINATION:PORT\"";
    }
    question_.transport = proto == "tcp" ? Transport::kTcp : Transport::kUdp;
    question_.client = client.address;
    question_.client_port = client.port;
    question_.address = server.address;
    question_.port = server.port;
    question_.scopes = policy_.scopes_of({.source = client.address, .interface = {}, .uid = {}, .gid = {}});
    if (arguments_.subject.empty()) return {};
    return read_name() ? "" : arguments_.subject + ": no host name, which is what --tuple takes beside it";
  }
  // which reads protocol, transport and port.
  std::string which() {
    const bool tcp = arguments_.transport != "udp" && question_.transport == Transport::kTcp;
    if (!arguments_.protocol.empty()) {
      const bool raw = arguments_.protocol == "tcp" || arguments_.protocol == "udp";
      const auto protocol = raw ? Protocol::kUnknown : protocol_from_string(arguments_.protocol);
      if (!protocol || (*protocol == Protocol::kUnknown && !raw)) {
        std::vector<std::string_view> words(kProtocolNames.begin(), kProtocolNames.end());
        std::erase(words, to_string(Protocol::kUnknown));
        words.insert(words.end(), {"tcp", "udp"});
        return "--protocol: " + policy::quote(arguments_.protocol) + ": expected " + policy::first_of(words) + policy::did_you_mean(arguments_.protocol, words);
      }
      question_.protocol = *protocol == Protocol::kHttp2 ? Protocol::kHttp : *protocol;
      if (arguments_.tuple.empty()) question_.transport = arguments_.protocol == "udp" ? Transport::kUdp : raw ? Transport::kTcp : advice::transport_of(*protocol);
      if (*protocol == Protocol::kDns && arguments_.tuple.empty()) question_.transport = Transport::kUdp;
    } else if (!arguments_.tuple.empty()) {
      question_.protocol = advice::protocol_at(question_.transport, question_.port);
    } else {
      question_.protocol = tcp ? Protocol::kTls : Protocol::kQuic;
      question_.transport = tcp ? Transport::kTcp : Transport::kUdp;
    }
    if (!arguments_.transport.empty()) question_.transport = arguments_.transport == "udp" ? Transport::kUdp : Transport::kTcp;
    const bool has_ports = question_.transport == Transport::kTcp || question_.transport == Transport::kUdp;
    if (!arguments_.protocol.empty() && !runs_on(question_.transport)) return "--protocol: " + arguments_.protocol + " does not run on " + std::string(to_string(question_.transport));
    if (!arguments_.protocol.empty() && !has_ports && arguments_.port) return "--port: " + arguments_.protocol + " has no ports";
    if (arguments_.port) question_.port = *arguments_.port;
    if (question_.port == 0 && has_ports) question_.port = advice::home_port_of(question_.transport, question_.protocol);
    if (question_.port == 0 && has_ports) return "--port: needed for a protocol without a port of its own";
    if (question_.transport == Transport::kIcmp) question_.icmp_type = 8;  // An echo request.
    return {};
  }
  bool runs_on(Transport transport) const {
    if (arguments_.protocol == "tcp") return transport == Transport::kTcp;
    if (arguments_.protocol == "udp") return transport == Transport::kUdp;
    return policy::word_for(transport, question_.protocol) == to_string(question_.protocol);
  }
  std::string where() {
    if (!arguments_.address.empty() && question_.address) return "--address: " + arguments_.subject + " is an address itself";
    if (!arguments_.address.empty()) question_.address = IpAddress::parse(arguments_.address);
    question_.bound = !arguments_.unbound;
    return {};
  }
  std::string whose() {
    if (!arguments_.scope.empty()) {
      const auto scope = advice::scope_named(policy_, arguments_.scope);
      if (!scope) return "--scope: the policy has no scope " + arguments_.scope;
      question_.scopes = *scope;
    }
    if (arguments_.user.empty()) return {};
    policy::ScopeFacts facts;
    if (question_.client) facts.source = *question_.client;
    std::uint32_t uid = 0;
    const auto [end, error] = std::from_chars(arguments_.user.data(), arguments_.user.data() + arguments_.user.size(), uid);
    if (error == std::errc() && end == arguments_.user.data() + arguments_.user.size()) {
      facts.uid = uid;
    } else if (const passwd* entry = ::getpwnam(arguments_.user.c_str()); entry != nullptr) {
      facts.uid = entry->pw_uid;
      facts.gid = entry->pw_gid;
    } else {
      return "--user: " + arguments_.user + " is no user here";
    }
    question_.scopes = policy_.scopes_of(facts);
    return {};
  }
  std::string request() {
    if (arguments_.method.empty() && arguments_.path.empty() && !arguments_.websocket) return {};
    if (question_.protocol != Protocol::kHttp) return "--method, --path and --websocket: only with --protocol http";
    if (!arguments_.path.empty() && !arguments_.path.starts_with('/')) return "--path: it begins with /";
    // RFC 9110 §5.6.2: a method is a token.
    constexpr std::string_view kToken = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if (arguments_.method.find_first_not_of(kToken) != std::string::npos) return "--method: " + arguments_.method + " is no HTTP method";
    advice::Request request{.method = arguments_.method.empty() ? "GET" : arguments_.method, .path = {}, .websocket = arguments_.websocket};
    const std::string path = arguments_.path.empty() ? "/" : arguments_.path.substr(0, arguments_.path.find_first_of("?#"));
    std::vector<char> storage(3 * path.size() + 1);
    const auto canonical = canonical_http_path(path, storage);
    request.path_ambiguous = !canonical;
    if (canonical) request.path = *canonical;
    question_.request = std::move(request);
    return {};
  }

  const policy::Policy& policy_;
  const Arguments& arguments_;
  advice::Question question_;
};

int explain_capture(const std::shared_ptr<const policy::Policy>& policy, const Arguments& arguments) {
  if (!can_open("explain", arguments.subject)) return kExitUsage;
  replay::ReplayOptions options;
  options.policy = policy;
  std::atomic<std::uint64_t> bytes = 0;
  const replay::CaptureResult result = replay::replay_capture(arguments.subject, options, bytes);
  if (result.error) {
    std::fprintf(stderr, "sallyport explain: %s: %s\n", replay::printable(arguments.subject).c_str(), replay::printable(*result.error).c_str());
    if (result.flows.empty()) return kExitNo;
  }
  Printer printer(*policy, arguments);
  std::size_t found = 0;
  for (const replay::FlowRow& row : result.flows) {
    if (arguments.flow && row.flow != *arguments.flow) continue;
    if (!arguments.flow && !arguments.all && row.verdict != engine::FlowVerdict::kDeny) continue;
    if (++found > kExplainedMax) {
      std::fprintf(stderr, "sallyport explain: only the first %zu flows are explained; take --flow N\n", kExplainedMax);
      break;
    }
    printer.print(advice::question_of_flow(row, *policy), "flow " + std::to_string(row.flow) + (row.turned ? " (turned)" : ""));
  }
  if (found == 0 && arguments.flow) {
    std::fprintf(stderr, "sallyport explain: the capture has no flow %llu\n", static_cast<unsigned long long>(*arguments.flow));
    return kExitNo;
  }
  if (found == 0 && !arguments.json) std::printf("%zu flows, none denied\n", result.flows.size());
  return result.error ? kExitNo : printer.exit_code();
}

int explain_line(const policy::Policy& policy, const Arguments& arguments, const std::string& line) {
  const auto question = advice::question_of_json(line, policy);
  if (!question) {
    std::fprintf(stderr, "sallyport explain: %s\n", question.error().c_str());
    return kExitNo;
  }
  Printer printer(policy, arguments);
  printer.print(*question, {});
  return printer.exit_code();
}

// explain_events looks for an event, or for the last flow that was denied, in JSON lines.
int explain_events(const policy::Policy& policy, const Arguments& arguments) {
  if (arguments.events != "-" && !can_open("explain", arguments.events)) return kExitUsage;
  std::ifstream file;
  if (arguments.events != "-") file.open(arguments.events, std::ios::binary);
  std::istream& in = arguments.events == "-" ? std::cin : file;
  std::string found;
  for (std::string line; std::getline(in, line);) {
    const nlohmann::json row = nlohmann::json::parse(line, nullptr, false);
    if (!row.is_object()) continue;
    const auto is = [&](const char* key, const std::string& value) { return row.contains(key) && row[key].is_string() && row[key] == value; };
    if (arguments.event.empty() ? is("verdict", "deny") && row.contains("dst") : is("id", arguments.event)) found = line;
  }
  if (found.empty()) {
    std::fprintf(stderr, "sallyport explain: %s\n", arguments.event.empty() ? "no denied flow there" : "no such event there");
    return kExitNo;
  }
  return explain_line(policy, arguments, found);
}

// explain_of_service asks the running service for what it remembers of an event.
int explain_of_service(const policy::Policy& policy, const Arguments& arguments) {
  const auto answer = daemon::ask_daemon(arguments.control, nlohmann::json{{"command", "event"}, {"id", arguments.event}}.dump());
  if (!answer) {
    const bool absent = answer.error().error == daemon::ControlError::kNotRunning;
    std::fprintf(stderr, "sallyport: %s%s\n", absent ? "not running: " : "", replay::printable(answer.error().message).c_str());
    return absent ? kExitNotRunning : kExitNo;
  }
  const nlohmann::json row = nlohmann::json::parse(*answer, nullptr, false);
  if (row.is_object() && row.contains("error") && row["error"].is_string()) {
    std::fprintf(stderr, "sallyport explain: %s\n", replay::printable(row["error"].get<std::string>()).c_str());
    return kExitNo;
  }
  const bool inside = row.is_object() && row.contains("event") && row["event"].is_object();
  return explain_line(policy, arguments, inside ? row["event"].dump(-1, ' ', true) : *answer);
}

// Ways are what may be explained; each takes options of its own, and one that it would ignore is refused.
enum Way : unsigned { kName = 1, kTuple = 2, kCapture = 4, kEvent = 8, kEvents = 16 };
struct OptionUse {
  const char* option;
  unsigned ways;
};
constexpr OptionUse kUses[] = {
    {"--protocol", kName | kTuple}, {"--scope", kName | kTuple},  {"--user", kName | kTuple},      {"--unbound", kName | kTuple},
    {"--method", kName | kTuple},   {"--path", kName | kTuple},   {"--websocket", kName | kTuple}, {"--port", kName},
    {"--transport", kName},         {"--address", kName},         {"--flow", kCapture},            {"--all", kCapture},
    {"--control", kTuple | kEvent}, {"--tuple", kTuple},
};

std::string_view text_of(Way way) {
  switch (way) {
    case kName: return "a name or address";
    case kTuple: return "--tuple";
    case kCapture: return "a capture";
    case kEvent: return "an event";
    case kEvents: return "--events";
  }
  std::unreachable();
}

// ignored returns an option that says nothing beside the others, or an empty text.
std::string ignored(const Arguments& arguments, Way way) {
  for (const OptionUse& use : kUses) {
    if ((use.ways & way) == 0 && arguments.command->count(use.option) > 0) return std::string(use.option) + " says nothing beside " + std::string(text_of(way));
  }
  if (arguments.flow && arguments.all) return "--flow and --all exclude each other";
  return {};
}

// is_supposed tells whether more is asked of a tuple than what became of it.
bool is_supposed(const Arguments& arguments) {
  return !arguments.subject.empty() ||
         std::ranges::any_of(kUses, [&](const OptionUse& use) { return use.ways == (kName | kTuple) && arguments.command->count(use.option) > 0; });
}

// flow_of_service returns the flow of a tuple as the running service knows it, or a null; why not is told.
nlohmann::json flow_of_service(const Arguments& arguments, const advice::Question& question) {
  const nlohmann::json request = {{"command", "flows"}, {"ended", true}, {"limit", 1}, {"proto", to_string(question.transport)},
                                  {"src", question.client->to_string()}, {"sport", question.client_port},
                                  {"dst", question.address->to_string()}, {"dport", question.port}};
  const auto answer = daemon::ask_daemon(arguments.control, request.dump());
  const nlohmann::json parsed = answer ? nlohmann::json::parse(*answer, nullptr, false) : nlohmann::json();
  std::string why;
  if (!answer) {
    why = (answer.error().error == daemon::ControlError::kNotRunning ? "no service runs here (" : "the service was not asked (") + answer.error().message + ")";
  } else if (!parsed.is_object() || !parsed.contains("flows") || !parsed["flows"].is_array()) {
    const bool said = parsed.is_object() && parsed.contains("error") && parsed["error"].is_string();
    why = "the service does not tell its flows" + (said ? ": " + parsed["error"].get<std::string>() : std::string());
  } else if (parsed["flows"].empty()) {
    why = "the running service knows no such flow";
  } else {
    return parsed["flows"].front();
  }
  const std::string_view protocol = question.protocol == Protocol::kUnknown ? to_string(question.transport) : to_string(question.protocol);
  std::fprintf(stderr, "sallyport explain: %s; judged by the policy alone, as %s without a name\n", replay::printable(why).c_str(), std::string(protocol).c_str());
  return nullptr;
}

int explain_question(const policy::Policy& policy, const Arguments& arguments) {
  const auto question = Asking(policy, arguments).take();
  if (!question) return wrong_use(question.error());
  Printer printer(policy, arguments);
  if (!arguments.tuple.empty() && !is_supposed(arguments)) {
    if (const nlohmann::json row = flow_of_service(arguments, *question); row.is_object()) {
      const auto known = advice::question_of_json(row.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), policy);
      if (!known) return wrong_use("the service's flow: " + known.error());
      const auto word = [&](const char* key) { return replay::printable(row.contains(key) && row[key].is_string() ? row[key].get<std::string>() : "?"); };
      printer.print(*known, "event " + word("id") + " of the running service, " + word("state"));
      return printer.exit_code();
    }
  }
  printer.print(*question, {});
  return printer.exit_code();
}

int run_explain(Arguments arguments) {
  if (arguments.event.empty() && arguments.tuple.empty() && arguments.protocol.empty() && is_event_id(arguments.subject)) arguments.event.swap(arguments.subject);
  const bool event = !arguments.event.empty() || !arguments.events.empty();
  const int ways = (event ? 1 : 0) + (arguments.tuple.empty() ? 0 : 1) + (arguments.subject.empty() || !arguments.tuple.empty() ? 0 : 1);
  if (ways == 0) return wrong_use("a name, an address, a capture, --tuple, --event or --events is needed");
  if (ways > 1) return wrong_use("--event and --events take no other flow");
  if (arguments.subject.find("://") != std::string::npos) return wrong_use(arguments.subject + ": a URL; expected the host name alone");
  const std::size_t slash = arguments.subject.rfind('/');
  if (slash != std::string::npos && IpAddress::parse(std::string_view(arguments.subject).substr(0, slash))) return wrong_use(arguments.subject + ": a prefix; expected one of its addresses");
  const bool capture = is_capture_name(arguments.subject);
  const Way way = !arguments.events.empty() ? kEvents : event ? kEvent : capture ? kCapture : !arguments.tuple.empty() ? kTuple : kName;
  if ((arguments.flow || arguments.all) && !capture) return wrong_use("--flow and --all are for captures");
  if (const std::string problem = ignored(arguments, way); !problem.empty()) return wrong_use(problem);
  const auto policy = load_live_policy(arguments.policy);
  if (policy == nullptr) return kExitUsage;
  switch (way) {
    case kEvents: return explain_events(*policy, arguments);
    case kEvent: return explain_of_service(*policy, arguments);
    case kCapture: return explain_capture(policy, arguments);
    case kTuple:
    case kName: return explain_question(*policy, arguments);
  }
  std::unreachable();
}

}  // namespace

void add_explain_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("explain", "Say why a flow is allowed or denied, and what would allow it");
  arguments->command = command;
  const auto is_address = [](const std::string& text) { return IpAddress::parse(text) ? std::string{} : text + " is no IP address"; };
  command->add_option("--policy", arguments->policy, kPolicyHelp)->type_name("FILE");
  command->add_option("--protocol", arguments->protocol, "What the flow speaks: a word of a rule's protocols (default: tls)")->type_name("WORD");
  command->add_option("--port", arguments->port, "Its port (default: the protocol's own)")->check(CLI::Range(1, 65'535))->type_name("N");
  command->add_option("--transport", arguments->transport, "tcp or udp, for protocols that run on both")->check(CLI::IsMember({"tcp", "udp"}))->type_name("WORD");
  CLI::Option* scope = command->add_option("--scope", arguments->scope, "A scope of the policy that the flow is in, or \"none\"")->type_name("NAME");
  command->add_option("--user", arguments->user, "The user whose flow it is, by name or number")->type_name("USER")->excludes(scope);
  command->add_option("--address", arguments->address, "Where it goes, if that matters")->check(CLI::Validator(is_address, ""))->type_name("ADDRESS");
  command->add_flag("--unbound", arguments->unbound, "No trusted resolver gave the address for the name (DNS: an untrusted resolver)");
  command->add_option("--method", arguments->method, "The HTTP method (default: GET, with --path)")->type_name("METHOD");
  command->add_option("--path", arguments->path, "The HTTP path")->type_name("PATH");
  command->add_flag("--websocket", arguments->websocket, "The request asks for a WebSocket");
  command->add_option("--tuple", arguments->tuple, "\"tcp|udp SOURCE:PORT DESTINATION:PORT\"")->type_name("FLOW");
  command->add_option("--event", arguments->event, "An event of the running service, or of --events")->type_name("ID");
  command->add_option("--events", arguments->events, "JSON lines of events, \"-\": standard input; the last denied flow without --event")->type_name("FILE");
  command->add_option("--flow", arguments->flow, "The flow of the capture, from 1 (default: every denied one)")->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 48))->type_name("N");
  command->add_flag("--all", arguments->all, "Every flow of the capture");
  command->add_option("--control", arguments->control, "The service's control socket")->type_name("SOCKET");
  command->add_flag("--json", arguments->json, "One JSON object per flow");
  command->add_option("SUBJECT", arguments->subject, "A host name, an address, a capture file, or an event's id")->type_name("");
  command->footer(kExamples);
  command->callback([arguments, &exit_code] { exit_code = run_explain(*arguments); });
}

}  // namespace sallyport::cli
