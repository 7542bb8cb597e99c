// Reads `host_keys` of rules, and the known_hosts files that they name.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "known_hosts.h"
#include "reader.h"
#include "rule.h"
#include "text_file.h"

namespace sallyport::policy {

class HostKeyReader {
 public:
  explicit HostKeyReader(const TextStore& store) : store_(store) {}

  // read gives the keys that `value` lists for a rule whose targets and ports are in `draft`. Null: a problem was
  // reported. Relative paths start at `folder`; a text that is not a file has none.
  std::shared_ptr<const HostKeys> read(const Reader& reader, const Value& value, const RuleDraft& draft,
                                       const std::optional<std::filesystem::path>& folder);

 private:
  struct File {
    std::vector<KnownHostsLine> lines;
    bool failed = false;
  };

  bool read_fingerprint(const Reader& reader, const Value& value, const std::string& path, HostKeys& out);
  bool read_file(const Reader& reader, const Value& value, const std::string& path, const RuleDraft& draft,
                 const std::optional<std::filesystem::path>& folder, HostKeys& out);
  const File& file_of(const Reader& reader, const Value& value, const std::string& path, const std::string& name);
  bool resolve_hashes(const Reader& reader, const Value& value, const std::string& path, const RuleDraft& draft,
                      const std::vector<KnownHostsLine>& lines, HostKeys& out);

  const TextStore& store_;
  std::map<std::string, File> files_;  // By path: each is read, and its problems reported, once.
  std::size_t hashes_ = 0;
};

}  // namespace sallyport::policy
