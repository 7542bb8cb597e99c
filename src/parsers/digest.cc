// The EVP interface allocates its contexts; the older one does not, and is only deprecated.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "digest.h"

#include <openssl/md5.h>
#include <openssl/sha.h>

namespace sallyport::parsers {

void md5(ByteSpan data, std::array<std::uint8_t, 16>& out) {
  md5(std::span<const ByteSpan>(&data, 1), out);
}

void md5(std::span<const ByteSpan> parts, std::array<std::uint8_t, 16>& out) {
  static_assert(MD5_DIGEST_LENGTH == 16);
  MD5_CTX context;
  MD5_Init(&context);
  for (const ByteSpan part : parts) MD5_Update(&context, part.data(), part.size());
  MD5_Final(out.data(), &context);
}

void sha256(ByteSpan data, std::array<std::uint8_t, 32>& out) {
  static_assert(SHA256_DIGEST_LENGTH == 32);
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, data.data(), data.size());
  SHA256_Final(out.data(), &context);
}

}  // namespace sallyport::parsers
