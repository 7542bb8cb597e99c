// Runs a program without a shell and waits for it.
#pragma once

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

// run_command runs `arguments` (the first is found in the usual directories, sbin included) with `input` as
// its standard input. The child is its own process group, so a Ctrl-C for us does not reach it halfway
// through a change. Fails with a message when the program cannot be started.
std::expected<CommandResult, std::string> run_command(const std::vector<std::string>& arguments,
                                                      std::string_view input = {});

// find_program returns the full path of a program, or an empty string.
std::string find_program(std::string_view name);

}  // namespace sallyport::netfilter
