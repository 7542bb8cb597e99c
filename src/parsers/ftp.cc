#include "sallyport/parsers/ftp.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "recogniser_text.h"

namespace sallyport::parsers {
namespace {

// read_number reads a decimal number of at most five digits that is all of `text`.
std::optional<std::uint16_t> read_number(std::string_view text) {
  std::uint16_t value = 0;
  if (text.empty() || text.size() > 5 || !is_digit(text.front())) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// read_host_port reads "h1,h2,h3,h4,p1,p2" (RFC 959 §4.1.2).
std::optional<FtpPassive> read_host_port(std::string_view text) {
  std::array<std::uint8_t, 6> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::size_t end = i + 1 == numbers.size() ? text.size() : text.find(',');
    if (end == std::string_view::npos || end > 3) return std::nullopt;
    const auto number = read_number(text.substr(0, end));
    if (!number || *number > 255) return std::nullopt;
    numbers[i] = static_cast<std::uint8_t>(*number);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  const auto address = IpAddress::from_bytes(ByteSpan(numbers).first(4));
  return FtpPassive{*address, static_cast<std::uint16_t>(numbers[4] << 8 | numbers[5])};
}

// read_eprt reads "|1|192.0.2.1|1025|" (RFC 2428 §2), with any delimiter.
std::optional<FtpPassive> read_eprt(std::string_view text) {
  if (text.size() < 2 || text.front() < '!' || text.front() > '~' || is_digit(text.front())) return std::nullopt;
  const char delimiter = text.front();
  std::array<std::string_view, 3> fields;
  text.remove_prefix(1);
  for (std::string_view& field : fields) {
    const std::size_t end = text.find(delimiter);
    if (end == std::string_view::npos) return std::nullopt;
    field = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  const auto address = IpAddress::parse(fields[1]);
  const auto port = read_number(fields[2]);
  const bool family = (fields[0] == "1" && address && address->is_v4()) || (fields[0] == "2" && address && address->is_v6());
  if (!text.empty() || !family || !port) return std::nullopt;
  return FtpPassive{*address, *port};
}

std::expected<FtpCommand, ParseError> target_of(const std::optional<FtpPassive>& target) {
  if (!target) return std::unexpected(ParseError::kMalformed);
  return FtpCommand{FtpVerb::kPort, target->address, target->port};
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [word](std::string_view known) {
    return word.size() == known.size() && equals_ignoring_case(word, known);
  });
}

}  // namespace

std::expected<FtpCommand, ParseError> parse_ftp_command(std::string_view line) {
  if (line.empty()) return FtpCommand{FtpVerb::kEmpty, {}, 0};
  const std::size_t space = line.find(' ');
  const std::string_view verb = line.substr(0, space);
  std::string_view argument = space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  const bool plain = !verb.empty() && std::ranges::all_of(verb, [](char c) { return upper(c) >= 'A' && upper(c) <= 'Z'; });
  if (!plain) return std::unexpected(ParseError::kMalformed);
  if (is_one_of(verb, {"LPRT", "LPSV", "SPSV", "CPSV", "MIC", "CONF", "ENC"})) return std::unexpected(ParseError::kUnsupported);
  if (is_one_of(verb, {"PORT"})) return target_of(read_host_port(argument));
  if (is_one_of(verb, {"EPRT"})) return target_of(read_eprt(argument));
  if (is_one_of(verb, {"PASV"})) return FtpCommand{FtpVerb::kPasv, {}, 0};
  if (is_one_of(verb, {"EPSV"})) {
    while (argument.ends_with(' ')) argument.remove_suffix(1);
    return FtpCommand{is_one_of(argument, {"ALL"}) ? FtpVerb::kOther : FtpVerb::kEpsv, {}, 0};
  }
  return FtpCommand{};
}

std::expected<FtpPassive, ParseError> parse_ftp_227(std::string_view text) {
  // Clients look for the numbers in ways of their own: all must find the same.
  constexpr std::string_view kNumbers = "0123456789,";
  std::optional<FtpPassive> found;
  for (std::size_t begin = text.find_first_of(kNumbers); begin != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_not_of(kNumbers, begin), text.size());
    std::string_view run = text.substr(begin, end - begin);
    while (run.ends_with(',')) run.remove_suffix(1);  // A comma of the sentence.
    while (run.starts_with(',')) run.remove_prefix(1);
    if (run.find(',') != std::string_view::npos) {
      const auto target = read_host_port(run);
      if (!target || found) return std::unexpected(ParseError::kMalformed);
      found = target;
    }
    begin = text.find_first_of(kNumbers, end);
  }
  if (!found) return std::unexpected(ParseError::kMalformed);
  return *found;
}

std::expected<std::uint16_t, ParseError> parse_ftp_229(std::string_view text) {
  const std::size_t open = text.find('(');
  const std::size_t close = text.find(')');
  constexpr std::size_t kDelimiters = 4;
  const bool one = open != std::string_view::npos && close != std::string_view::npos && open < close &&
                   open == text.rfind('(') && close == text.rfind(')');
  if (!one) return std::unexpected(ParseError::kMalformed);
  const std::string_view inside = text.substr(open + 1, close - open - 1);
  if (inside.size() <= kDelimiters) return std::unexpected(ParseError::kMalformed);
  const char delimiter = inside.front();
  const bool framed = delimiter >= '!' && delimiter <= '~' && !is_digit(delimiter) && inside[1] == delimiter &&
                      inside[2] == delimiter && inside.back() == delimiter;
  const auto port = read_number(inside.substr(3, inside.size() - kDelimiters));
  if (!framed || !port) return std::unexpected(ParseError::kMalformed);
  return *port;
}

}  // namespace sallyport::parsers
