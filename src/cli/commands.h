// The commands of the program. Each add_ function adds one subcommand to `app`; when it is chosen and the
// arguments are good, it runs and stores the program's exit code in `exit_code`, which must outlive `app`.
// Exit codes of every command: 0 done, 1 it ran and the answer is no, 2 wrong use or a bad policy.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace sallyport::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitNo = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotRunning = 3;  // Of commands that ask the service.

void add_audit_command(CLI::App& app, int& exit_code);
void add_check_command(CLI::App& app, int& exit_code);
// allow, deny, revoke, grants, bypass.
void add_grant_commands(CLI::App& app, int& exit_code);
void add_metrics_command(CLI::App& app, int& exit_code);
void add_flows_command(CLI::App& app, int& exit_code);
void add_learn_command(CLI::App& app, int& exit_code);
void add_explain_command(CLI::App& app, int& exit_code);
void add_doctor_command(CLI::App& app, int& exit_code);
void add_reload_command(CLI::App& app, int& exit_code);
void add_replay_command(CLI::App& app, int& exit_code);
void add_rules_command(CLI::App& app, int& exit_code);
// `command` is what stands behind "--".
void add_run_command(CLI::App& app, int& exit_code, std::vector<std::string> command);
void add_status_command(CLI::App& app, int& exit_code);
void add_watch_command(CLI::App& app, int& exit_code);

}  // namespace sallyport::cli
