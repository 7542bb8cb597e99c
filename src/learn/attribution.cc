#include "attribution.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "sallyport/policy/rule_words.h"

namespace sallyport::learn {
namespace {

// ProxyTarget is what a proxy was asked for.
struct ProxyTarget {
  std::string host;
  std::uint16_t port = 0;
};

std::optional<ProxyTarget> proxy_target_of(const Sighting& sighting) {
  const std::size_t colon = sighting.proxy_target.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  ProxyTarget target{sighting.proxy_target.substr(0, colon), 0};
  const char* const end = sighting.proxy_target.data() + sighting.proxy_target.size();
  if (std::from_chars(sighting.proxy_target.data() + colon + 1, end, target.port).ec != std::errc{}) return std::nullopt;
  if (target.host.starts_with('[') && target.host.ends_with(']')) target.host = target.host.substr(1, target.host.size() - 2);
  return target;
}

bool has_name(const Target& target, std::string_view name) {
  if (target.is_address || name.empty()) return false;
  if (target.name == name) return true;
  return target.name.starts_with("*.") && name.ends_with(std::string_view(target.name).substr(1));
}

class Attribution {
 public:
  Attribution(const Sighting& sighting, const RuleBook& book) : sighting_(sighting), book_(book), proxy_(proxy_target_of(sighting)) {
    word_ = policy::rule_word_of(sighting.protocol, sighting.key.transport).word;
  }

  void rule(const RuleDraft& rule) {
    std::vector<Grant> matching;
    for (const auto& [target, grants] : rule.targets) {
      if (has(target)) matching.insert(matching.end(), grants.begin(), grants.end());
    }
    const auto narrow = [&](auto&& fits) {
      std::vector<Grant> some;
      std::ranges::copy_if(matching, std::back_inserter(some), fits);
      if (!some.empty()) matching = std::move(some);
    };
    // A wildcard stands for many names; this flow is for one of them.
    narrow([&](const Grant& grant) { return grant.target.is_address || grant.target.name == sighting_.name; });
    narrow([&](const Grant& grant) { return grant.port == 0 || grant.port == port(); });
    narrow([&](const Grant& grant) { return grant.word == word_; });
    if (matching.empty() && sighting_.reason != Reason::kExpected) {
      for (const auto& [target, grants] : rule.targets) used_.insert(grants.begin(), grants.end());
    }
    used_.insert(matching.begin(), matching.end());
  }

  // others marks what no verdict names: the further names of a flow, and the proxy.
  void others() {
    for (const std::string& name : sighting_.names) {
      if (name != sighting_.name) mark_name(name);
    }
    if (!proxy_) return;
    mark_name(sighting_.name);
    for (const auto& [grant, terms] : book_.grants()) {
      const bool here = grant.target.is_address ? grant.target.address == sighting_.key.server.address.unmapped()
                                                : std::ranges::find(sighting_.bound, grant.target.name, &DomainName::text) != sighting_.bound.end();
      if (grant.proxy && here && grant.port == sighting_.key.server.port) used_.insert(grant);
    }
  }

  std::set<Grant> take() { return std::move(used_); }

 private:
  std::uint16_t port() const { return proxy_ ? proxy_->port : sighting_.key.server.port; }

  bool has(const Target& target) const {
    if (!target.is_address) return has_name(target, sighting_.name) || (proxy_ && has_name(target, proxy_->host));
    if (target.address == sighting_.key.server.address.unmapped()) return true;
    return proxy_ && target.address.to_string() == proxy_->host;
  }

  void mark_name(const std::string& text) {
    const auto name = DomainName::parse(text);
    if (!name) return;
    for (const std::string_view word : {word_, std::string_view("tls")}) {
      const Grant grant{Target::of(*name), word, port(), 0, false};
      if (book_.find(grant) != nullptr) used_.insert(grant);
    }
  }

  const Sighting& sighting_;
  const RuleBook& book_;
  std::optional<ProxyTarget> proxy_;
  std::string_view word_;
  std::set<Grant> used_;
};

}  // namespace

std::set<Grant> used_by(const Sighting& sighting, const std::vector<RuleDraft>& rules, RuleId first_rule, const RuleBook& book) {
  if (sighting.denied()) return {};
  Attribution attribution(sighting, book);
  if (sighting.rule != kNoRule && sighting.rule >= first_rule && sighting.rule - first_rule < rules.size())
    attribution.rule(rules[sighting.rule - first_rule]);
  attribution.others();
  return attribution.take();
}

}  // namespace sallyport::learn
