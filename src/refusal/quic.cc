#include "sallyport/refusal/quic.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "text.h"
#include "sallyport/core/free_with.h"
#include "sallyport/core/limits.h"
#include "sallyport/parsers/quic.h"

namespace sallyport::refusal {
namespace {

constexpr std::size_t kTagSize = 16;         // AEAD_AES_128_GCM
constexpr std::size_t kSampleSize = 16;      // RFC 9001 §5.4.2: 4 bytes behind where the packet number begins.
constexpr std::size_t kSampleOffset = 4;
constexpr std::size_t kLengthFieldMax = 0x3fff;  // In two bytes, RFC 9000 §16.
constexpr std::uint64_t kConnectionClose = 0x1c, kCryptoFrame = 0x06;

void write_varint(Writer& writer, std::uint64_t value) {
  if (value < 0x40) {
    writer.u8(static_cast<std::uint8_t>(value));
  } else if (value < 0x4000) {
    writer.u16(static_cast<std::uint16_t>(0x4000 | value));
  } else if (value < 0x40000000) {
    writer.u32(static_cast<std::uint32_t>(0x80000000 | value));
  } else {
    writer.u64(0xc000000000000000 | value);
  }
}

constexpr std::size_t varint_size(std::uint64_t value) {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x40000000 ? 4 : 8;
}

// packet_number_size is enough for a receiver that has seen no packet of the server yet, RFC 9000 appendix A.2.
constexpr std::size_t packet_number_size(std::uint64_t number) {
  return number < 0x80 ? 1 : number < 0x8000 ? 2 : 4;
}

// initial_type returns the first byte's bits of an Initial packet: RFC 9000 §17.2.2, RFC 9369 §3.2.
constexpr std::uint8_t initial_type(std::uint32_t version) {
  return version == parsers::kQuicV2 || version == parsers::kQuicV2Draft ? 0xd0 : 0xc0;
}

bool is_answerable(const QuicRefusal& refusal) {
  // A packet number in four bytes, and an error code that a varint holds.
  return parsers::quic_version_is_known(refusal.version) && !parsers::quic_version_is_google(refusal.version) &&
         refusal.client_connection_id.size() <= kQuicConnectionIdMax && refusal.server_connection_id.size() <= kQuicConnectionIdMax &&
         refusal.packet_number < 0x80000000 && refusal.error_code >> 62 == 0;
}

int size_as_int(ByteSpan bytes) {
  return static_cast<int>(bytes.size());
}

}  // namespace

// The contexts that packets are sealed with.
class QuicCloser::Impl {
 public:
  Impl()
      : aead_(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
        block_(EVP_CIPHER_fetch(nullptr, "AES-128-ECB", nullptr)),
        sealer_(EVP_CIPHER_CTX_new()),
        masker_(EVP_CIPHER_CTX_new()) {
    usable_ = aead_ && block_ && sealer_ && masker_ &&
              EVP_EncryptInit_ex2(sealer_.get(), aead_.get(), nullptr, nullptr, nullptr) == 1 &&
              EVP_EncryptInit_ex2(masker_.get(), block_.get(), nullptr, nullptr, nullptr) == 1;
  }

  // protect seals the packet, which has room for the tag behind its frames, and then hides its packet number.
  bool protect(Buffer packet, std::size_t number_offset, std::uint64_t number, const parsers::QuicInitialKeys& keys) {
    const bool good = usable_ && seal(packet, number_offset + packet_number_size(number), number, keys) &&
                      mask(packet, number_offset, packet_number_size(number), keys);
    if (!good) ERR_clear_error();
    return good;
  }

 private:
  bool seal(Buffer packet, std::size_t header_size, std::uint64_t number, const parsers::QuicInitialKeys& keys) {
    std::array<std::uint8_t, 12> nonce = keys.server_iv;  // RFC 9001 §5.3
    for (std::size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<std::uint8_t>(number >> (8 * i));
    const Buffer frames = packet.subspan(header_size, packet.size() - header_size - kTagSize);
    const Buffer tag = packet.last(kTagSize);
    EVP_CIPHER_CTX* context = sealer_.get();
    int written = 0;
    return EVP_EncryptInit_ex2(context, nullptr, keys.server_key.data(), nonce.data(), nullptr) == 1 &&
           EVP_EncryptUpdate(context, nullptr, &written, packet.data(), static_cast<int>(header_size)) == 1 &&
           EVP_EncryptUpdate(context, frames.data(), &written, frames.data(), size_as_int(frames)) == 1 &&
           written == size_as_int(frames) && EVP_EncryptFinal_ex(context, tag.data(), &written) == 1 && written == 0 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, size_as_int(tag), tag.data()) == 1;
  }

  bool mask(Buffer packet, std::size_t number_offset, std::size_t number_size, const parsers::QuicInitialKeys& keys) {
    const Buffer sample = packet.subspan(number_offset + kSampleOffset, kSampleSize);
    std::array<std::uint8_t, kSampleSize> bits;
    int written = 0;
    if (EVP_EncryptInit_ex2(masker_.get(), nullptr, keys.server_hp.data(), nullptr, nullptr) != 1 ||
        EVP_EncryptUpdate(masker_.get(), bits.data(), &written, sample.data(), size_as_int(sample)) != 1 ||
        written != static_cast<int>(kSampleSize)) {
      return false;
    }
    packet[0] ^= static_cast<std::uint8_t>(bits[0] & 0x0f);
    for (std::size_t i = 0; i < number_size; ++i) packet[number_offset + i] ^= bits[1 + i];
    return true;
  }

  std::unique_ptr<EVP_CIPHER, FreeWith<EVP_CIPHER_free>> aead_;
  std::unique_ptr<EVP_CIPHER, FreeWith<EVP_CIPHER_free>> block_;
  std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>> sealer_;
  std::unique_ptr<EVP_CIPHER_CTX, FreeWith<EVP_CIPHER_CTX_free>> masker_;
  bool usable_ = false;
};

QuicCloser::QuicCloser() : impl_(std::make_unique<Impl>()) {}
QuicCloser::~QuicCloser() = default;

std::size_t QuicCloser::close(Buffer out, const Notice& notice, const QuicRefusal& refusal) {
  parsers::QuicInitialKeys keys;
  if (!is_answerable(refusal) || !parsers::QuicInitialOpener::derive(refusal.version, refusal.key_connection_id, keys)) return 0;
  const std::size_t number_size = packet_number_size(refusal.packet_number);
  const std::size_t number_offset =
      1 + 4 + 1 + refusal.client_connection_id.size() + 1 + refusal.server_connection_id.size() + 1 + 2;
  // With a reason phrase of which two bytes say the length.
  const std::size_t least =
      number_offset + number_size + varint_size(kConnectionClose) + varint_size(refusal.error_code) + varint_size(kCryptoFrame) + 2 + kTagSize;
  const std::size_t room = std::min({out.size(), refusal.provoked_by, kLengthFieldMax});
  if (room < least) return 0;
  const std::size_t reason = plain_size(notice.text, room - least);

  Writer writer(out.first(room));
  writer.u8(static_cast<std::uint8_t>(initial_type(refusal.version) | (number_size - 1)));
  writer.u32(refusal.version);
  writer.u8(static_cast<std::uint8_t>(refusal.client_connection_id.size()));
  writer.bytes(refusal.client_connection_id);
  writer.u8(static_cast<std::uint8_t>(refusal.server_connection_id.size()));
  writer.bytes(refusal.server_connection_id);
  writer.u8(0);  // A server sends no token, RFC 9000 §17.2.2.
  const std::size_t length = writer.placeholder<2>();
  for (std::size_t i = number_size; i-- > 0;) writer.u8(static_cast<std::uint8_t>(refusal.packet_number >> (8 * i)));
  write_varint(writer, kConnectionClose);
  write_varint(writer, refusal.error_code);
  write_varint(writer, kCryptoFrame);  // What provoked it, RFC 9000 §19.19.
  write_varint(writer, reason);
  put_plain(writer, notice.text, reason);
  writer.fill(kTagSize, 0);
  writer.patch<2>(length, 0x4000 | (writer.size() - number_offset));
  if (!writer.ok() || !impl_->protect(writer.written(), number_offset, refusal.packet_number, keys)) return 0;
  return writer.finish();
}

}  // namespace sallyport::refusal
