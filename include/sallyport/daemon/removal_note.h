// How `sallyport rules remove` tells a service that runs here that it is meant: it must not put the rules back.
#pragma once

namespace sallyport::daemon {

// note_rules_removed leaves the note for whoever runs in this network namespace; call it before the rules are removed. It lasts
// until the next start.
void note_rules_removed();

}  // namespace sallyport::daemon
