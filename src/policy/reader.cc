#include "reader.h"

#include <algorithm>
#include <vector>

#include "sallyport/core/limits.h"
#include "sallyport/policy/policy_keys.h"

namespace sallyport::policy {
namespace {

constexpr std::size_t kInterfaceMax = 15;  // IFNAMSIZ less its final NUL.

std::string unexpected_kind(std::string_view expected, const Value& value) {
  return "expected " + std::string(expected) + ", got " + std::string(kind_name(value.kind));
}

}  // namespace

std::string join(std::string_view path, std::string_view key) {
  if (path.empty()) return std::string(key);
  return std::string(path) + "." + std::string(key);
}

std::span<const Value> one_or_many(const Value& value) {
  if (value.kind == Value::Kind::kArray) return value.children->items;
  return {&value, 1};
}

void Reader::error(Position position, std::string_view path, std::string_view message) const {
  diagnostics_.error(file_, position, std::string(path) + ": " + std::string(message));
}

void Reader::warning(Position position, std::string_view path, std::string_view message) const {
  diagnostics_.warning(file_, position, std::string(path) + ": " + std::string(message));
}

void Reader::check_keys(const Value& value, std::string_view table, std::string_view path) const {
  std::vector<std::string_view> supported;
  for (const PolicyKey& known : policy_keys()) {
    if (known.table == table && known.stage == KeyStage::kSupported) supported.push_back(known.key);
  }
  for (const Value::Entry& entry : value.children->entries) {
    if (std::find(supported.begin(), supported.end(), entry.key) != supported.end()) continue;
    const auto keys = policy_keys();
    const bool later = std::any_of(keys.begin(), keys.end(), [&](const PolicyKey& known) {
      return known.table == table && known.key == entry.key;
    });
    const bool plain =
        std::all_of(entry.key.begin(), entry.key.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    const std::string shown =
        plain && entry.key.size() <= kPolicyTextMax ? std::string(entry.key) : quote(entry.key);
    const std::string message =
        later ? "not supported yet" : "unknown key" + did_you_mean(entry.key, supported);
    error(entry.position, join(path, shown), message);
  }
}

bool Reader::is_table(const Value& value, std::string_view path) const {
  if (value.kind == Value::Kind::kTable) return true;
  error(value.position, path, unexpected_kind("a table", value));
  return false;
}

std::optional<bool> Reader::boolean(const Value& value, std::string_view path) const {
  if (value.kind == Value::Kind::kBoolean) return value.integer != 0;
  error(value.position, path, "expected true or false, got " + std::string(kind_name(value.kind)));
  return std::nullopt;
}

std::optional<std::string_view> Reader::string(const Value& value, std::string_view path) const {
  if (value.kind == Value::Kind::kString) return value.text;
  error(value.position, path, unexpected_kind("a string", value));
  return std::nullopt;
}

std::optional<std::size_t> Reader::word(const Value& value, std::string_view path,
                                        std::span<const std::string_view> words,
                                        std::span<const std::string_view> later) const {
  const auto text = string(value, path);
  if (!text) return std::nullopt;
  const auto found = std::find(words.begin(), words.end(), *text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  if (std::find(later.begin(), later.end(), *text) != later.end()) {
    error(value.position, path, quote(*text) + ": not supported yet; use " + first_of(words));
  } else {
    error(value.position, path, quote(*text) + ": expected " + first_of(words) + did_you_mean(*text, words));
  }
  return std::nullopt;
}

std::optional<std::string_view> Reader::label(const Value& value, std::string_view path) const {
  const auto text = string(value, path);
  if (!text) return std::nullopt;
  const bool printable = std::none_of(text->begin(), text->end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
  if (!text->empty() && text->size() <= kPolicyTextMax && printable) return text;
  error(value.position, path,
        quote(*text) + ": expected 1 to " + std::to_string(kPolicyTextMax) +
            " octets without control characters");
  return std::nullopt;
}

std::optional<std::string_view> Reader::interface(const Value& value, std::string_view path) const {
  const auto text = string(value, path);
  if (!text) return std::nullopt;
  // What the kernel's dev_valid_name() allows, less the signs that iptables gives a meaning of its own.
  const bool valid =
      !text->empty() && text->size() <= kInterfaceMax && *text != "." && *text != ".." &&
      std::all_of(text->begin(), text->end(), [](char c) {
        return c > 0x20 && c < 0x7f && std::string_view("/:+!*\"'\\").find(c) == std::string_view::npos;
      });
  if (valid) return text;
  error(value.position, path, quote(*text) + ": not the name of a network interface");
  return std::nullopt;
}

}  // namespace sallyport::policy
