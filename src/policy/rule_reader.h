// Reads [[rules]] into drafts whose every word is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "name_arena.h"
#include "reader.h"
#include "rule.h"

namespace sallyport::policy {

class RuleReader {
 public:
  // The names of targets are stored in `arena`, which must live as long as the drafts.
  RuleReader(NameArena& arena, std::span<const std::string> scope_names);

  // read takes the list of rules of one file and appends those without a problem to `out`.
  void read(const Reader& reader, const Value& list, std::vector<RuleDraft>& out);

 private:
  // Draft state of one rule: where a problem is reported, and whether there was one.
  struct Frame {
    const Reader& reader;
    const Value& table;
    RuleDraft& draft;
    bool failed = false;

    void error(Position position, std::string_view key, std::string_view message);
    std::string path(std::string_view key) const { return join(draft.path, key); }
  };

  void read_rule(Frame& frame);
  void read_targets(Frame& frame);
  void read_target(Frame& frame, const Value& value, const std::string& path);
  void read_name(Frame& frame, const Value& value, const std::string& path);
  void read_protocols(Frame& frame);
  void read_ports(Frame& frame);
  void read_scopes(Frame& frame);
  void read_words(Frame& frame);
  void read_expiry(Frame& frame);
  void check_combination(Frame& frame);

  NameArena& arena_;
  std::vector<std::string_view> scope_names_;
  std::size_t rules_ = 0;
  std::size_t targets_ = 0;
  std::size_t port_ranges_ = 0;
};

}  // namespace sallyport::policy
