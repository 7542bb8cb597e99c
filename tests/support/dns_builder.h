// DnsMessageBuilder makes DNS messages for tests: questions, records in any section, EDNS, name compression
// on demand, and the forms that no honest sender makes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::testing {

using Bytes = std::vector<std::uint8_t>;

// dns_wire_name turns presentation form ("a.example", "a\.b.example", "\255.example", "." ) into labels.
Bytes dns_wire_name(std::string_view name);

class DnsMessageBuilder {
 public:
  enum class Section : std::uint8_t { kAnswer, kAuthority, kAdditional };

  explicit DnsMessageBuilder(std::uint16_t id = 0x1234) : id_(id) {}

  // A query with RD is the default. response() sets QR and RA.
  DnsMessageBuilder& response();
  DnsMessageBuilder& flags(std::uint16_t bits);  // The whole second word of the header.
  DnsMessageBuilder& opcode(std::uint8_t value);
  DnsMessageBuilder& rcode(std::uint8_t value);
  DnsMessageBuilder& truncated();
  // compress lets later names point to earlier ones.
  DnsMessageBuilder& compress();

  DnsMessageBuilder& question(std::string_view name, std::uint16_t type, std::uint16_t dns_class = 1);

  DnsMessageBuilder& record(Section section, std::string_view name, std::uint16_t type,
                            std::uint16_t dns_class, std::uint32_t ttl, Bytes rdata);
  // Shorthands for the answer section; class IN.
  DnsMessageBuilder& a(std::string_view name, std::string_view address, std::uint32_t ttl = 300);
  DnsMessageBuilder& aaaa(std::string_view name, std::string_view address, std::uint32_t ttl = 300);
  // named writes `before`, then a name that may be compressed, then `behind` as the record's data.
  DnsMessageBuilder& named(std::string_view name, std::uint16_t type, std::string_view target,
                           Bytes before = {}, Bytes behind = {}, std::uint32_t ttl = 300);
  DnsMessageBuilder& cname(std::string_view name, std::string_view target, std::uint32_t ttl = 300) {
    return named(name, 5, target, {}, {}, ttl);
  }
  // service_binding writes an SVCB (64) or HTTPS (65) record; its target is never compressed.
  DnsMessageBuilder& service_binding(std::string_view name, std::uint16_t type, std::uint16_t priority,
                                     std::string_view target,
                                     const std::vector<std::pair<std::uint16_t, Bytes>>& params);
  DnsMessageBuilder& edns(std::uint16_t udp_size = 1232, bool dnssec_ok = false,
                          const std::vector<std::pair<std::uint16_t, Bytes>>& options = {},
                          std::uint8_t version = 0);
  // trailing adds bytes behind the last record.
  DnsMessageBuilder& trailing(Bytes bytes);
  // count overrides one of the header's four counts (0: questions ... 3: additional).
  DnsMessageBuilder& count(std::size_t index, std::uint16_t value);

  Bytes build() const;
  // build_tcp puts the two length octets before the message.
  Bytes build_tcp() const;

 private:
  struct Question {
    std::string name;
    std::uint16_t type, dns_class;
  };
  struct Record {
    Section section;
    std::string name;
    std::uint16_t type, dns_class;
    std::uint32_t ttl;
    Bytes before;
    std::optional<std::string> target;
    Bytes behind;
  };
  void write_name(Bytes& out, std::string_view name, std::map<Bytes, std::size_t>& seen) const;
  void write_record(Bytes& out, const Record& record, std::map<Bytes, std::size_t>& seen) const;

  std::uint16_t id_;
  std::uint16_t flags_ = 0x0100;  // RD
  bool compress_ = false;
  std::vector<Question> questions_;
  std::vector<Record> records_;
  Bytes trailing_;
  std::map<std::size_t, std::uint16_t> counts_;
};

}  // namespace sallyport::testing
