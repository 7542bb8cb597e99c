// Initial keys and packets. The only user of OpenSSL's ciphers here; digests of fingerprints have their
// own file.
//
// SHA-256 goes by the low-level functions, which OpenSSL 3 calls deprecated: its EVP layer takes memory
// for every digest, and there are eighteen of them in a set of keys.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "sallyport/core/free_with.h"
#include "sallyport/parsers/quic.h"

namespace sallyport::parsers {
namespace {

constexpr std::size_t kHashSize = 32;  // SHA-256
constexpr std::size_t kHashBlockSize = 64;
constexpr std::size_t kTagSize = 16;     // AEAD_AES_128_GCM
constexpr std::size_t kSampleSize = 16;  // RFC 9001 §5.4.2
constexpr std::size_t kSampleOffset = 4;
constexpr std::size_t kDatagramMax = 65'535;

using Hash = std::array<std::uint8_t, kHashSize>;
using Salt = std::array<std::uint8_t, 20>;

// What differs between the versions' Initial keys.
struct InitialParameters {
  Salt salt;
  std::string_view key_label;
  std::string_view iv_label;
  std::string_view hp_label;
};

// RFC 9001 §5.2; drafts 33 and 34 have the final salt already.
constexpr InitialParameters kV1Parameters = {{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                                              0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
                                             "quic key",
                                             "quic iv",
                                             "quic hp"};
// RFC 9369 §3.3.1, §3.3.2
constexpr InitialParameters kV2Parameters = {{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
                                              0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
                                             "quicv2 key",
                                             "quicv2 iv",
                                             "quicv2 hp"};
// draft-ietf-quic-v2-01 §3.3, to draft 05
constexpr InitialParameters kV2DraftParameters = {{0xa7, 0x07, 0xc2, 0x03, 0xa5, 0x9b, 0x47, 0x18, 0x4a, 0x1d,
                                                   0x62, 0xca, 0x57, 0x04, 0x06, 0xea, 0x7a, 0xe3, 0xe5, 0xd3},
                                                  "quicv2 key",
                                                  "quicv2 iv",
                                                  "quicv2 hp"};
// draft-ietf-quic-tls-29 §5.2, to draft 32
constexpr InitialParameters kDraft29Parameters = {
    {0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97,
     0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99},
    "quic key",
    "quic iv",
    "quic hp"};
// draft-ietf-quic-tls-23 §5.2, to draft 28
constexpr InitialParameters kDraft23Parameters = {
    {0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7,
     0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02},
    "quic key",
    "quic iv",
    "quic hp"};

// draft-ietf-quic-tls-22 §5.2
constexpr InitialParameters kDraft22Parameters = {
    {0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x19, 0x3a,
     0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a, 0x02, 0x64, 0x4a},
    "quic key",
    "quic iv",
    "quic hp"};
constexpr InitialParameters kQ050Parameters = {{0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94,
                                                0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0, 0xd3, 0xb5, 0x6b, 0x45},
                                               "quic key",
                                               "quic iv",
                                               "quic hp"};
constexpr InitialParameters kT050Parameters = {{0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80,
                                                0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48, 0x83, 0x10},
                                               "quic key",
                                               "quic iv",
                                               "quic hp"};
constexpr InitialParameters kT051Parameters = {{0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50,
                                                0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e, 0x03, 0x3d},
                                               "quic key",
                                               "quic iv",
                                               "quic hp"};

const InitialParameters* parameters_of(std::uint32_t version) {
  constexpr std::uint32_t kDraft33 = 0xff000021;
  if (!quic_version_is_known(version)) return nullptr;
  switch (version) {
    case kQuicV1:
      return &kV1Parameters;
    case kQuicV2:
      return &kV2Parameters;
    case kQuicV2Draft:
      return &kV2DraftParameters;
    case kQuicDraft22:
    case kQuicMvfst22:
      return &kDraft22Parameters;
    case kQuicMvfst27:
    case kQuicMvfstExperimental:
      return &kDraft23Parameters;
    case kGquicQ050:
      return &kQ050Parameters;
    case kGquicT050:
      return &kT050Parameters;
    case kGquicT051:
      return &kT051Parameters;
    default:
      break;
  }
  if (version >= kDraft33) return &kV1Parameters;
  return version >= kQuicDraft29 ? &kDraft29Parameters : &kDraft23Parameters;
}

// RFC 9000 appendix A.3.
std::uint64_t full_packet_number(std::uint64_t truncated, std::size_t size,
                                 std::optional<std::uint64_t> largest) {
  if (!largest) return truncated;
  const std::uint64_t window = std::uint64_t{1} << (8 * size);
  const std::uint64_t expected = *largest + 1;
  const std::uint64_t candidate = (expected & ~(window - 1)) | truncated;
  if (candidate + window / 2 <= expected && candidate < (std::uint64_t{1} << 62) - window) {
    return candidate + window;
  }
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window;
  return candidate;
}

// HMAC-SHA-256 (RFC 2104) under one key of at most a block; the padded key is hashed once.
class HmacKey {
 public:
  explicit HmacKey(ByteSpan key) {
    std::array<std::uint8_t, kHashBlockSize> inner;
    std::array<std::uint8_t, kHashBlockSize> outer;
    inner.fill(0x36);
    outer.fill(0x5c);
    for (std::size_t i = 0; i < std::min(key.size(), kHashBlockSize); ++i) {
      inner[i] ^= key[i];
      outer[i] ^= key[i];
    }
    good_ = SHA256_Init(&inner_) == 1 && SHA256_Update(&inner_, inner.data(), inner.size()) == 1 &&
            SHA256_Init(&outer_) == 1 && SHA256_Update(&outer_, outer.data(), outer.size()) == 1;
  }

  bool sign(ByteSpan data, Hash& out) const {
    SHA256_CTX inner = inner_;
    SHA256_CTX outer = outer_;
    Hash digest;
    return good_ && SHA256_Update(&inner, data.data(), data.size()) == 1 &&
           SHA256_Final(digest.data(), &inner) == 1 &&
           SHA256_Update(&outer, digest.data(), digest.size()) == 1 && SHA256_Final(out.data(), &outer) == 1;
  }

 private:
  SHA256_CTX inner_;
  SHA256_CTX outer_;
  bool good_ = false;
};

// HKDF-Expand-Label (RFC 8446 §7.1) with an empty context and at most one block of output.
bool expand_label(const HmacKey& secret, std::string_view label, std::span<std::uint8_t> out) {
  constexpr std::string_view kPrefix = "tls13 ";
  std::array<std::uint8_t, 32> info{};
  std::size_t size = 0;
  const auto put = [&](std::size_t byte) { info[size++] = static_cast<std::uint8_t>(byte); };
  put(0);
  put(out.size());
  put(kPrefix.size() + label.size());
  for (const char c : kPrefix) put(static_cast<std::uint8_t>(c));
  for (const char c : label) put(static_cast<std::uint8_t>(c));
  put(0);  // Context.
  put(1);  // T(1), RFC 5869 §2.3.
  Hash block;
  if (!secret.sign(ByteSpan(info).first(size), block)) return false;
  std::copy_n(block.begin(), out.size(), out.begin());
  return true;
}

bool derive_side(const InitialParameters& parameters, const HmacKey& initial_secret, std::string_view label,
                 std::span<std::uint8_t> key, std::span<std::uint8_t> iv, std::span<std::uint8_t> hp) {
  Hash bytes;
  if (!expand_label(initial_secret, label, bytes)) return false;
  const HmacKey secret(bytes);
  return expand_label(secret, parameters.key_label, key) && expand_label(secret, parameters.iv_label, iv) &&
         expand_label(secret, parameters.hp_label, hp);
}

bool derive_keys(const InitialParameters& parameters, ByteSpan client_dcid, QuicInitialKeys& out) {
  Hash bytes;
  if (!HmacKey(parameters.salt).sign(client_dcid, bytes)) return false;  // HKDF-Extract
  const HmacKey secret(bytes);
  return derive_side(parameters, secret, "client in", out.client_key, out.client_iv, out.client_hp) &&
         derive_side(parameters, secret, "server in", out.server_key, out.server_iv, out.server_hp);
}

int size_as_int(ByteSpan bytes) {
  return static_cast<int>(bytes.size());
}

}  // namespace

class QuicInitialOpener::Impl {
 public:
  Impl()
      : aead_(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
        block_(EVP_CIPHER_fetch(nullptr, "AES-128-ECB", nullptr)),
        opener_(EVP_CIPHER_CTX_new()),
        masker_(EVP_CIPHER_CTX_new()),
        plaintext_(kDatagramMax) {
    usable_ = aead_ && block_ && opener_ && masker_ &&
              EVP_DecryptInit_ex2(opener_.get(), aead_.get(), nullptr, nullptr, nullptr) == 1 &&
              EVP_EncryptInit_ex2(masker_.get(), block_.get(), nullptr, nullptr, nullptr) == 1;
  }

  std::optional<QuicPlaintext> open(std::span<const std::uint8_t, 16> key,
                                    std::span<const std::uint8_t, 12> iv,
                                    std::span<const std::uint8_t, 16> hp, const QuicLongHeader& header,
                                    std::optional<std::uint64_t> largest) {
    const ByteSpan packet = header.packet;
    const std::size_t offset = header.packet_number_offset;
    if (!usable_ || offset == 0 || packet.size() > kDatagramMax) return std::nullopt;
    if (offset > packet.size() || packet.size() - offset < kSampleOffset + kSampleSize) return std::nullopt;

    std::array<std::uint8_t, kSampleSize> mask;
    if (!header_mask(hp, packet.subspan(offset + kSampleOffset, kSampleSize), mask)) return std::nullopt;
    const std::uint8_t first = static_cast<std::uint8_t>(packet[0] ^ (mask[0] & 0x0f));
    const std::size_t number_size = (first & 0x03u) + 1u;
    std::array<std::uint8_t, 4> number_bytes;
    std::uint64_t truncated = 0;
    for (std::size_t i = 0; i < number_size; ++i) {
      number_bytes[i] = static_cast<std::uint8_t>(packet[offset + i] ^ mask[1 + i]);
      truncated = truncated << 8 | number_bytes[i];
    }
    const std::uint64_t number = full_packet_number(truncated, number_size, largest);

    std::array<std::uint8_t, 12> nonce;
    std::copy(iv.begin(), iv.end(), nonce.begin());
    for (std::size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<std::uint8_t>(number >> (8 * i));
    // The header is authenticated in its unprotected form, in three pieces to spare a copy.
    const std::array<ByteSpan, 3> header_parts = {ByteSpan(&first, 1), packet.subspan(1, offset - 1),
                                                  ByteSpan(number_bytes).first(number_size)};
    const ByteSpan sealed = packet.subspan(offset + number_size);
    if (!decrypt(key, nonce, header_parts, sealed)) return std::nullopt;
    if ((first & 0x0c) != 0) return std::nullopt;  // RFC 9000 §17.2: reserved bits, checked once authentic.
    return QuicPlaintext{ByteSpan(plaintext_).first(sealed.size() - kTagSize), number};
  }

 private:
  bool header_mask(std::span<const std::uint8_t, 16> hp, ByteSpan sample,
                   std::array<std::uint8_t, 16>& mask) {
    int written = 0;
    return EVP_EncryptInit_ex2(masker_.get(), nullptr, hp.data(), nullptr, nullptr) == 1 &&
           EVP_EncryptUpdate(masker_.get(), mask.data(), &written, sample.data(), size_as_int(sample)) == 1 &&
           written == static_cast<int>(mask.size());
  }

  bool decrypt(std::span<const std::uint8_t, 16> key, const std::array<std::uint8_t, 12>& nonce,
               std::span<const ByteSpan> header_parts, ByteSpan sealed) {
    if (sealed.size() < kTagSize) return false;
    const ByteSpan ciphertext = sealed.first(sealed.size() - kTagSize);
    std::array<std::uint8_t, kTagSize> tag;
    std::copy_n(sealed.end() - kTagSize, kTagSize, tag.begin());
    EVP_CIPHER_CTX* context = opener_.get();
    int written = 0;
    bool good = EVP_DecryptInit_ex2(context, nullptr, key.data(), nonce.data(), nullptr) == 1;
    for (const ByteSpan part : header_parts) {
      good = good && EVP_DecryptUpdate(context, nullptr, &written, part.data(), size_as_int(part)) == 1;
    }
    good =
        good &&
        EVP_DecryptUpdate(context, plaintext_.data(), &written, ciphertext.data(), size_as_int(ciphertext)) ==
            1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), tag.data()) == 1 &&
        EVP_DecryptFinal_ex(context, plaintext_.data() + ciphertext.size(), &written) == 1;
    if (!good) ERR_clear_error();  // A forged packet must not leave anything in the thread's error queue.
    return good;
  }

  std::unique_ptr<EVP_CIPHER, FreeWith<EVP_CIPHER_free>> aead_;
  std::unique_ptr<EVP_CIPHER, FreeWith<EVP_CIPHER_free>> block_;
  std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>> opener_;
  std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>> masker_;
  std::vector<std::uint8_t> plaintext_;
  bool usable_ = false;
};

QuicInitialOpener::QuicInitialOpener() : impl_(std::make_unique<Impl>()) {}
QuicInitialOpener::~QuicInitialOpener() = default;

bool QuicInitialOpener::derive(std::uint32_t version, ByteSpan client_dcid, QuicInitialKeys& out) {
  const InitialParameters* parameters = parameters_of(version);
  if (parameters == nullptr || client_dcid.size() > kQuicConnectionIdMax) return false;
  out.version = version;
  return derive_keys(*parameters, client_dcid, out);
}

std::optional<QuicPlaintext> QuicInitialOpener::open(const QuicInitialKeys& keys, bool from_client,
                                                     const QuicLongHeader& header,
                                                     std::optional<std::uint64_t> largest) {
  if (header.type != QuicPacketType::kInitial || header.version != keys.version) return std::nullopt;
  return from_client ? impl_->open(keys.client_key, keys.client_iv, keys.client_hp, header, largest)
                     : impl_->open(keys.server_key, keys.server_iv, keys.server_hp, header, largest);
}

}  // namespace sallyport::parsers
