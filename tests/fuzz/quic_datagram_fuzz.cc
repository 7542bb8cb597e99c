// A datagram: its long headers, its Initials opened with the keys that they name, and their frames. As no
// fuzzer forges an AEAD tag, the frame reader is also given the raw input.
#include <cstdint>
#include <cstdlib>

#include "sallyport/parsers/quic.h"
#include "sallyport/parsers/tls_handshake.h"

namespace {

using sallyport::ByteSpan;
namespace parsers = sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

void walk_frames(ByteSpan bytes) {
  parsers::QuicFrameReader frames(bytes);
  for (std::size_t count = 0;; ++count) {
    const parsers::QuicFrame frame = frames.next();
    if (frame.kind == parsers::QuicFrame::Kind::kEnd || frame.kind == parsers::QuicFrame::Kind::kMalformed)
      break;
    check(count < sallyport::kQuicFramesPerPacketMax);
    if (frame.kind != parsers::QuicFrame::Kind::kCrypto) continue;
    check(frame.data.size() <= bytes.size() && frame.offset + frame.data.size() < std::uint64_t{1} << 62);
    (void)parsers::read_crypto_handshake_message(frame.data);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static parsers::QuicInitialOpener opener;
  ByteSpan rest(data, size);
  (void)parsers::looks_like_quic(rest);
  const parsers::GquicHello hello = parsers::read_gquic_hello(rest);
  check((hello.version != 0) == parsers::looks_like_gquic(rest));
  check(!hello.server_name || !hello.server_name->empty());
  for (const std::uint32_t version : {parsers::kQuicV1, parsers::kQuicV2}) {
    const auto header = parsers::parse_quic_long_header_as(rest, version);
    check(!header || (header->version == version && header->packet.size() <= rest.size()));
  }
  walk_frames(rest);
  while (parsers::has_quic_long_header(rest)) {
    const auto header = parsers::parse_quic_long_header(rest);
    if (!header) break;
    check(!header->packet.empty() && header->packet.size() <= rest.size());
    check(header->packet.data() == rest.data());
    parsers::QuicInitialKeys keys;
    if (opener.derive(header->version, header->destination_connection_id, keys)) {
      for (const bool from_client : {true, false}) {
        const auto plaintext = opener.open(keys, from_client, *header);
        if (plaintext) walk_frames(plaintext->frames);
      }
    }
    rest = rest.subspan(header->packet.size());
  }
  return 0;
}
