// Rows of the service's answers as the view's own. Missing or mistyped members become empty.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sallyport/view/model.h"

namespace sallyport::view {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* key);
std::uint64_t count_of(const Json& object, const char* key);
double figure_of(const Json& object, const char* key);
std::vector<std::string> texts_of(const Json& object, const char* key);
// member returns an object's member, or null.
const Json& member(const Json& object, const char* key);

Flow read_flow(const Json& row);
DeniedName read_denied(const Json& row);

}  // namespace sallyport::view
