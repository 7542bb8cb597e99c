// The first byte chooses the side; then an identification string and packets are read as the engine does.
#include <cstdlib>

#include "sallyport/parsers/ssh.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void expect(bool fact) {
  if (!fact) std::abort();
}

void read_packets(ByteSpan stream) {
  for (int i = 0; i < 16; ++i) {
    const SshPacket packet = read_ssh_packet(stream);
    if (packet.framing != Framing::kComplete) return;
    expect(packet.consumed >= 16 && packet.consumed <= stream.size());
    expect(!packet.payload.empty() && packet.payload[0] == packet.type);
    if (const auto init = parse_ssh_kexinit(packet.payload)) {
      (void)ssh_hassh(*init);
      (void)ssh_hassh_server(*init);
      expect(ssh_kex_method(*init, *init).size() <= init->kex_algorithms.size());
    }
    for (const std::string_view method : {"curve25519-sha256", "diffie-hellman-group-exchange-sha256"}) {
      if (const auto key = ssh_host_key(packet, method)) {
        expect(ssh_key_type(*key).has_value());
        expect(ssh_fingerprint(*key).text().starts_with("SHA256:"));
      }
    }
    stream = stream.subspan(packet.consumed);
  }
}

// read_exchange takes the packets for those of both sides: a reply may stand where the client's message does.
void read_exchange(ByteSpan packets) {
  const SshExchange exchange = read_ssh_exchange(packets, packets);
  expect(exchange.client_read <= packets.size() && exchange.server_read <= packets.size());
  const bool found = exchange.step == SshExchange::Step::kHostKey;
  expect(found == !exchange.host_key.empty());
  expect(!found || ssh_key_type(exchange.host_key).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool from_server = data[0] == 's';
  const ByteSpan stream(data + 1, size - 1);
  const SshIdentification id = read_ssh_identification(stream, from_server);
  if (id.framing != Framing::kComplete) return 0;
  expect(id.consumed <= stream.size() && id.line.size() + 1 <= id.consumed);
  expect(id.line.size() < kSshIdentificationMax);
  expect(looks_like_ssh(as_bytes_of(id.line)) == Likeness::kYes);
  read_packets(stream.subspan(id.consumed));
  read_exchange(stream.subspan(id.consumed));
  return 0;
}
