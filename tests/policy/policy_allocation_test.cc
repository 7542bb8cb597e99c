// A match takes no memory.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "policy_support.h"

namespace {
std::atomic<std::size_t> allocations{0};
}  // namespace

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* const block = std::malloc(size != 0 ? size : 1)) return block;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size != 0 ? size : 1);
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace sallyport::policy {
namespace {

TEST(PolicyAllocationTest, MatchTakesNoMemory) {
  const auto policy = load(
      "[scopes.s]\nusers = 1\nsources = \"10.0.0.0/8\"\ninterfaces = \"an-interface-0\"\n"
      "[[rules]]\nto = [\"a.example\", \"*.a.example\", \"10.0.0.0/8\", \"2001:db8::/32\"]\n"
      "[[rules]]\nto = \"any\"\nprotocols = \"tcp\"\nports = \"1000-2000\"\nscope = \"s\"\n"
      "[[rules]]\nto = \"evil.example\"\naction = \"deny\"\n");
  const auto name = DomainName::parse("some.long.name.of.many.labels.below.a.example").value();
  FlowQuery query;
  query.protocol = Protocol::kTls;
  query.destination = IpAddress::parse("2001:db8::1").value();
  query.name = &name;
  query.bound = query.claimed = true;
  const std::size_t before = allocations.load();
  unsigned allowed = 0;
  for (unsigned i = 0; i < 10'000; ++i) {
    query.port = static_cast<std::uint16_t>(i);
    query.scopes = policy->scopes_of({query.destination, "an-interface-0", i});
    allowed += policy->match(query).action == Action::kAllow ? 1u : 0u;
    allowed +=
        policy->match_early(query.scopes, Transport::kTcp, query.destination, query.port, query.now).match ==
                EarlyMatch::kAllow
            ? 1u
            : 0u;
  }
  EXPECT_EQ(allocations.load(), before);
  EXPECT_EQ(allowed, 1u + 2u * 1'001u);  // Port 443 by name; the tcp rule, early and late.
  const auto counted = std::make_unique<int>(1);
  EXPECT_GT(allocations.load(), before) << "the counter counts";
}

}  // namespace
}  // namespace sallyport::policy
