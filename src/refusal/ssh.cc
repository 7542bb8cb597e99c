#include "sallyport/refusal/ssh.h"

#include <string_view>

#include "sallyport/parsers/ssh.h"
#include "text.h"

namespace sallyport::refusal {
namespace {

constexpr std::uint32_t kHostNotAllowedToConnect = 1;  // RFC 4253 §11.1
constexpr std::size_t kBlock = 8, kPaddingMin = 4;  // RFC 4253 §6

void put_disconnect(Writer& out, std::string_view text, std::size_t text_max) {
  const std::size_t packet_length_at = out.placeholder<4>();
  const std::size_t padding_length_at = out.placeholder<1>();
  out.u8(parsers::kSshMsgDisconnect);
  out.u32(kHostNotAllowedToConnect);
  const std::size_t description_length_at = out.placeholder<4>();
  const std::size_t description_at = out.size();
  put_plain(out, text, text_max);
  out.patch<4>(description_length_at, out.size() - description_at);
  out.u32(0);  // Language tag: none.
  // The packet with both lengths is a multiple of the block. Nothing is encrypted, so the padding need not be random.
  const std::size_t unpadded = out.size() - packet_length_at;
  const std::size_t padding = kPaddingMin + (kBlock - (unpadded + kPaddingMin) % kBlock) % kBlock;
  out.fill(padding, 0);
  out.patch<1>(padding_length_at, padding);
  out.patch<4>(packet_length_at, unpadded + padding - 4);
}

}  // namespace

std::size_t ssh_disconnect(Buffer out, const Notice& notice, bool with_identification) {
  return with_longest_text(out, [&](Writer& writer, std::size_t text_max) {
    if (with_identification) writer.text("SSH-2.0-sallyport\r\n");  // RFC 4253 §4.2
    put_disconnect(writer, notice.text, text_max);
  });
}

}  // namespace sallyport::refusal
