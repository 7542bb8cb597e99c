#include "change_event.h"

#include <array>
#include <chrono>
#include <ctime>

#include "event_line.h"

namespace sallyport::daemon {
namespace {

constexpr std::size_t kArgumentsMax = 2'048;  // Of the text of a request that an event repeats.

std::string text_of(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kArgumentsMax) text = text.substr(0, kArgumentsMax) + "...";
  return text;
}

std::string command_of(const nlohmann::json& request) {
  const auto command = request.find("command");
  return command != request.end() && command->is_string() ? command->get<std::string>() : std::string();
}

nlohmann::json arguments_of(const nlohmann::json& request) {
  nlohmann::json arguments = request;
  arguments.erase("command");
  return arguments;
}

}  // namespace

std::string change_json(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer, Timestamp time) {
  const auto micros = std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch();
  nlohmann::ordered_json row;
  row["time"] = static_cast<double>(micros.count()) / 1e6;
  row["event"] = "control";
  row["command"] = command_of(request);
  row["uid"] = peer.uid;
  row["gid"] = peer.gid;
  row["pid"] = peer.pid;
  row["process"] = escaped(peer.process);
  row["arguments"] = text_of(arguments_of(request));
  row["done"] = !answer.contains("error");
  if (answer.contains("error")) row["error"] = answer["error"];
  if (answer.contains("id")) row["grant"] = answer["id"];
  return row.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
}

std::string change_line(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer, Timestamp time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time));
  std::tm local{};
  std::array<char, 16> clock{};
  (void)::localtime_r(&seconds, &local);
  (void)std::strftime(clock.data(), clock.size(), "%H:%M:%S", &local);
  std::string line = std::string(clock.data()) + "  control: " + escaped(command_of(request)) + ' ' + text_of(arguments_of(request)) +
                     " by uid " + std::to_string(peer.uid) + ", gid " + std::to_string(peer.gid) + ", pid " + std::to_string(peer.pid);
  if (!peer.process.empty()) line += " (" + escaped(peer.process) + ')';
  if (answer.contains("error") && answer["error"].is_string()) line += ": failed: " + escaped(answer["error"].get<std::string>());
  return line + '\n';
}

}  // namespace sallyport::daemon
