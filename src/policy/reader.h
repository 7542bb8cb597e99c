// Reads typed values out of one policy file and reports what is not as expected.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "diagnostics.h"
#include "toml_document.h"

namespace sallyport::policy {

// Reader belongs to one file. Paths name a value for people: "rules[3].to".
class Reader {
 public:
  Reader(std::string_view file, Diagnostics& diagnostics) : file_(file), diagnostics_(diagnostics) {}

  std::string_view file() const { return file_; }
  // of_file returns a reader of another file that reports to the same place.
  Reader of_file(std::string_view file) const { return Reader(file, diagnostics_); }

  void error(Position position, std::string_view path, std::string_view message) const;
  void warning(Position position, std::string_view path, std::string_view message) const;

  // check_keys reports keys that `table` (a table of policy_keys.h) does not have or does not have yet.
  void check_keys(const Value& value, std::string_view table, std::string_view path) const;

  // Each of these reports and gives nullopt (or false) when the value is not of the kind.
  bool is_table(const Value& value, std::string_view path) const;
  std::optional<std::string_view> string(const Value& value, std::string_view path) const;
  std::optional<bool> boolean(const Value& value, std::string_view path) const;
  // word gives the index in `words`; a word of `later` is not supported yet.
  std::optional<std::size_t> word(const Value& value, std::string_view path,
                                  std::span<const std::string_view> words,
                                  std::span<const std::string_view> later = {}) const;
  // label gives a short text without control characters.
  std::optional<std::string_view> label(const Value& value, std::string_view path) const;
  // interface gives the name of a network interface.
  std::optional<std::string_view> interface(const Value& value, std::string_view path) const;

 private:
  std::string file_;
  Diagnostics& diagnostics_;
};

// join returns "path.key", or "key" at the top.
std::string join(std::string_view path, std::string_view key);

// one_or_many returns the items of a list, or the value itself as the only item.
std::span<const Value> one_or_many(const Value& value);

}  // namespace sallyport::policy
