// Reads `starttls` of a rule.
#include <bit>

#include "rule_reader.h"

namespace sallyport::policy {

void RuleReader::read_starttls(Frame& frame) {
  const auto* entry = frame.table.find("starttls");
  if (entry == nullptr) return;
  const auto index = frame.reader.word(entry->value, frame.path("starttls"), kStarttlsWords);
  frame.failed |= !index;
  if (!index) return;
  RuleTerms& terms = frame.draft.terms;
  const auto others = static_cast<RuleProtocols>(terms.protocols & ~kUpgradeProtocols & ~kTlsBit);
  if (terms.action == Action::kDeny) {
    frame.error(entry->position, "starttls", "it says how a session is allowed; leave it out of a deny rule");
  } else if ((terms.protocols & kUpgradeProtocols) == 0) {
    frame.error(entry->position, "starttls", "none of the protocols begins in plaintext and goes over to TLS; leave \"starttls\" out");
  } else if (others != 0) {
    const std::string word(kRuleProtocolNames[static_cast<std::size_t>(std::countr_zero(others))]);
    frame.error(entry->position, "starttls", word + " does not go over to TLS: give it a rule of its own");
  }
  if (frame.failed) return;
  terms.starttls = static_cast<Starttls>(*index);
  if (terms.starttls == Starttls::kRequire && defaults_.action == Action::kAllow)
    frame.reader.warning(entry->position, frame.path("starttls"), "the default allows what this rule does not");
}

}  // namespace sallyport::policy
