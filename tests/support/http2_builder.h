// Makes HTTP/2 client bytes, well-formed or not: frames (RFC 9113 §4.1) and fields as HPACK literals
// without indexing or Huffman code (RFC 7541 §6.2.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sallyport::testing {

inline constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
inline constexpr std::uint8_t kH2Data = 0, kH2Headers = 1, kH2Priority = 2, kH2RstStream = 3, kH2Settings = 4,
                              kH2PushPromise = 5, kH2Ping = 6, kH2Goaway = 7, kH2WindowUpdate = 8,
                              kH2Continuation = 9;
inline constexpr std::uint8_t kH2EndStream = 1, kH2EndHeaders = 4, kH2Padded = 8, kH2PriorityFlag = 0x20;

inline std::string h2_frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream_id,
                            std::string_view payload) {
  std::string out;
  for (const unsigned shift : {16U, 8U, 0U}) out += static_cast<char>(payload.size() >> shift & 0xff);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const unsigned shift : {24U, 16U, 8U, 0U}) out += static_cast<char>(stream_id >> shift & 0xff);
  return out.append(payload);
}

// hpack_string writes a length of RFC 7541 §5.1 with a prefix of 7 bits, and the text.
inline std::string hpack_string(std::string_view text) {
  std::string out;
  std::size_t length = text.size();
  if (length < 127) {
    out += static_cast<char>(length);
  } else {
    out += static_cast<char>(127);
    for (length -= 127; length >= 128; length /= 128) out += static_cast<char>(length % 128 + 128);
    out += static_cast<char>(length);
  }
  return out.append(text);
}

using H2Fields = std::vector<std::pair<std::string, std::string>>;

inline std::string hpack(const H2Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += '\0' + hpack_string(name) + hpack_string(value);
  return out;
}

inline std::string h2_headers(std::uint32_t stream_id, const H2Fields& fields) {
  return h2_frame(kH2Headers, kH2EndHeaders | kH2EndStream, stream_id, hpack(fields));
}

inline H2Fields h2_get(std::string authority, std::string path = "/") {
  return {{":method", "GET"},
          {":scheme", "http"},
          {":authority", std::move(authority)},
          {":path", std::move(path)}};
}

// h2_open is what every client begins with.
inline std::string h2_open() {
  return std::string(kHttp2Preface) + h2_frame(kH2Settings, 0, 0, "");
}

}  // namespace sallyport::testing
