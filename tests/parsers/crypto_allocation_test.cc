// OpenSSL's own allocations are counted through its memory functions, which must be set before its first.
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <atomic>
#include <cstdlib>

#include "sallyport/parsers/fingerprint.h"
#include "sallyport/parsers/quic.h"
#include "support/client_hello_builder.h"
#include "support/quic_builder.h"

namespace sallyport::parsers {
namespace {

std::atomic<std::size_t> allocations{0};

void* counting_malloc(std::size_t size, const char*, int) {
  ++allocations;
  return std::malloc(size);
}

void* counting_realloc(void* block, std::size_t size, const char*, int) {
  ++allocations;
  return std::realloc(block, size);
}

void plain_free(void* block, const char*, int) {
  std::free(block);
}

const bool installed = CRYPTO_set_mem_functions(counting_malloc, counting_realloc, plain_free) == 1;

TEST(CryptoAllocationTest, OpeningPacketsAllocatesNothing) {
  ASSERT_TRUE(installed);
  const testing::Bytes packet = testing::QuicInitialBuilder().crypto(0, testing::Bytes(300, 1)).build();
  testing::Bytes forged = packet;
  forged.back() ^= 1;
  QuicInitialOpener opener;
  QuicInitialKeys keys;
  const auto header = parse_quic_long_header(packet);
  const auto forged_header = parse_quic_long_header(forged);
  ASSERT_TRUE(header && forged_header);
  ASSERT_TRUE(opener.derive(header->version, header->destination_connection_id, keys));
  ASSERT_TRUE(opener.open(keys, true, *header));
  ASSERT_GT(allocations.load(), 0u) << "the count does not work";

  const std::size_t before = allocations;
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(opener.derive(header->version, header->destination_connection_id, keys));
    ASSERT_TRUE(opener.open(keys, true, *header));
    ASSERT_FALSE(opener.open(keys, true, *forged_header));
  }
  EXPECT_EQ(allocations.load() - before, 0u);
}

TEST(CryptoAllocationTest, FingerprintsAllocateNothing) {
  ASSERT_TRUE(installed);
  const testing::Bytes body = testing::ClientHelloBuilder::typical("example.com").build();
  const auto hello = parse_client_hello(body);
  ASSERT_TRUE(hello);
  Fingerprinter fingerprinter;
  Ja3Text ja3;
  Ja4Text ja4;
  ASSERT_TRUE(fingerprinter.ja3(*hello, ja3) && fingerprinter.ja4(*hello, HelloTransport::kTcp, ja4));
  const std::size_t before = allocations;
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(fingerprinter.ja3(*hello, ja3) && fingerprinter.ja4(*hello, HelloTransport::kTcp, ja4));
  }
  EXPECT_EQ(allocations.load() - before, 0u);
}

}  // namespace
}  // namespace sallyport::parsers
