#include "fold.h"

#include <set>
#include <tuple>

#include "sallyport/policy/rule_words.h"

namespace sallyport::learn {
namespace {

// Kind is what names must have in common.
using Kind = std::tuple<std::string_view, std::uint16_t, bool, bool>;

Kind kind_of(const Grant& grant, const Terms& terms) { return {grant.word, grant.port, grant.proxy, terms.any_bind}; }

bool may_fold(const Grant& grant, const Terms& terms) {
  return !grant.target.is_address && !terms.keep_exact && !grant.proxy && policy::rule_word(grant.word).carries_name;
}

class Folder {
 public:
  Folder(const RuleBook& book, std::size_t at_least) {
    std::map<std::pair<Kind, std::string>, std::size_t> children;
    for (const auto& [grant, terms] : book.grants()) {
      if (may_fold(grant, terms)) ++children[{kind_of(grant, terms), std::string(DomainName::parent(grant.target.name))}];
    }
    for (const auto& [key, count] : children) {
      const auto parent = DomainName::parse(key.second);
      if (count >= at_least && parent && policy::may_be_wildcard(*parent)) wildcards_.insert(key);
    }
  }

  // target_of returns the widest wildcard that has the grant, or its own target.
  Target target_of(const Grant& grant, const Terms& terms) const {
    Target target = grant.target;
    if (!may_fold(grant, terms)) return target;
    for (std::string_view parent = DomainName::parent(grant.target.name); !parent.empty();
         parent = DomainName::parent(parent)) {
      if (wildcards_.contains({kind_of(grant, terms), std::string(parent)})) target.name = "*." + std::string(parent);
    }
    return target;
  }

 private:
  std::set<std::pair<Kind, std::string>> wildcards_;
};

}  // namespace

FoldedGrants fold(const RuleBook& book, std::size_t at_least) {
  FoldedGrants folded;
  const Folder folder(book, at_least == 0 ? SIZE_MAX : at_least);
  for (const auto& [grant, terms] : book.grants()) {
    Grant shown = grant;
    shown.target = folder.target_of(grant, terms);
    FoldedGrant& entry = folded[shown];
    if (entry.sources.empty()) {
      entry.terms = terms;
    } else {
      entry.terms.add(terms);
      entry.terms.any_bind = entry.terms.any_bind || terms.any_bind;
    }
    entry.sources.push_back(grant);
  }
  return folded;
}

}  // namespace sallyport::learn
