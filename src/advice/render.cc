#include <nlohmann/json.hpp>

#include "sallyport/advice/explanation.h"
#include "sallyport/advice/reason_text.h"
#include "sallyport/replay/report.h"

namespace sallyport::advice {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kGreen = "\033[32m", kRed = "\033[31m", kYellow = "\033[33m", kBold = "\033[1m", kDim = "\033[2m", kReset = "\033[0m";
constexpr std::size_t kWidth = 96;
constexpr std::size_t kTitleWidth = 17;

std::string_view fact_word(policy::Fact fact) {
  using policy::Fact;
  switch (fact) {
    case Fact::kBinding: return "binding";
    case Fact::kHostKey: return "host_key";
    case Fact::kMethod: return "method";
    case Fact::kPath: return "path";
    case Fact::kUpgrade: return "websocket";
    case Fact::kPort: return "port";
    case Fact::kProtocol: return "protocol";
    case Fact::kProxy: return "proxy";
    case Fact::kScope: return "scope";
    case Fact::kTime: return "expires";
    case Fact::kName: return "name";
    case Fact::kAddress: return "address";
  }
  return "";
}

class TextWriter {
 public:
  explicit TextWriter(bool colour) : colour_(colour) {}

  std::string paint(std::string_view code, const std::string& text) const {
    return colour_ ? std::string(code) + text + std::string(kReset) : text;
  }
  // item appends a title and its text, broken between words and indented.
  void item(std::string_view title, std::string_view code, const std::string& text) {
    std::string head(title);
    head.resize(std::max(head.size() + 1, kTitleWidth), ' ');
    out_ += "  " + paint(kDim, head);
    std::size_t column = 2 + head.size();
    std::string_view rest = text;
    std::string line;
    bool first = true;
    while (!rest.empty()) {
      const std::size_t space = rest.find(' ');
      const std::string_view word = rest.substr(0, space);
      rest = space == std::string_view::npos ? std::string_view{} : rest.substr(space + 1);
      if (column + line.size() + word.size() + 1 > kWidth && !line.empty()) {
        flush(line, code, first);
        column = 2 + kTitleWidth;
      }
      line += (line.empty() ? "" : " ") + std::string(word);
    }
    flush(line, code, first);
  }
  void block(const std::string& toml) {
    std::string_view rest = toml;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      out_ += "      " + replay::printable(rest.substr(0, end)) + "\n";
      rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    }
  }
  void heading(const std::string& text) { out_ += "\n" + paint(kBold, text) + "\n"; }
  void raw(const std::string& text) { out_ += text; }
  std::string take() { return std::move(out_); }

 private:
  void flush(std::string& line, std::string_view code, bool& first) {
    if (!first) out_ += std::string(2 + kTitleWidth, ' ');
    first = false;
    out_ += (code.empty() ? line : paint(code, line)) + "\n";
    line.clear();
  }

  bool colour_;
  std::string out_;
};

Json json_of(const RuleShown& rule) {
  Json out{{"rule", rule.location}};
  if (!rule.name.empty()) out["name"] = rule.name;
  if (!rule.text.empty()) out["toml"] = rule.text;
  return out;
}

}  // namespace

std::string to_text(const Explanation& explanation, const TextStyle& style) {
  TextWriter out(style.colour);
  const auto safe = [](const std::string& text) { return replay::printable(text); };
  const std::string_view code = explanation.allowed() ? kGreen : explanation.verdict == engine::FlowVerdict::kDeny ? kRed : kYellow;
  std::string verdict(to_string(explanation.verdict));
  if (explanation.conditional && explanation.allowed()) verdict += " on a condition";
  out.raw(out.paint(code, out.paint(kBold, verdict)) + "  " + safe(explanation.subject) + "\n");
  if (!style.brief) {
    out.raw("\n");
    for (const Step& step : explanation.steps) {
      out.item(step.title, step.sign == Sign::kYes ? kGreen : step.sign == Sign::kNo ? kRed : std::string_view{}, safe(step.text));
    }
  }
  if (!explanation.rule.text.empty()) {
    out.heading("decided by " + safe(explanation.rule.location) + (explanation.rule.name.empty() ? "" : " (" + safe(explanation.rule.name) + ")"));
    out.block(explanation.rule.text);
  }
  for (const std::string& note : explanation.notes) out.raw("\n" + safe(note) + "\n");
  if (explanation.verdict != engine::FlowVerdict::kDeny) return out.take();
  const ReasonText& reason = text_of(explanation.reason);
  out.heading("why: " + std::string(to_string(explanation.reason)));
  out.item("meaning", {}, safe(reason.meaning));
  out.item("to do", {}, safe(reason.to_do));
  if (!explanation.nearest.empty()) {
    out.heading(explanation.nearest.size() == 1 ? "the nearest rule" : "the nearest rules");
    for (const NearRule& near : explanation.nearest) out.item(safe(near.rule.location), {}, safe(near.why_not));
    if (explanation.nearest.front().rule.id != explanation.rule.id) out.block(explanation.nearest.front().rule.text);
  }
  const Suggestion& suggestion = explanation.suggestion;
  if (!suggestion.toml.empty()) {
    out.heading(suggestion.proven ? "a rule that allows it (tried: it does)" : "a rule to begin with");
    out.block(suggestion.toml);
  }
  if (!suggestion.note.empty() && suggestion.note != reason.to_do) out.raw("\n" + safe(suggestion.note) + "\n");
  return out.take();
}

std::string to_json(const Explanation& explanation) {
  Json out;
  out["subject"] = explanation.subject;
  out["verdict"] = to_string(explanation.verdict);
  if (explanation.conditional) out["conditional"] = true;
  out["reason"] = to_string(explanation.reason);
  const ReasonText& reason = text_of(explanation.reason);
  out["meaning"] = reason.meaning;
  if (explanation.verdict == engine::FlowVerdict::kDeny) out["to_do"] = reason.to_do;
  out["decided_by"] = json_of(explanation.rule);
  for (const Step& step : explanation.steps) {
    out["path"].push_back({{"step", step.title}, {"text", step.text}, {"sign", step.sign == Sign::kYes ? "yes" : step.sign == Sign::kNo ? "no" : ""}});
  }
  for (const NearRule& near : explanation.nearest) {
    Json one = json_of(near.rule);
    one["why_not"] = near.why_not;
    for (const policy::Change& change : near.changes) one["changes"].push_back({{"fact", fact_word(change.fact)}, {"is", change.is}, {"wants", change.wants}});
    out["nearest"].push_back(std::move(one));
  }
  const Suggestion& suggestion = explanation.suggestion;
  if (!suggestion.toml.empty()) out["suggestion"] = {{"toml", suggestion.toml}, {"proven", suggestion.proven}};
  if (!suggestion.note.empty()) out["advice"] = suggestion.note;
  for (const std::string& note : explanation.notes) out["notes"].push_back(note);
  return out.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace sallyport::advice
