// SSH: the client's identification string says the protocol; the address says where to. With details
// wanted, the key exchange is read as well, for as long as it is in the clear.
#include "inspector_impl.h"
#include "sallyport/parsers/ssh.h"

namespace sallyport::engine {

void Inspector::Impl::read_ssh(Flow& flow) {
  if (flow.final_after == 0) {
    const auto identification = parsers::read_ssh_identification(flow.client->contiguous(), false);
    if (identification.framing == Framing::kNeedMore) return;
    if (!identification.line.empty()) report_detail(flow, Detail::kClientBanner, identification.line);
    if (identification.framing != Framing::kComplete) {
      return refuse(flow, identification.unsupported ? Reason::kUnsupportedVersion : Reason::kMalformed);
    }
    if (!judge(flow, Protocol::kSsh, {})) return;
    flow.client->consume(identification.consumed);
    flow.final_after = flow.client->base();
    flow.watch = true;
  }
  // What follows names nothing.
  flow.client->skip(flow.client->contiguous().size());
}

}  // namespace sallyport::engine
