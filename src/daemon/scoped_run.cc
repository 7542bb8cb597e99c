#include "sallyport/daemon/scoped_run.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "guest.h"
#include "keeper.h"
#include "sallyport/netfilter/cgroup.h"
#include "sallyport/netfilter/rule_installer.h"

namespace sallyport::daemon {
namespace {

constexpr unsigned kFirstQueue = 256;  // Beyond those of any service.

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
    if (!netfilter::kill_cgroup(cgroup_)) say("a process of the command does not end");
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

}  // namespace

int run_scoped(const ScopedOptions& options) {
  if (::geteuid() != 0) return fail("a command can be put behind the firewall by root only; use sudo");
  GuestOptions guest_options;
  guest_options.command = options.command;
  if (!options.user.empty()) {
    const auto account = Account::find(options.user);
    if (!account) return fail(account.error());
    guest_options.account = *account;
  }
  const auto cgroup = netfilter::make_cgroup("sallyport-run-" + std::to_string(::getpid()));
  if (!cgroup) return fail(cgroup.error());
  auto keeper = Keeper::start([&](bool rules_touched) {
    (void)netfilter::kill_cgroup(*cgroup);
    if (rules_touched) undo_rules();
    undo_cgroup(*cgroup);
  });
  if (!keeper) {
    undo_cgroup(*cgroup);
    return fail(keeper.error());
  }
  int exit_code = kExitOwnFailure;
  {
    auto guest = Guest::start(guest_options);
    if (!guest) {
      say(guest.error());
    } else if (const auto entered = netfilter::enter(*cgroup, guest->pid()); !entered) {
      say(entered.error());
    } else {
      Attendant attendant(*guest, *keeper, *cgroup);
      bool attended = false;
      Attended run;
      run.cgroup = cgroup->path;
      run.first_queue = kFirstQueue;
      run.verbose = options.verbose;
      run.before_rules = [&] { keeper->rules_touched(); };
      run.attend = [&](int signal_fd) {
        attended = true;
        return attendant.attend(signal_fd);
      };
      DaemonOptions daemon = options.daemon;
      daemon.attended = &run;
      const int code = run_daemon(daemon);
      if (attended) exit_code = code;
    }
  }  // The child is gone; the cgroup is empty.
  undo_cgroup(*cgroup);
  keeper->dismiss();
  return exit_code;
}

}  // namespace sallyport::daemon
