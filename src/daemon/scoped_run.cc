#include "sallyport/daemon/scoped_run.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <expected>
#include <optional>
#include <thread>
#include <utility>

#include "guest.h"
#include "keeper.h"
#include "namespace_lock.h"
#include "private_network.h"
#include "sallyport/netfilter/cgroup.h"
#include "sallyport/netfilter/rule_installer.h"
#include "sallyport/netfilter/socket_end.h"

namespace sallyport::daemon {
namespace {

constexpr unsigned kFirstQueue = 256;  // Beyond those of any service.
constexpr std::chrono::seconds kPatience{5};

void say(const std::string& text) {
  std::fprintf(stderr, "sallyport: %s\n", text.c_str());
}

int fail(const std::string& text) {
  say(text);
  return kExitOwnFailure;
}

// undo_rules and undo_cgroup are what a run leaves behind when it is killed.
void undo_rules() {
  const auto installer = netfilter::RuleInstaller::open();
  if (!installer) return say(installer.error());
  if (const auto removed = installer->remove(); !removed) say(removed.error());
}

// warn_of_sessions speaks up when the user has processes outside of the scope, which would do the command's work for it.
void warn_of_sessions(const Account& account) {
  const std::string number = std::to_string(account.uid);
  const char* caller = std::getenv("SUDO_UID");
  if ((caller != nullptr && number == caller) || ::access(("/run/user/" + number).c_str(), F_OK) == 0) {
    say("warning: user " + account.name + " is logged in; what runs as this user outside can be asked to pass the firewall. "
        "Use an account of its own, which nobody is logged in as");
  }
}

// end_command ends all that was the command: its processes, and the connections that outlive them, of which the kernel would
// repeat without rules what was held or dropped with them. Fails with a message when something is left that could send.
std::expected<void, std::string> end_command(const netfilter::Cgroup& cgroup) {
  if (!netfilter::kill_cgroup(cgroup)) return std::unexpected("a process of the command does not end");
  return netfilter::end_tcp_sockets(netfilter::cgroup_ids(cgroup), kPatience);
}

void undo_cgroup(const netfilter::Cgroup& cgroup) {
  if (!netfilter::remove_cgroup(cgroup)) say("cannot remove the cgroup " + cgroup.directory);
}

// Attendant waits for the command's end and passes signals on to it.
class Attendant {
 public:
  Attendant(Guest& guest, const Keeper& keeper, const netfilter::Cgroup& cgroup) : guest_(guest), keeper_(keeper), cgroup_(cgroup) {}

  int attend(int signal_fd) {
    guest_.go();
    pollfd fds[3] = {{guest_.fd(), POLLIN, 0}, {signal_fd, POLLIN, 0}, {keeper_.fd(), POLLIN, 0}};
    for (;;) {
      if (::poll(fds, 3, -1) < 0) continue;
      signalfd_siginfo info{};
      if ((fds[1].revents & POLLIN) != 0 && ::read(signal_fd, &info, sizeof info) == sizeof info) pass_on(info);
      if (fds[2].revents != 0) {
        // Without it a kill -9 of this process would leave the rules behind.
        say("the process that cleans up is gone; the command is ended");
        (void)netfilter::kill_cgroup(cgroup_);
        (void)guest_.wait();
        return kExitOwnFailure;
      }
      if (fds[0].revents != 0) break;
    }
    const int code = guest_.wait();
    // What it started and left goes with it: nothing may go on without a firewall.
    (void)netfilter::kill_cgroup(cgroup_);
    return code;
  }

 private:
  // What the terminal sends, the command gets itself: it is in the same process group.
  void pass_on(const signalfd_siginfo& info) const {
    if (info.ssi_code == SI_USER || info.ssi_code == SI_QUEUE || info.ssi_code == SI_TKILL) {
      (void)::kill(guest_.pid(), static_cast<int>(info.ssi_signo));
    }
  }

  Guest& guest_;
  const Keeper& keeper_;
  const netfilter::Cgroup& cgroup_;
};

// ScopedRun is one run: what it makes, in the order in which it is made, and undoes in the reverse order.
class ScopedRun {
 public:
  ScopedRun(const ScopedOptions& options, netfilter::Cgroup cgroup, std::optional<NetworkPlan> network)
      : options_(options), cgroup_(std::move(cgroup)), network_(std::move(network)) {}

  int run(const GuestOptions& guest_options) {
    auto keeper = Keeper::start([this](bool rules_touched) { undo_all(rules_touched); });
    if (!keeper) return fail(keeper.error());
    // Behind the keeper's start: a kill -9 in between would leave it.
    if (const auto made = netfilter::make_cgroup(cgroup_); !made) {
      keeper->dismiss();  // What is there is another's.
      return fail(made.error());
    }
    exit_code_ = kExitOwnFailure;
    if (const auto done = run_guest(guest_options, *keeper); !done) say(done.error());
    if (network_) {
      const auto back = host_.enter();
      const std::string errors = back ? undo(*network_) : back.error();
      if (!errors.empty()) say(errors);
    }
    if (!ended_) {
      keeper->leave_the_rest();
      return exit_code_ != 0 ? exit_code_ : kExitOwnFailure;
    }
    undo_cgroup(cgroup_);
    keeper->dismiss();
    return exit_code_;
  }

 private:
  using Outcome = std::expected<void, std::string>;

  // undo_all is what the keeper does. A network namespace of ours ends with its processes, and its rules with it.
  void undo_all(bool rules_touched) const {
    if (network_) {
      (void)netfilter::kill_cgroup(cgroup_);
      if (const std::string errors = undo(*network_); !errors.empty()) say(errors);
    } else {
      while (!end_command(cgroup_)) std::this_thread::sleep_for(kPatience);  // Its rules stay as long.
      if (rules_touched) undo_rules();
    }
    undo_cgroup(cgroup_);
  }

  // may_open tells whether the rules may go: nothing is left that could send.
  bool may_open() {
    const Outcome done = network_ ? cut() : end_command(cgroup_);
    if (!done) {
      say(done.error() + (network_ ? "" : "; the rules stay until it is gone, or until `sallyport rules remove`"));
      ended_ = network_.has_value();
    }
    return done.has_value();
  }

  // run_guest ends with the guest: its cgroup is empty then.
  Outcome run_guest(const GuestOptions& guest_options, Keeper& keeper) {
    if (network_) {
      if (const Outcome done = enter_own_namespace(); !done) return done;  // The guest is born there.
    }
    auto guest = Guest::start(guest_options);
    if (!guest) return std::unexpected(guest.error());
    if (const Outcome entered = netfilter::enter(cgroup_, guest->pid()); !entered) return entered;
    if (network_) {
      if (const Outcome done = enter_own_namespace(); !done) return done;  // The gateway.
      if (const Outcome joined = join(*network_, keeper.pid(), guest->pid()); !joined) return joined;
    }
    Attendant attendant(*guest, keeper, cgroup_);
    bool attended = false;
    Attended run;
    run.verbose = options_.verbose;
    if (network_) {
      run.inside = {kGatewayInside};
      run.resolv_conf = network_->resolv_conf;
    } else {
      run.cgroup = cgroup_.path;
      run.first_queue = kFirstQueue;
    }
    run.before_rules = [&] { keeper.rules_touched(); };
    run.attend = [&](int signal_fd) {
      attended = true;
      return attendant.attend(signal_fd);
    };
    run.may_open = [this] { return may_open(); };
    DaemonOptions daemon = options_.daemon;
    daemon.attended = &run;
    const int code = run_daemon(daemon);
    if (attended) exit_code_ = code;
    return {};
  }

  const ScopedOptions& options_;
  netfilter::Cgroup cgroup_;
  std::optional<NetworkPlan> network_;
  Namespace host_;
  int exit_code_ = kExitOwnFailure;
  bool ended_ = true;  // Nothing of the command is left that could send.
};

}  // namespace

int run_scoped(const ScopedOptions& options) {
  if (::geteuid() != 0) return fail("a command can be put behind the firewall by root only; use sudo");
  GuestOptions guest;
  guest.command = options.command;
  if (!options.user.empty()) {
    const auto account = Account::find(options.user);
    if (!account) return fail(account.error());
    guest.account = *account;
    warn_of_sessions(*account);
  }
  std::optional<NetworkPlan> network;
  if (options.own_network) {
    auto plan = NetworkPlan::make(options.daemon.policy->dns());
    if (!plan) return fail(plan.error());
    guest.resolv_conf = plan->resolv_conf_path;
    network = std::move(*plan);
  }
  std::optional<NamespaceLock> lock;
  if (!network) {
    auto taken = NamespaceLock::take();  // The process that cleans up has it, too, and the command loses it by its exec.
    if (!taken) return fail(taken.error());
    lock.emplace(std::move(*taken));
  }
  auto cgroup = netfilter::plan_cgroup("sallyport-run-" + std::to_string(::getpid()));
  if (!cgroup) return fail(cgroup.error());
  return ScopedRun(options, std::move(*cgroup), std::move(network)).run(guest);
}

}  // namespace sallyport::daemon
