// Reads [[rules]] into drafts whose every word is checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host_key_reader.h"
#include "name_arena.h"
#include "reader.h"
#include "rule.h"

namespace sallyport::policy {

class RuleReader {
 public:
  // The names of targets are stored in `arena`, which must live as long as the drafts.
  RuleReader(NameArena& arena, std::span<const std::string> scope_names, const Defaults& defaults, const TextStore& store);

  // read takes the list of rules of one file, which is in `folder` if it is one, and appends those without a problem to
  // `out`.
  void read(const Reader& reader, const std::optional<std::filesystem::path>& folder, const Value& list, std::vector<RuleDraft>& out);

 private:
  // Draft state of one rule: where a problem is reported, and whether there was one.
  struct Frame {
    const Reader& reader;
    const std::optional<std::filesystem::path>& folder;
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
  void read_binding(Frame& frame);
  void read_ech(Frame& frame);
  void read_ice(Frame& frame);
  void read_host_keys(Frame& frame);
  // http_reader.cc
  void read_http_terms(Frame& frame);
  void read_methods(Frame& frame, HttpTerms& terms);
  void read_paths(Frame& frame, HttpTerms& terms);
  void read_pattern(Frame& frame, const Value& value, HttpTerms& terms);
  static void read_prefix(Frame& frame, const Value& value, HttpTerms& terms);
  static void read_proxy(Frame& frame);
  void read_starttls(Frame& frame);  // starttls_reader.cc
  void check_combination(Frame& frame);
  void check_names(Frame& frame);

  NameArena& arena_;
  const Defaults& defaults_;
  HostKeyReader host_keys_;
  std::vector<std::string_view> scope_names_;
  std::size_t rules_ = 0;
  std::size_t targets_ = 0;
  std::size_t port_ranges_ = 0;
  std::size_t patterns_ = 0;
  int programs_ = 0;  // Their instructions.
};

}  // namespace sallyport::policy
