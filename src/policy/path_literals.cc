#include "path_literals.h"

#include <algorithm>
#include <charconv>
#include <cstddef>

namespace sallyport::policy {
namespace {

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// encoded returns an octet as "%41".
std::string encoded(char c) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  const auto octet = static_cast<unsigned char>(c);
  return {'%', kHex[octet >> 4], kHex[octet & 0xf]};
}

// may_stand tells whether an octet may stand for itself in a canonical path.
bool may_stand(char c) {
  constexpr std::string_view kOthers = "-._~:@!$&'()*+,=/%";
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || kOthers.find(c) != std::string_view::npos;
}

std::string about_octet(char c) {
  if (c == '?' || c == '#') return std::string("a path ends before \"") + c + "\"; queries are not compared, leave it out";
  if (c == ';' || c == '\\') return std::string("no request passes with \"") + c + "\" in its path, which servers read differently";
  const auto octet = static_cast<unsigned char>(c);
  if (octet < 0x20 || octet == 0x7f) return "no request passes with a control character (" + encoded(c) + ") in its path";
  const std::string what = octet >= 0x80 ? std::string("octets beyond ASCII are") : "\"" + std::string(1, c) + "\" is";
  return what + " percent-encoded in the paths that are compared: write " + encoded(c);
}

std::string about_percent(std::string_view triplet, bool folds_case) {
  int value = 0;
  (void)std::from_chars(triplet.data() + 1, triplet.data() + 3, value, 16);
  const char c = static_cast<char>(value);
  if (c == '/' || c == '\\' || c == 0x7f || (value < 0x20)) return "no request passes with " + encoded(c) + " in its path, which servers read differently";
  if (c != '%' && may_stand(c)) return "\"" + std::string(triplet) + "\" stands for itself in the paths that are compared: write \"" + c + "\"";
  if (!folds_case && encoded(c) != triplet) return "\"" + std::string(triplet) + "\" is in upper case in the paths that are compared: write " + encoded(c);
  return {};
}

// Scanner walks over an expression and gathers what stands literally in a row.
class Scanner {
 public:
  explicit Scanner(std::string_view expression)
      : rest_(expression), folds_case_(expression.find("(?i") != std::string_view::npos), certain_(expression.find('|') == std::string_view::npos) {}

  std::optional<DeadLiteral> scan() {
    while (!rest_.empty() && !found_) step();
    end_run();
    return found_;
  }

 private:
  char take() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  void step() {
    const char c = take();
    switch (c) {
      case '\\': return escape();
      case '[': return read_class();
      case '(':
        end_run();
        ++depth_;
        if (rest_.starts_with('?')) skip_flags();
        return;
      case ')':
        end_run();
        --depth_;
        return;
      case '*':
      case '?': return repeat(true);
      case '+': return repeat(false);
      case '{':
        if (const std::size_t end = repetition_end(); end != 0) {
          const bool optional = rest_.starts_with('0');
          rest_.remove_prefix(end);
          return repeat(optional);
        }
        return add(c);
      case '|':
      case '^':
      case '$':
      case '.': return end_run();
      default: return add(c);
    }
  }

  void add(char c) {
    run_ += c;
    last_is_literal_ = true;
  }

  // repeat ends what stands in a row behind a "*", "?", "+" or count. What may be absent demands nothing.
  void repeat(bool optional) {
    if (optional && last_is_literal_) run_.pop_back();
    end_run();
    if (rest_.starts_with('?')) rest_.remove_prefix(1);  // Not greedy.
  }

  // repetition_end returns where "{n}", "{n,}" or "{n,m}" ends, behind its "{"; 0: it is none.
  std::size_t repetition_end() const {
    std::size_t at = 0;
    while (at < rest_.size() && is_digit(rest_[at])) ++at;
    if (at == 0) return 0;
    if (at < rest_.size() && rest_[at] == ',') ++at;
    while (at < rest_.size() && is_digit(rest_[at])) ++at;
    return at < rest_.size() && rest_[at] == '}' ? at + 1 : 0;
  }

  // skip_flags reads "?:", "?i)", "?P<name>" and their kin.
  void skip_flags() {
    const std::size_t end = rest_.starts_with("?P<") || rest_.starts_with("?<") ? rest_.find('>') : rest_.find_first_of(":)");
    if (end == std::string_view::npos) return rest_.remove_prefix(rest_.size());
    if (rest_[end] == ')') --depth_;  // Flags for what follows; no group.
    rest_.remove_prefix(end + 1);
  }

  void escape() {
    if (rest_.empty()) return;
    const char c = take();
    if (c == 'Q') {
      const std::size_t end = rest_.find("\\E");
      for (const char literal : rest_.substr(0, end)) add(literal);
      return rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 2);
    }
    if (c == 'x') return hex_escape();
    constexpr std::string_view kControls = "afnrtv", kOctets = "\a\f\n\r\t\v";
    if (const std::size_t control = kControls.find(c); control != std::string_view::npos) return add(kOctets[control]);
    const bool is_word = is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!is_word) return add(c);
    if ((c == 'p' || c == 'P') && rest_.starts_with('{')) rest_.remove_prefix(std::min(rest_.size(), rest_.find('}') + 1));
    end_run();  // A class, a place or an octal number.
  }

  void hex_escape() {
    const bool braces = rest_.starts_with('{');
    if (braces) rest_.remove_prefix(1);
    unsigned value = 0;
    const std::size_t size = braces ? std::min(rest_.find('}'), rest_.size()) : std::min<std::size_t>(2, rest_.size());
    (void)std::from_chars(rest_.data(), rest_.data() + size, value, 16);
    rest_.remove_prefix(std::min(rest_.size(), size + (braces ? 1 : 0)));
    add(static_cast<char>(value <= 0xff ? value : 0xff));
  }

  // read_class takes a class of one character for that.
  void read_class() {
    const bool negated = rest_.starts_with('^');
    if (negated) rest_.remove_prefix(1);
    std::string members;
    bool simple = !negated;
    for (bool first = true; !rest_.empty() && (first || rest_.front() != ']'); first = false) {
      const char c = take();
      if (c == '[' && rest_.starts_with(':')) {
        simple = false;
        rest_.remove_prefix(std::min(rest_.size(), rest_.find(":]") + 2));
      } else if (c == '\\' && !rest_.empty()) {
        const char escaped = take();
        simple = simple && !may_stand(escaped);  // "\\d" is no "d"; what is dead is no letter.
        members += escaped;
      } else {
        members += c;
      }
    }
    if (!rest_.empty()) rest_.remove_prefix(1);
    if (simple && members.size() == 1) return add(members[0]);
    end_run();
  }

  void end_run() {
    if (!found_) check();
    run_.clear();
    last_is_literal_ = false;
  }

  void check() {
    for (std::size_t i = 0; i < run_.size(); ++i) {
      std::string message;
      const std::string_view rest = std::string_view(run_).substr(i);
      if (!may_stand(rest[0])) {
        message = about_octet(rest[0]);
      } else if (rest.starts_with("//")) {
        message = "no request passes with \"//\" in its path, which servers read differently: write one \"/\"";
      } else if (rest.starts_with("/./") || rest.starts_with("/../")) {
        message = "the paths that are compared have no dot segments: write the path without them";
      } else if (rest[0] == '%' && rest.size() >= 2 && (!is_hex(rest[1]) || (rest.size() >= 3 && !is_hex(rest[2])))) {
        message = "a percent sign begins an encoded octet: write %25 for the sign itself";
      } else if (rest[0] == '%' && rest.size() >= 3) {
        message = about_percent(rest.substr(0, 3), folds_case_);
      }
      if (message.empty()) continue;
      found_ = DeadLiteral{std::move(message), certain_ && depth_ == 0};
      return;
    }
  }

  std::string_view rest_;
  const bool folds_case_;
  const bool certain_;
  std::string run_;
  bool last_is_literal_ = false;
  int depth_ = 0;
  std::optional<DeadLiteral> found_;
};

}  // namespace

std::optional<DeadLiteral> find_dead_literal(std::string_view expression) { return Scanner(expression).scan(); }

}  // namespace sallyport::policy
