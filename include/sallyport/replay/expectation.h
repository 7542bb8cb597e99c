// Expectation is what a test says a replay must print: JSON objects, one a line, of which each lists only the
// keys that it is about. Blank lines and lines that begin with '#' are left out.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace sallyport::replay {

class Expectation {
 public:
  // parse gives one line "NAME:LINE: what is wrong" for text that is not made of JSON objects.
  static std::expected<Expectation, std::string> parse(std::string_view text, std::string_view name);
  Expectation(Expectation&&) noexcept;
  Expectation& operator=(Expectation&&) noexcept;
  ~Expectation();

  // has_frames tells whether any row is about a frame (it has the key "frame").
  bool has_frames() const;

  // differences compares rows in order, as the replay prints them, and returns one line per difference; none
  // means that all is as expected. Every printed flow row must be expected and the other way round; frame
  // rows likewise, but only if the expectation has any; an expectation of frame rows alone says nothing of
  // flows. "file" is compared by base name. Keys that an expected row lacks are not compared.
  std::vector<std::string> differences(std::string_view flow_json, std::string_view frame_json) const;

 private:
  struct Rows;
  explicit Expectation(std::unique_ptr<Rows> rows);
  std::unique_ptr<Rows> rows_;
};

}  // namespace sallyport::replay
