#include "change_event.h"

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

// escaped_words leaves the spaces between words alone.
std::string escaped_words(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == ' ' ? std::string(1, c) : escaped({&c, 1});
  return out;
}

nlohmann::json arguments_of(const nlohmann::json& request) {
  nlohmann::json arguments = request;
  arguments.erase("command");
  return arguments;
}

}  // namespace

std::string peer_text(const Peer& peer) {
  std::string text = "uid " + std::to_string(peer.uid) + ", gid " + std::to_string(peer.gid) + ", pid " + std::to_string(peer.pid);
  if (!peer.process.empty()) text += " (" + escaped(peer.process) + ')';
  return text;
}

nlohmann::ordered_json change_fields(const Peer& peer, const nlohmann::json& request, const nlohmann::ordered_json& answer) {
  const std::string arguments = text_of(arguments_of(request));
  const bool failed = answer.contains("error") && answer["error"].is_string();
  nlohmann::ordered_json fields;
  fields["command"] = escaped(command_of(request));
  fields["uid"] = peer.uid;
  fields["gid"] = peer.gid;
  fields["pid"] = peer.pid;
  fields["process"] = escaped(peer.process);
  fields["arguments"] = arguments;
  fields["done"] = !failed;
  if (failed) fields["error"] = answer["error"];
  if (answer.contains("id")) fields["grant"] = answer["id"];
  std::string message = "control: " + escaped(command_of(request)) + ' ' + arguments + " by " + peer_text(peer);
  if (failed) message += ": failed: " + escaped_words(answer["error"].get<std::string>());
  fields["message"] = std::move(message);
  return fields;
}

}  // namespace sallyport::daemon
