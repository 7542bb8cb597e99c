// Reads whole files that an operator named.
#pragma once

#include <expected>
#include <filesystem>
#include <map>
#include <string>

namespace sallyport::policy {

// read_text_file returns the content of a regular file of at most `size_max` octets. The error is for people.
std::expected<std::string, std::string> read_text_file(const std::filesystem::path& path, std::size_t size_max);

// TextStore reads the files of one policy. It is borrowed by whoever reads for the loader.
class TextStore {
 public:
  // Reads files, and keeps their texts in `texts` where that is not null. `frozen`: takes them from there alone.
  explicit TextStore(std::map<std::string, std::string>* texts = nullptr, bool frozen = false) : texts_(texts), frozen_(frozen) {}

  std::expected<std::string, std::string> read(const std::filesystem::path& path, std::size_t size_max) const;

 private:
  std::map<std::string, std::string>* texts_;
  bool frozen_;
};

}  // namespace sallyport::policy
