// Each case gives up its privileges in a process of its own: there is no way back.
#include "privileges.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

namespace sallyport::daemon {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kFilters = false;
#else
constexpr bool kFilters = true;
#endif

// in_child returns the wait status of a process that does `body` and exits with what it returns.
int in_child(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

int filtered(const Needs& needs, const std::function<int()>& body) {
  return in_child([&] {
    if (!drop_privileges(needs) || !filter_system_calls(needs)) return 99;
    return body();
  });
}

// refused tells whether the call failed with EPERM.
int refused(long result) { return result == -1 && errno == EPERM ? 0 : 1; }

TEST(SeccompTest, CallThatOnlyAnIntruderMakesEndsTheProcess) {
  if (!kFilters) GTEST_SKIP() << "SKIPPED: no filter with sanitizers";
  const std::function<void()> calls[] = {
      [] { (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }, [] { (void)::unshare(CLONE_NEWUSER); },
      [] { (void)::syscall(SYS_bpf, 0, nullptr, 0); },             [] { (void)::syscall(SYS_io_uring_setup, 1, nullptr); },
      [] { (void)::syscall(SYS_mount, nullptr, nullptr, nullptr, 0, nullptr); },
      [] { (void)::syscall(SYS_process_vm_writev, ::getppid(), nullptr, 0, nullptr, 0, 0); }};
  for (const auto& call : calls) {
    const int status = filtered({}, [&] {
      call();
      return 0;
    });
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGSYS);
  }
}

TEST(SeccompTest, OtherThreadsDieWithIt) {
  if (!kFilters) GTEST_SKIP() << "SKIPPED: no filter with sanitizers";
  const int status = filtered({}, [] {
    std::thread([] { (void)::unshare(CLONE_NEWUSER); }).join();
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

TEST(SeccompTest, CallOutsideTheListIsRefused) {
  if (!kFilters) GTEST_SKIP() << "SKIPPED: no filter with sanitizers";
  const std::function<long()> calls[] = {
      [] { return static_cast<long>(::sethostname("x", 1)); },
      [] { return static_cast<long>(::setuid(0)); },
      [] { return static_cast<long>(::socket(AF_PACKET, SOCK_RAW, 0)); },
      [] { return static_cast<long>(::socket(AF_VSOCK, SOCK_STREAM, 0)); },
      [] { return static_cast<long>(::setns(-1, CLONE_NEWNET)); },
      [] { return ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1L : 0L; },
      [] {
        void* page = ::mmap(nullptr, 4'096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return static_cast<long>(::mprotect(page, 4'096, PROT_READ | PROT_EXEC));
      }};
  for (std::size_t i = 0; i < std::size(calls); ++i) EXPECT_EQ(filtered({}, [&] { return refused(calls[i]()); }), 0) << "call " << i;
}

TEST(SeccompTest, NamespacesOfOthersAreEnteredOnlyWhereThePolicySaysSo) {
  if (!kFilters) GTEST_SKIP() << "SKIPPED: no filter with sanitizers";
  EXPECT_EQ(filtered({.other_namespaces = true}, [] { return ::setns(-1, CLONE_NEWNET) == -1 && errno == EBADF ? 0 : 1; }), 0);
  EXPECT_EQ(filtered({.other_namespaces = true}, [] { return refused(::setns(-1, CLONE_NEWNS)); }), 0);
}

TEST(SeccompTest, ThreadsSocketsFilesAndProgramsWork) {
  EXPECT_EQ(filtered({}, [] {
    int made = 0;
    std::thread([&] { made = 1; }).join();
    if (made != 1) return 1;
    for (const int family : {AF_UNIX, AF_INET, AF_INET6}) {
      if (::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 && errno != EAFNOSUPPORT) return 2;
    }
    if (::socket(AF_NETLINK, SOCK_RAW, 0) < 0) return 3;
    if (::open("/proc/self/status", O_RDONLY) < 0) return 4;
    char name[] = "true";
    char* arguments[] = {name, nullptr};
    char* environment[] = {nullptr};
    pid_t pid = -1;
    int status = -1;
    if (::posix_spawn(&pid, "/bin/true", nullptr, nullptr, arguments, environment) != 0) return 5;
    return ::waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 6;
  }), 0);
}

std::uint64_t capabilities(const char* field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(field)) return std::stoull(line.substr(line.find(':') + 1), nullptr, 16);
  }
  return ~std::uint64_t{0};
}

TEST(PrivilegesTest, NothingIsGainedAndNothingElseIsKept) {
  const std::uint64_t before = capabilities("CapPrm");
  EXPECT_EQ(in_child([before] {
    if (!drop_privileges({})) return 99;
    const std::uint64_t wanted = before & needed_capabilities({});
    if (capabilities("CapPrm") != wanted || capabilities("CapEff") != (wanted & capabilities("CapPrm"))) return 1;
    if (capabilities("CapInh") != 0 || capabilities("CapAmb") != 0) return 2;
    return capabilities("NoNewPrivs") == 1 ? 0 : 3;
  }), 0);
}

TEST(PrivilegesTest, AdministrationOfTheSystemIsForOtherNamespacesAlone) {
  const std::uint64_t admin = std::uint64_t{1} << CAP_SYS_ADMIN;
  EXPECT_EQ(needed_capabilities({}) & admin, 0u);
  EXPECT_EQ(needed_capabilities({.other_namespaces = true}) & admin, admin);
}

TEST(PrivilegesHostTest, ProgramsThatRootStartsGetNoMore) {
  if (::geteuid() != 0) GTEST_SKIP() << "SKIPPED: root alone has something to give up";
  const int status = in_child([] {
    if (!drop_privileges({})) return 99;
    // grep ends with 0 if the line is there.
    char line[64];
    std::snprintf(line, sizeof line, "^CapEff:.%016llx$", static_cast<unsigned long long>(capabilities("CapPrm")));
    ::execl("/bin/grep", "grep", "-q", line, "/proc/self/status", nullptr);
    return 98;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace sallyport::daemon
