// EventFolder counts repeated denials, so that a client that tries again and again does not fill a disk. The first is a line at
// once; those of the window behind it become one line with their count. Nothing is lost: where there is no room to tell
// another denial apart, it is a line of its own. One thread.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "event_line.h"

namespace sallyport::daemon {

class EventFolder {
 public:
  // window 0: nothing is folded.
  EventFolder(Duration window, std::size_t most) : window_(window), most_(most) {}

  void set_window(Duration window) { window_ = window; }

  // fold tells whether the record is counted and no line. Time may go back: windows that it has left end early.
  bool fold(const EventRecord& record, std::string_view id, Timestamp now);

  struct Folded {
    EventRecord record;  // The last of them.
    Repeated repeated;
  };
  // take_due returns what was counted in windows that are over; everything, if `all`. A window with repetitions is followed by
  // another, so that what goes on is one line per window.
  std::vector<Folded> take_due(Timestamp now, bool all);

  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    EventRecord last;
    Repeated repeated;
    Timestamp begun;
  };
  static std::string key_of(const EventRecord& record);

  Duration window_;
  std::size_t most_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace sallyport::daemon
