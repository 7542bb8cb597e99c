#include "toml_document.h"

#include <toml++/toml.h>
#include <chrono>
#include <limits>
#include <optional>

#include "sallyport/core/limits.h"

namespace sallyport::policy {
namespace {

// Deeper values exist in no policy; they are kept without their children, so that depth costs no stack.
constexpr unsigned kDepthMax = 8;

Position position_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

std::int64_t nanoseconds_of(const toml::date_time& time) {
  using namespace std::chrono;
  const sys_days day =
      year_month_day(year(time.date.year), month(time.date.month), std::chrono::day(time.date.day));
  const std::int64_t seconds = std::int64_t{day.time_since_epoch().count()} * 86'400 +
                               time.time.hour * 3'600 + time.time.minute * 60 + time.time.second -
                               time.offset->minutes * 60;
  constexpr std::int64_t kSecond = 1'000'000'000;
  if (seconds >= std::numeric_limits<std::int64_t>::max() / kSecond)
    return std::numeric_limits<std::int64_t>::max();
  if (seconds <= std::numeric_limits<std::int64_t>::min() / kSecond)
    return std::numeric_limits<std::int64_t>::min();
  return seconds * kSecond + time.time.nanosecond;
}

void fill_scalar(const toml::node& node, Value& out) {
  if (const auto* text = node.as_string()) {
    out.kind = Value::Kind::kString;
    out.text = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.kind = Value::Kind::kInteger;
    out.integer = integer->get();
  } else if (const auto* boolean = node.as_boolean()) {
    out.kind = Value::Kind::kBoolean;
    out.integer = boolean->get() ? 1 : 0;
  } else if (const auto* time = node.as_date_time(); time != nullptr && time->get().offset) {
    out.kind = Value::Kind::kOffsetDateTime;
    out.integer = nanoseconds_of(time->get());
  } else if (node.is_floating_point()) {
    out.kind = Value::Kind::kFloat;
  } else {
    out.kind = Value::Kind::kLocalDateTime;  // A local date, time or both.
  }
}

Value convert(const toml::node& node, unsigned depth) {
  Value out;
  out.position = position_of(node.source());
  if (const auto* array = node.as_array()) {
    out.kind = Value::Kind::kArray;
    out.children = std::make_unique<Value::Children>();
    if (depth == kDepthMax) return out;
    out.children->items.reserve(array->size());
    for (const auto& item : *array) out.children->items.push_back(convert(item, depth + 1));
  } else if (const auto* table = node.as_table()) {
    out.kind = Value::Kind::kTable;
    out.children = std::make_unique<Value::Children>();
    if (depth == kDepthMax) return out;
    out.children->entries.reserve(table->size());
    for (const auto& [key, value] : *table) {
      out.children->entries.push_back({key.str(), position_of(key.source()), convert(value, depth + 1)});
    }
  } else {
    fill_scalar(node, out);
  }
  return out;
}

// KeyDepthScanner finds a dotted key of too many parts: the library builds a table for each part and
// destroys them by recursion, so that a long one would exhaust the stack.
class KeyDepthScanner {
 public:
  explicit KeyDepthScanner(std::string_view text) : text_(text) {}

  std::optional<Position> find() {
    std::size_t dots = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
        dots = 0;
        continue;
      }
      if (c == '\n') {
        ++line_;
        line_start_ = at_ + 1;
      }
      if (c == '.' && ++dots >= kPolicyKeyPartsMax) {
        return Position{line_, static_cast<unsigned>(at_ - line_start_ + 1)};
      }
      if (c == '\n' || c == '=' || c == ',' || c == '[' || c == ']' || c == '{' || c == '}') dots = 0;
      ++at_;
    }
    return std::nullopt;
  }

 private:
  void skip_string(char quote) {
    const char triple[] = {quote, quote, quote};
    const bool many_lines = text_.substr(at_).starts_with(std::string_view(triple, 3));
    at_ += many_lines ? 3u : 1u;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        if (!many_lines) return;  // An unclosed string: the parser says so.
        ++line_;
        line_start_ = at_ + 1;
      }
      if (c == '\\' && quote == '"') {
        at_ += at_ + 1 < text_.size() && text_[at_ + 1] != '\n' ? 2u : 1u;
        continue;
      }
      if (c == quote && (!many_lines || text_.substr(at_).starts_with(std::string_view(triple, 3)))) {
        at_ += many_lines ? 3u : 1u;
        return;
      }
      ++at_;
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  unsigned line_ = 1;
};

}  // namespace

struct TomlDocument::Storage {
  toml::table table;
};

TomlDocument::TomlDocument() = default;
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

const Value::Entry* Value::find(std::string_view key) const {
  if (children == nullptr) return nullptr;
  for (const Entry& entry : children->entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

std::string_view kind_name(Value::Kind kind) {
  switch (kind) {
    case Value::Kind::kString:
      return "a string";
    case Value::Kind::kInteger:
      return "an integer";
    case Value::Kind::kFloat:
      return "a float";
    case Value::Kind::kBoolean:
      return "a boolean";
    case Value::Kind::kOffsetDateTime:
      return "a date and time";
    case Value::Kind::kLocalDateTime:
      return "a date or time without an offset";
    case Value::Kind::kArray:
      return "a list";
    case Value::Kind::kTable:
      return "a table";
  }
  return "a value";
}

std::expected<TomlDocument, TomlError> TomlDocument::parse(std::string_view text) {
  if (const auto deep = KeyDepthScanner(text).find()) {
    return std::unexpected(
        TomlError{*deep, "a dotted key of more than " + std::to_string(kPolicyKeyPartsMax) + " parts"});
  }
  TomlDocument document;
  try {
    document.storage_ = std::make_unique<Storage>(Storage{toml::parse(text)});
  } catch (const toml::parse_error& error) {  // The library knows no other way to say it.
    return std::unexpected(
        TomlError{position_of(error.source()), "not valid TOML: " + std::string(error.description())});
  }
  document.root_ = convert(document.storage_->table, 0);
  return document;
}

}  // namespace sallyport::policy
