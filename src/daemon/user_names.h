// UserNames looks the name of a uid up once; the number stands for one that has no name. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace sallyport::daemon {

class UserNames {
 public:
  // of returns the name, escaped as names from the network are.
  const std::string& of(std::uint32_t uid);

 private:
  std::unordered_map<std::uint32_t, std::string> names_;
};

}  // namespace sallyport::daemon
