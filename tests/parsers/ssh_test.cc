#include "sallyport/parsers/ssh.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "support/ssh_builder.h"

namespace sallyport::parsers {
namespace {

using Bytes = std::vector<std::uint8_t>;
using testing::ssh_ed25519_blob;
using testing::ssh_kex_reply;
using testing::ssh_packet;
using testing::ssh_string;
using testing::SshKexInitBuilder;

// bytes_of copies text into a heap block of its size.
Bytes bytes_of(std::string_view text) {
  return Bytes(text.begin(), text.end());
}

Framing framing_of(std::string_view text, bool from_server = false) {
  return read_ssh_identification(bytes_of(text), from_server).framing;
}

// --- Identification --------------------------------------------------------------------------------

TEST(SshLikenessTest, AStreamThatBeginsWithSshIsSsh) {
  EXPECT_EQ(looks_like_ssh(bytes_of("")), Likeness::kMaybe);
  EXPECT_EQ(looks_like_ssh(bytes_of("SSH")), Likeness::kMaybe);
  EXPECT_EQ(looks_like_ssh(bytes_of("SSH-")), Likeness::kYes);
  EXPECT_EQ(looks_like_ssh(bytes_of("SSH-2.0-x\r\n")), Likeness::kYes);
  EXPECT_EQ(looks_like_ssh(bytes_of("SSL")), Likeness::kNo);
  EXPECT_EQ(looks_like_ssh(bytes_of("ssh-")), Likeness::kNo);
}

TEST(SshIdentificationTest, ReadsTheString) {
  const Bytes stream = bytes_of("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\nrest");
  const SshIdentification id = read_ssh_identification(stream, false);
  ASSERT_EQ(id.framing, Framing::kComplete);
  EXPECT_EQ(id.line, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3");
  EXPECT_EQ(id.protocol_version, "2.0");
  EXPECT_EQ(id.software, "OpenSSH_9.2p1");
  EXPECT_EQ(id.comments, "Debian-2+deb12u3");
  EXPECT_EQ(id.consumed, stream.size() - 4);
  EXPECT_FALSE(id.unsupported);
}

TEST(SshIdentificationTest, IsTheSameHoweverItIsCut) {
  for (const bool from_server : {false, true}) {
    const std::string_view text = from_server ? "Welcome\r\nSSL\nSSH-2.0-x y\r\n!" : "SSH-2.0-x y\r\n!";
    for (std::size_t length = 0; length <= text.size(); ++length) {
      const Bytes prefix = bytes_of(text.substr(0, length));
      const SshIdentification id = read_ssh_identification(prefix, from_server);
      if (length < text.size() - 1) {
        EXPECT_EQ(id.framing, Framing::kNeedMore) << length;
      } else {
        ASSERT_EQ(id.framing, Framing::kComplete) << length;
        EXPECT_EQ(id.line, "SSH-2.0-x y");
        EXPECT_EQ(id.consumed, text.size() - 1);
      }
    }
  }
}

TEST(SshIdentificationTest, ToleratesLineFeedAlone) {
  EXPECT_EQ(read_ssh_identification(bytes_of("SSH-2.0-x\n"), false).consumed, 10U);
  EXPECT_EQ(framing_of("SSH-2.0-x\n", true), Framing::kComplete);
}

TEST(SshIdentificationTest, TakesVersion199) {
  EXPECT_EQ(framing_of("SSH-1.99-x\r\n"), Framing::kComplete);
}

TEST(SshIdentificationTest, Version1IsUnsupported) {
  for (const std::string_view text : {"SSH-1.5-1.2.27\n", "SSH-1.3-x\r\n"}) {
    const Bytes stream = bytes_of(text);
    const SshIdentification id = read_ssh_identification(stream, true);
    EXPECT_EQ(id.framing, Framing::kMalformed) << text;
    EXPECT_TRUE(id.unsupported) << text;
    EXPECT_FALSE(id.software.empty()) << text;
  }
}

TEST(SshIdentificationTest, RefusesOtherForms) {
  for (const std::string_view text : {"SSH-\r\n", "SSH-2.0\r\n", "SSH-2.0-\r\n", "SSH-3.0-x\r\n",
                                      "SSH-2.00-x\r\n", "SSH-1.x-y\r\n", "SSH--x\r\n"}) {
    const Bytes stream = bytes_of(text);
    const SshIdentification id = read_ssh_identification(stream, false);
    EXPECT_EQ(id.framing, Framing::kMalformed) << text;
    EXPECT_FALSE(id.unsupported) << text;
  }
}

TEST(SshIdentificationTest, RefusesNulAndControlCharactersAndAStrayCr) {
  using namespace std::string_view_literals;
  EXPECT_EQ(framing_of("SSH-2.0-a\0b\r\n"sv), Framing::kMalformed);
  EXPECT_EQ(framing_of("SSH-2.0-a\0"sv), Framing::kMalformed);  // At once, without its line feed.
  EXPECT_EQ(framing_of("SSH-2.0-a\x1b[2J\r\n"), Framing::kMalformed);
  EXPECT_EQ(framing_of("SSH-2.0-a\x7f\r\n"), Framing::kMalformed);
  EXPECT_EQ(framing_of("SSH-2.0-a\rb\r\n"), Framing::kMalformed);
  EXPECT_EQ(framing_of("SSH-2.0-a\r\r\n"), Framing::kMalformed);
  EXPECT_EQ(framing_of("SSH-2.0-a\tb\r\n"), Framing::kComplete);
  EXPECT_EQ(framing_of("SSH-2.0-a \xc3\xa9\r\n"), Framing::kComplete);
}

TEST(SshIdentificationTest, MayHave255BytesWithItsEnd) {
  const std::string longest = "SSH-2.0-" + std::string(kSshIdentificationMax - 10, 'x');
  EXPECT_EQ(framing_of(longest + "\r\n"), Framing::kComplete);
  EXPECT_EQ(framing_of(longest + "x\n"), Framing::kComplete);
  EXPECT_EQ(framing_of(longest + "x\r\n"), Framing::kTooLong);
  EXPECT_EQ(framing_of(longest + "xx"), Framing::kTooLong);
  EXPECT_EQ(framing_of(longest + "x"), Framing::kNeedMore);
}

TEST(SshIdentificationTest, OnlyAServerMaySendLinesBefore) {
  EXPECT_EQ(framing_of("hello\r\nSSH-2.0-x\r\n", true), Framing::kComplete);
  EXPECT_EQ(framing_of("hello\r\nSSH-2.0-x\r\n", false), Framing::kMalformed);
  EXPECT_EQ(framing_of("h", false), Framing::kMalformed);
  EXPECT_EQ(framing_of("\r\n\r\nSSH-2.0-x\r\n", true), Framing::kComplete);
}

TEST(SshIdentificationTest, LinesBeforeAreBounded) {
  const std::string lines(kSshPreambleMax, '\n');
  EXPECT_EQ(framing_of(lines, true), Framing::kTooLong);
  EXPECT_EQ(framing_of(std::string(kSshPreambleMax, 'x'), true), Framing::kTooLong);
  EXPECT_EQ(framing_of(std::string(kSshPreambleMax - 1, 'x'), true), Framing::kNeedMore);
  EXPECT_EQ(framing_of(lines.substr(1) + "SSH-2.0-x\r\n", true), Framing::kComplete);
}

// --- Packets ---------------------------------------------------------------------------------------

TEST(SshPacketTest, ReadsTheSamePacketHoweverItIsCut) {
  Bytes stream = ssh_packet(SshKexInitBuilder{}.payload());
  const std::size_t first = stream.size();
  stream.insert(stream.end(), {1, 2, 3});
  for (std::size_t length = 0; length <= stream.size(); ++length) {
    const Bytes prefix(stream.data(), stream.data() + length);
    const SshPacket packet = read_ssh_packet(prefix);
    if (length < first) {
      EXPECT_EQ(packet.framing, Framing::kNeedMore) << length;
      continue;
    }
    ASSERT_EQ(packet.framing, Framing::kComplete) << length;
    EXPECT_EQ(packet.consumed, first);
    EXPECT_EQ(packet.type, kSshMsgKexInit);
    EXPECT_EQ(packet.payload.size(), SshKexInitBuilder{}.payload().size());
  }
}

TEST(SshPacketTest, RefusesSizesThatTheRfcForbids) {
  const auto framing = [](std::uint32_t length, std::uint8_t padding) {
    return read_ssh_packet(
               Bytes{static_cast<std::uint8_t>(length >> 24), static_cast<std::uint8_t>(length >> 16),
                     static_cast<std::uint8_t>(length >> 8), static_cast<std::uint8_t>(length), padding})
        .framing;
  };
  EXPECT_EQ(framing(12, 4), Framing::kNeedMore);
  EXPECT_EQ(framing(12, 10), Framing::kNeedMore);
  EXPECT_EQ(framing(12, 3), Framing::kMalformed);
  EXPECT_EQ(framing(12, 11), Framing::kMalformed);  // No payload left.
  EXPECT_EQ(framing(12, 255), Framing::kMalformed);
  EXPECT_EQ(framing(0, 4), Framing::kMalformed);
  EXPECT_EQ(framing(4, 4), Framing::kMalformed);
  EXPECT_EQ(framing(13, 4), Framing::kMalformed);  // No multiple of eight.
  EXPECT_EQ(framing(kSshPacketMax - 4, 4), Framing::kNeedMore);
  EXPECT_EQ(framing(kSshPacketMax + 4, 4), Framing::kTooLong);
  EXPECT_EQ(framing(0xffffffff, 4), Framing::kTooLong);
}

// --- KEXINIT ---------------------------------------------------------------------------------------

TEST(SshKexInitTest, ReadsTheLists) {
  SshKexInitBuilder builder;
  builder.first_kex_packet_follows = true;
  const Bytes payload = builder.payload();
  const auto init = parse_ssh_kexinit(payload);
  ASSERT_TRUE(init);
  EXPECT_EQ(init->kex_algorithms, builder.kex);
  EXPECT_EQ(init->server_host_key_algorithms, builder.host_key);
  EXPECT_EQ(init->encryption_client_to_server, builder.encryption_client_to_server);
  EXPECT_EQ(init->encryption_server_to_client, builder.encryption_server_to_client);
  EXPECT_EQ(init->mac_client_to_server, builder.mac_client_to_server);
  EXPECT_EQ(init->mac_server_to_client, builder.mac_server_to_client);
  EXPECT_EQ(init->compression_client_to_server, builder.compression_client_to_server);
  EXPECT_EQ(init->compression_server_to_client, builder.compression_server_to_client);
  EXPECT_EQ(init->languages_client_to_server, "");
  EXPECT_EQ(init->cookie.size(), 16U);
  EXPECT_TRUE(init->first_kex_packet_follows);
}

TEST(SshKexInitTest, NeitherAPrefixNorMoreIsAMessage) {
  Bytes payload = SshKexInitBuilder{}.payload();
  for (std::size_t length = 0; length < payload.size(); ++length) {
    const Bytes prefix(payload.data(), payload.data() + length);
    EXPECT_FALSE(parse_ssh_kexinit(prefix)) << length;
  }
  EXPECT_TRUE(parse_ssh_kexinit(payload));
  payload.push_back(0);
  EXPECT_FALSE(parse_ssh_kexinit(payload));
}

TEST(SshKexInitTest, RefusesListsWithEmptyNamesAndOddCharacters) {
  for (const std::string_view list : {",a", "a,", "a,,b", "a b", "a\n", "\xc3\xa9"}) {
    SshKexInitBuilder builder;
    builder.kex = list;
    EXPECT_FALSE(parse_ssh_kexinit(builder.payload())) << list;
  }
}

TEST(SshKexInitTest, RefusesAnotherType) {
  Bytes payload = SshKexInitBuilder{}.payload();
  payload[0] = 21;
  EXPECT_FALSE(parse_ssh_kexinit(payload));
}

std::string method_of(std::string client, std::string server) {
  SshKexInitBuilder ours;
  SshKexInitBuilder theirs;
  ours.kex = std::move(client);
  theirs.kex = std::move(server);
  const Bytes our_payload = ours.payload();
  const Bytes their_payload = theirs.payload();
  return std::string(ssh_kex_method(*parse_ssh_kexinit(our_payload), *parse_ssh_kexinit(their_payload)));
}

TEST(SshKexMethodTest, TheClientsFirstThatTheServerHas) {
  EXPECT_EQ(method_of("a,b,c", "c,b"), "b");
  EXPECT_EQ(method_of("a", "a"), "a");
  EXPECT_EQ(method_of("ab", "a,b"), "");
  EXPECT_EQ(method_of("a,b", "c"), "");
  EXPECT_EQ(method_of("", "c"), "");
}

TEST(SshKexMethodTest, MarkersAreNoMethods) {
  EXPECT_EQ(
      method_of("ext-info-c,kex-strict-c-v00@openssh.com,b", "kex-strict-c-v00@openssh.com,ext-info-c,b"),
      "b");
}

TEST(SshHasshTest, IsTheMd5OfTheListsOfItsDirection) {
  const Bytes payload = SshKexInitBuilder{}.payload();
  const auto init = parse_ssh_kexinit(payload);
  EXPECT_EQ(ssh_hassh(*init).text(), "476669b72199703911aa9ac9493f1a19");
  EXPECT_EQ(ssh_hassh_server(*init).text(), "d287c61d7897c07140ee3007df6f470e");
}

// --- Host keys -------------------------------------------------------------------------------------

std::optional<Bytes> host_key_in(const Bytes& payload, std::string_view method) {
  const Bytes stream = ssh_packet(payload);
  const auto key = ssh_host_key(read_ssh_packet(stream), method);
  if (!key) return std::nullopt;
  return Bytes(key->begin(), key->end());
}

TEST(SshHostKeyTest, StandsInTheReplyOfTheMethod) {
  const Bytes blob = ssh_ed25519_blob(7);
  for (const std::string_view method :
       {"curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1",
        "diffie-hellman-group14-sha256", "diffie-hellman-group16-sha512", "diffie-hellman-group18-sha512",
        "sntrup4591761x25519-sha512@tinyssh.org", "sntrup761x25519-sha512@openssh.com", "sntrup761x25519-sha512",
        "mlkem768x25519-sha256"}) {
    EXPECT_EQ(host_key_in(ssh_kex_reply(31, blob), method), blob) << method;
    EXPECT_FALSE(host_key_in(ssh_kex_reply(33, blob), method)) << method;
  }
  EXPECT_EQ(host_key_in(ssh_kex_reply(33, blob), "diffie-hellman-group-exchange-sha256"), blob);
  EXPECT_FALSE(host_key_in(ssh_kex_reply(31, blob), "diffie-hellman-group-exchange-sha256"));
}

TEST(SshHostKeyTest, MethodsWithOtherMeaningsOfTheTypeHaveNone) {
  const Bytes reply = ssh_kex_reply(31, ssh_ed25519_blob(7));
  EXPECT_FALSE(host_key_in(reply, "gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g=="));
  EXPECT_FALSE(host_key_in(reply, "rsa2048-sha256"));
  EXPECT_FALSE(host_key_in(reply, ""));
}

TEST(SshHostKeyTest, AMalformedReplyHasNone) {
  const Bytes reply = ssh_kex_reply(31, ssh_ed25519_blob(7));
  for (std::size_t length = 1; length < reply.size(); ++length) {
    EXPECT_FALSE(host_key_in(Bytes(reply.data(), reply.data() + length), "curve25519-sha256")) << length;
  }
  Bytes longer = reply;
  longer.push_back(0);
  EXPECT_FALSE(host_key_in(longer, "curve25519-sha256"));
  EXPECT_FALSE(host_key_in(ssh_kex_reply(31, {0, 0, 0, 9, 's'}), "curve25519-sha256"));
}

TEST(SshHostKeyTest, AnIncompletePacketHasNone) {
  EXPECT_FALSE(ssh_host_key(SshPacket{}, "curve25519-sha256"));
}

TEST(SshKeyTypeTest, IsTheFirstStringOfTheBlob) {
  const Bytes blob = ssh_ed25519_blob(7);
  EXPECT_EQ(ssh_key_type(blob), "ssh-ed25519");
  EXPECT_FALSE(ssh_key_type(ssh_string("")));
  EXPECT_FALSE(ssh_key_type(ssh_string("a,b")));
  EXPECT_FALSE(ssh_key_type(ssh_string("a\x1b")));
  EXPECT_FALSE(ssh_key_type(ssh_string(std::string(65, 'x'))));
  EXPECT_FALSE(ssh_key_type(Bytes{0, 0, 0}));
}

TEST(SshFingerprintTest, IsAsOpensshPrintsIt) {
  Bytes blob = ssh_string("ssh-ed25519");
  const Bytes key = {0xcb, 0x0c, 0x80, 0x5f, 0x59, 0x5d, 0xa3, 0x4c, 0xbf, 0x97, 0xc0,
                     0xc2, 0x84, 0x07, 0x20, 0x1f, 0xb1, 0x75, 0x91, 0xad, 0x4a, 0x8a,
                     0x72, 0xde, 0x19, 0xb6, 0xe5, 0x5f, 0xb2, 0xcb, 0xcb, 0x43};
  const Bytes field = ssh_string({reinterpret_cast<const char*>(key.data()), key.size()});
  blob.insert(blob.end(), field.begin(), field.end());
  // From ssh-keygen -lf over a key made for this test.
  EXPECT_EQ(ssh_fingerprint(blob).text(), "SHA256:T4O2/Zeofwia9vdN2bLLJrFDATVgmFx8ooDb/fO9w0c");
}

}  // namespace
}  // namespace sallyport::parsers
