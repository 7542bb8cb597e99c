// Folding: names that share their parent become one wildcard, where that can be meant for one owner.
#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "sallyport/learn/rule_book.h"

namespace sallyport::learn {

// FoldedGrant is a grant as a rule has it, and the grants of the book that it stands for.
struct FoldedGrant {
  Terms terms;
  std::vector<Grant> sources;
};
using FoldedGrants = std::map<Grant, FoldedGrant>;

// fold returns the book's grants. With `at_least` above 0 that many names below one parent, for the same word, port and terms,
// become "*.parent", and with them every deeper name; never over a public suffix or a name of one label, never
// for a protocol that carries no name, and never the parent itself.
FoldedGrants fold(const RuleBook& book, std::size_t at_least);

}  // namespace sallyport::learn
