// Event files, and what is learned of them: whatever a line says, the result is a policy that loads, of printable ASCII.
#include <cstdlib>
#include <sstream>
#include <string>

#include "sallyport/learn/event_file.h"
#include "sallyport/learn/learner.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream in(std::string(data, data + size));
  sallyport::learn::EventFile events;
  sallyport::learn::read_events(in, "events", events);
  sallyport::learn::LearnOptions options;
  options.events = std::move(events.sightings);
  options.fold = 2;
  options.denied = true;
  options.pin_host_keys = true;
  for (const char* scope : {"", "agent"}) {
    options.scope = scope;
    const auto learned = sallyport::learn::learn(options);
    if (!learned) std::abort();
    const std::string text = sallyport::learn::learned_text(*learned, options);
    for (const char c : text) {
      if (c != '\n' && (c < 0x20 || c > 0x7e)) std::abort();
    }
    if (!sallyport::policy::load_policy_text(text, "learned")) std::abort();
  }
  return 0;
}
