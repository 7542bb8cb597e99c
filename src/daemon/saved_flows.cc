#include "saved_flows.h"

#include <netinet/in.h>
#include <unistd.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "sallyport/core/limits.h"
#include "sallyport/resolver/bindings_file.h"
#include "state_path.h"

namespace sallyport::daemon {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;

// Facts are the yes and no of a RememberedFlow, by bit.
using Fact = bool engine::RememberedFlow::*;
constexpr Fact kFacts[] = {&engine::RememberedFlow::early, &engine::RememberedFlow::by_address, &engine::RememberedFlow::name_of_address,
                           &engine::RememberedFlow::hello_named, &engine::RememberedFlow::offers_ech};

// number_in returns a number of an array of them, if it fits.
template <typename Number>
std::optional<Number> number_in(const Json& row, std::size_t place) {
  if (place >= row.size() || !row[place].is_number_unsigned()) return std::nullopt;
  const auto value = row[place].get<std::uint64_t>();
  if (value > std::numeric_limits<Number>::max()) return std::nullopt;
  return static_cast<Number>(value);
}

std::string text_in(const Json& row, std::size_t place) {
  return place < row.size() && row[place].is_string() ? row[place].get<std::string>() : std::string();
}

Json row_of(const engine::RememberedFlow& flow) {
  unsigned facts = 0;
  for (std::size_t i = 0; i < std::size(kFacts); ++i) facts |= flow.*kFacts[i] ? 1U << i : 0U;
  return Json::array({flow.key.client.address.to_string(), flow.key.client.port, flow.key.server.address.to_string(), flow.key.server.port,
                      flow.uid ? Json(*flow.uid) : Json(), flow.gid ? Json(*flow.gid) : Json(), flow.client_link, flow.scopes, flow.rule,
                      static_cast<unsigned>(flow.reason), to_string(flow.protocol), to_string(flow.stage), facts,
                      flow.name ? flow.name->text() : std::string_view()});
}

std::optional<engine::RememberedFlow> flow_of(const Json& row, const policy::Policy& policy) {
  constexpr std::size_t kColumns = 14;
  if (!row.is_array() || row.size() != kColumns) return std::nullopt;
  const auto client = IpAddress::parse(text_in(row, 0)), server = IpAddress::parse(text_in(row, 2));
  const auto client_port = number_in<std::uint16_t>(row, 1), server_port = number_in<std::uint16_t>(row, 3);
  const auto link = number_in<std::uint32_t>(row, 6), facts = number_in<std::uint32_t>(row, 12);
  const auto scopes = number_in<std::uint64_t>(row, 7);
  const auto rule = number_in<RuleId>(row, 8);
  const auto reason = number_in<std::uint32_t>(row, 9);
  const auto protocol = protocol_from_string(text_in(row, 10)), stage = protocol_from_string(text_in(row, 11));
  const std::string name = text_in(row, 13);
  if (!client || !server || !client_port || !server_port || !link || !facts || !scopes || !rule || !reason || !protocol || !stage) return std::nullopt;
  if (*reason >= kReasonCount || (*rule != kNoRule && *rule >= policy.rules().size())) return std::nullopt;
  engine::RememberedFlow flow;
  flow.key = {Transport::kTcp, IPPROTO_TCP, {*client, *client_port}, {*server, *server_port}, 0};
  flow.uid = number_in<std::uint32_t>(row, 4);
  flow.gid = number_in<std::uint32_t>(row, 5);
  flow.client_link = *link;
  flow.scopes = *scopes;
  flow.rule = *rule;
  flow.reason = static_cast<Reason>(*reason);
  flow.protocol = *protocol;
  flow.stage = *stage;
  for (std::size_t i = 0; i < std::size(kFacts); ++i) flow.*kFacts[i] = (*facts >> i & 1U) != 0;
  if (name.empty()) return flow;
  flow.name = DomainName::parse(name);
  if (!flow.name) return std::nullopt;
  return flow;
}

}  // namespace

std::string saved_flows_path(const std::string& control_path) {
  return state_path(control_path, "flows");
}

std::string flows_text(const FlowsByWorker& flows, const policy::Policy& policy) {
  Json workers = Json::array();
  std::size_t count = 0;
  for (const auto& worker : flows) {
    Json rows = Json::array();
    for (const engine::RememberedFlow& flow : worker) {
      if (count++ < kFlowsSaved) rows.push_back(row_of(flow));
    }
    workers.push_back(std::move(rows));
  }
  return Json{{"version", kVersion}, {"fingerprint", policy.fingerprint()}, {"workers", std::move(workers)}}.dump() + '\n';
}

FlowsByWorker flows_from_text(std::string_view text, const policy::Policy& policy, std::size_t workers) {
  FlowsByWorker flows(workers);
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("version", Json()) != kVersion || json.value("fingerprint", Json()) != policy.fingerprint()) return flows;
  const Json saved = json.value("workers", Json());
  if (!saved.is_array() || saved.size() != workers) return flows;
  std::size_t count = 0;
  for (std::size_t i = 0; i < workers; ++i) {
    if (!saved[i].is_array()) continue;
    for (const Json& row : saved[i]) {
      if (count++ >= kFlowsSaved) return flows;
      if (auto flow = flow_of(row, policy)) flows[i].push_back(std::move(*flow));
    }
  }
  return flows;
}

void SavedFlows::save(const FlowsByWorker& flows, const policy::Policy& policy, const Say& say) const {
  if (path_.empty()) return;
  if (const auto written = resolver::write_bindings_file(path_, flows_text(flows, policy)); !written) say(written.error());
}

FlowsByWorker SavedFlows::take(const policy::Policy& policy, std::size_t workers, const Say& say) const {
  if (path_.empty()) return FlowsByWorker(workers);
  const auto text = resolver::read_bindings_file(path_);  // It checks whose the file is.
  if (!text) say(text.error());
  remove();
  return text ? flows_from_text(*text, policy, workers) : FlowsByWorker(workers);
}

void SavedFlows::remove() const {
  if (!path_.empty()) (void)::unlink(path_.c_str());
}

}  // namespace sallyport::daemon
