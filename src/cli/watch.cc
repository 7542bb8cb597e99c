#include <CLI/CLI.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "policy_option.h"
#include "sallyport/daemon/control_client.h"
#include "sallyport/view/keys.h"
#include "sallyport/view/screen.h"
#include "sallyport/view/terminal.h"
#include "terminal.h"

namespace sallyport::cli {
namespace {

constexpr auto kRetry = std::chrono::seconds(1);
constexpr auto kGrantsInterval = std::chrono::seconds(5);
constexpr auto kAnswerTime = std::chrono::seconds(5);
constexpr const char* kWatchRequest = R"({"command":"watch"})";
constexpr const char* kGrantsRequest = R"({"command":"grants"})";

volatile std::sig_atomic_t g_end = 0;

struct WatchArguments {
  std::string control = policy::Deploy().control;
  bool plain = false;
};

int not_answered(const daemon::ControlFailure& failure) {
  const bool absent = failure.error == daemon::ControlError::kNotRunning;
  std::fprintf(stderr, "sallyport: %s%s\n", absent ? "not running: " : "", failure.message.c_str());
  return absent ? kExitNotRunning : kExitNo;
}

void end_on_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_end = 1; };  // Without SA_RESTART: poll returns.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) (void)::sigaction(signal, &action, nullptr);
}

// Feed is the stream of frames: it is opened again and again while the service is away.
class Feed {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Feed(const std::string& path) : path_(path) {}

  std::optional<daemon::ControlFailure> open() {
    tried_ = Clock::now();
    auto opened = daemon::ControlConnection::open(path_, kWatchRequest);
    if (!opened) return opened.error();
    connection_.emplace(std::move(*opened));
    return std::nullopt;
  }
  int fd() const { return connection_ ? connection_->fd() : -1; }
  bool due() const { return !connection_ && Clock::now() - tried_ >= kRetry; }
  // read applies what has come; false: the service is gone.
  bool read(view::Model& model) {
    std::vector<std::string> lines;
    const bool open = connection_->read(lines);
    for (const std::string& line : lines) {
      if (model.apply_frame(line)) {
        model.connected = true;
      } else if (line.find("\"error\"") != std::string::npos) {
        model.connection_problem = "it does not let itself be watched";
        connection_.reset();
        return false;
      }
    }
    if (!open) connection_.reset();
    return open;
  }

 private:
  std::string path_;
  std::optional<daemon::ControlConnection> connection_;
  Clock::time_point tried_;
};

// Question is a request whose answer is waited for beside everything else.
struct Question {
  daemon::ControlConnection connection;
  std::string request;
  std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();
};

class Watch {
 public:
  Watch(const std::string& path, Feed feed, view::Terminal& terminal) : path_(path), feed_(std::move(feed)), terminal_(terminal) {}

  void run() {
    while (!g_end && !quit_) {
      terminal_.show(view::draw(model_, terminal_.size()));
      turn();
    }
  }
  const std::vector<std::string>& copied() const { return model_.copied; }

 private:
  void turn() {
    reconnect();
    if (std::chrono::steady_clock::now() >= next_grants_) {
      next_grants_ = std::chrono::steady_clock::now() + kGrantsInterval;
      if (model_.connected) ask(kGrantsRequest);
    }
    std::vector<pollfd> fds{{STDIN_FILENO, POLLIN, 0}, {feed_.fd(), POLLIN, 0}};
    for (const Question& each : questions_) fds.push_back({each.connection.fd(), POLLIN, 0});
    (void)::poll(fds.data(), fds.size(), 500);
    if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) quit_ = true;  // The terminal is gone.
    if (feed_.fd() >= 0 && fds[1].revents != 0 && !feed_.read(model_)) {
      model_.connected = false;
      if (model_.connection_problem.empty()) model_.connection_problem = "it has ended";
    }
    take_answers();
    while (const std::optional<view::Key> key = terminal_.read()) {
      const view::Effect effect = view::press(model_, *key, view::flow_rows(terminal_.size()));
      if (effect.kind == view::Effect::Kind::kQuit) quit_ = true;
      if (effect.kind == view::Effect::Kind::kAsk) ask(effect.text);
      if (effect.kind == view::Effect::Kind::kCopy) terminal_.to_clipboard(effect.text);
    }
  }

  void reconnect() {
    if (!feed_.due()) return;
    if (const auto failure = feed_.open()) {
      model_.connection_problem = failure->error == daemon::ControlError::kNotRunning ? "it is not running" : failure->message;
    } else {
      model_.connection_problem.clear();
    }
  }

  void ask(const std::string& request) {
    auto opened = daemon::ControlConnection::open(path_, request);
    if (opened) {
      questions_.push_back({std::move(*opened), request});
    } else if (request != kGrantsRequest) {
      view::show_problem(model_, opened.error().message);
    }
  }

  void take_answers() {
    std::erase_if(questions_, [this](Question& question) {
      std::vector<std::string> lines;
      const bool open = question.connection.read(lines);
      const bool grants = question.request == kGrantsRequest;
      if (lines.empty()) {
        const bool late = std::chrono::steady_clock::now() - question.asked > kAnswerTime;
        if (!grants && (late || !open)) view::show_problem(model_, "the service gave no answer");
        return late || !open;
      }
      if (grants) {
        (void)model_.apply_grants(lines.front());
      } else {
        view::show_answer(model_, question.request, lines.front());
        next_grants_ = {};  // It may have changed what stands above.
      }
      return true;
    });
  }

  const std::string& path_;
  Feed feed_;
  view::Terminal& terminal_;
  view::Model model_;
  std::vector<Question> questions_;
  std::chrono::steady_clock::time_point next_grants_;
  bool quit_ = false;
};

// plain prints a line for each frame, and on standard error when the service goes and comes.
int plain(Feed& feed) {
  view::Model model;
  while (!g_end) {
    if (feed.due() && !feed.open()) std::fprintf(stderr, "sallyport: the service is back\n");
    pollfd input{feed.fd(), POLLIN, 0};
    if (::poll(&input, 1, 500) <= 0) continue;
    std::vector<std::string> before;
    const bool was = model.connected;
    const double time = model.header().time;
    const bool open = feed.read(model);
    if (model.connected && model.header().time != time) {
      std::printf("%s\n", view::plain_line(model.header()).c_str());
      if (std::fflush(stdout) != 0) return kExitNo;
    }
    if (!open) {
      if (was) std::fprintf(stderr, "sallyport: the service has ended; trying again\n");
      model.connected = false;
    }
  }
  return kExitOk;
}

int watch(const WatchArguments& arguments) {
  Feed feed(arguments.control);
  if (!arguments.plain) {
    // Before anything is asked: what is wrong with the terminal is wrong with or without a service.
    const char* term = std::getenv("TERM");
    const bool dumb = term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
    if (dumb || ::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) {
      std::fprintf(stderr, "sallyport watch: it needs a terminal%s; --plain prints a line a second (see sallyport watch --help)\n", dumb ? " that can move its cursor (TERM)" : "");
      return kExitUsage;
    }
  }
  if (const auto failure = feed.open()) return not_answered(*failure);
  end_on_signals();
  if (arguments.plain) return plain(feed);
  std::vector<std::string> copied;
  {
    const auto terminal = view::Terminal::open(terminal_has_colour());
    if (!terminal) {
      std::fprintf(stderr, "sallyport watch: %s; --plain prints a line a second (see sallyport watch --help)\n", terminal.error().c_str());
      return kExitUsage;
    }
    Watch view(arguments.control, std::move(feed), **terminal);
    view.run();
    copied = view.copied();
  }
  for (const std::string& rule : copied) std::printf("%s\n", rule.c_str());
  return kExitOk;
}

}  // namespace

void add_watch_command(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<WatchArguments>();
  CLI::App* command = app.add_subcommand("watch", "Watch flows, names and verdicts as they come, and allow or deny by a key");
  command->add_option("--control", arguments->control, "Control socket of the service")->type_name("PATH")->capture_default_str();
  command->add_flag("--plain", arguments->plain, "A line of figures a second instead of the view, for logs");
  command->footer(
      "Keys: arrows or j k select a row, Enter tells all about it, a allows and d denies its name for ten minutes, c copies the\n"
      "rule that would allow it, / filters, Tab goes to the names denied most, p pauses, ? helps, q quits.\n\n"
      "Examples:\n"
      "  sallyport watch\n"
      "  sallyport watch --plain >> rates.log\n\n"
      "Exit codes: 0 ended by q or a signal, 1 the service does not answer properly, 2 usage, or no terminal for it, 3 the service is\n"
      "not running at the start. When it ends later the view waits for it.");
  command->callback([arguments, &exit_code] { exit_code = watch(*arguments); });
}

}  // namespace sallyport::cli
