// What the keys of the live view do: to the model, and beyond it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "sallyport/view/model.h"

namespace sallyport::view {

struct Key {
  enum class Kind : std::uint8_t {
    kCharacter, kUp, kDown, kLeft, kRight, kPageUp, kPageDown, kHome, kEnd, kEnter, kEscape, kBackspace, kTab, kOther,
  };
  Kind kind = Kind::kOther;
  char character = 0;
};

struct Effect {
  enum class Kind : std::uint8_t {
    kNone,
    kQuit,
    kAsk,   // Send `text`, a request, to the service; its answer goes to show_answer.
    kCopy,  // Put `text` into the clipboard.
  };
  Kind kind = Kind::kNone;
  std::string text;
};

// press applies a key; `page` is how many rows of a list the screen shows.
Effect press(Model& model, const Key& key, std::size_t page);

// show_answer puts the service's answer to a request, or why there is none, into the message line.
void show_answer(Model& model, std::string_view request, std::string_view answer);
void show_problem(Model& model, std::string_view problem);

}  // namespace sallyport::view
