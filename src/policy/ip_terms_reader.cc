#include "ip_terms_reader.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace sallyport::policy {
namespace {

enum class IcmpClass : std::uint8_t { kRequest, kReply, kError, kLink };

struct IcmpType {
  std::string_view name;
  IcmpClass icmp_class;
  int v4 = -1;  // -1: none.
  int v6 = -1;
};

// RFC 792, RFC 950, RFC 1256; RFC 4443, RFC 2710, RFC 3810, RFC 4861, RFC 4620. Those alone to which the kernel's connection
// tracking knows an answer are requests here.
constexpr auto kIcmpTypes = std::to_array<IcmpType>({
    {"echo-request", IcmpClass::kRequest, 8, 128},
    {"timestamp-request", IcmpClass::kRequest, 13},
    {"information-request", IcmpClass::kRequest, 15},
    {"address-mask-request", IcmpClass::kRequest, 17},
    {"node-information-query", IcmpClass::kRequest, -1, 139},
    {"echo-reply", IcmpClass::kReply, 0, 129},
    {"timestamp-reply", IcmpClass::kReply, 14},
    {"information-reply", IcmpClass::kReply, 16},
    {"address-mask-reply", IcmpClass::kReply, 18},
    {"node-information-response", IcmpClass::kReply, -1, 140},
    {"destination-unreachable", IcmpClass::kError, 3, 1},
    {"source-quench", IcmpClass::kError, 4},
    {"packet-too-big", IcmpClass::kError, -1, 2},
    {"time-exceeded", IcmpClass::kError, 11, 3},
    {"parameter-problem", IcmpClass::kError, 12, 4},
    {"redirect", IcmpClass::kError, 5, 137},
    {"router-advertisement", IcmpClass::kLink, 9, 134},
    {"router-solicitation", IcmpClass::kLink, 10, 133},
    {"neighbour-solicitation", IcmpClass::kLink, -1, 135},
    {"neighbour-advertisement", IcmpClass::kLink, -1, 136},
    {"multicast-listener-query", IcmpClass::kLink, -1, 130},
    {"multicast-listener-report", IcmpClass::kLink, -1, 131},
    {"multicast-listener-done", IcmpClass::kLink, -1, 132},
    {"multicast-listener-report-v2", IcmpClass::kLink, -1, 143},
});

constexpr std::int64_t kIcmpPayloadMax = 65'507;  // Of the longest IPv4 packet.

constexpr auto kRequestNames = [] {
  std::array<std::string_view, 5> names{};
  std::size_t count = 0;
  for (const IcmpType& type : kIcmpTypes) {
    if (type.icmp_class == IcmpClass::kRequest) names.at(count++) = type.name;
  }
  return names;
}();

std::string why_not(IcmpClass icmp_class) {
  switch (icmp_class) {
    case IcmpClass::kRequest:
      break;
    case IcmpClass::kReply:
      return "a reply: replies to what is allowed pass without a rule";
    case IcmpClass::kError:
      return "an error message: those that a process or a workload makes are always dropped, those of this host's kernel pass";
    case IcmpClass::kLink:
      return "a message to the link alone: this host's own pass without a rule";
  }
  return {};
}

// type_of finds a type by its name or number; a number may be that of either family.
const IcmpType* type_of(const Value& value) {
  const auto has = [&value](const IcmpType& type) {
    if (value.kind == Value::Kind::kString) return type.name == value.text;
    return value.kind == Value::Kind::kInteger && value.integer >= 0 && (type.v4 == value.integer || type.v6 == value.integer);
  };
  const auto found = std::find_if(kIcmpTypes.begin(), kIcmpTypes.end(), has);
  return found == kIcmpTypes.end() ? nullptr : &*found;
}

std::string shown(const Value& value) {
  if (value.kind == Value::Kind::kString) return quote(value.text);
  if (value.kind == Value::Kind::kInteger) return std::to_string(value.integer);
  return std::string(kind_name(value.kind));
}

void add(const IcmpType& type, IpTerms& out) {
  if (type.v4 >= 0) out.icmp_types.set(static_cast<std::size_t>(type.v4));
  if (type.v6 >= 0) out.icmp_types.set(static_cast<std::size_t>(type.v6));
}

// KeyReader reads one key at a time and remembers whether any was wrong.
class KeyReader {
 public:
  KeyReader(const Reader& reader, const Value& table, const RuleDraft& draft) : reader_(reader), table_(table), draft_(draft) {}

  bool failed() const { return failed_; }

  void error(Position position, std::string_view key, const std::string& message) {
    failed_ = true;
    reader_.error(position, join(draft_.path, key), message);
  }

  // find returns the value of a key, if it stands where `word` is among the rule's protocols.
  const Value* find(std::string_view key, RuleProtocols word, std::string_view name) {
    const auto* entry = table_.find(key);
    if (entry == nullptr) return nullptr;
    if ((draft_.terms.protocols & word) != 0) return &entry->value;
    error(entry->position, key, "only rules whose protocols have \"" + std::string(name) + "\" have it; leave it out");
    return nullptr;
  }

  void read_types(IpTerms& out) {
    const bool icmp = (draft_.terms.protocols & kIcmpBit) != 0;
    const Value* value = find("icmp_types", kIcmpBit, "icmp");
    if (value == nullptr) {
      // To deny is to deny all of it; to allow is to allow what ping asks.
      for (const IcmpType& type : kIcmpTypes) {
        const bool wanted = draft_.terms.action == Action::kDeny ? type.icmp_class == IcmpClass::kRequest : type.v4 == 8;
        if (icmp && wanted) add(type, out);
      }
      return;
    }
    const auto items = one_or_many(*value);
    if (items.empty()) error(value->position, "icmp_types", "an empty list matches nothing; leave it out for \"echo-request\"");
    for (const Value& item : items) {
      const IcmpType* type = type_of(item);
      if (type == nullptr) {
        const std::string hint = item.kind == Value::Kind::kString ? did_you_mean(item.text, kRequestNames) : "";
        error(item.position, "icmp_types", shown(item) + ": expected " + one_of(kRequestNames) + ", or the number of one" + hint);
      } else if (type->icmp_class != IcmpClass::kRequest) {
        error(item.position, "icmp_types", shown(item) + ": " + why_not(type->icmp_class));
      } else if (item.kind == Value::Kind::kInteger) {
        out.icmp_types.set(static_cast<std::size_t>(item.integer));
      } else {
        add(*type, out);
      }
    }
  }

  void read_payload(IpTerms& out) {
    const Value* value = find("icmp_payload", kIcmpBit, "icmp");
    if (value == nullptr) return;
    if (draft_.terms.action == Action::kDeny) {
      error(value->position, "icmp_payload", "a deny rule denies every size; leave it out");
    } else if (value->kind != Value::Kind::kInteger || value->integer < 0 || value->integer > kIcmpPayloadMax) {
      error(value->position, "icmp_payload", shown(*value) + ": expected the largest payload in octets, from 0 to 65507");
    } else {
      out.icmp_payload = static_cast<std::uint32_t>(value->integer);
    }
  }

  void read_numbers(IpTerms& out) {
    const bool wanted = (draft_.terms.protocols & kIpProtoBit) != 0;
    const Value* value = find("ip_protos", kIpProtoBit, "ip-proto");
    if (value == nullptr) {
      if (wanted && table_.find("ip_protos") == nullptr)
        error(table_.find("protocols")->value.position, "protocols", "ip-proto needs \"ip_protos\": the numbers, such as [89, 112]");
      return;
    }
    const auto items = one_or_many(*value);
    if (items.empty()) error(value->position, "ip_protos", "an empty list matches nothing");
    for (const Value& item : items) {
      const std::string why = why_no_number(item);
      if (why.empty()) {
        out.numbers.set(static_cast<std::size_t>(item.integer));
      } else {
        error(item.position, "ip_protos", shown(item) + ": " + why);
      }
    }
  }

 private:
  // why_no_number returns what is wrong with a protocol number, or nothing.
  static std::string why_no_number(const Value& value) {
    constexpr std::array<std::int64_t, 8> kExtensionHeaders = {0, 43, 44, 59, 60, 135, 139, 140};  // IANA: IPv6 extension headers
    if (value.kind != Value::Kind::kInteger || value.integer < 0 || value.integer > 255) return "expected a protocol number from 0 to 255";
    if (std::find(kExtensionHeaders.begin(), kExtensionHeaders.end(), value.integer) != kExtensionHeaders.end())
      return "an IPv6 extension header, which stands before a protocol and is none";
    if (value.integer == 6) return "TCP; give it a rule with protocols = [\"tcp\"] and ports";
    if (value.integer == 17) return "UDP; give it a rule with protocols = [\"udp\"] and ports";
    for (const auto& [bit, number] : kIpProtocolBits) {
      if (number != value.integer) continue;
      for (std::size_t i = 0; i < kRuleWords.size(); ++i) {
        if (bit == RuleProtocols{1} << i) return "it has a word of its own: protocols = [\"" + std::string(kRuleWords[i].word) + "\"]";
      }
    }
    return {};
  }

  const Reader& reader_;
  const Value& table_;
  const RuleDraft& draft_;
  bool failed_ = false;
};

}  // namespace

std::shared_ptr<const IpTerms> read_ip_terms(const Reader& reader, const Value& table, const RuleDraft& draft, bool& failed) {
  auto terms = std::make_shared<IpTerms>();
  KeyReader keys(reader, table, draft);
  keys.read_types(*terms);
  keys.read_payload(*terms);
  keys.read_numbers(*terms);
  failed |= keys.failed();
  if ((draft.terms.protocols & (kIcmpBit | kIpProtoBit)) == 0) return nullptr;
  return terms;
}

}  // namespace sallyport::policy
