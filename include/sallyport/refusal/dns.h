// A DNS response that refuses a query, with Extended DNS Errors (RFC 8914) where the query has EDNS.
#pragma once

#include "sallyport/core/bytes.h"
#include "sallyport/refusal/notice.h"

namespace sallyport::refusal {

enum class DnsRcode : std::uint8_t { kNxDomain = 3, kRefused = 5 };  // RFC 1035 §4.1.1
enum class DnsErrorCode : std::uint16_t { kBlocked = 15, kFiltered = 17 };  // RFC 8914 §4.16, §4.18

struct DnsRefusal {
  DnsRcode rcode = DnsRcode::kRefused;
  DnsErrorCode error = DnsErrorCode::kBlocked;
  bool over_tcp = false;      // The message is written behind its length, RFC 1035 §4.2.2.
  std::size_t size_max = 0;   // Of the message, its length prefix aside; UDP: no larger than the query was. The text is cut (a
                              // piece of less than 9 letters is left out), then the error, then EDNS, until it fits.
  // The message is as long as size_max says, for a stream whose length cannot change: the rest is a padding option (RFC 7830) or,
  // without EDNS, a record of a private type. Where that cannot be (1 to 10 octets more than header and question), there is none.
  bool fill = false;
};

// dns_refusal answers `query`, a whole DNS message without the TCP length: its ID, opcode, RD and CD are kept, QR and RA
// set; the question is repeated as sent where it is a single well-formed one without pointers, else there is none. An OPT record only
// where the query has one (RFC 6891 §6.1.1); its DO bit is echoed, its payload size is 1,232. 0 where `query` is shorter than a header
// or is a response. A query over UDP seldom leaves room for more than the error's number, and that only beside a cookie.
std::size_t dns_refusal(Buffer out, const Notice& notice, ByteSpan query, const DnsRefusal& refusal);

// dns_refusal_instead is the same for the query that `answer`, a whole response, answers: it goes in place of it. `out` is no part
// of `answer`. 0 where that is a query.
std::size_t dns_refusal_instead(Buffer out, const Notice& notice, ByteSpan answer, const DnsRefusal& refusal);

}  // namespace sallyport::refusal
