#include "sallyport/parsers/ftp.h"

#include <gtest/gtest.h>

namespace sallyport::parsers {
namespace {

TEST(FtpCommandTest, ReadsVerbsInAnyCase) {
  EXPECT_EQ(parse_ftp_command("pasv")->verb, FtpVerb::kPasv);
  EXPECT_EQ(parse_ftp_command("EPSV")->verb, FtpVerb::kEpsv);
  EXPECT_EQ(parse_ftp_command("EPSV 2")->verb, FtpVerb::kEpsv);
  EXPECT_EQ(parse_ftp_command("EPSV ALL")->verb, FtpVerb::kOther);
  EXPECT_EQ(parse_ftp_command("AUTH GSSAPI")->verb, FtpVerb::kOther);
  EXPECT_EQ(parse_ftp_command("RETR PASV")->verb, FtpVerb::kOther);
  EXPECT_EQ(parse_ftp_command("")->verb, FtpVerb::kEmpty);
  for (const char* line : {"LPRT 4,4,1,2,3,4,2,5,6", "lpsv", "CPSV", "SPSV", "MIC abc", "ENC abc", "CONF abc"}) {
    EXPECT_EQ(parse_ftp_command(line).error(), ParseError::kUnsupported) << line;
  }
  for (const char* line : {" PORT 1,2,3,4,5,6", "\tPASV", "PORT\t1,2,3,4,5,6", "P0RT x", "220 hello"}) {
    EXPECT_EQ(parse_ftp_command(line).error(), ParseError::kMalformed) << line;
  }
}

TEST(FtpCommandTest, ReadsWhereAnActiveConnectionShallGo) {
  const auto port = parse_ftp_command("PORT 192,0,2,1,4,1");
  ASSERT_TRUE(port);
  EXPECT_EQ(port->verb, FtpVerb::kPort);
  EXPECT_EQ(port->address, IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(port->port, 1025);
  const auto v4 = parse_ftp_command("EPRT |1|192.0.2.1|40000|");
  EXPECT_EQ(v4->address, IpAddress::parse("192.0.2.1"));
  EXPECT_EQ(v4->port, 40'000);
  EXPECT_EQ(parse_ftp_command("EPRT !2!2001:db8::1!65535!")->address, IpAddress::parse("2001:db8::1"));
  for (const char* line : {"PORT", "PORT 1,2,3,4,5", "PORT 1,2,3,4,5,256", "PORT 1,2,3,4,5,6,7", "PORT 1,2,3,4,5,6 ", "PORT 1,2,3,4,,6", "PORT 1, 2,3,4,5,6",
                           "PORT 0001,2,3,4,5,6", "EPRT |2|192.0.2.1|40000|", "EPRT |1|2001:db8::1|40000|", "EPRT |1|192.0.2.1|65536|",
                           "EPRT |1|192.0.2.1|40000|x", "EPRT |1|192.0.2.1|40000", "EPRT 111921", "EPRT |3|192.0.2.1|40000|", "EPRT |1||1|"}) {
    EXPECT_FALSE(parse_ftp_command(line)) << line;
  }
}

TEST(FtpPassiveTest, FindsTheOneAddressInAnyBrackets) {
  for (const char* text : {" Entering Passive Mode (192,0,2,1,156,64).", " Entering Passive Mode 192,0,2,1,156,64", " =192,0,2,1,156,64", " Ok, port 7 (192,0,2,1,156,64), go"}) {
    const auto passive = parse_ftp_227(text);
    ASSERT_TRUE(passive) << text;
    EXPECT_EQ(passive->address, IpAddress::parse("192.0.2.1"));
    EXPECT_EQ(passive->port, 40'000);
  }
  for (const char* text : {"", " Entering Passive Mode", " (192,0,2,1,156)", " (192,0,2,1,156,64,1)", " (192,0,2,1,156,64) (192,0,2,2,156,64)",
                           " (192,0,2,256,156,64)", " 1,2 (192,0,2,1,156,64)", " (192,0,2,1,0156,64)"}) {
    EXPECT_FALSE(parse_ftp_227(text)) << text;
  }
}

TEST(FtpPassiveTest, FindsThePortOfAnExtendedReply) {
  EXPECT_EQ(parse_ftp_229(" Entering Extended Passive Mode (|||40000|)"), 40'000);
  EXPECT_EQ(parse_ftp_229(" ok (!!!1!)."), 1);
  for (const char* text : {"", " (|||40000|", " |||40000|", " (||40000|)", " (|||65536|)", " (||||)", " (|1|192.0.2.1|40000|)", " (|||40000|) (|||40001|)",
                           " (|||40 00|)", " (1111401)", " (||!40000|)", " )|||40000|("}) {
    EXPECT_FALSE(parse_ftp_229(text)) << text;
  }
}

}  // namespace
}  // namespace sallyport::parsers
