#include "sallyport/view/model.h"

#include <algorithm>
#include <cctype>

#include "flow_reader.h"
#include "sallyport/view/text.h"

namespace sallyport::view {
namespace {

constexpr std::size_t kFlowsMax = 5'000;

bool contains(std::string_view text, std::string_view part) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::ranges::search(text, part, same).begin() != text.end() || part.empty();
}

// queue_figures adds up what the kernel says of the queues.
void read_queues(const Json& frame, Header& header) {
  const Json& queues = member(frame, "queues");
  if (!queues.is_array()) return;
  for (const Json& queue : queues) {
    ++header.queues;
    header.waiting += count_of(queue, "waiting");
    header.queue_dropped += count_of(queue, "queue_dropped");
    header.user_dropped += count_of(queue, "user_dropped");
  }
}

double rate(std::uint64_t now, std::uint64_t before, double seconds) {
  return now >= before && seconds > 0.01 ? static_cast<double>(now - before) / seconds : 0;
}

// grant_text tells of a grant as `status` lists it.
std::string grant_text(const Json& grant, double now) {
  std::string text = text_of(grant, "action") + ' ' + text_of(grant, "name");
  for (const char* key : {"protocols", "ports"}) {
    for (const std::string& each : texts_of(grant, key)) text += ' ' + each;
  }
  if (const std::string scope = text_of(grant, "scope"); !scope.empty()) text += " in " + scope;
  const double expires = figure_of(grant, "expires");
  if (expires > now && now > 0) text += " for " + span_text(static_cast<std::uint64_t>(expires - now));
  return text;
}

std::string bypass_text(const Json& bypass, double now) {
  const std::string scope = text_of(bypass, "scope");
  const double expires = figure_of(bypass, "expires");
  std::string text = scope.empty() ? "everything" : scope;
  if (expires > now && now > 0) text += " for " + span_text(static_cast<std::uint64_t>(expires - now));
  return text;
}

}  // namespace

std::string Flow::endpoint() const {
  const bool v6 = address.find(':') != std::string::npos;
  const std::string host = v6 ? '[' + address + ']' : address;
  return transport == "tcp" || transport == "udp" ? host + ':' + std::to_string(port) : host;
}

bool Model::apply_frame(std::string_view line) {
  const Json frame = Json::parse(line, nullptr, false);
  if (!frame.is_object() || !member(frame, "flows").is_array()) return false;
  Header header;
  header.grants = std::move(header_.grants);
  header.bypasses = std::move(header_.bypasses);
  header.time = figure_of(frame, "time");
  header.mode = text_of(frame, "mode");
  header.policy = text_of(frame, "policy");
  header.has_scopes = member(frame, "has_scopes") != Json(false);
  header.uptime_s = count_of(frame, "uptime_s");
  header.held = count_of(frame, "held");
  header.awaiting_binding = count_of(frame, "awaiting_binding");
  header.live = count_of(frame, "live");
  header.forgotten = count_of(frame, "forgotten");
  header.events_lost = count_of(frame, "events_lost");
  header.packets = count_of(frame, "packets");
  header.holds = count_of(frame, "holds");
  const Json& rates = member(frame, "rates");
  header.opened = figure_of(rates, "opened");
  header.allowed = figure_of(rates, "allowed");
  header.denied = figure_of(rates, "denied");
  header.allowed_minute = figure_of(rates, "allowed_minute");
  header.denied_minute = figure_of(rates, "denied_minute");
  read_queues(frame, header);
  if (has_frame_) {
    header.packet_rate = rate(header.packets, header_.packets, header.time - header_.time);
    header.hold_rate = rate(header.holds, header_.holds, header.time - header_.time);
  }
  if (count_of(frame, "frame") == 0) flows_.clear();  // Another service, or this one anew: its numbers begin again.
  header_ = std::move(header);
  has_frame_ = true;
  for (const Json& row : frame["flows"]) {
    Flow flow = read_flow(row);
    if (flow.number != 0) flows_.insert_or_assign(flow.number, std::move(flow));
  }
  while (flows_.size() > kFlowsMax) flows_.erase(std::prev(flows_.end()));
  denied_.clear();
  if (const Json& names = member(frame, "top_denied"); names.is_array()) {
    for (const Json& row : names) denied_.push_back(read_denied(row));
  }
  return true;
}

bool Model::apply_grants(std::string_view line) {
  const Json grants = Json::parse(line, nullptr, false);
  if (!grants.is_object()) return false;
  header_.grants.clear();
  header_.bypasses.clear();
  if (const Json& list = member(grants, "grants"); list.is_array()) {
    for (const Json& each : list) header_.grants.push_back(grant_text(each, header_.time));
  }
  if (const Json& bypasses = member(grants, "bypasses"); bypasses.is_array()) {
    for (const Json& each : bypasses) header_.bypasses.push_back(bypass_text(each, header_.time));
  }
  return true;
}

bool Model::passes(const Flow& flow) const {
  if (hide_ended_ && flow.ended) return false;
  if (filter_.empty()) return true;
  for (const std::string* text : {&flow.name, &flow.address, &flow.user, &flow.source, &flow.protocol, &flow.verdict, &flow.reason, &flow.rule}) {
    if (contains(*text, filter_)) return true;
  }
  return std::ranges::any_of(flow.scopes, [&](const std::string& scope) { return contains(scope, filter_); });
}

bool Model::passes(const DeniedName& name) const {
  return filter_.empty() || contains(name.name, filter_) || contains(name.protocol, filter_) || contains(name.reason, filter_) ||
         contains(name.user, filter_);
}

std::vector<const Flow*> Model::flows() const {
  std::vector<const Flow*> list;
  for (const auto& [number, flow] : shown()) {
    if (passes(flow)) list.push_back(&flow);
  }
  return list;
}

std::vector<const DeniedName*> Model::denied() const {
  std::vector<const DeniedName*> list;
  for (const DeniedName& each : frozen_ ? frozen_->denied : denied_) {
    if (passes(each)) list.push_back(&each);
  }
  return list;
}

const Flow* Model::selected_flow() const {
  if (!selected_) return nullptr;
  const auto found = shown().find(*selected_);
  return found != shown().end() && passes(found->second) ? &found->second : nullptr;
}

const DeniedName* Model::selected_denied() const {
  if (!selected_denied_) return nullptr;
  for (const DeniedName* each : denied()) {
    if (each->same(*selected_denied_)) return each;
  }
  return nullptr;
}

void Model::move(std::ptrdiff_t rows) {
  const auto step = [rows](const auto& list, const auto& is_selected) -> std::ptrdiff_t {
    const auto at = std::ranges::find_if(list, is_selected);
    const auto last = std::ssize(list) - 1;
    if (at == list.end()) return rows > 1 ? std::min<std::ptrdiff_t>(rows - 1, last) : 0;
    return std::clamp<std::ptrdiff_t>(at - list.begin() + rows, 0, last);
  };
  if (pane_ == Pane::kFlows) {
    const auto list = flows();
    if (list.empty()) return;
    selected_ = list[static_cast<std::size_t>(step(list, [&](const Flow* each) { return selected_ == each->number; }))]->number;
  } else {
    const auto list = denied();
    if (list.empty()) return;
    const auto at = step(list, [&](const DeniedName* each) { return selected_denied_ && each->same(*selected_denied_); });
    selected_denied_ = *list[static_cast<std::size_t>(at)];
  }
}

void Model::deselect() {
  selected_.reset();
  selected_denied_.reset();
}

void Model::set_paused(bool paused) {
  frozen_.reset();
  if (paused) frozen_ = Frozen{flows_, denied_};
}

std::optional<std::vector<Flow>> parse_flows(std::string_view answer) {
  const Json parsed = Json::parse(answer, nullptr, false);
  if (!member(parsed, "flows").is_array()) return std::nullopt;
  std::vector<Flow> flows;
  for (const Json& row : parsed["flows"]) flows.push_back(read_flow(row));
  return flows;
}

}  // namespace sallyport::view
