// A match takes no memory.
#include <gtest/gtest.h>

#include <array>
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
      "[[rules]]\nto = \"evil.example\"\naction = \"deny\"\n"
      "[[rules]]\nto = [\"*.a.example\", \"2001:db8::/32\"]\nprotocols = \"ssh\"\nports = 2222\n"
      "host_keys = \"SHA256:EeX7elgqQOdT8IOPueNwHKfXC9yx2FhmXaQz8vGzDso\"\n"
      "[dns]\nprivate = [\"b.example\", \".lan\"]\n");
  const auto name = DomainName::parse("some.long.name.of.many.labels.below.a.example").value();
  FlowQuery query;
  query.protocol = Protocol::kTls;
  query.destination = IpAddress::parse("2001:db8::1").value();
  query.name = &name;
  query.bound = query.claimed = true;
  const std::array<std::uint8_t, 32> key{};
  FlowQuery ssh = query;
  ssh.protocol = Protocol::kSsh;
  ssh.port = 2222;
  ssh.host_key = &key;
  const std::size_t before = allocations.load();
  unsigned allowed = 0;
  for (unsigned i = 0; i < 10'000; ++i) {
    query.port = static_cast<std::uint16_t>(i);
    query.scopes = policy->scopes_of({query.destination, "an-interface-0", i, std::nullopt});
    allowed += policy->match(query).action == Action::kAllow ? 1u : 0u;
    allowed +=
        policy->match_early(query.scopes, Transport::kTcp, query.destination, query.port, query.now).match ==
                EarlyMatch::kAllow
            ? 1u
            : 0u;
    EXPECT_TRUE(policy->names_cover(query.scopes, Transport::kTcp, 443, name, query.now));
    EXPECT_EQ(policy->match_question(query.scopes, &name, query.now).action, Action::kAllow);
    EXPECT_EQ(policy->wildcard_of(query.scopes, name, query.now), "a.example");
    EXPECT_FALSE(policy->may_be_private(name));
    EXPECT_FALSE(policy->view_trusts(policy->view_of(query.scopes), query.destination));
    EXPECT_NE(policy->match(ssh).other_host_key, kNoRule);
  }
  EXPECT_EQ(allocations.load(), before);
  EXPECT_EQ(allowed, 1u + 2u * 1'001u);  // Port 443 by name; the tcp rule, early and late.
  const auto counted = std::make_unique<int>(1);
  EXPECT_GT(allocations.load(), before) << "the counter counts";
}

}  // namespace
}  // namespace sallyport::policy
