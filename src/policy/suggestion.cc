#include "sallyport/policy/suggestion.h"

#include <algorithm>
#include <array>

namespace sallyport::policy {
namespace {

constexpr std::size_t kQuotedMax = 80;
constexpr std::size_t kSuggestMax = 40;  // Longer words are no misspelt keys.

// distance returns the edit distance where a swap of neighbours counts as one edit.
std::size_t distance(std::string_view a, std::string_view b) {
  std::array<std::array<std::size_t, kSuggestMax + 1>, 3> rows{};
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], two_above[j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string quote(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text.substr(0, kQuotedMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > kQuotedMax ? "...\"" : "\"");
}

std::string did_you_mean(std::string_view text, std::span<const std::string_view> candidates) {
  if (text.size() > kSuggestMax) return {};
  const std::string word = folded(text);
  std::string_view best;
  std::size_t best_distance = kSuggestMax;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > kSuggestMax) continue;
    std::size_t edits = distance(word, folded(candidate));
    // A word cut short ("prot") is nearer than its edits say.
    if (word.size() >= 3 && folded(candidate).starts_with(word)) edits = std::min<std::size_t>(edits, 1);
    if (edits < best_distance) {
      best_distance = edits;
      best = candidate;
    }
  }
  if (best.empty() || best_distance > std::max<std::size_t>(1, word.size() / 3)) return {};
  return "; did you mean " + quote(best) + "?";
}

std::string one_of(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) out += i + 1 == words.size() ? " or " : ", ";
    out += quote(words[i]);
  }
  return out;
}

std::string first_of(std::span<const std::string_view> words) {
  constexpr std::size_t kListed = 7;  // A slip of the pen is told by did_you_mean.
  return words.size() <= kListed ? one_of(words) : one_of(words.first(kListed)) + " (docs/policy.md lists them all)";
}

}  // namespace sallyport::policy
