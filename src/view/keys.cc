#include "sallyport/view/keys.h"

#include <algorithm>

#include "flow_reader.h"
#include "sallyport/view/rule_text.h"
#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

constexpr std::size_t kFilterMax = 64;
constexpr std::string_view kGrantSpan = "10m";

void say(Model& model, std::string text, bool problem = false) {
  model.message = std::move(text);
  model.message_is_problem = problem;
}

// wanted returns what a rule about the selected row would be about.
std::expected<Wanted, std::string> wanted(const Model& model, std::string_view action) {
  if (model.pane() == Pane::kFlows) {
    if (const Flow* flow = model.selected_flow()) return wanted_of(*flow, model.header().has_scopes, action);
  } else if (const DeniedName* name = model.selected_denied()) {
    return wanted_of(*name, model.header().has_scopes, action);
  }
  return std::unexpected("select a row first (arrows): what is newest may change under your finger");
}

Effect grant(Model& model, std::string_view action) {
  const auto about = wanted(model, action);
  if (!about) {
    say(model, about.error(), true);
    return {};
  }
  say(model, std::string(action) + ' ' + about->text() + " ...");
  return {Effect::Kind::kAsk, grant_request(action, *about, kGrantSpan)};
}

Effect copy(Model& model) {
  const auto about = wanted(model, "allow");
  if (!about) {
    say(model, about.error(), true);
    return {};
  }
  const std::string rule = rule_toml(*about);
  if (std::ranges::find(model.copied, rule) == model.copied.end()) model.copied.push_back(rule);
  say(model, "copied the rule that allows " + about->text() + "; it is printed when you quit, too");
  return {Effect::Kind::kCopy, rule};
}

void edit_filter(Model& model, const Key& key) {
  std::string filter = model.filter();
  switch (key.kind) {
    case Key::Kind::kEnter: model.editing_filter = false; return;
    case Key::Kind::kEscape:
      model.editing_filter = false;
      model.set_filter({});
      return;
    case Key::Kind::kBackspace:
      if (!filter.empty()) filter.pop_back();
      break;
    case Key::Kind::kCharacter:
      if (filter.size() < kFilterMax && key.character >= 0x20 && key.character < 0x7f) filter += key.character;
      break;
    default: return;
  }
  model.set_filter(std::move(filter));
}

void scroll_overlay(Model& model, std::ptrdiff_t rows) {
  const auto now = static_cast<std::ptrdiff_t>(model.overlay_scroll());
  model.show(model.overlay(), static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, now + rows)));
}

void move(Model& model, std::ptrdiff_t rows) {
  if (model.overlay() == Overlay::kHelp) return scroll_overlay(model, rows);
  model.move(rows);
}

Effect press_character(Model& model, char character) {
  switch (character) {
    case 'q': return {Effect::Kind::kQuit, {}};
    case 'j': move(model, 1); break;
    case 'k': move(model, -1); break;
    case 'g': model.move(-1'000'000); break;
    case 'G': model.move(1'000'000); break;
    case 'a': return grant(model, "allow");
    case 'd': return grant(model, "deny");
    case 'c': return copy(model);
    case '/': model.editing_filter = true; break;
    case 'p':
      model.set_paused(!model.paused());
      say(model, model.paused() ? "paused: the lists stand still, the figures go on" : "");
      break;
    case 'e': model.set_hide_ended(!model.hide_ended()); break;
    case '?': model.show(model.overlay() == Overlay::kHelp ? Overlay::kNone : Overlay::kHelp); break;
    default: break;
  }
  return {};
}

void close_something(Model& model) {
  if (model.overlay() != Overlay::kNone) {
    model.show(Overlay::kNone);
  } else if (!model.filter().empty()) {
    model.set_filter({});
  } else {
    model.deselect();
  }
}

void open_details(Model& model) {
  if (model.overlay() != Overlay::kNone) return model.show(Overlay::kNone);
  const bool selected = model.pane() == Pane::kFlows ? model.selected_flow() != nullptr : model.selected_denied() != nullptr;
  if (!selected) model.move(1);
  model.show(Overlay::kDetails);
}

}  // namespace

Effect press(Model& model, const Key& key, std::size_t page) {
  if (model.editing_filter) {
    edit_filter(model, key);
    return {};
  }
  say(model, "");
  const auto rows = static_cast<std::ptrdiff_t>(std::max<std::size_t>(page, 2) - 1);
  switch (key.kind) {
    case Key::Kind::kCharacter: return press_character(model, key.character);
    case Key::Kind::kUp: move(model, -1); break;
    case Key::Kind::kDown: move(model, 1); break;
    case Key::Kind::kPageUp: move(model, -rows); break;
    case Key::Kind::kPageDown: move(model, rows); break;
    case Key::Kind::kHome: model.move(-1'000'000); break;
    case Key::Kind::kEnd: model.move(1'000'000); break;
    case Key::Kind::kEnter: open_details(model); break;
    case Key::Kind::kEscape: close_something(model); break;
    case Key::Kind::kTab:
    case Key::Kind::kLeft:
    case Key::Kind::kRight: model.set_pane(model.pane() == Pane::kFlows ? Pane::kDenied : Pane::kFlows); break;
    case Key::Kind::kBackspace:
    case Key::Kind::kOther: break;
  }
  return {};
}

void show_answer(Model& model, std::string_view request, std::string_view answer) {
  const Json asked = Json::parse(request, nullptr, false);
  const Json parsed = Json::parse(answer, nullptr, false);
  if (!parsed.is_object()) return show_problem(model, "the service's answer makes no sense");
  if (const std::string error = text_of(parsed, "error"); !error.empty()) return show_problem(model, error);
  const std::string action = text_of(asked, "command");
  std::string text = action == "allow" ? "allowed:" : action == "deny" ? "denied:" : "done:";
  for (const std::string& each : texts_of(asked, "protocols")) text += ' ' + each;
  text += ' ' + text_of(asked, "name");
  if (const Json& ports = member(asked, "ports"); ports.is_array() && !ports.empty()) text += ' ' + ports.front().dump();
  if (const std::string scope = text_of(asked, "scope"); !scope.empty()) text += " in " + scope;
  text += " for ten minutes";
  if (const Json& id = member(parsed, "id"); id.is_number_unsigned()) text += "; sallyport revoke " + id.dump() + " takes it back";
  say(model, text);
}

void show_problem(Model& model, std::string_view problem) {
  say(model, visible(problem), true);
}

}  // namespace sallyport::view
