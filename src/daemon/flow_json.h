// The flow book as JSON: rows of `flows`, and what the control socket's commands about flows answer (docs/control.md).
#pragma once

#include <cstdint>
#include <expected>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "flow_book.h"

namespace sallyport::daemon {

// flow_row_json returns a flow with the keys of events; whatever the network said is escaped.
nlohmann::ordered_json flow_row_json(const FlowRow& row);
nlohmann::ordered_json denied_json(const std::vector<DeniedName>& names);
nlohmann::ordered_json rates_json(const FlowRates& rates);

// flow_query reads the arguments of a "flows" request: verdict, name, the 5-tuple, ended, below, limit. Fails with what is wrong.
std::expected<FlowQuery, std::string> flow_query(const nlohmann::json& request);
// flows_answer answers it: {"flows": [...], "live": n, "ended": n, "forgotten": n}, and "below" where there is more: the argument
// of the request for the rest.
nlohmann::ordered_json flows_answer(const FlowBook& book, const FlowQuery& query);
// event_answer answers {"command":"event","id":"..."}.
nlohmann::ordered_json event_answer(const FlowBook& book, const nlohmann::json& request);

}  // namespace sallyport::daemon
