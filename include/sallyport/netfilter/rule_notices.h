// RuleNotices hears that somebody changed the kernel's rules: of iptables-nft by the notifications that nf_tables sends, of
// iptables-legacy, which sends none, by looking at the tables' sizes. It tells that something changed in tables that we use,
// not what, and our own changes are heard like all others. One thread may use it.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "sallyport/netfilter/rule_installer.h"

namespace sallyport::netfilter {

// RuleNotice is what one wait heard.
struct RuleNotice {
  bool changed = false;
  std::uint32_t pid = 0;  // Of the process that made the last change, in the first pid namespace; 0: not known.
  std::string process;    // Its name (15 bytes at most), as the kernel tells it.
};

class RuleNotices {
 public:
  // open needs CAP_NET_ADMIN for the first and CAP_NET_RAW for the second. Fails with a message.
  static std::expected<std::unique_ptr<RuleNotices>, std::string> open(Backend backend);
  virtual ~RuleNotices() = default;

  // wait returns when something changed, when `wake` becomes readable, or after `timeout`.
  virtual RuleNotice wait(int wake, std::chrono::milliseconds timeout) = 0;
};

}  // namespace sallyport::netfilter
