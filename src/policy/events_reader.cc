#include "events_reader.h"

#include <algorithm>
#include <array>
#include <expected>

#include "dns_reader.h"
#include "sallyport/core/limits.h"

namespace sallyport::policy {
namespace {

constexpr std::array<std::string_view, 3> kFormats = {"text", "json", "eve"};
constexpr std::array<std::string_view, 4> kOutputs = {"stdout", "journald", "file:/PATH", "unix:/PATH"};
constexpr std::size_t kFilePathMax = 4'095;    // PATH_MAX less its final NUL.
constexpr std::size_t kSocketPathMax = 107;    // sockaddr_un::sun_path less its final NUL.
constexpr Duration kFoldMax = std::chrono::hours(1);
constexpr std::string_view kExpected = R"(expected "stdout", "journald", "file:/PATH" or "unix:/PATH")";

using Outcome = std::expected<EventOutput, std::string>;

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Outcome read_path(EventOutput::Kind kind, std::string_view path) {
  const bool socket = kind == EventOutput::Kind::kUnix;
  const bool abstract = socket && path.starts_with('@') && path.size() > 1;
  if (!path.starts_with('/') && !abstract) {
    return std::unexpected(socket ? R"(expected an absolute path or "@NAME" behind "unix:")" : R"(expected an absolute path behind "file:")");
  }
  if (path.ends_with('/') || !is_plain(path)) return std::unexpected("expected the path of a file, without control characters");
  const std::size_t most = socket ? kSocketPathMax : kFilePathMax;
  if (path.size() > most) return std::unexpected("a path of at most " + std::to_string(most) + " octets");
  return EventOutput{kind, std::string(path)};
}

Outcome parse_output(std::string_view text) {
  if (text == "stdout") return EventOutput{};
  if (text == "journald") return EventOutput{EventOutput::Kind::kJournald};
  for (const auto& [prefix, kind] : {std::pair{std::string_view("file:"), EventOutput::Kind::kFile}, {"unix:", EventOutput::Kind::kUnix}}) {
    if (text.starts_with(prefix)) return read_path(kind, text.substr(prefix.size()));
  }
  if (text.starts_with('/')) return std::unexpected(std::string(kExpected) + "; did you mean " + quote("file:" + std::string(text)) + "?");
  return std::unexpected(std::string(kExpected) + did_you_mean(text, kOutputs));
}

std::optional<EventFormat> read_format(const Reader& reader, const Value& value, const std::string& path) {
  const auto index = reader.word(value, path, kFormats);
  return index ? std::optional(static_cast<EventFormat>(*index)) : std::nullopt;
}

void read_output(const Reader& reader, const Value& value, Events& out) {
  const std::string path = "events.output";
  const Value* target = &value;
  const Value::Entry* format = nullptr;
  if (value.kind == Value::Kind::kTable) {
    reader.check_keys(value, "events.output", path);
    const auto* to = value.find("to");
    if (to == nullptr) {
      reader.error(value.position, path + ".to", "required: where the events go");
      return;
    }
    target = &to->value;
    format = value.find("format");
  }
  const auto text = reader.string(*target, path);
  if (!text) return;
  Outcome output = parse_output(*text);
  if (!output) {
    reader.error(target->position, path, quote(*text) + ": " + output.error());
    return;
  }
  if (format != nullptr) {
    if (output->kind == EventOutput::Kind::kJournald) {
      reader.error(format->position, path + ".format", "the journal has fields of its own (docs/events.md), and no format");
      return;
    }
    output->format = read_format(reader, format->value, path + ".format");
  }
  const auto same = [&](const EventOutput& other) { return other.kind == output->kind && other.path == output->path; };
  if (std::ranges::any_of(out.outputs, same)) {
    reader.error(target->position, path, quote(*text) + ": named twice");
    return;
  }
  out.outputs.push_back(std::move(*output));
}

}  // namespace

void read_events(const Reader& reader, const Value& table, Events& out) {
  if (!reader.is_table(table, "events")) return;
  reader.check_keys(table, "events", "events");
  if (const auto* entry = table.find("output")) {
    const auto items = one_or_many(entry->value);
    out.outputs.clear();
    if (items.size() > kEventOutputsMax) {
      reader.error(entry->value.position, "events.output", "at most " + std::to_string(kEventOutputsMax) + " outputs");
      return;
    }
    for (const Value& item : items) read_output(reader, item, out);
  }
  if (const auto* entry = table.find("format")) out.format = read_format(reader, entry->value, "events.format");
  if (const auto* entry = table.find("fold")) {
    read_duration(reader, entry->value, "events.fold", Duration{}, kFoldMax, "a time of at most an hour, such as \"10s\" or \"60s\"; \"0s\" for a line for each",
                  out.fold);
  }
}

}  // namespace sallyport::policy
