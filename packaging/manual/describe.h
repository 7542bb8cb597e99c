// The build's own variant of the program (packaging/packaging.cmake): in place of running a command it prints what commands and
// policy keys there are. Man pages, completions and the policy's schema are made from that.
#pragma once

namespace CLI {
class App;
}

namespace sallyport::cli {

// describe_instead has app.parse() print `app` and policy_keys() as JSON, and end with success.
void describe_instead(CLI::App& app);

}  // namespace sallyport::cli
