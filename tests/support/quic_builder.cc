#include "quic_builder.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace sallyport::testing {
namespace {

// Tests may throw: a builder that cannot build is a broken test.
void check(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL refused");
}

Bytes hkdf(int mode, const Bytes& key, const Bytes& salt, const Bytes& info, std::size_t size) {
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  EVP_KDF_free(kdf);
  const auto octets = [](const char* name, const Bytes& bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(bytes.data()), bytes.size());
  };
  std::string digest = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
                               OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
                               octets(OSSL_KDF_PARAM_KEY, key),
                               mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY ? octets(OSSL_KDF_PARAM_INFO, info)
                                                                     : octets(OSSL_KDF_PARAM_SALT, salt),
                               OSSL_PARAM_construct_end()};
  Bytes out(size);
  const int result = EVP_KDF_derive(context, out.data(), out.size(), params);
  EVP_KDF_CTX_free(context);
  check(result);
  return out;
}

Bytes expand_label(const Bytes& secret, const std::string& label, std::size_t size) {
  const std::string full = "tls13 " + label;
  Bytes info = {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size),
                static_cast<std::uint8_t>(full.size())};
  info.insert(info.end(), full.begin(), full.end());
  info.push_back(0);
  return hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, secret, {}, info, size);
}

struct Keys {
  Bytes key, iv, hp;
};

Bytes salt_of(std::uint32_t version) {
  if (version == kTestQuicV2) return hex("0dede3def700a6db819381be6e269dcbf9bd2ed9");
  if (version == 0x709a50c4) return hex("a707c203a59b47184a1d62ca570406ea7ae3e5d3");
  if (version >= 0xff00001d && version <= 0xff000020) return hex("afbfec289993d24c9e9786f19c6111e04390a899");
  const bool draft_23 = version >= 0xff000017 && version <= 0xff00001c;
  if (draft_23 || version == 0xfaceb002 || version == 0xfaceb00e) {
    return hex("c3eef712c72ebb5a11a7d2432bb46365bef9f502");
  }
  if (version == 0xff000016 || version == 0xfaceb001) return hex("7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a");
  if (version == 0x51303530) return hex("504574efd066fe2f9d945cfcdbd3a7f0d3b56b45");
  if (version == 0x54303530) return hex("7ff579e5acd072915580304c43a2367c60488310");
  if (version == 0x54303531) return hex("7a4edef4e7ccee5fa4506c19124fc8ccda6e033d");
  return hex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a");
}

Keys derive(std::uint32_t version, const Bytes& dcid, bool server) {
  const Bytes initial = hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, dcid, salt_of(version), {}, 32);
  const Bytes secret = expand_label(initial, server ? "server in" : "client in", 32);
  const std::string prefix = version == kTestQuicV2 || version == 0x709a50c4 ? "quicv2 " : "quic ";
  return {expand_label(secret, prefix + "key", 16), expand_label(secret, prefix + "iv", 12),
          expand_label(secret, prefix + "hp", 16)};
}

Bytes sealed(const Keys& keys, std::uint64_t number, const Bytes& header, Bytes payload) {
  Bytes nonce = keys.iv;
  for (std::size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<std::uint8_t>(number >> (8 * i));
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int written = 0;
  Bytes tag(16);
  check(EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, keys.key.data(), nonce.data()));
  check(EVP_EncryptUpdate(context, nullptr, &written, header.data(), static_cast<int>(header.size())));
  check(
      EVP_EncryptUpdate(context, payload.data(), &written, payload.data(), static_cast<int>(payload.size())));
  check(EVP_EncryptFinal_ex(context, payload.data() + payload.size(), &written));
  check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data()));
  EVP_CIPHER_CTX_free(context);
  return joined(payload, tag);
}

Bytes mask_of(const Keys& keys, const std::uint8_t* sample) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  int written = 0;
  Bytes mask(16);
  check(EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr, keys.hp.data(), nullptr));
  check(EVP_EncryptUpdate(context, mask.data(), &written, sample, 16));
  EVP_CIPHER_CTX_free(context);
  return mask;
}

void append(Bytes& out, const Bytes& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace

QuicInitialBuilder::QuicInitialBuilder(std::uint32_t version, Bytes dcid)
    : version_(version), dcid_(std::move(dcid)), key_dcid_(dcid_) {}

QuicInitialBuilder& QuicInitialBuilder::key_dcid(const Bytes& dcid) {
  key_dcid_ = dcid;
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::source_connection_id(const Bytes& scid) {
  scid_ = scid;
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::token(const Bytes& token) {
  token_ = token;
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::from_server() {
  from_server_ = true;
  datagram_size_ = 0;
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::packet_number(std::uint64_t number, std::size_t size) {
  number_ = number;
  number_size_ = size;
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::reserved_bits(std::uint8_t bits) {
  reserved_ = bits;
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::crypto(std::uint64_t offset, const Bytes& data) {
  frames_.push_back(0x06);
  append(frames_, quic_varint(offset));
  append(frames_, quic_varint(data.size()));
  append(frames_, data);
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::ping() {
  return frame({0x01});
}

QuicInitialBuilder& QuicInitialBuilder::padding(std::size_t bytes) {
  return frame(Bytes(bytes, 0));
}

QuicInitialBuilder& QuicInitialBuilder::frame(const Bytes& bytes) {
  append(frames_, bytes);
  return *this;
}

QuicInitialBuilder& QuicInitialBuilder::datagram_size(std::size_t size) {
  datagram_size_ = size;
  return *this;
}

Bytes QuicInitialBuilder::build() const {
  const unsigned type = version_ == kTestQuicV2 || version_ == 0x709a50c4 ? 1u : 0u;
  Bytes header = {static_cast<std::uint8_t>(0xc0u | type << 4 | static_cast<unsigned>(reserved_) << 2 |
                                            static_cast<unsigned>(number_size_ - 1))};
  for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<std::uint8_t>(version_ >> shift));
  for (const Bytes* id : {&dcid_, &scid_}) {
    header.push_back(static_cast<std::uint8_t>(id->size()));
    append(header, *id);
  }
  append(header, quic_varint(token_.size()));
  append(header, token_);
  const std::size_t around = header.size() + 2 + number_size_ + 16;  // Length in two bytes, AEAD tag.
  Bytes payload = frames_;
  if (datagram_size_ > around + payload.size()) payload.resize(datagram_size_ - around, 0);
  append(header, quic_varint(number_size_ + payload.size() + 16, 2));
  const std::size_t number_offset = header.size();
  for (std::size_t i = number_size_; i-- > 0;)
    header.push_back(static_cast<std::uint8_t>(number_ >> (8 * i)));

  const Keys keys = derive(version_, key_dcid_, from_server_);
  Bytes packet = joined(header, sealed(keys, number_, header, payload));
  const Bytes mask = mask_of(keys, packet.data() + number_offset + 4);
  packet[0] = static_cast<std::uint8_t>(packet[0] ^ (mask[0] & 0x0f));
  for (std::size_t i = 0; i < number_size_; ++i) packet[number_offset + i] ^= mask[1 + i];
  return packet;
}

std::vector<Bytes> quic_hello_datagrams(const Bytes& message, const QuicHelloOptions& options) {
  std::vector<std::size_t> offsets;
  for (std::size_t offset = 0; offset < message.size(); offset += options.frame_size)
    offsets.push_back(offset);
  if (options.reversed) std::reverse(offsets.begin(), offsets.end());
  std::vector<Bytes> datagrams;
  for (std::size_t i = 0; i < offsets.size(); i += options.frames_per_datagram) {
    QuicInitialBuilder packet(options.version, options.dcid);
    packet.packet_number(options.first_packet_number + datagrams.size());
    for (std::size_t j = i; j < std::min(i + options.frames_per_datagram, offsets.size()); ++j) {
      const auto begin = message.begin() + static_cast<std::ptrdiff_t>(offsets[j]);
      const std::size_t size = std::min(options.frame_size, message.size() - offsets[j]);
      if (options.pings_between) packet.ping().padding(3);
      packet.crypto(offsets[j], Bytes(begin, begin + static_cast<std::ptrdiff_t>(size)));
    }
    datagrams.push_back(packet.build());
  }
  return datagrams;
}

Bytes quic_varint(std::uint64_t value, std::size_t size) {
  if (size == 0) size = value < 64 ? 1 : value < 16'384 ? 2 : value < (1u << 30) ? 4 : 8;
  const std::uint64_t prefix = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  Bytes out;
  for (std::size_t i = size; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  out[0] = static_cast<std::uint8_t>(out[0] | prefix << 6);
  return out;
}

}  // namespace sallyport::testing
