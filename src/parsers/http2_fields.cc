#include "http2_fields.h"

#include <algorithm>

#include "http_text.h"

namespace sallyport::parsers {
namespace {

// Fields that frame or route an HTTP/1 connection; a gateway may write them into one (RFC 9113 §8.2.2).
constexpr std::array<std::string_view, 5> kConnectionFields = {"connection", "proxy-connection", "keep-alive",
                                                               "transfer-encoding", "upgrade"};

// RFC 9113 §8.2.1: field names are tokens without upper case.
bool valid_name(std::string_view name) {
  return is_token(name) && std::none_of(name.begin(), name.end(), is_upper);
}

// RFC 9113 §8.2.1, and no control characters: a gateway to HTTP/1 would pass line ends on.
bool valid_value(std::string_view value) {
  if (!value.empty() && (is_blank(value.front()) || is_blank(value.back()))) return false;
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

bool valid_target(std::string_view target) {
  return !target.empty() && std::all_of(target.begin(), target.end(), is_visible) &&
         target.find('#') == std::string_view::npos;
}

}  // namespace

void Http2Fields::begin(bool trailers) {
  trailers_ = trailers;
  regular_seen_ = false;
  count_ = list_size_ = used_ = 0;
  origins_ = 0;
  values_.fill({});
}

Http2Fault Http2Fields::add(std::string_view name, std::string_view value) {
  constexpr std::size_t kFieldOverhead = 32;  // RFC 9113 §6.5.2
  list_size_ += name.size() + value.size() + kFieldOverhead;
  if (++count_ > kHttp2FieldsMax || list_size_ > kHttp2FieldListMax) return Http2Fault::kTooLong;
  if (!valid_value(value)) return Http2Fault::kMalformed;
  return name.starts_with(':') ? add_pseudo(name, value) : add_regular(name, value);
}

Http2Fault Http2Fields::add_pseudo(std::string_view name, std::string_view value) {
  if (trailers_ || regular_seen_) return Http2Fault::kMalformed;  // RFC 9113 §8.3
  if (name == ":method") return keep(kMethod, value);
  if (name == ":scheme") return keep(kScheme, value);
  if (name == ":authority") return keep(kAuthority, value);
  if (name == ":path") return keep(kPath, value);
  if (name == ":protocol") return keep(kProtocol, value);
  return Http2Fault::kMalformed;
}

Http2Fault Http2Fields::add_regular(std::string_view name, std::string_view value) {
  regular_seen_ = true;
  if (!valid_name(name)) return Http2Fault::kMalformed;
  if (std::find(kConnectionFields.begin(), kConnectionFields.end(), name) != kConnectionFields.end()) {
    return Http2Fault::kAmbiguous;
  }
  if (name == "te" && value != "trailers") return Http2Fault::kMalformed;
  if (trailers_ && (name == "host" || name == "content-length")) return Http2Fault::kAmbiguous;
  if (name == "host") return keep(kHost, value);
  if (name == "origin" && origins_++ == 0) return keep(kOrigin, value);
  if (name == "user-agent" && !has(kUserAgent)) return keep(kUserAgent, value);
  return Http2Fault::kNone;
}

Http2Fault Http2Fields::keep(Kept which, std::string_view value) {
  if (has(which)) return Http2Fault::kAmbiguous;
  char* const begin = bytes_.data() + used_;
  std::copy(value.begin(), value.end(), begin);
  used_ += value.size();
  values_[which] = {begin, value.size()};
  return Http2Fault::kNone;
}

void Http2Fields::report(HttpRequestHead& head) const {
  head.method = values_[kMethod];
  head.target = values_[kPath];
  head.user_agent = values_[kUserAgent];
  head.origin = values_[kOrigin];
  head.origin_fields = origins_;
  if (has(kAuthority)) head.authority = parse_http_authority(values_[kAuthority]);
  if (has(kHost)) head.host = parse_http_authority(values_[kHost]);
}

Http2Fault Http2Fields::finish(HttpRequestHead& head) const {
  report(head);
  if (head.method.size() > kHttpMethodMax || !is_token(head.method)) return Http2Fault::kMalformed;
  if ((has(kAuthority) && !head.authority) || (has(kHost) && !head.host)) return Http2Fault::kMalformed;
  head.connect = head.method == "CONNECT";
  const bool plain_connect = head.connect && !has(kProtocol);
  const Http2Fault fault = plain_connect ? finish_connect(head) : finish_request(head);
  if (fault != Http2Fault::kNone) return fault;
  if (!head.authority && !head.host) return Http2Fault::kMalformed;  // RFC 9113 §8.3.1
  if (head.authority && head.host && !same_authority(*head.authority, *head.host)) {
    return Http2Fault::kAmbiguous;
  }
  head.framing = Framing::kComplete;
  return Http2Fault::kNone;
}

// finish_connect checks RFC 9113 §8.5: :authority has host and port, :scheme and :path are absent.
Http2Fault Http2Fields::finish_connect(HttpRequestHead& head) const {
  if (has(kScheme) || has(kPath) || !head.authority || !head.authority->port) return Http2Fault::kMalformed;
  head.target_form = HttpTargetForm::kAuthority;
  head.target = values_[kAuthority];
  return Http2Fault::kNone;
}

// finish_request checks RFC 9113 §8.3.1, and with :protocol RFC 8441 §4.
Http2Fault Http2Fields::finish_request(HttpRequestHead& head) const {
  if (has(kProtocol)) {
    if (!head.connect || !is_token(values_[kProtocol]) || !head.authority) return Http2Fault::kMalformed;
    head.upgrade_protocol = values_[kProtocol];
  }
  const std::string_view scheme = values_[kScheme];
  const bool valid_scheme =
      !scheme.empty() && is_alpha(scheme.front()) && std::all_of(scheme.begin(), scheme.end(), [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
      });
  if (!valid_scheme || !valid_target(head.target)) return Http2Fault::kMalformed;
  if (head.target == "*") {
    head.target_form = HttpTargetForm::kAsterisk;
    return head.method == "OPTIONS" ? Http2Fault::kNone : Http2Fault::kMalformed;
  }
  if (head.target.front() != '/') return Http2Fault::kMalformed;
  head.path = head.target.substr(0, head.target.find('?'));
  return Http2Fault::kNone;
}

bool Http2Fields::same_authority(const HttpAuthority& authority, const HttpAuthority& host) const {
  std::uint16_t default_port = 0;
  if (equals_ignoring_case(values_[kScheme], "http")) default_port = 80;
  if (equals_ignoring_case(values_[kScheme], "https")) default_port = 443;
  return equals_ignoring_case(authority.host, host.host) &&
         authority.port.value_or(default_port) == host.port.value_or(default_port);
}

}  // namespace sallyport::parsers
