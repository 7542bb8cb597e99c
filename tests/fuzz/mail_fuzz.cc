// Mail and FTP sessions: the first two bytes choose the protocol and the client's share of the rest. A
// request for TLS is found at the same place however the client's lines arrive, and no recogniser says "no"
// of a prefix of what it says "yes" to.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "sallyport/parsers/mail.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

using Block = std::vector<std::uint8_t>;  // Of exact size, so that a read too far is seen.

void check_request(Protocol protocol, const Block& client) {
  const TlsRequest whole = find_tls_request(protocol, client);
  check(whole.read <= client.size());
  check(whole.read == 0 || client[whole.read - 1] == '\n');
  check(!whole.asked || whole.read != 0);
  for (std::size_t length = 0; length < client.size(); ++length) {
    const TlsRequest part = find_tls_request(protocol, Block(client.data(), client.data() + length));
    check(part.read <= whole.read);
    if (part.asked) check(whole.asked && part.read == whole.read);
    if (!part.asked && length >= whole.read) check(!whole.asked);
  }
  // Read in two steps, as a session is followed: the second begins where the first ended.
  const TlsRequest first = find_tls_request(protocol, Block(client.data(), client.data() + client.size() / 2));
  if (first.asked) return;
  const Block rest(client.data() + first.read, client.data() + client.size());
  const TlsRequest second = find_tls_request(protocol, rest);
  check(second.asked == whole.asked && first.read + second.read == whole.read);
}

void check_likeness(Likeness (*looks_like)(ByteSpan, ByteSpan), const Block& client, const Block& server) {
  if (looks_like(client, server) != Likeness::kYes) return;
  for (std::size_t length = 0; length < client.size(); ++length) {
    check(looks_like(Block(client.data(), client.data() + length), server) != Likeness::kNo);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr std::array<Protocol, 5> kProtocols = {Protocol::kSmtp, Protocol::kFtp, Protocol::kImap, Protocol::kPop3,
                                                  Protocol::kTls};
  const std::size_t share = std::min<std::size_t>(std::size_t{data[1]} * 4, size - 2);
  const Block client(data + 2, data + 2 + share);
  const Block server(data + 2 + share, data + size);
  check_request(kProtocols[data[0] % kProtocols.size()], client);
  for (const auto looks_like : {looks_like_smtp, looks_like_ftp, looks_like_imap, looks_like_pop3}) {
    check_likeness(looks_like, client, server);
  }
  return 0;
}
