#include "sallyport/parsers/http2.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "bounded_heap.h"
#include "http2_fields.h"

namespace sallyport::parsers {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";  // RFC 9113 §3.4
constexpr std::size_t kFrameHeaderSize = 9;                                // RFC 9113 §4.1

// RFC 9113 §6; a server ignores every other type.
enum FrameType : std::uint8_t {
  kData = 0,
  kHeaders = 1,
  kPriority = 2,
  kRstStream = 3,
  kSettings = 4,
  kPushPromise = 5,
  kPing = 6,
  kGoaway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};

// Flags of HEADERS, DATA and CONTINUATION; SETTINGS has kAck.
constexpr std::uint8_t kAck = 0x01, kEndStream = 0x01, kEndHeaders = 0x04, kPadded = 0x08,
                       kPriorityFlag = 0x20;

struct FrameHeader {
  std::uint32_t length = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::uint32_t stream_id = 0;
};

bool read_frame_header(ByteSpan bytes, FrameHeader& out) {
  ByteReader in(bytes);
  if (!in.read_u24(out.length) || !in.read_u8(out.type) || !in.read_u8(out.flags) ||
      !in.read_u32(out.stream_id)) {
    return false;
  }
  out.stream_id &= 0x7fffffff;  // RFC 9113 §4.1: the reserved bit is ignored.
  return true;
}

constexpr bool is_client_stream(std::uint32_t id) {
  return id % 2 == 1;
}

// valid_plain_frame checks where a frame without fields may stand and how long it is; its content
// changes nothing in what is read.
bool valid_plain_frame(const FrameHeader& frame, std::uint32_t last_stream_id) {
  const bool on_open_stream = is_client_stream(frame.stream_id) && frame.stream_id <= last_stream_id;
  switch (frame.type) {
    case kData:
      return on_open_stream && (frame.length > 0 || (frame.flags & kPadded) == 0);
    case kPriority:
      return frame.stream_id != 0 && frame.length == 5;
    case kRstStream:
      return on_open_stream && frame.length == 4;
    case kSettings:
      return frame.stream_id == 0 && frame.length % 6 == 0 &&
             ((frame.flags & kAck) == 0 || frame.length == 0);
    case kPushPromise:
      return false;  // RFC 9113 §8.4: a client cannot push.
    case kPing:
      return frame.stream_id == 0 && frame.length == 8;
    case kGoaway:
      return frame.stream_id == 0 && frame.length >= 8;
    case kWindowUpdate:
      return (frame.stream_id == 0 || on_open_stream) && frame.length == 4;
    case kContinuation:
      return false;  // Outside a header block.
    default:
      return true;
  }
}

// read_fragment finds the header block fragment of a HEADERS frame (RFC 9113 §6.2).
bool read_fragment(const FrameHeader& frame, ByteSpan payload, ByteSpan& fragment) {
  ByteReader in(payload);
  std::uint8_t padding = 0;
  if ((frame.flags & kPadded) != 0 && !in.read_u8(padding)) return false;
  if ((frame.flags & kPriorityFlag) != 0) {
    std::uint32_t dependency = 0;
    if (!in.read_u32(dependency) || !in.skip(1)) return false;
    if ((dependency & 0x7fffffff) == frame.stream_id) return false;  // RFC 7540 §5.3.1
  }
  return padding <= in.size() && in.read_bytes(in.size() - padding, fragment);
}

void* heap_allocate(std::size_t size, void* heap) {
  return static_cast<BoundedHeap*>(heap)->allocate(size);
}
void heap_release(void* block, void* heap) {
  static_cast<BoundedHeap*>(heap)->release(block);
}
void* heap_resize(void* block, std::size_t size, void* heap) {
  return static_cast<BoundedHeap*>(heap)->resize(block, size);
}
void* heap_allocate_zeroed(std::size_t count, std::size_t size, void* heap) {
  if (size != 0 && count > BoundedHeap::kSize / size) return nullptr;
  void* const block = heap_allocate(count * size, heap);
  if (block != nullptr) std::fill_n(static_cast<unsigned char*>(block), count * size, std::uint8_t{0});
  return block;
}

HttpRequestStream::Step step_of(Http2Fault fault) {
  switch (fault) {
    case Http2Fault::kNone:
      return HttpRequestStream::Step::kRequest;
    case Http2Fault::kMalformed:
      return HttpRequestStream::Step::kMalformed;
    case Http2Fault::kAmbiguous:
      return HttpRequestStream::Step::kAmbiguous;
    case Http2Fault::kTooLong:
      return HttpRequestStream::Step::kTooLong;
  }
  std::unreachable();
}

}  // namespace

Likeness looks_like_http2(ByteSpan stream) {
  const std::string_view text = as_text(stream).substr(0, kPreface.size());
  if (text != kPreface.substr(0, text.size())) return Likeness::kNo;
  return text.size() == kPreface.size() ? Likeness::kYes : Likeness::kMaybe;
}

class Http2RequestReader::Impl {
 public:
  Impl() { reset(false); }
  ~Impl() = default;  // What the inflater holds is inside heap_.
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void reset(bool upgraded);
  Result next(ByteSpan structural);
  bool in_header_block() const { return state_ == State::kBlock; }
  const HttpRequestHead& last_request() const { return last_request_; }
  std::uint32_t last_stream() const { return last_stream_id_; }

 private:
  enum class State : std::uint8_t { kPreface, kSettings, kFrames, kBlock, kFailed };

  Result next_preface(ByteSpan structural);
  Result next_frame(ByteSpan structural);
  Result next_headers(const FrameHeader& frame, ByteSpan structural);
  Result next_continuation(const FrameHeader& frame, ByteSpan structural);
  // read_block decodes a fragment; `size` is that of its frame.
  Result read_block(ByteSpan fragment, bool last, std::size_t size);
  Http2Fault inflate(ByteSpan fragment, bool last);
  Result refuse(Step step);

  BoundedHeap heap_;
  nghttp2_mem mem_{&heap_, heap_allocate, heap_release, heap_allocate_zeroed, heap_resize};
  nghttp2_hd_inflater* inflater_ = nullptr;
  Http2Fields fields_;
  HttpRequestHead last_request_;
  State state_ = State::kPreface;
  Step failure_ = Step::kMalformed;  // With kFailed.
  std::uint32_t last_stream_id_ = 0;
  std::uint32_t block_stream_id_ = 0;
  bool block_is_trailers_ = false;
  std::size_t block_continuations_ = 0;
  std::size_t block_size_ = 0;
};

void Http2RequestReader::Impl::reset(bool upgraded) {
  heap_.clear();  // Takes back all that the former inflater had; it owns nothing elsewhere.
  inflater_ = nullptr;
  fields_.begin(false);
  state_ = State::kPreface;
  last_stream_id_ = upgraded ? 1 : 0;
  block_continuations_ = block_size_ = 0;
  if (nghttp2_hd_inflate_new2(&inflater_, &mem_) != 0) {
    state_ = State::kFailed;
    failure_ = Step::kTooLong;
  }
}

Http2RequestReader::Result Http2RequestReader::Impl::next(ByteSpan structural) {
  switch (state_) {
    case State::kPreface:
      return next_preface(structural);
    case State::kSettings:
    case State::kFrames:
    case State::kBlock:
      return next_frame(structural);
    case State::kFailed:
      return refuse(failure_);
  }
  std::unreachable();
}

Http2RequestReader::Result Http2RequestReader::Impl::next_preface(ByteSpan structural) {
  switch (looks_like_http2(structural)) {
    case Likeness::kNo:
      return refuse(Step::kMalformed);
    case Likeness::kMaybe:
      return {};
    case Likeness::kYes:
      break;
  }
  state_ = State::kSettings;
  return {Step::kBodyBytes, kPreface.size(), 0, 0, {}};
}

Http2RequestReader::Result Http2RequestReader::Impl::next_frame(ByteSpan structural) {
  FrameHeader frame;
  if (!read_frame_header(structural, frame)) return {};
  if (state_ == State::kBlock) return next_continuation(frame, structural);
  if (state_ == State::kSettings) {  // RFC 9113 §3.4: the preface ends with SETTINGS.
    if (frame.type != kSettings || (frame.flags & kAck) != 0) return refuse(Step::kMalformed);
    state_ = State::kFrames;
  }
  if (frame.type == kHeaders) return next_headers(frame, structural);
  if (!valid_plain_frame(frame, last_stream_id_)) return refuse(Step::kMalformed);
  return {Step::kBodyBytes, kFrameHeaderSize, frame.length, 0, {}};
}

Http2RequestReader::Result Http2RequestReader::Impl::next_headers(const FrameHeader& frame,
                                                                  ByteSpan structural) {
  // A stream that was opened before gets its trailers, which end it (RFC 9113 §8.1).
  const bool is_trailers = frame.stream_id <= last_stream_id_;
  if (!is_client_stream(frame.stream_id) || (is_trailers && (frame.flags & kEndStream) == 0)) {
    return refuse(Step::kMalformed);
  }
  if (frame.length > kHttp2FrameMax) return refuse(Step::kTooLong);
  if (structural.size() - kFrameHeaderSize < frame.length) return {};
  ByteSpan fragment;
  if (!read_fragment(frame, structural.subspan(kFrameHeaderSize, frame.length), fragment)) {
    return refuse(Step::kMalformed);
  }
  block_stream_id_ = frame.stream_id;
  block_is_trailers_ = is_trailers;
  block_continuations_ = block_size_ = 0;
  last_stream_id_ = std::max(last_stream_id_, frame.stream_id);
  fields_.begin(is_trailers);
  return read_block(fragment, (frame.flags & kEndHeaders) != 0, kFrameHeaderSize + frame.length);
}

Http2RequestReader::Result Http2RequestReader::Impl::next_continuation(const FrameHeader& frame,
                                                                       ByteSpan structural) {
  if (frame.type != kContinuation || frame.stream_id != block_stream_id_) return refuse(Step::kMalformed);
  if (block_continuations_ == kHttp2ContinuationsMax || frame.length > kHttp2FrameMax) {
    return refuse(Step::kTooLong);
  }
  if (structural.size() - kFrameHeaderSize < frame.length) return {};
  ++block_continuations_;
  return read_block(structural.subspan(kFrameHeaderSize, frame.length), (frame.flags & kEndHeaders) != 0,
                    kFrameHeaderSize + frame.length);
}

Http2RequestReader::Result Http2RequestReader::Impl::read_block(ByteSpan fragment, bool last,
                                                                std::size_t size) {
  Result result;
  block_size_ += fragment.size();
  Http2Fault fault = block_size_ > kHttp2FrameMax ? Http2Fault::kTooLong : inflate(fragment, last);
  if (fault == Http2Fault::kNone && last && !block_is_trailers_) fault = fields_.finish(result.head);
  if (fault != Http2Fault::kNone) {
    result = refuse(step_of(fault));
    fields_.report(result.head);
    return result;
  }
  state_ = last ? State::kFrames : State::kBlock;
  const bool is_request = last && !block_is_trailers_;
  result.step = is_request ? Step::kRequest : Step::kBodyBytes;
  result.stream_id = is_request ? block_stream_id_ : 0;
  result.consumed = size;
  if (is_request) {
    result.head.head_length = size;
    last_request_ = result.head;
  }
  return result;
}

Http2Fault Http2RequestReader::Impl::inflate(ByteSpan fragment, bool last) {
  for (;;) {  // Each turn takes input or hands out a field, whose number is bounded.
    nghttp2_nv field{};
    int flags = NGHTTP2_HD_INFLATE_NONE;
    const auto taken =
        nghttp2_hd_inflate_hd2(inflater_, &field, &flags, fragment.data(), fragment.size(), last ? 1 : 0);
    if (taken == NGHTTP2_ERR_NOMEM) return Http2Fault::kTooLong;
    if (taken < 0 || static_cast<std::size_t>(taken) > fragment.size()) return Http2Fault::kMalformed;
    fragment = fragment.subspan(static_cast<std::size_t>(taken));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      const Http2Fault fault =
          fields_.add(as_text({field.name, field.namelen}), as_text({field.value, field.valuelen}));
      if (fault != Http2Fault::kNone) return fault;
      continue;
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      nghttp2_hd_inflate_end_headers(inflater_);
      return Http2Fault::kNone;
    }
    if (fragment.empty()) return last ? Http2Fault::kMalformed : Http2Fault::kNone;
    if (taken == 0) return Http2Fault::kMalformed;
  }
}

Http2RequestReader::Result Http2RequestReader::Impl::refuse(Step step) {
  state_ = State::kFailed;
  failure_ = step;
  Result result;
  result.step = step;
  result.head.framing = step == Step::kTooLong ? Framing::kTooLong : Framing::kMalformed;
  result.head.ambiguous = step == Step::kAmbiguous;
  return result;
}

Http2RequestReader::Http2RequestReader() : impl_(std::make_unique<Impl>()) {}
Http2RequestReader::~Http2RequestReader() = default;
Http2RequestReader::Result Http2RequestReader::next(ByteSpan structural) {
  return impl_->next(structural);
}
std::uint32_t Http2RequestReader::last_stream() const {
  return impl_->last_stream();
}
const HttpRequestHead& Http2RequestReader::last_request() const {
  return impl_->last_request();
}
bool Http2RequestReader::in_header_block() const {
  return impl_->in_header_block();
}
void Http2RequestReader::reset(bool upgraded) {
  impl_->reset(upgraded);
}

}  // namespace sallyport::parsers
