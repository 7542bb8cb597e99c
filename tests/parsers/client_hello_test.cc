#include "sallyport/parsers/client_hello.h"

#include <gtest/gtest.h>

#include "support/client_hello_builder.h"
#include "support/prefixes.h"

namespace sallyport::parsers {
namespace {

using testing::Bytes;
using testing::ClientHelloBuilder;
using testing::hex;
using testing::joined;

// What the reader says of a hello; nullopt when it is well-formed.
std::optional<ParseError> error_of(const Bytes& body) {
  const auto hello = parse_client_hello(body);
  if (hello) return std::nullopt;
  return hello.error();
}

std::optional<ParseError> error_of(const ClientHelloBuilder& hello) {
  return error_of(hello.build());
}

std::optional<ParseError> error_with(std::uint16_t extension, std::string_view data) {
  return error_of(ClientHelloBuilder().extension(extension, hex(data)));
}

TEST(ClientHelloTest, ReadsWhatAClientOffers) {
  const Bytes body = ClientHelloBuilder::typical("Example.com").build();
  const auto hello = parse_client_hello(body);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->server_name, "Example.com");
  EXPECT_EQ(hello->first_alpn(), "h2");
  EXPECT_EQ(hello->legacy_version, 0x0303);
  EXPECT_EQ(hello->highest_version(), 0x0304);
  EXPECT_TRUE(hello->offers_version(0x0303));
  EXPECT_FALSE(hello->offers_version(0x0302));
  EXPECT_EQ(hello->random.size(), 32u);
  EXPECT_EQ(hello->session_id.size(), 32u);
  EXPECT_EQ(hello->cipher_suites.size(), 10u);
  EXPECT_EQ(hello->extension_count, 6u);
  EXPECT_FALSE(hello->ech || hello->psk || hello->early_data || hello->quic_transport_parameters);
}

TEST(ClientHelloTest, WalksAllProtocolsAndExtensionsInOrder) {
  const Bytes body = ClientHelloBuilder().alpn({"h3", "h2", "x"}).server_name("a.example").grease().build();
  const auto hello = parse_client_hello(body);
  ASSERT_TRUE(hello);
  std::vector<std::string> protocols;
  std::string_view name;
  for (AlpnReader reader(hello->alpn_list); reader.next(name);) protocols.emplace_back(name);
  EXPECT_EQ(protocols, (std::vector<std::string>{"h3", "h2", "x"}));
  std::vector<std::uint16_t> types;
  Extension extension;
  for (ExtensionReader reader(hello->extensions); reader.next(extension);) types.push_back(extension.type);
  EXPECT_EQ(types, (std::vector<std::uint16_t>{16, 0, 0x2a2a}));
}

TEST(ClientHelloTest, FindsTheNameBehindAPostQuantumKeyShare) {
  const Bytes body = ClientHelloBuilder::post_quantum("example.com").build();
  EXPECT_GT(body.size(), 1'460u);
  const auto hello = parse_client_hello(body);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->server_name, "example.com");
  EXPECT_EQ(hello->ech_kind, EchKind::kOuter);
  EXPECT_EQ(hello->highest_version(), 0x0304) << "GREASE is no version";
}

TEST(ClientHelloTest, NoPrefixIsAHelloWithAName) {
  const Bytes body = ClientHelloBuilder::typical("example.com").build();
  for (std::size_t length = 0; length < body.size(); ++length) {
    const auto hello = parse_client_hello(testing::exact_prefix(body, length));
    EXPECT_FALSE(hello && hello->server_name) << "prefix of " << length << " bytes";
  }
}

TEST(ClientHelloTest, NoPrefixOfAPostQuantumHelloIsAHelloWithAName) {
  const Bytes body = ClientHelloBuilder::post_quantum("example.com").early_data().pre_shared_key().build();
  ASSERT_TRUE(parse_client_hello(body));
  for (std::size_t length = 0; length < body.size(); ++length) {
    const auto hello = parse_client_hello(testing::exact_prefix(body, length));
    EXPECT_FALSE(hello && hello->server_name) << "prefix of " << length << " bytes";
  }
}

TEST(ClientHelloTest, RefusesTrailingBytes) {
  EXPECT_EQ(error_of(joined(ClientHelloBuilder::typical("example.com").build(), {0})),
            ParseError::kMalformed);
  EXPECT_EQ(error_of(joined(ClientHelloBuilder().without_extensions().build(), {0})), ParseError::kMalformed);
}

TEST(ClientHelloTest, HasNoNameWithoutExtensions) {
  const Bytes body = ClientHelloBuilder().without_extensions().legacy_version(0x0301).build();
  const auto hello = parse_client_hello(body);
  ASSERT_TRUE(hello);
  EXPECT_EQ(hello->server_name, std::nullopt);
  EXPECT_EQ(hello->highest_version(), 0x0301);
  EXPECT_TRUE(hello->offers_version(0x0301));
  EXPECT_TRUE(hello->first_alpn().empty());
}

TEST(ClientHelloTest, RefusesARepeatedExtension) {
  EXPECT_EQ(error_of(ClientHelloBuilder().server_name("a.example").server_name("b.example")),
            ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().server_name("a.example").alpn({"h2"}).server_name("a.example")),
            ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().grease().grease()), ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().grease(0x1a1a).grease(0x2a2a)), std::nullopt);
}

TEST(ClientHelloTest, AllowsTheMostExtensionsAndRefusesOneMore) {
  ClientHelloBuilder hello;
  for (std::size_t i = 0; i < kClientHelloExtensionsMax; ++i) {
    hello.extension(static_cast<std::uint16_t>(0x8000 + i), {});
  }
  EXPECT_EQ(error_of(hello), std::nullopt);
  EXPECT_EQ(error_of(hello.server_name("example.com")), ParseError::kTooLong);
}

TEST(ClientHelloTest, RefusesAServerNameThatTwoReadersCouldReadDifferently) {
  EXPECT_EQ(error_with(0, "0006 00 0003 612e62"), std::nullopt);
  EXPECT_EQ(error_with(0, "000c 00 0003 612e62 00 0003 632e64"), ParseError::kMalformed) << "two names";
  EXPECT_EQ(error_with(0, "000c 00 0003 612e62 01 0003 632e64"), ParseError::kMalformed) << "a second type";
  EXPECT_EQ(error_with(0, "0006 01 0003 612e62"), ParseError::kMalformed) << "another type";
  EXPECT_EQ(error_with(0, ""), ParseError::kMalformed) << "the server's form";
  EXPECT_EQ(error_with(0, "0000"), ParseError::kMalformed) << "empty list";
  EXPECT_EQ(error_with(0, "0003 00 0000"), ParseError::kMalformed) << "empty name";
  EXPECT_EQ(error_with(0, "0006 00 0003 610062"), ParseError::kMalformed) << "NUL inside";
  EXPECT_EQ(error_with(0, "0006 00 0003 612e00"), ParseError::kMalformed) << "NUL at the end";
  EXPECT_EQ(error_with(0, "0006 00 0003 612e62 00"), ParseError::kMalformed) << "byte behind the list";
  EXPECT_EQ(error_with(0, "0007 00 0003 612e62 00"), ParseError::kMalformed) << "byte behind the name";
  EXPECT_EQ(error_with(0, "0006 00 0004 612e62"), ParseError::kMalformed) << "name longer than its list";
}

TEST(ClientHelloTest, RefusesEmptyOrOddVectors) {
  EXPECT_EQ(error_with(16, "0003 02 6832"), std::nullopt);
  for (const char* alpn : {"", "0000", "0001 00", "0004 02 6832 00", "0003 03 6832", "0003 02 6832 00"}) {
    EXPECT_EQ(error_with(16, alpn), ParseError::kMalformed) << alpn;
  }
  EXPECT_EQ(error_with(43, "02 0304"), std::nullopt);
  for (const char* versions : {"", "00", "01 03", "03 030403", "02 0304 00", "04 0304"}) {
    EXPECT_EQ(error_with(43, versions), ParseError::kMalformed) << versions;
  }
  for (const char* pairs : {"", "0000", "0001 00", "0002 001d 00", "0004 001d"}) {
    EXPECT_EQ(error_with(10, pairs), ParseError::kMalformed) << pairs;
    EXPECT_EQ(error_with(13, pairs), ParseError::kMalformed) << pairs;
  }
  EXPECT_EQ(error_with(11, "01 00"), std::nullopt);
  EXPECT_EQ(error_with(11, "00"), ParseError::kMalformed);
}

TEST(ClientHelloTest, RefusesBrokenFixedFields) {
  EXPECT_EQ(error_of(ClientHelloBuilder().session_id(Bytes(33, 0))), ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().session_id({})), std::nullopt);
  EXPECT_EQ(error_of(ClientHelloBuilder().cipher_suites({})), ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().compression_methods({})), ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().compression_methods({1})), ParseError::kMalformed);
  EXPECT_EQ(error_of(ClientHelloBuilder().compression_methods({1, 0})), std::nullopt);
  EXPECT_EQ(error_of(ClientHelloBuilder().legacy_version(0xfefd)), ParseError::kUnsupported);
  // One byte of cipher suites; the rest then reads as two compression methods, 1 and 0.
  Bytes odd = ClientHelloBuilder().session_id({}).cipher_suites({0x1302}).without_extensions().build();
  odd[36] = 1;
  EXPECT_EQ(error_of(odd), ParseError::kMalformed);
}

TEST(ClientHelloTest, WantsThePreSharedKeyLast) {
  const Bytes last = ClientHelloBuilder().early_data().pre_shared_key().build();
  const auto hello = parse_client_hello(last);
  ASSERT_TRUE(hello);
  EXPECT_TRUE(hello->psk);
  EXPECT_TRUE(hello->early_data);
  EXPECT_EQ(error_of(ClientHelloBuilder().pre_shared_key().server_name("a.example")), ParseError::kMalformed);
  EXPECT_EQ(error_with(42, "00"), ParseError::kMalformed) << "early_data is empty in a ClientHello";
}

TEST(ClientHelloTest, TellsTheKindsOfEncryptedClientHello) {
  const Bytes outer = ClientHelloBuilder().ech_outer().build();
  EXPECT_EQ(parse_client_hello(outer)->ech_kind, EchKind::kOuter);
  const Bytes inner = ClientHelloBuilder().extension(0xfe0d, {1}).build();
  EXPECT_EQ(parse_client_hello(inner)->ech_kind, EchKind::kInner);
  EXPECT_TRUE(parse_client_hello(inner)->ech);
  for (const char* ech :
       {"", "02", "01 00", "00", "00 00010001 2f 0000 0000", "00 00010001 2f 0000 0001 00 00"}) {
    EXPECT_EQ(error_with(0xfe0d, ech), ParseError::kMalformed) << ech;
  }
  EXPECT_EQ(error_with(0xfd00, "02 000a"), ParseError::kMalformed) << "belongs inside the encrypted hello";
}

TEST(ClientHelloTest, SeesQuicTransportParameters) {
  const Bytes body = ClientHelloBuilder().quic_transport_parameters().build();
  EXPECT_TRUE(parse_client_hello(body)->quic_transport_parameters);
}

TEST(ClientHelloTest, KnowsGrease) {
  int count = 0;
  for (unsigned value = 0; value <= 0xffff; ++value)
    count += is_grease(static_cast<std::uint16_t>(value)) ? 1 : 0;
  EXPECT_EQ(count, 16);
  EXPECT_TRUE(is_grease(0x0a0a) && is_grease(0xfafa));
  EXPECT_FALSE(is_grease(0x0a1a));
}

}  // namespace
}  // namespace sallyport::parsers
