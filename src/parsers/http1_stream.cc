#include <type_traits>
#include <utility>

#include "sallyport/parsers/http1.h"

namespace sallyport::parsers {

static_assert(std::is_trivially_copyable_v<HttpRequestStream> && sizeof(HttpRequestStream) <= 24,
              "it lives in every flow's record");

HttpRequestStream::Result HttpRequestStream::next(ByteSpan structural) {
  switch (state_) {
    case State::kHead:
      return next_head(structural);
    case State::kLengthBody: {
      Result result;
      result.step = Step::kBodyBytes;
      result.body_bytes = body_left_;
      finish_message();
      return result;
    }
    case State::kChunkHead:
      return next_chunk_head(structural);
    case State::kChunkEnd:
      return next_chunk_end(structural);
    case State::kTrailers:
      return next_trailers(structural);
    case State::kAwaitingSwitch:
      return {};
    case State::kFailed:
      return refuse(failure_);
  }
  std::unreachable();
}

void HttpRequestStream::resume_http() {
  if (state_ == State::kAwaitingSwitch) state_ = State::kHead;
}

HttpRequestStream::Result HttpRequestStream::next_head(ByteSpan structural) {
  const HttpRequestHead head = parse_http_request_head(structural, scanned_);
  switch (head.framing) {
    case Framing::kNeedMore:
      scanned_ = static_cast<std::uint32_t>(structural.size());
      return {};
    case Framing::kTooLong: {
      Result result = refuse(Step::kTooLong);
      result.head = head;
      return result;
    }
    case Framing::kMalformed: {
      Result result = refuse(head.ambiguous ? Step::kAmbiguous : Step::kMalformed);
      result.head = head;
      return result;
    }
    case Framing::kComplete:
      break;
  }
  scanned_ = 0;
  switch_after_body_ = head.upgrade || head.connect;
  body_left_ = head.content_length;
  if (head.body == HttpBody::kChunked) {
    state_ = State::kChunkHead;
  } else if (body_left_ > 0) {
    state_ = State::kLengthBody;
  } else {
    finish_message();
  }
  return {Step::kRequest, head.head_length, 0, head};
}

HttpRequestStream::Result HttpRequestStream::next_chunk_head(ByteSpan structural) {
  const HttpChunkHead head = parse_http_chunk_head(structural);
  switch (head.framing) {
    case Framing::kNeedMore:
      return {};
    case Framing::kMalformed:
      return refuse(Step::kMalformed);
    case Framing::kTooLong:
      return refuse(Step::kTooLong);
    case Framing::kComplete:
      break;
  }
  state_ = head.size > 0 ? State::kChunkEnd : State::kTrailers;
  return {Step::kBodyBytes, head.head_length, head.size, {}};
}

HttpRequestStream::Result HttpRequestStream::next_chunk_end(ByteSpan structural) {
  if (!structural.empty() && structural[0] != '\r') return refuse(Step::kMalformed);
  if (structural.size() < 2) return {};
  if (structural[1] != '\n') return refuse(Step::kMalformed);
  state_ = State::kChunkHead;
  return {Step::kBodyBytes, 2, 0, {}};
}

HttpRequestStream::Result HttpRequestStream::next_trailers(ByteSpan structural) {
  const HttpTrailers trailers = parse_http_trailers(structural, scanned_);
  switch (trailers.framing) {
    case Framing::kNeedMore:
      scanned_ = static_cast<std::uint32_t>(structural.size());
      return {};
    case Framing::kMalformed:
      return refuse(Step::kMalformed);
    case Framing::kTooLong:
      return refuse(Step::kTooLong);
    case Framing::kComplete:
      break;
  }
  scanned_ = 0;
  finish_message();
  return {Step::kBodyBytes, trailers.length, 0, {}};
}

HttpRequestStream::Result HttpRequestStream::refuse(Step step) {
  state_ = State::kFailed;
  failure_ = step;
  Result result;
  result.step = step;
  return result;
}

void HttpRequestStream::finish_message() {
  body_left_ = 0;
  state_ = switch_after_body_ ? State::kAwaitingSwitch : State::kHead;
  switch_after_body_ = false;
}

}  // namespace sallyport::parsers
