// Runs a program without a shell and waits for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::netfilter {

struct CommandResult {
  int exit_code = -1;  // 128 + the signal's number when one ended it.
  std::string output;
  std::string errors;
};

// kCommandTime is how long one program may take. A reload may wait for a repair and then apply twice, each ended by one hung program:
// three times this and a quarter of WatchdogSec (30 s) is below WatchdogSec. Large rulesets are read in about a second.
inline constexpr std::chrono::milliseconds kCommandTime{7'000};

// run_command runs `arguments` (the first is found in the usual directories, sbin included) with `input` as
// its standard input. The child is its own process group, so a Ctrl-C for us does not reach it halfway
// through a change. Fails with a message when the program cannot be started, or has not ended after `limit`: then it is killed
// with its whole group, and what it printed is lost.
std::expected<CommandResult, std::string> run_command(const std::vector<std::string>& arguments, std::string_view input = {},
                                                      std::chrono::milliseconds limit = kCommandTime);

// hold_in_commands has each program that is run from now on keep `fd` open until it ends: whoever reads the other end of that pipe
// learns of this process's death only once none of its programs is at work any more. -1: none, as at the start.
void hold_in_commands(int fd);

// is_own_command tells whether this was one of the last programs that were run here (64, in the pid namespace of this process).
bool is_own_command(std::uint32_t pid);

// find_program returns the full path of a program, or an empty string.
std::string find_program(std::string_view name);

}  // namespace sallyport::netfilter
