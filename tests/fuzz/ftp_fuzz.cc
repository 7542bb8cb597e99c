// A line of an FTP session: what is read of it is in range, and no prefix or blank in front changes whom it is about.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "sallyport/parsers/ftp.h"

namespace {

using namespace sallyport;
using namespace sallyport::parsers;

void check(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> exact(data, data + size);
  const std::string_view line(exact.data(), exact.size());
  const auto command = parse_ftp_command(line);
  if (command && command->verb == FtpVerb::kPort) {
    check(line[0] != ' ' && size >= 6);
    check(!parse_ftp_command(" " + std::string(line)));
    check(!parse_ftp_command(std::string(line) + " 1"));
  }
  if (const auto passive = parse_ftp_227(line)) {
    check(passive->address.is_v4());
    check(!parse_ftp_227(std::string(line) + " (1,2,3,4,5,6)"));  // Two addresses are none.
    const auto again = parse_ftp_227("x" + std::string(line) + "x");
    check(!again || (again->address == passive->address && again->port == passive->port));
  }
  if (const auto port = parse_ftp_229(line)) {
    check(parse_ftp_229("(|||" + std::to_string(*port) + "|)") == *port);
    check(!parse_ftp_229(std::string(line) + "(|||1|)"));
  }
  return 0;
}
