// ProxyTarget is what a flow's server, a proxy, is asked for: the destination that the rules are asked about.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "sallyport/core/domain_name.h"
#include "sallyport/core/ip_address.h"

namespace sallyport::engine {

struct ProxyTarget {
  DomainName name;  // The proxy looks it up. Empty: `address`.
  IpAddress address;
  std::uint16_t port = 0;
  bool reached = false;  // The proxy has said yes: what the client sends is for the target, not for the proxy.

  bool by_name() const { return !name.empty(); }
};

// ProxyTargetText is a target as "name:port", "address:port" or "[address]:port".
class ProxyTargetText {
 public:
  explicit ProxyTargetText(const ProxyTarget& target);
  // view is valid as long as this is.
  std::string_view view() const { return {text_.data(), size_}; }

 private:
  std::array<char, DomainName::kMaxLength + 16> text_{};
  std::size_t size_ = 0;
};

// ProxyTargetPool lends targets. All memory is taken at start; its pages are touched on first use only.
class ProxyTargetPool {
 public:
  explicit ProxyTargetPool(std::size_t count) : targets_(std::make_unique_for_overwrite<ProxyTarget[]>(count)) {
    free_.reserve(count);
    for (std::size_t i = count; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
  }

  // acquire returns an empty target, or null when all are lent.
  ProxyTarget* acquire() {
    if (free_.empty()) return nullptr;
    ProxyTarget* target = &targets_[free_.back()];
    free_.pop_back();
    *target = ProxyTarget{};
    return target;
  }

  // release takes a target back and nulls the caller's pointer; a null pointer is left alone.
  void release(ProxyTarget*& target) {
    if (target != nullptr) free_.push_back(static_cast<std::uint32_t>(target - targets_.get()));
    target = nullptr;
  }

 private:
  std::unique_ptr<ProxyTarget[]> targets_;
  std::vector<std::uint32_t> free_;
};

}  // namespace sallyport::engine
