#include "known_hosts.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "diagnostics.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/limits.h"
#include "sallyport/policy/base64.h"

namespace sallyport::policy {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::size_t kSha1Size = 20;
constexpr std::size_t kHostWordMax = 1'024;

// Fields takes a line apart at its blanks.
class Fields {
 public:
  explicit Fields(std::string_view line) : line_(line) {}

  std::string_view next() {
    skip_blanks();
    const std::size_t begin = at_;
    at_ = std::min(line_.find_first_of(kBlanks, begin), line_.size());
    return line_.substr(begin, at_ - begin);
  }
  // column is that of the next field, from 1.
  unsigned column() {
    skip_blanks();
    return static_cast<unsigned>(at_ + 1);
  }

 private:
  void skip_blanks() { at_ = std::min(line_.find_first_not_of(kBlanks, at_), line_.size()); }

  std::string_view line_;
  std::size_t at_ = 0;
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// canonical writes an address as the matcher does, and a host in lower case without a final dot.
std::string canonical(std::string_view host) {
  if (const auto address = IpAddress::parse(host)) return address->unmapped().to_string();
  if (host.starts_with('[')) {
    const std::size_t close = host.find("]:");
    if (close != std::string_view::npos) {
      const std::string inner = canonical(host.substr(1, close - 1));
      const std::string_view port = host.substr(close + 2);
      return port == "22" ? inner : "[" + inner + "]:" + std::string(port);
    }
  }
  std::string text = lower(host);
  if (text.size() > 1 && text.ends_with('.')) text.pop_back();
  return text;
}

// is_key tells whether a blob is strings (RFC 4251 §5) from end to end, the first of which is the type.
bool is_key(std::span<const std::uint8_t> blob, std::string_view type) {
  std::size_t fields = 0;
  while (!blob.empty()) {
    if (blob.size() < 4) return false;
    std::size_t length = 0;
    for (const std::uint8_t byte : blob.first(4)) length = length << 8 | byte;
    blob = blob.subspan(4);
    if (length > blob.size()) return false;
    if (++fields == 1 && !std::equal(type.begin(), type.end(), blob.begin(), blob.begin() + static_cast<std::ptrdiff_t>(length))) {
      return false;
    }
    blob = blob.subspan(length);
  }
  return fields > 1;
}

// key_of_field reads a key and checks that it is of the type that the line says.
std::optional<HostKey> key_of_field(std::string_view type, std::string_view text) {
  const auto blob = decode_base64(text, true);
  if (!blob || !is_key(*blob, type)) return std::nullopt;
  return host_key_of_blob(*blob);
}

std::optional<HashedHost> hashed_host(std::string_view text) {
  if (!text.starts_with("|1|")) return std::nullopt;
  text.remove_prefix(3);
  const std::size_t bar = text.find('|');
  if (bar == std::string_view::npos) return std::nullopt;
  const auto salt = decode_base64(text.substr(0, bar), true);
  const auto hash = decode_base64(text.substr(bar + 1), true);
  if (!salt || !hash || salt->size() != kSha1Size || hash->size() != kSha1Size) return std::nullopt;
  HashedHost host{*salt, {}};
  std::copy(hash->begin(), hash->end(), host.hash.begin());
  return host;
}

bool read_patterns(std::string_view text, std::vector<HostPattern>& out) {
  while (true) {
    const std::size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    const bool negated = word.starts_with('!');
    if (negated) word.remove_prefix(1);
    if (word.empty() || word.size() > kHostWordMax) return false;
    out.push_back({canonical(word), negated});
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

// read_line returns what is wrong with a line, or an empty text and the line. The column is that of the problem.
std::string read_line(std::string_view text, unsigned& column, KnownHostsLine& line) {
  Fields fields(text);
  column = fields.column();
  std::string_view field = fields.next();
  if (field == "@cert-authority") {
    return "@cert-authority: host certificates are not supported; list the fingerprints of the hosts' own keys";
  }
  if (field.starts_with('@')) {
    if (field != "@revoked") return quote(field) + ": expected \"@revoked\" or a host";
    line.revoked = true;
    column = fields.column();
    field = fields.next();
  }
  if (field.starts_with('|')) {
    line.hashed = hashed_host(field);
    if (!line.hashed) return "not a hashed host: expected |1|salt|hash, both of 20 octets in base 64";
  } else if (field.empty() || !read_patterns(field, line.patterns)) {
    return "expected hosts, joined by single commas";
  }
  column = fields.column();
  const std::string_view type = fields.next();
  if (type.empty()) return "expected a key type such as \"ssh-ed25519\"";
  if (std::all_of(type.begin(), type.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return "a key of SSH version 1, which no rule can be about";
  }
  column = fields.column();
  const auto key = key_of_field(type, fields.next());
  if (!key) return "not a key of type " + quote(type) + " in base 64";
  line.key = *key;
  return {};
}

}  // namespace

HostKey host_key_of_blob(std::span<const std::uint8_t> blob) {
  HostKey key{};
  EVP_Digest(blob.data(), blob.size(), key.data(), nullptr, EVP_sha256(), nullptr);
  return key;
}

bool HashedHost::is(std::string_view host) const {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  const auto* const text = reinterpret_cast<const unsigned char*>(host.data());
  if (HMAC(EVP_sha1(), salt.data(), static_cast<int>(salt.size()), text, host.size(), out.data(), &size) == nullptr) {
    return false;
  }
  return size == kSha1Size && std::equal(hash.begin(), hash.end(), out.begin());
}

std::vector<KnownHostsLine> parse_known_hosts(std::string_view text, const KnownHostsError& error) {
  std::vector<KnownHostsLine> lines;
  unsigned number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (++number > kKnownHostsLinesMax) {
      error({number, 1}, "a known_hosts file has at most " + std::to_string(kKnownHostsLinesMax) + " lines");
      break;
    }
    const std::size_t first = line.find_first_not_of(kBlanks);
    if (first == std::string_view::npos || line[first] == '#') continue;
    unsigned column = 1;
    KnownHostsLine out;
    std::string problem = line.size() > kKnownHostsLineMax
                              ? "longer than " + std::to_string(kKnownHostsLineMax) + " octets"
                              : read_line(line, column, out);
    if (problem.empty()) {
      lines.push_back(std::move(out));
    } else {
      error({number, column}, std::move(problem));
    }
  }
  return lines;
}

}  // namespace sallyport::policy
