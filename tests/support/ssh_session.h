// SshSession is what both sides of an SSH connection send, up to the first encrypted bytes.
#pragma once

#include <string_view>
#include <vector>

#include "support/packet_builder.h"
#include "support/ssh_builder.h"

namespace sallyport::testing {

struct SshSession {
  std::string_view method = "curve25519-sha256";
  std::uint8_t key_fill = 7;

  Bytes client_identification() const { return bytes_of("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"); }
  Bytes server_identification() const { return bytes_of("SSH-2.0-OpenSSH_9.9\r\n"); }
  Bytes kex_init() const {
    SshKexInitBuilder builder;
    builder.kex = method;
    return ssh_packet(builder.payload());
  }
  Bytes init() const { return ssh_packet(Bytes(37, 30)); }  // Type 30 and a share.
  Bytes reply() const { return ssh_packet(ssh_kex_reply(31, ssh_ed25519_blob(key_fill))); }
  Bytes new_keys() const { return ssh_packet({21}); }
  Bytes encrypted() const { return Bytes(200, 0xe7); }

  // What the client may send before the server's host key is known, and after.
  Bytes client_before() const { return joined({client_identification(), kex_init(), init()}); }
  Bytes client_after() const { return joined({new_keys(), encrypted()}); }
  Bytes server_stream() const { return joined({server_identification(), kex_init(), reply(), new_keys(), encrypted()}); }

  static Bytes joined(const std::vector<Bytes>& parts) {
    Bytes out;
    for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
    return out;
  }
};

}  // namespace sallyport::testing
