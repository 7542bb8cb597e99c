#include "compressed_file.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

namespace sallyport::pcap {
namespace {

constexpr std::size_t kBlockSize = 65'536;
constexpr int kGzipWindow = 15 + 16;      // zlib.h: the largest window, gzip header and trailer.
constexpr int kZstdWindowLogMax = 27;     // 128 MiB, what the zstd program itself accepts by default.

constexpr std::array<std::uint8_t, 2> kGzipMagic = {0x1f, 0x8b};              // RFC 1952 §2.3.1
constexpr std::array<std::uint8_t, 4> kZstdMagic = {0x28, 0xb5, 0x2f, 0xfd};  // RFC 8878 §3.1.1

// RawInput is the file on disk, a block at a time.
class RawInput {
 public:
  RawInput(std::FILE* file, std::shared_ptr<InputStatus> shared_status)
      : status(std::move(shared_status)), file_(file), block_(kBlockSize) {}
  RawInput(const RawInput&) = delete;
  RawInput& operator=(const RawInput&) = delete;
  ~RawInput() { std::fclose(file_); }

  // fill reads the next block if the last is used up. False at the end of the file.
  bool fill() {
    if (used < size) return true;
    used = 0;
    size = std::fread(block_.data(), 1, block_.size(), file_);
    status->position += size;
    if (size == 0 && std::ferror(file_) != 0) fail(std::strerror(errno));
    return size > 0;
  }

  bool begins_with(std::span<const std::uint8_t> magic) {
    return fill() && size >= magic.size() && std::memcmp(block_.data(), magic.data(), magic.size()) == 0;
  }

  ssize_t fail(const char* message) {
    if (!status->error) status->error = message;
    errno = EIO;
    return -1;
  }

  std::uint8_t* data() { return block_.data() + used; }
  std::size_t left() const { return size - used; }

  std::shared_ptr<InputStatus> status;
  std::size_t used = 0;
  std::size_t size = 0;

 private:
  std::FILE* file_;
  std::vector<std::uint8_t> block_;
};

class Decoder {
 public:
  explicit Decoder(std::unique_ptr<RawInput> raw) : raw_(std::move(raw)) {}
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  virtual ~Decoder() = default;
  // read fills at most `length` bytes: 0 at the end, -1 with errno on damage.
  virtual ssize_t read(char* out, std::size_t length) = 0;

 protected:
  std::unique_ptr<RawInput> raw_;
};

class PlainDecoder final : public Decoder {
 public:
  using Decoder::Decoder;
  ssize_t read(char* out, std::size_t length) override {
    if (!raw_->fill()) return raw_->status->error ? -1 : 0;
    const std::size_t count = std::min(length, raw_->left());
    std::memcpy(out, raw_->data(), count);
    raw_->used += count;
    return static_cast<ssize_t>(count);
  }
};

class GzipDecoder final : public Decoder {
 public:
  explicit GzipDecoder(std::unique_ptr<RawInput> raw) : Decoder(std::move(raw)) {
    ready_ = inflateInit2(&stream_, kGzipWindow) == Z_OK;
  }
  ~GzipDecoder() override {
    if (ready_) inflateEnd(&stream_);
  }

  ssize_t read(char* out, std::size_t length) override {
    if (!ready_) return raw_->fail("out of memory");
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(std::min(length, kBlockSize));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out == wanted) {
      if (!raw_->fill()) return at_member_end_ ? 0 : raw_->fail("the gzip data ends too early");
      // A gzip file may hold several members (RFC 1952 §2.2).
      if (at_member_end_ && inflateReset(&stream_) != Z_OK) return raw_->fail("the gzip data is damaged");
      at_member_end_ = false;
      stream_.next_in = raw_->data();
      stream_.avail_in = static_cast<uInt>(raw_->left());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      raw_->used = raw_->size - stream_.avail_in;
      if (result == Z_STREAM_END) {
        at_member_end_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        return raw_->fail("the gzip data is damaged");
      }
    }
    return static_cast<ssize_t>(wanted - stream_.avail_out);
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
  bool at_member_end_ = false;
};

class ZstdDecoder final : public Decoder {
 public:
  explicit ZstdDecoder(std::unique_ptr<RawInput> raw) : Decoder(std::move(raw)), context_(ZSTD_createDCtx()) {
    if (context_ != nullptr) ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kZstdWindowLogMax);
  }
  ~ZstdDecoder() override { ZSTD_freeDCtx(context_); }

  ssize_t read(char* out, std::size_t length) override {
    if (context_ == nullptr) return raw_->fail("out of memory");
    ZSTD_outBuffer output{out, length, 0};
    while (output.pos == 0) {
      // A frame may have more to give although the file has not.
      const bool more = raw_->fill();
      if (!more && (at_frame_end_ || raw_->status->error)) return raw_->status->error ? -1 : 0;
      ZSTD_inBuffer input{raw_->data(), raw_->left(), 0};
      const std::size_t result = ZSTD_decompressStream(context_, &output, &input);
      if (ZSTD_isError(result) != 0) return raw_->fail("the zstd data is damaged");
      raw_->used += input.pos;
      at_frame_end_ = result == 0;
      if (!more && output.pos == 0 && !at_frame_end_) return raw_->fail("the zstd data ends too early");
    }
    return static_cast<ssize_t>(output.pos);
  }

 private:
  ZSTD_DCtx* context_;
  bool at_frame_end_ = false;
};

std::unique_ptr<Decoder> make_decoder(std::unique_ptr<RawInput> raw) {
  if (raw->begins_with(kGzipMagic)) return std::make_unique<GzipDecoder>(std::move(raw));
  if (raw->begins_with(kZstdMagic)) return std::make_unique<ZstdDecoder>(std::move(raw));
  return std::make_unique<PlainDecoder>(std::move(raw));
}

ssize_t cookie_read(void* cookie, char* out, std::size_t length) {
  return static_cast<Decoder*>(cookie)->read(out, length);
}

int cookie_close(void* cookie) {
  delete static_cast<Decoder*>(cookie);
  return 0;
}

}  // namespace

std::FILE* open_input(std::FILE* raw, std::shared_ptr<InputStatus> status) {
  std::unique_ptr<Decoder> decoder = make_decoder(std::make_unique<RawInput>(raw, std::move(status)));
  cookie_io_functions_t functions{};
  functions.read = cookie_read;
  functions.close = cookie_close;
  std::FILE* file = fopencookie(decoder.get(), "r", functions);
  if (file == nullptr) return nullptr;
  decoder.release();
  std::setvbuf(file, nullptr, _IOFBF, kBlockSize);
  return file;
}

}  // namespace sallyport::pcap
