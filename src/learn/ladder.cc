#include "ladder.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "policy_text.h"
#include "sallyport/engine/name_bindings.h"
#include "sallyport/policy/policy_file.h"
#include "sallyport/policy/rule_words.h"

namespace sallyport::learn {
namespace {

using policy::RuleWordInfo;

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kSshPort = 22;

bool is_dns(const Sighting& sighting) { return sighting.protocol == Protocol::kDns; }

// is_stun_server tells a server from a peer, which speaks STUN too: a socket asks its server first.
bool is_stun_server(const Sighting& sighting) {
  if (sighting.protocol != Protocol::kStun) return false;
  return !sighting.bound.empty() || sighting.first_of_socket || sighting.key.server.port == policy::rule_word("stun").ports.front();
}

// word_of returns the word that a rule for the flow has. Local protocols have rules for local addresses alone.
RuleWordInfo word_of(const Sighting& sighting) {
  const bool local = sighting.protocol == Protocol::kMdns || sighting.protocol == Protocol::kLlmnr;
  const bool stray = local && engine::is_public_address(sighting.key.server.address);
  const bool by_number = sighting.key.transport == Transport::kOther && sighting.protocol == Protocol::kUnknown;
  if (by_number) return policy::rule_word_of_ip_protocol(sighting.key.ip_protocol);
  return policy::rule_word_of(stray ? Protocol::kUnknown : sighting.protocol, sighting.key.transport);
}

// asks_a_proxy tells a request that is for somebody else than the address that it went to.
bool asks_a_proxy(const Sighting& sighting, const Facts& facts) {
  if (!sighting.proxy_target.empty() || sighting.protocol == Protocol::kSocks) return true;
  if (sighting.protocol != Protocol::kHttp) return false;
  if (sighting.http_method == "CONNECT") return true;
  const bool absolute = sighting.http_target.starts_with("http://") || sighting.http_target.starts_with("HTTP://");
  return absolute && !facts.told(sighting.name, sighting.key.server.address);
}

Target place_of(const Sighting& sighting) {
  const bool local = sighting.protocol == Protocol::kMdns || sighting.protocol == Protocol::kLlmnr;  // By address alone.
  return sighting.bound.empty() || local ? Target::of(sighting.key.server.address) : Target::of(sighting.bound.front());
}

// Ladder collects the steps for one flow.
class Ladder {
 public:
  Ladder(const Sighting& sighting, const Facts& facts)
      : sighting_(sighting), facts_(facts),
        word_(word_of(sighting)) {}

  std::vector<Step> first() {
    collect_first();
    return take();
  }

  std::vector<Step> next() {
    if (sighting_.denied() && is_for_rules(sighting_.reason)) collect_next();
    return take();
  }

 private:
  std::vector<Step> take() {
    std::erase_if(steps_, [](const Step& step) { return !can_be_written(step); });
    return std::move(steps_);
  }

  void collect_first() {
    if (is_dns(sighting_) || sighting_.key.server.port == kDnsPort) {
      if (sighting_.key.server.port == kDnsPort && is_dns(sighting_)) resolver();
    } else if (asks_a_proxy(sighting_, facts_)) {
      proxy();
    } else if (sighting_.protocol == Protocol::kStun && !is_stun_server(sighting_)) {
      return;  // Perhaps a peer, which the server's rule has.
    } else if (word_.carries_name) {
      for (const std::string& name : sighting_.names) claimed(name, false);
    } else if (sighting_.protocol != Protocol::kUnknown && sighting_.protocol != Protocol::kRtp) {
      place(word_);
      // What a rule for the session does not have yet, the denial will tell.
    }
  }

  void collect_next() {
    if (is_dns(sighting_) || sighting_.reason == Reason::kResolverNotTrusted) {
      question();
    } else if (!sighting_.proxy_target.empty()) {
      proxied();
    } else {
      if (asks_a_proxy(sighting_, facts_)) proxy();
      destination();
    }
  }

  Step& grant(const Target& target, const RuleWordInfo& word, std::uint16_t port) {
    Step& step = steps_.emplace_back();
    step.grant = {target, word.word, word.has_ports ? port : std::uint16_t{0}, 0, false};
    if (word.word == "ip-proto") step.grant.ip_protocol = sighting_.key.ip_protocol;
    if (word.word == "icmp") {
      step.terms.icmp_types.insert(sighting_.icmp_types.begin(), sighting_.icmp_types.end());
      step.terms.icmp_payload = sighting_.icmp_payload;
    }
    if (word.word == "stun" && is_stun_server(sighting_)) step.terms.ice = true;
    return step;
  }
  Step& grant(const Target& target, const RuleWordInfo& word) { return grant(target, word, sighting_.key.server.port); }
  Target address() const { return Target::of(sighting_.key.server.address); }

  void resolver() {
    if (!facts_.settings) return;
    steps_.push_back({.kind = Step::Kind::kResolver, .address = sighting_.key.server.address.unmapped()});
  }

  // may_be_private lets an answer bind a name to an address that is none of the public ones.
  void may_be_private(const std::string& name) {
    if (!facts_.settings || engine::is_public_address(sighting_.key.server.address)) return;
    steps_.push_back({.kind = Step::Kind::kPrivate, .name = name});
  }

  // place is for protocols without names: a name of the address, or the address.
  void place(const RuleWordInfo& word) {
    const Target target = place_of(sighting_);
    if (!target.is_address) may_be_private(target.name);
    grant(target, word);
  }

  void claimed(const std::string& text, bool further) {
    const auto name = DomainName::parse(text);
    if (!name) {
      grant(address(), word_);
      return;
    }
    if (facts_.told(std::string(name->text()), sighting_.key.server.address.unmapped()))
      may_be_private(std::string(name->text()));
    grant(Target::of(*name), word_);
    if (further) grant(Target::of(*name), word_).terms.any_bind = true;
  }

  // proxy is for who is asked; the bytes may be those of the tunnel already.
  void proxy() {
    if (!sighting_.bound.empty()) may_be_private(std::string(sighting_.bound.front().text()));
    grant(place_of(sighting_), policy::rule_word(word_.word == "socks" ? "socks" : "http")).grant.proxy = true;
  }

  // question is for a lookup that is denied.
  void question() {
    if (sighting_.reason == Reason::kRebinding) {
      if (facts_.settings && DomainName::parse(sighting_.name))
        steps_.push_back({.kind = Step::Kind::kRebindingExcept, .name = sighting_.name});
      return;
    }
    if (sighting_.reason == Reason::kResolverNotTrusted && sighting_.key.server.port == kDnsPort) resolver();
    const RuleWordInfo dns = policy::rule_word("dns");
    if (const auto name = DomainName::parse(sighting_.name)) {
      const bool budget = sighting_.reason == Reason::kLookupBudget;
      grant(Target::of(*name), dns).terms.keep_exact = budget;
      Step& any = grant(Target::of(*name), dns);
      any.terms.any_bind = true;
      any.terms.keep_exact = budget;
    }
    grant(address(), dns);
  }

  // proxied is for what a proxy was asked for. What is inside is known only once a rule lets it begin.
  void proxied() {
    const std::size_t colon = sighting_.proxy_target.rfind(':');
    if (colon == std::string::npos) return;
    std::string host = sighting_.proxy_target.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const std::string digits = sighting_.proxy_target.substr(colon + 1);
    std::uint16_t port = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), port).ec != std::errc{} || port == 0) return;
    std::vector<Target> targets;
    if (const auto ip = IpAddress::parse(host)) {
      // The name inside, if an answer gave it this address; else the address.
      const auto name = DomainName::parse(sighting_.name);
      if (name && facts_.told(std::string(name->text()), ip->unmapped())) targets.push_back(Target::of(*name));
      targets.push_back(Target::of(*ip));
    } else if (const auto name = DomainName::parse(host)) {
      targets.push_back(Target::of(*name));
    }
    std::vector<std::string_view> words = {"tls", "http", "ssh", "tcp"};
    const bool request = sighting_.protocol == Protocol::kHttp && sighting_.http_method != "CONNECT";
    if (request || port == kHttpPort) words = {"http", "tls", "ssh", "tcp"};
    if (port == kSshPort) words = {"ssh", "tls", "http", "tcp"};
    for (const Target& target : targets) {
      for (const std::string_view word : words) grant(target, policy::rule_word(word), port);
    }
  }

  void destination() {
    if (sighting_.reason == Reason::kMetadataAddress) grant(address(), word_);
    if (word_.upgrades) {
      place(word_);
      upgraded();
    } else if (word_.carries_name && !sighting_.name.empty()) {
      claimed(sighting_.name, true);
    } else if (!word_.carries_name) {
      place(word_);
    }
    grant(address(), word_);
    // Whatever the bytes are.
    const Transport transport = sighting_.key.transport;
    if (transport == Transport::kTcp || transport == Transport::kUdp)
      grant(address(), policy::rule_word(to_string(transport)));
  }

  // upgraded is for the hello behind STARTTLS.
  void upgraded() {
    const auto name = DomainName::parse(sighting_.name);
    if (!name) return;
    if (facts_.told(std::string(name->text()), sighting_.key.server.address.unmapped()))
      may_be_private(std::string(name->text()));
    grant(Target::of(*name), word_);
    grant(Target::of(*name), policy::rule_word("tls")).terms.any_bind = true;
  }

  const Sighting& sighting_;
  const Facts& facts_;
  RuleWordInfo word_;
  std::vector<Step> steps_;
};

}  // namespace

bool can_be_written(const Step& step) {
  if (step.kind == Step::Kind::kResolver) return true;
  Grant grant = step.grant;
  Terms terms = step.terms;
  if (step.kind != Step::Kind::kGrant) grant = {{false, {}, step.name}, "tls", 443, 0, false};
  if (!grant.target.is_address && grant.target.name == "any") return false;  // A name, and the word for every flow.
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const policy::RuleWordInfo word = policy::rule_word(grant.word);
  const bool plain_name = grant.target.is_address || (grant.target.name.find("--") == std::string::npos && std::ranges::any_of(grant.target.name, is_letter));
  const bool plain_word = word.has_ports ? grant.port != 0 && grant.word != "mdns" && grant.word != "llmnr" : grant.word != "ip-proto";
  if (plain_name && plain_word) return true;
  if (word.has_ports && grant.port == 0) return false;
  RuleBook book;
  *book.allow(grant) = terms;
  return policy::load_policy_text("version = 1\n" + draft_rules(book, {}).front().text, "rule").has_value();
}

void Facts::take(const Sighting& sighting) {
  if (!is_dns(sighting)) return;
  for (const std::string& text : sighting.answers) {
    const auto address = IpAddress::parse(text);
    if (!address) continue;
    for (const std::string& name : sighting.names) {
      if (answers.size() < kAnswersMax) answers.emplace(name, address->unmapped());
    }
  }
}

std::vector<Step> first_steps(const Sighting& sighting, const Facts& facts) { return Ladder(sighting, facts).first(); }

std::vector<Step> next_steps(const Sighting& sighting, const Facts& facts) { return Ladder(sighting, facts).next(); }

bool is_taken(const RuleBook& book, const Step& step) {
  switch (step.kind) {
    case Step::Kind::kResolver:
      // When there is no more room the next step is due.
      return book.resolvers().size() >= kResolversMax || std::ranges::binary_search(book.resolvers(), step.address);
    case Step::Kind::kPrivate: return book.private_names.contains(step.name);
    case Step::Kind::kRebindingExcept: return book.rebinding_except.contains(step.name);
    case Step::Kind::kGrant: break;
  }
  const Terms* terms = book.find(step.grant);
  if (terms == nullptr) return false;
  if (step.terms.any_bind && !terms->any_bind) return false;
  if (step.terms.keep_exact && !terms->keep_exact) return false;
  return terms->icmp_payload >= step.terms.icmp_payload &&
         std::ranges::includes(terms->icmp_types, step.terms.icmp_types);
}

void take(RuleBook& book, const Step& step) {
  switch (step.kind) {
    case Step::Kind::kResolver: (void)book.trust(step.address); return;
    case Step::Kind::kPrivate: book.private_names.insert(step.name); return;
    case Step::Kind::kRebindingExcept: book.rebinding_except.insert(step.name); return;
    case Step::Kind::kGrant: break;
  }
  Terms* terms = book.allow(step.grant);
  if (terms == nullptr) return;
  terms->any_bind = terms->any_bind || step.terms.any_bind;
  terms->ice = terms->ice || step.terms.ice;
  terms->keep_exact = terms->keep_exact || step.terms.keep_exact;
  terms->icmp_types.insert(step.terms.icmp_types.begin(), step.terms.icmp_types.end());
  terms->icmp_payload = std::max(terms->icmp_payload, step.terms.icmp_payload);
}

int turn_of(const Sighting& sighting) {
  if (is_dns(sighting) || sighting.reason == Reason::kResolverNotTrusted) return 0;
  const bool announces = sighting.protocol == Protocol::kFtp || sighting.protocol == Protocol::kSocks ||
                         is_stun_server(sighting) || !sighting.proxy_target.empty() || sighting.http_method == "CONNECT";
  if (announces) return 1;
  const bool may_be_peer = sighting.protocol == Protocol::kStun || sighting.protocol == Protocol::kRtp ||
                           sighting.protocol == Protocol::kDtls || sighting.protocol == Protocol::kUnknown;
  return may_be_peer ? 3 : 2;
}

}  // namespace sallyport::learn
