// TomlDocument is a parsed TOML text as values that know their place in it. The only code that sees the
// TOML library is toml_document.cc.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::policy {

struct Position {
  unsigned line = 0;
  unsigned column = 0;
};

// Value is one TOML value. Texts are views into the document.
struct Value {
  enum class Kind : std::uint8_t {
    kString,
    kInteger,
    kFloat,
    kBoolean,
    kOffsetDateTime,
    kLocalDateTime,
    kArray,
    kTable,
  };
  struct Entry;
  struct Children {
    std::vector<Value> items;    // kArray, in order.
    std::vector<Entry> entries;  // kTable.
  };

  Kind kind = Kind::kTable;
  Position position;
  std::int64_t integer = 0;  // kInteger, kBoolean; kOffsetDateTime: nanoseconds since the epoch, saturated.
  std::string_view text;     // kString
  std::unique_ptr<Children> children;

  const Entry* find(std::string_view key) const;
};

struct Value::Entry {
  std::string_view key;
  Position position;
  Value value;
};

// kind_name returns "a string", "an integer" and so on, for messages.
std::string_view kind_name(Value::Kind kind);

struct TomlError {
  Position position;
  std::string message;
};

class TomlDocument {
 public:
  // parse copies what it keeps of `text`. One error at most: the syntax beyond it means nothing.
  static std::expected<TomlDocument, TomlError> parse(std::string_view text);

  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  ~TomlDocument();

  const Value& root() const { return root_; }

 private:
  struct Storage;
  TomlDocument();
  std::unique_ptr<Storage> storage_;
  Value root_;
};

}  // namespace sallyport::policy
