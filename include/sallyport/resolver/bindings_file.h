// The state file: bindings over a restart of the program. It lies where a reboot removes it.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/core/time.h"
#include "sallyport/engine/name_bindings.h"
#include "sallyport/policy/policy.h"

namespace sallyport::resolver {

// bindings_to_text returns the living ones as JSON, and whose word each view's are, `trusted` being those whom view 0 believes. A
// view is written as its scope's name: numbers follow the policy.
std::string bindings_to_text(std::span<const engine::Binding> bindings, const policy::Policy& policy,
                             std::span<const IpAddress> trusted, Timestamp now);

// bindings_from_text returns what `text` has and still lives, at most kBindings, with source kState. Entries that do
// not parse, whose scope has no resolvers of its own any more, or that end later than any binding may, are left out; so
// are all of a view where a server was believed that is not any more, `trusted` being those of view 0. When a resolver
// said it last is kept. Fails when the text as a whole is none of ours.
std::expected<std::vector<engine::Binding>, std::string> bindings_from_text(std::string_view text,
                                                                           const policy::Policy& policy,
                                                                           std::span<const IpAddress> trusted, Timestamp now);

// write_bindings_file replaces the file as a whole (a file beside it, then a rename; mode 0600).
std::expected<void, std::string> write_bindings_file(const std::string& path, std::string_view text);

// read_bindings_file returns the text; empty when there is no file. Refuses what others than this program's user could
// have written, what is no regular file, and more than kBindingsFileMax.
std::expected<std::string, std::string> read_bindings_file(const std::string& path);

}  // namespace sallyport::resolver
