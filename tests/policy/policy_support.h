// Helpers of the policy tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sallyport/policy/policy_file.h"

namespace sallyport::policy {

inline std::vector<std::string> lines_of(const std::vector<Problem>& problems) {
  std::vector<std::string> lines;
  for (const Problem& problem : problems) lines.push_back(problem.to_string());
  return lines;
}

// load returns the policy of a text without its version line; a problem fails the test.
inline std::shared_ptr<const Policy> load(std::string_view text) {
  auto policy = load_policy_text("version = 1\n" + std::string(text), "p.toml");
  if (policy) return *policy;
  for (const std::string& line : lines_of(policy.error())) ADD_FAILURE() << line;
  return std::make_shared<Policy>();
}

// problems returns the errors of a whole text, as lines.
inline std::vector<std::string> problems(std::string_view text) {
  const auto policy = load_policy_text(text, "p.toml");
  if (policy) return {};
  return lines_of(policy.error());
}

// Ask is a question to a policy, told by what differs from an ordinary TLS flow.
struct Ask {
  std::string_view name;
  Protocol protocol = Protocol::kTls;
  std::uint16_t port = 443;
  std::string_view address = "198.51.100.7";
  ScopeSet scopes = 0;
  Transport transport = Transport::kTcp;
  Timestamp now = Timestamp(std::chrono::seconds(1'800'000'000));
  bool bound = true;
  bool claimed = true;
};

inline PolicyMatch ask(const Policy& policy, const Ask& question) {
  const auto name = DomainName::parse(question.name);
  EXPECT_TRUE(name || question.name.empty()) << question.name;
  FlowQuery query;
  query.scopes = question.scopes;
  query.transport = question.transport;
  query.protocol = question.protocol;
  query.destination = IpAddress::parse(question.address).value();
  query.port = question.port;
  query.name = name ? &*name : nullptr;
  query.now = question.now;
  query.bound = question.bound;
  query.claimed = question.claimed;
  return policy.match(query);
}

inline bool allows(const Policy& policy, const Ask& question) {
  return ask(policy, question).action == Action::kAllow;
}

}  // namespace sallyport::policy
