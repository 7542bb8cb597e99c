// What a DNS answer says of the name that was asked for. Pure: whether it is believed is for the caller to know.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"
#include "sallyport/core/limits.h"
#include "sallyport/parsers/dns.h"

namespace sallyport::engine {

struct AnswerAddress {
  IpAddress address;      // Unmapped.
  std::uint32_t ttl = 0;  // Seconds: the least of its record and of the aliases that led to it.
};

struct AnswerAddresses {
  DomainName name;  // The question's, without the labels that name a service (RFC 9460 §2.3); empty: no host name.
  std::array<AnswerAddress, kAnswerAddressesMax> addresses;
  std::size_t count = 0;
  std::span<const AnswerAddress> span() const { return std::span(addresses).first(count); }
};

// bound_name returns the name that an answer gives addresses to: of a service's records, the host that has the service. Other
// labels that begin with an underscore may lead to whoever answers for them (_acme-challenge), and bind nothing to the host.
std::optional<DomainName> bound_name(const parsers::DnsQuestion& question);

// read_answer collects the addresses of the answer section that belong to the question by its aliases (CNAME, and DNAME
// above it): those of A or AAAA records as asked, and the hints of HTTPS and SVCB records whose target is their owner.
// Anything else in the message says nothing. The message must be an answer without error to one question of class IN.
void read_answer(const parsers::DnsMessage& message, AnswerAddresses& out);

}  // namespace sallyport::engine
