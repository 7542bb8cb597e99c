// Reads [defaults], [deploy], [inspect] and [scopes.NAME].
#pragma once

#include <string>
#include <vector>

#include "compiled_rules.h"
#include "reader.h"

namespace sallyport::policy {

void read_defaults(const Reader& reader, const Value& table, Defaults& out);
void read_refusals(const Reader& reader, const Value& table, Refusals& out);
void read_deploy(const Reader& reader, const Value& table, Deploy& out);
void read_inspect(const Reader& reader, const Value& table, Inspect& out);

// ScopeReader collects the scopes of all files.
class ScopeReader {
 public:
  // read takes the table of scopes of one file.
  void read(const Reader& reader, const Value& table);

  const std::vector<std::string>& names() const { return names_; }
  // finish moves what was read into `out` and returns the hash of each scope's content, by index.
  std::vector<std::uint64_t> finish(CompiledRules& out);

 private:
  void read_scope(const Reader& reader, const Value& table, const std::string& path);
  void read_source(const Reader& reader, const Value& value, const std::string& path);
  void read_resolvers(const Reader& reader, const Value& table, const std::string& path);
  void read_user(const Reader& reader, const Value& value, const std::string& path);
  void read_group(const Reader& reader, const Value& value, const std::string& path);
  void read_cgroup(const Reader& reader, const Value& value, const std::string& path, bool unit);
  void read_container(const Reader& reader, const Value& value, const std::string& path);
  ScopeSet bit() const { return ScopeSet{1} << (names_.size() - 1); }
  void note(std::string_view kind, std::string_view text);

  std::vector<std::string> names_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::vector<IpAddress>> resolvers_;
  std::size_t entries_ = 0;
  ScopeTable table_;
};

}  // namespace sallyport::policy
