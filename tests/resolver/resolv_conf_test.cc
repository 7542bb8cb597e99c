#include "sallyport/resolver/resolv_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "sallyport/engine/resolvers.h"

namespace sallyport::resolver {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

ReadFile files(std::map<std::string, std::string> contents) {
  return [contents = std::move(contents)](const char* path) -> std::optional<std::string> {
    const auto found = contents.find(path);
    if (found == contents.end()) return std::nullopt;
    return found->second;
  };
}

TEST(ResolvConfTest, ReadsNameserverLinesInTheirOrder) {
  EXPECT_THAT(parse_resolv_conf("# made by hand\nsearch corp.example\nnameserver 192.0.2.1\n"
                                "\t nameserver\t2001:db8::53  # the second\r\noptions edns0\nnameserver 192.0.2.3"),
              ElementsAre(ip("192.0.2.1"), ip("2001:db8::53"), ip("192.0.2.3")));
}

TEST(ResolvConfTest, PassesOverWhatIsNoAddressOrNoNameserverLine) {
  EXPECT_THAT(parse_resolv_conf("nameserver\nnameserver resolver.example\nnameserver 192.0.2.256\n"
                                "nameserverx 192.0.2.1\n#nameserver 192.0.2.2\n; nameserver 192.0.2.3\n"
                                "domain nameserver 192.0.2.4\n"),
              IsEmpty());
}

TEST(ResolvConfTest, AZoneIsDroppedAndAMappedAddressUnmapped) {
  EXPECT_THAT(parse_resolv_conf("nameserver fe80::1%eth0\nnameserver ::ffff:192.0.2.1\nnameserver 192.0.2.1\n"),
              ElementsAre(ip("fe80::1"), ip("192.0.2.1")));
}

TEST(ResolvConfTest, KeepsNoMoreThanCanBeTrusted) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  EXPECT_THAT(parse_resolv_conf(text), SizeIs(engine::Resolvers::kMax));
}

TEST(ResolvConfTest, APrefixNeverGivesAnAddressThatIsNotInTheText) {
  const std::string text = "nameserver 192.0.2.17\nnameserver 2001:db8::5311\n";
  const std::vector<IpAddress> whole = parse_resolv_conf(text);
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const std::vector<char> prefix(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
    const std::vector<IpAddress> servers = parse_resolv_conf({prefix.data(), prefix.size()});
    EXPECT_LE(servers.size(), whole.size());
    // A cut last line may read as a shorter address (as for any reader); the complete ones are what they are.
    if (length >= text.find('\n')) {
      EXPECT_EQ(servers.at(0), whole[0]) << length;
    }
  }
}

TEST(SystemResolversTest, WithoutAStubOnlyTheServersOfResolvConfAreTrusted) {
  const SystemResolvers servers = read_system_resolvers(
      files({{"/etc/resolv.conf", "nameserver 192.0.2.1\n"},
             {"/run/systemd/resolve/resolv.conf", "nameserver 198.51.100.1\n"}}));
  EXPECT_THAT(servers.asked, ElementsAre(ip("192.0.2.1")));
  EXPECT_THAT(servers.trusted, ElementsAre(ip("192.0.2.1")));
}

TEST(SystemResolversTest, BehindAStubItsUpstreamsAreTrustedToo) {
  for (const char* stub : {"127.0.0.53", "127.0.0.1", "127.0.0.11", "::1"}) {
    const SystemResolvers servers = read_system_resolvers(
        files({{"/etc/resolv.conf", std::string("nameserver ") + stub + "\n"},
               {"/run/systemd/resolve/resolv.conf", "nameserver 198.51.100.1\nnameserver 198.51.100.2\n"},
               {"/run/NetworkManager/no-stub-resolv.conf", "nameserver 198.51.100.2\n"}}));
    EXPECT_THAT(servers.asked, ElementsAre(ip(stub)));
    EXPECT_THAT(servers.trusted, ElementsAre(ip(stub), ip("198.51.100.1"), ip("198.51.100.2")));
  }
}

TEST(SystemResolversTest, WithoutAFileOrALineNobodyIsTrusted) {
  EXPECT_THAT(read_system_resolvers(files({})).trusted, IsEmpty());
  const SystemResolvers servers = read_system_resolvers(
      files({{"/etc/resolv.conf", "search corp.example\n"},
             {"/run/systemd/resolve/resolv.conf", "nameserver 198.51.100.1\n"}}));
  EXPECT_THAT(servers.trusted, IsEmpty());
  EXPECT_THAT(servers.asked, IsEmpty());
}

TEST(StubAdviceTest, SaysWhenNobodyTellsWhomTheStubAsks) {
  const SystemResolvers alone = read_system_resolvers(files({{"/etc/resolv.conf", "nameserver 127.0.0.1\n"}}));
  EXPECT_THAT(stub_advice(alone, {}, true), HasSubstr("a stub on 127.0.0.1"));
  const std::vector<IpAddress> network = {ip("192.0.2.1")};
  EXPECT_EQ(stub_advice(alone, network, true), "");
  const SystemResolvers told = read_system_resolvers(
      files({{"/etc/resolv.conf", "nameserver 127.0.0.53\n"},
             {"/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n"}}));
  EXPECT_EQ(stub_advice(told, {}, true), "");
  EXPECT_EQ(stub_advice(read_system_resolvers(files({{"/etc/resolv.conf", "nameserver 192.0.2.1\n"}})), {}, true), "");
}

TEST(StubAdviceTest, SaysWhenTheHostsServerIsNotListed) {
  const SystemResolvers system = read_system_resolvers(files({{"/etc/resolv.conf", "nameserver 127.0.0.1\n"}}));
  const std::vector<IpAddress> network = {ip("192.0.2.1")};
  EXPECT_THAT(stub_advice(system, network, false), HasSubstr("127.0.0.1, which is not in [dns] resolvers"));
  const std::vector<IpAddress> both = {ip("192.0.2.1"), ip("127.0.0.1")};
  EXPECT_EQ(stub_advice(system, both, false), "");
  EXPECT_EQ(stub_advice(system, {}, false), "") << "resolvers = [] lets nobody ask, on purpose";
}

TEST(OwnAddressesTest, AreThoseOfTheNamedInterfaces) {
  EXPECT_THAT(own_addresses(std::vector<std::string>{"lo"}), Contains(ip("127.0.0.1")));
  EXPECT_THAT(own_addresses(std::vector<std::string>{"l+"}), Contains(ip("127.0.0.1")));
  EXPECT_THAT(own_addresses(std::vector<std::string>{"nosuchif"}), IsEmpty());
  EXPECT_THAT(own_addresses({}), IsEmpty());
}

}  // namespace
}  // namespace sallyport::resolver
