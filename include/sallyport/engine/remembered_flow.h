// RememberedFlow is what must be known of an allowed TCP connection to judge it again under another policy, when the inspector that judged it
// is gone (docs/netfilter.md, "Restart"). Only of connections that the kernel passes alone and that one rule and one name let in: what a proxy
// was asked for, pinned host keys, announced connections, upgraded sessions and guarded ports are not in it.
#pragma once

#include <cstdint>
#include <optional>

#include "sallyport/core/decision.h"
#include "sallyport/core/domain_name.h"
#include "sallyport/core/flow_key.h"
#include "sallyport/core/protocol.h"
#include "sallyport/policy/policy.h"

namespace sallyport::engine {

struct RememberedFlow {
  FlowKey key;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
  std::uint32_t client_link = 0;  // Of the interface that the client is behind; 0: this host.
  policy::ScopeSet scopes = 0;    // Of the policy that judged it, as `rule` is.
  RuleId rule = kNoRule;
  Reason reason = Reason::kRuleAllows;
  Protocol protocol = Protocol::kUnknown;
  Protocol stage = Protocol::kUnknown;
  bool early = false;            // Allowed by its address, before a byte was read.
  bool by_address = false;       // Allowed by its address, whatever the bytes are.
  bool name_of_address = false;  // No bytes of it said `name`.
  bool hello_named = false;      // Its hello has a server name.
  bool offers_ech = false;       // Its hello has encrypted_client_hello.
  std::optional<DomainName> name;

  friend bool operator==(const RememberedFlow&, const RememberedFlow&) = default;
};

}  // namespace sallyport::engine
