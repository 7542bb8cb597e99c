// FTP's data connections: while a session in plaintext is followed (judge_upgrade.cc) each port that the server announces is
// expected (expectations.h), and neither side may name another host. Behind AUTH TLS nothing can be read.
#include "inspector_impl.h"
#include "sallyport/parsers/ftp.h"

namespace sallyport::engine {
namespace {

constexpr std::uint16_t kPassive = 227, kExtendedPassive = 229;  // RFC 959 §5.4, RFC 2428 §3
constexpr unsigned kVerbBits = 4;
static_assert(kFtpPipelineMax * kVerbBits <= 64);

parsers::FtpVerb verb_at(const FtpState& ftp, unsigned index) {
  return static_cast<parsers::FtpVerb>(ftp.verbs >> (index * kVerbBits) & 0xf);
}

void push(FtpState& ftp, parsers::FtpVerb verb) {
  ftp.verbs |= static_cast<std::uint64_t>(verb) << (ftp.pending++ * kVerbBits);
}

// pop_at takes one command off the list, wherever it stands.
void pop_at(FtpState& ftp, unsigned index) {
  const std::uint64_t before = ftp.verbs & ((std::uint64_t{1} << (index * kVerbBits)) - 1);
  ftp.verbs = (ftp.verbs >> (index * kVerbBits) >> kVerbBits << (index * kVerbBits)) | before;
  --ftp.pending;
}

void pop(FtpState& ftp, unsigned count) {
  ftp.verbs = count * kVerbBits >= 64 ? 0 : ftp.verbs >> (count * kVerbBits);
  ftp.pending = static_cast<std::uint8_t>(ftp.pending - count);
}

// answers tells whether a reply answers a command of this kind, and takes it off the list. A server may leave a reply out or
// send one too many (ABOR): an announcement is looked for further on, and a reply that is neither one nor a refusal takes a
// PASV or EPSV away only where no other command is due and another of them is.
bool answers(FtpState& ftp, parsers::FtpVerb wanted) {
  for (unsigned i = 0; i < ftp.pending; ++i) {
    if (verb_at(ftp, i) != wanted) continue;
    pop(ftp, i + 1);
    return true;
  }
  return false;
}

void answer_first(FtpState& ftp, std::uint16_t code) {
  constexpr std::uint16_t kFirstRefusal = 400;
  if (ftp.pending == 0) return;
  if (code >= kFirstRefusal) return pop(ftp, 1);
  for (unsigned i = 0; i < ftp.pending; ++i) {
    const parsers::FtpVerb verb = verb_at(ftp, i);
    if (verb != parsers::FtpVerb::kPasv && verb != parsers::FtpVerb::kEpsv) return pop_at(ftp, i);
  }
  if (ftp.pending > 1) pop(ftp, 1);
}

std::string_view without_end(ByteSpan line) {
  std::string_view text = as_text(line);
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

}  // namespace

// follows_ftp tells the sessions that a rule for ftp allowed, whose greeting was waited for, with the server itself.
bool Inspector::Impl::follows_ftp(const Flow& flow) {
  return flow.session.read.protocol == Protocol::kFtp && flow.greeting_wanted && flow.own_word_rule != kNoRule && flow.proxy == nullptr;
}

// read_ftp_command judges a command line. False: the flow is denied now.
bool Inspector::Impl::read_ftp_command(Flow& flow, ByteSpan line) {
  using parsers::FtpVerb;
  const auto command = parsers::parse_ftp_command(without_end(line));
  Reason reason = Reason::kNotEvaluated;
  if (!command) {
    reason = command.error() == ParseError::kUnsupported ? Reason::kUnsupportedVersion : Reason::kMalformed;
  } else if (command->verb == FtpVerb::kPort &&
             (command->address.unmapped() != flow.key.client.address.unmapped() || command->port < kFirstUserPort)) {
    reason = Reason::kFtpOtherAddress;
  } else if (command->verb != FtpVerb::kEmpty) {
    push(flow.ftp, command->verb);
  }
  if (reason != Reason::kNotEvaluated) refuse(flow, reason);
  return reason == Reason::kNotEvaluated;
}

// read_ftp_reply reads the last line of a reply. False: the flow is denied now.
bool Inspector::Impl::read_ftp_reply(Flow& flow, ByteSpan line) {
  using parsers::FtpVerb;
  constexpr std::uint16_t kFirstFinal = 200;
  const std::string_view text = without_end(line);
  std::uint16_t code = 0;
  for (const char c : text.substr(0, 3)) code = static_cast<std::uint16_t>(code * 10 + (c - '0'));
  if (code < kFirstFinal) return true;  // RFC 959 §4.2: another one follows.
  const std::string_view rest = text.substr(std::min<std::size_t>(text.size(), 3));
  if (code == kPassive && answers(flow.ftp, FtpVerb::kPasv)) {
    const auto passive = parsers::parse_ftp_227(rest);
    if (passive) return expect_ftp_data(flow, passive->address, passive->port);
  } else if (code == kExtendedPassive && answers(flow.ftp, FtpVerb::kEpsv)) {
    const auto port = parsers::parse_ftp_229(rest);
    if (port) return expect_ftp_data(flow, flow.key.server.address, *port);
  } else {
    if (code != kPassive && code != kExtendedPassive) answer_first(flow.ftp, code);
    return true;
  }
  refuse(flow, Reason::kAmbiguous);
  return false;
}

bool Inspector::Impl::expect_ftp_data(Flow& flow, const IpAddress& address, std::uint16_t port) {
  if (port < kFirstUserPort || address.unmapped() != flow.key.server.address.unmapped()) {
    refuse(flow, Reason::kFtpOtherAddress);
    return false;
  }
  if (flow.key.tunnel != 0) return true;
  // Without room the data connection is denied.
  (void)expectations_->expect_connection(flow.key.client.address, {flow.key.server.address, port}, owner_of(flow), policy_->definition_of(flow.own_word_rule), now_);
  return true;
}

}  // namespace sallyport::engine
