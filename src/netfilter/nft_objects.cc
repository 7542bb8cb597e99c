#include "nft_objects.h"

#include <nlohmann/json.hpp>

#include "sallyport/netfilter/command.h"

namespace sallyport::netfilter {
namespace {

using nlohmann::json;

std::string nft_family(Family family) {
  return family == Family::kIpv4 ? "ip" : "ip6";
}

// text_of returns a member of a JSON object that is a string, or an empty string.
std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::expected<std::string, std::string> nft(const std::vector<std::string>& arguments, std::string_view input = {}) {
  std::vector<std::string> command = {"nft"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const std::expected<CommandResult, std::string> result = run_command(command, input);
  if (!result) return std::unexpected(result.error());
  if (result->exit_code != 0) return std::unexpected("nft: " + result->errors);
  return result->output;
}

// Table is what one table holds, from `nft -j list table`.
struct Table {
  std::set<std::string> chains;
  std::set<std::string> used;  // Chains with a rule, or with a policy other than accept.
  bool other = false;          // Sets, maps and the like.
};

Table read_table(const std::string& text) {
  Table table;
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object() || !document.contains("nftables") || !document["nftables"].is_array()) {
    table.other = true;
    return table;
  }
  for (const json& item : document["nftables"]) {
    if (!item.is_object() || item.empty()) continue;
    const std::string kind = item.begin().key();
    const json& object = item.begin().value();
    if (kind == "chain") {
      table.chains.insert(text_of(object, "name"));
      const std::string policy = text_of(object, "policy");
      if (!policy.empty() && policy != "accept") table.used.insert(text_of(object, "name"));
    } else if (kind == "rule") {
      table.used.insert(text_of(object, "chain"));
    } else if (kind != "table" && kind != "metainfo") {
      table.other = true;
    }
  }
  return table;
}

}  // namespace

NftObjects read_nft_objects(std::string_view text, Family family) {
  NftObjects objects;
  const json document = json::parse(text, nullptr, false);
  if (!document.is_object() || !document.contains("nftables") || !document["nftables"].is_array())
    return objects;
  for (const json& item : document["nftables"]) {
    if (!item.is_object() || item.empty()) continue;
    const json& object = item.begin().value();
    if (text_of(object, "family") != nft_family(family)) continue;
    if (item.contains("table")) objects.tables.insert(text_of(object, "name"));
    if (item.contains("chain")) {
      objects.tables.insert(text_of(object, "table"));
      objects.chains.emplace(text_of(object, "table"), text_of(object, "name"));
    }
  }
  return objects;
}

std::expected<NftObjects, std::string> list_nft_objects(Family family) {
  NftObjects objects;
  for (const char* what : {"tables", "chains"}) {
    const std::expected<std::string, std::string> listed = nft({"-j", "list", what, nft_family(family)});
    if (!listed) return std::unexpected(listed.error());
    NftObjects part = read_nft_objects(*listed, family);
    objects.tables.merge(part.tables);
    objects.chains.merge(part.chains);
  }
  return objects;
}

std::expected<void, std::string> remove_created(Family family, const TableState& state) {
  if (state.created.empty()) return {};
  const std::string name = nft_family(family);
  const std::expected<std::string, std::string> listed = nft({"-j", "list", "table", name, state.table});
  if (!listed) return std::unexpected(listed.error());
  Table table = read_table(*listed);
  const std::string record = name + ' ' + state.table + ' ' + std::string(kCreatedChain);
  std::string forget;
  if (table.chains.erase(std::string(kCreatedChain)) != 0) forget = "flush chain " + record + "\ndelete chain " + record + '\n';
  std::string script = forget;
  for (const std::string& chain : state.created.base_chains) {
    if (!table.chains.contains(chain) || table.used.contains(chain)) continue;
    script += "delete chain " + name + ' ' + state.table + ' ' + chain + '\n';
    table.chains.erase(chain);
  }
  if (state.created.table && table.chains.empty() && !table.other) script += "delete table " + name + ' ' + state.table + '\n';
  if (script.empty()) return {};
  const std::expected<std::string, std::string> removed = nft({"-f", "-"}, script);
  if (removed) return {};
  // A chain that got a rule meanwhile makes its deletion fail, and that is right; the record is of no use then.
  if (!forget.empty()) (void)nft({"-f", "-"}, forget);
  return std::unexpected(removed.error());
}

}  // namespace sallyport::netfilter
