// The nf_tables objects behind iptables-nft: which tables and base chains exist, and the removal of those
// that it made for us and that are empty again.
#pragma once

#include <expected>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "sallyport/netfilter/rule_text.h"

namespace sallyport::netfilter {

// NftObjects is what `nft -j list chains` and `list tables` say of one family.
struct NftObjects {
  std::set<std::string> tables;
  std::set<std::pair<std::string, std::string>> chains;  // Table and chain.
};

// read_nft_objects reads nft's JSON. Anything that is not understood is not listed.
NftObjects read_nft_objects(std::string_view json, Family family);

// list_nft_objects asks the kernel.
std::expected<NftObjects, std::string> list_nft_objects(Family family);

// remove_created deletes the base chains and the table of `state.created` that hold nothing any more: no
// rule, no policy but accept; and the record of them, in the same transaction. Errors are of no consequence to the firewall and are returned for the log.
std::expected<void, std::string> remove_created(Family family, const TableState& state);

}  // namespace sallyport::netfilter
