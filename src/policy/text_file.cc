#include "text_file.h"

#include <fstream>
#include <system_error>

namespace sallyport::policy {

namespace fs = std::filesystem;

std::expected<std::string, std::string> read_text_file(const fs::path& path, std::size_t size_max) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return std::unexpected("cannot be read: " + error.message());
  // A device or pipe could block for ever or never end.
  if (!fs::is_regular_file(status)) return std::unexpected("not a regular file");
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::unexpected("cannot be opened");
  std::string text;
  const auto size = fs::file_size(path, error);
  if (!error && size > size_max) return std::unexpected("larger than " + std::to_string(size_max >> 20) + " MiB");
  text.resize(error ? 0 : static_cast<std::size_t>(size));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return std::unexpected("cannot be read");
  return text;
}

std::expected<std::string, std::string> TextStore::read(const fs::path& path, std::size_t size_max) const {
  if (!frozen_) {
    auto text = read_text_file(path, size_max);
    if (text && texts_ != nullptr) texts_->insert_or_assign(path.string(), *text);
    return text;
  }
  const auto found = texts_->find(path.string());
  if (found == texts_->end()) return std::unexpected("was not read when the policy was loaded");
  return found->second;
}

}  // namespace sallyport::policy
