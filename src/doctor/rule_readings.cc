#include "rule_readings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace sallyport::doctor {
namespace {

constexpr std::string_view kOurs = "SALLYPORT-";

std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!(text = trimmed(text)).empty()) {
    const std::size_t end = text.find_first_of(" \t");
    words.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end);
  }
  return words;
}

std::optional<std::uint32_t> number(std::string_view word) {
  std::uint32_t value = 0;
  const int base = word.starts_with("0x") ? 16 : 10;
  if (base == 16) word.remove_prefix(2);
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (word.empty() || error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

// Masked is "0x4000/0xffff": the value, and the mask or all bits.
struct Masked {
  std::uint32_t value = 0;
  std::uint32_t mask = ~0U;
};
std::optional<Masked> masked(std::string_view word) {
  const std::size_t slash = word.find('/');
  const auto value = number(word.substr(0, slash));
  if (!value) return std::nullopt;
  if (slash == std::string_view::npos) return Masked{*value, ~0U};
  const auto mask = number(word.substr(slash + 1));
  if (!mask) return std::nullopt;
  return Masked{*value, *mask};
}

// each_rule calls `take` for each rule of others that iptables-save printed.
template <typename Take>
void each_rule(std::string_view save_output, Take take) {
  std::string_view table;
  while (!save_output.empty()) {
    const std::string_view line = next_line(save_output);
    if (line.starts_with('*')) table = line.substr(1);
    if (line.starts_with("-A ") && line.find(kOurs) == std::string_view::npos) take(table, line);
  }
}

// Statement is a line of `nft list ruleset` that is neither a block's head nor its end.
struct NftLine {
  std::string table;  // "inet filter"
  std::string chain;
  std::string_view text;
};

// by_iptables: tables that iptables-save speaks of.
bool by_iptables(std::string_view table) {
  const std::size_t space = table.find(' ');
  if (space == std::string_view::npos) return false;
  const std::string_view family = table.substr(0, space);
  const std::string_view name = table.substr(space + 1);
  if (family != "ip" && family != "ip6") return false;
  constexpr std::array<std::string_view, 5> kNames = {"filter", "mangle", "nat", "raw", "security"};
  return std::ranges::find(kNames, name) != kNames.end();
}

template <typename Take>
void each_nft_line(std::string_view ruleset, Take take) {
  NftLine at;
  int depth = 0;
  while (!ruleset.empty()) {
    const std::string_view line = trimmed(next_line(ruleset));
    if (line.starts_with('#') || line.empty()) continue;
    if (line.ends_with('{')) {
      const std::string_view head = trimmed(line.substr(0, line.size() - 1));
      if (depth == 0) at.table = head.starts_with("table ") ? head.substr(6) : std::string_view();
      if (depth == 1) at.chain = head;
      ++depth;
      at.text = line;
      take(at);
      continue;
    }
    if (line == "}") {
      depth = std::max(depth - 1, 0);
      if (depth == 1) at.chain.clear();
      continue;
    }
    at.text = line;
    take(at);
  }
}

template <typename Take>
void each_nft_rule(std::string_view ruleset, Take take) {
  each_nft_line(ruleset, [&](const NftLine& line) {
    if (by_iptables(line.table) || !line.chain.starts_with("chain ") || line.text.ends_with('{')) return;
    take(line);
  });
}

std::string where(const NftLine& line) {
  return line.table + ' ' + line.chain.substr(line.chain.find(' ') + 1) + ": " + std::string(line.text);
}

struct Known {
  std::string_view prefix;
  std::string_view tool;
};
// Chains of iptables, by how their names begin.
constexpr Known kChains[] = {
    {"ufw-", "ufw"},          {"ufw6-", "ufw"},          {"DOCKER", "Docker"},      {"KUBE-", "kube-proxy"},   {"ts-", "Tailscale"},
    {"cali-", "Calico"},      {"CILIUM_", "Cilium"},     {"ISTIO_", "Istio"},       {"f2b-", "fail2ban"},      {"LIBVIRT_", "libvirt"},
    {"CNI-", "CNI plugins"},  {"NETAVARK", "Podman"},    {"FLANNEL", "Flannel"},    {"WEAVE", "Weave"},        {"IN_public", "firewalld"},
    {"FWD_", "firewalld"},    {"PORTMASTER", "Portmaster"}, {"MULLVAD", "Mullvad"}, {"nordvpn", "NordVPN"},    {"CROWDSEC", "CrowdSec"},
    {"sshguard", "sshguard"}, {"OPENSNITCH", "OpenSnitch"}, {"AWS-", "AWS VPC CNI"}, {"zone_", "OpenWrt"},
};
// Tables of nftables proper.
constexpr Known kTables[] = {
    {"inet firewalld", "firewalld"}, {"ip firewalld", "firewalld"}, {"inet mullvad", "Mullvad"}, {"inet opensnitch", "OpenSnitch"},
    {"ip kube-proxy", "kube-proxy"}, {"inet tailscale", "Tailscale"}, {"ip docker-bridges", "Docker"}, {"inet netavark", "Podman"},
    {"inet f2b-table", "fail2ban"},  {"ip crowdsec", "CrowdSec"},   {"inet fw4", "OpenWrt"},     {"ip wg-quick-", "wg-quick"},
    {"ip6 wg-quick-", "wg-quick"},   {"inet suricata", "Suricata"}, {"ip libvirt_network", "libvirt"}, {"ip cali", "Calico"},
};

}  // namespace

std::vector<MarkUse> mark_uses_of_save(std::string_view save_output) {
  std::vector<MarkUse> uses;
  each_rule(save_output, [&](std::string_view table, std::string_view rule) {
    const std::vector<std::string_view> words = words_of(rule);
    const auto target = std::ranges::find(words, "-j");
    if (target == words.end() || target + 1 == words.end()) return;
    const std::string_view name = *(target + 1);
    MarkUse use;
    use.rule = std::string(table) + ' ' + std::string(rule.substr(3));
    std::uint32_t packet = ~0U;
    std::uint32_t ct = ~0U;
    bool known = false;
    for (auto word = target + 2; word != words.end(); ++word) {
      const bool more = word + 1 != words.end();
      const auto operand = more ? masked(*(word + 1)) : std::nullopt;
      if ((*word == "--set-xmark" || *word == "--set-mark" || *word == "--tproxy-mark") && operand) {
        use.kind = name == "CONNMARK" ? MarkUse::Kind::kSetCt : MarkUse::Kind::kSetPacket;
        use.value = operand->value;
        use.mask = operand->mask;
        known = name == "MARK" || name == "CONNMARK" || name == "TPROXY";
      } else if (*word == "--save-mark" || *word == "--restore-mark") {
        use.kind = *word == "--save-mark" ? MarkUse::Kind::kSave : MarkUse::Kind::kRestore;
        known = name == "CONNMARK";
      } else if (*word == "--nfmask" && operand) {
        packet = operand->value;
      } else if (*word == "--ctmask" && operand) {
        ct = operand->value;
      } else if (*word == "--mask" && operand) {
        packet = ct = operand->value;
      }
    }
    if (use.kind == MarkUse::Kind::kSave) use.mask = ct;
    if (use.kind == MarkUse::Kind::kRestore) use.mask = packet & ct;
    if (known) uses.push_back(std::move(use));
  });
  return uses;
}

std::vector<MarkUse> mark_uses_of_nft(std::string_view ruleset) {
  std::vector<MarkUse> uses;
  each_nft_rule(ruleset, [&](const NftLine& line) {
    for (const std::string_view statement : {"ct mark set ", "meta mark set "}) {
      const std::size_t at = line.text.find(statement);
      if (at == std::string_view::npos) continue;
      const bool ct = statement.starts_with("ct");
      const std::vector<std::string_view> words = words_of(line.text.substr(at + statement.size()));
      if (words.empty()) continue;
      MarkUse use;
      use.rule = where(line);
      use.kind = ct ? MarkUse::Kind::kSetCt : MarkUse::Kind::kSetPacket;
      if (const auto value = number(words[0])) {
        use.value = *value;
      } else {
        // "ct mark and 0xff00ffff or 0x00040000", "mark", "ct mark & 0xff": of its own mark the bits outside of the first stay.
        const bool own = ct == (words[0] == "ct");
        if (!own) use.kind = ct ? MarkUse::Kind::kSave : MarkUse::Kind::kRestore;
        for (std::size_t i = 1; i + 1 < words.size(); ++i) {
          const auto operand = number(words[i + 1]);
          if (!operand) continue;
          if (words[i] == "and" || words[i] == "&") use.mask = own ? ~*operand : *operand;
          if (words[i] == "or" || words[i] == "|") use.value |= *operand;
        }
        if (own && use.mask == ~0U) use.mask = use.value;  // "mark or 0x4000" alone.
        if (own) use.mask |= use.value;
      }
      uses.push_back(std::move(use));
    }
  });
  return uses;
}

std::string disturbs(const MarkUse& use, std::uint32_t field) {
  if ((use.mask & field) == 0) return {};
  switch (use.kind) {
    case MarkUse::Kind::kSetPacket:
      return (use.value & field) == 0 ? "" : "sets bits of the packet mark that mean a verdict of ours";
    case MarkUse::Kind::kSetCt:
      return "overwrites our verdict in the ct mark";
    case MarkUse::Kind::kSave:
      return "overwrites our verdict in the ct mark with what the packet mark has";
    case MarkUse::Kind::kRestore:
      return "copies our verdict from the ct mark to packets, where it counts as a fresh one";
  }
  return {};
}

std::vector<std::string> queue_rules_of_save(std::string_view save_output) {
  std::vector<std::string> rules;
  each_rule(save_output, [&](std::string_view table, std::string_view rule) {
    if (rule.find(" -j NFQUEUE") != std::string_view::npos || rule.find(" -j QUEUE") != std::string_view::npos) {
      rules.push_back(std::string(table) + ' ' + std::string(rule.substr(3)));
    }
  });
  return rules;
}

std::vector<std::string> queue_rules_of_nft(std::string_view ruleset) {
  std::vector<std::string> rules;
  each_nft_rule(ruleset, [&](const NftLine& line) {
    const std::vector<std::string_view> words = words_of(line.text);
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] != "queue" || (i != 0 && words[i - 1] == "comment")) continue;
      rules.push_back(where(line));
      break;
    }
  });
  return rules;
}

std::set<std::string> tools_of_save(std::string_view save_output) {
  std::set<std::string> tools;
  while (!save_output.empty()) {
    const std::string_view line = next_line(save_output);
    if (line.find("wg-quick(8)") != std::string_view::npos) tools.insert("wg-quick");
    if (!line.starts_with(':')) continue;
    for (const Known& known : kChains) {
      if (line.substr(1).starts_with(known.prefix)) tools.emplace(known.tool);
    }
  }
  return tools;
}

std::set<std::string> tools_of_nft(std::string_view ruleset) {
  std::set<std::string> tools;
  each_nft_line(ruleset, [&](const NftLine& line) {
    if (!line.text.starts_with("table ")) return;
    for (const Known& known : kTables) {
      if (line.table.starts_with(known.prefix)) tools.emplace(known.tool);
    }
  });
  return tools;
}

std::size_t foreign_rules(std::string_view save_output) {
  std::size_t count = 0;
  each_rule(save_output, [&](std::string_view, std::string_view) { ++count; });
  return count;
}

std::vector<std::string> flowtables(std::string_view ruleset) {
  std::vector<std::string> names;
  each_nft_line(ruleset, [&](const NftLine& line) {
    if (line.text.starts_with("flowtable ") && line.text.ends_with('{')) names.push_back(line.table + ' ' + std::string(words_of(line.text)[1]));
  });
  return names;
}

std::vector<std::string> dropping_chains(std::string_view ruleset) {
  std::vector<std::string> names;
  each_nft_rule(ruleset, [&](const NftLine& line) {
    if (line.text.starts_with("type filter hook ") && line.text.find("policy drop") != std::string_view::npos) {
      names.push_back(line.table + ' ' + line.chain.substr(line.chain.find(' ') + 1));
    }
  });
  return names;
}

std::vector<std::string> fwmark_rules(std::string_view ip_rule_output, std::uint32_t field) {
  std::vector<std::string> rules;
  while (!ip_rule_output.empty()) {
    const std::string_view line = next_line(ip_rule_output);
    const std::vector<std::string_view> words = words_of(line);
    const auto at = std::ranges::find(words, "fwmark");
    if (at == words.end() || at + 1 == words.end()) continue;
    const auto mark = masked(*(at + 1));
    if (mark && (mark->mask & field) != 0) rules.emplace_back(trimmed(line));
  }
  return rules;
}

}  // namespace sallyport::doctor
