// Makes the values of rules out of grants, for the reader of TOML rules.
#pragma once

#include <deque>
#include <string>

#include "compiled_rules.h"
#include "diagnostics.h"
#include "sallyport/policy/overlay.h"
#include "toml_document.h"

namespace sallyport::policy {

// GrantRules is a list of rules as a document would have them. It owns the texts.
class GrantRules {
 public:
  // `bind` is the default of rules that do not say. Ended grants are left out.
  GrantRules(const Overlay& overlay, Bind bind, Timestamp now);
  GrantRules(const GrantRules&) = delete;
  GrantRules& operator=(const GrantRules&) = delete;

  const Value& list() const { return list_; }

 private:
  Value rule_of(const Grant& grant, Bind bind);
  Value text(std::string_view text, Position position);
  Value texts(const std::vector<std::string>& list, Position position);

  std::deque<std::string> storage_;
  Value list_;
};

// add_bypasses compiles the bypasses that have not ended; a scope that the policy does not have is a problem.
void add_bypasses(const Overlay& overlay, Timestamp now, CompiledRules& out, Diagnostics& problems);

}  // namespace sallyport::policy
