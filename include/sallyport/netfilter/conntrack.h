// Conntrack reads and changes the ct marks of connections that the kernel follows (ctnetlink). It never deletes an entry: a
// connection without one would begin anew in its middle. Any one thread; it may allocate and wait for the kernel.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sallyport/core/flow_key.h"
#include "sallyport/netfilter/mark_field.h"

namespace sallyport::netfilter {

// ConntrackEntry is a connection as the kernel has it. `key` is as the hooks of the rules see it: from the client's own
// address to the server's, behind whatever translates the one (DNAT) and before what translates the other (SNAT).
struct ConntrackEntry {
  FlowKey key;
  std::uint32_t mark = 0;
  bool confirmed_reply = false;           // Something came back.
  bool over = false;                      // TCP: TIME_WAIT, or CLOSE: one reset that connection tracking believed.
  bool syn_seen = false;                  // TCP: tracking saw its SYN, so `key.client` opened it. Else it was picked up in its middle, by whichever side.
  std::uint8_t family = 0;
  std::vector<std::uint8_t> original;     // CTA_TUPLE_ORIG and CTA_ZONE, as they came: what names the entry to the kernel.
};

struct MarkChange {
  FlowKey key;
  FlowMark mark = FlowMark::kUndecided;
};

class Conntrack {
 public:
  // open fails with a message where the kernel has no ctnetlink, or this process may not use it.
  static std::expected<std::unique_ptr<Conntrack>, std::string> open(const MarkField& field);
  ~Conntrack();
  Conntrack(const Conntrack&) = delete;
  Conntrack& operator=(const Conntrack&) = delete;

  // list returns the entries whose ct mark is `mark` under `mask`; the kernel filters. TCP, UDP, ICMP and others.
  std::expected<std::vector<ConntrackEntry>, std::string> list(std::uint32_t mark, std::uint32_t mask);

  // set_marks sets the field of the ct marks of TCP and UDP flows whose addresses nothing translates. Returns which of the changes
  // (their indexes) found no such entry; other transports are never found.
  std::expected<std::vector<std::size_t>, std::string> set_marks(std::span<const MarkChange> changes, Generation generation);
  // set_mark does it for entries of a list. Those that have gone meanwhile are left out.
  std::expected<void, std::string> set_mark(std::span<const ConntrackEntry> entries, FlowMark mark, Generation generation);

 private:
  class Impl;
  explicit Conntrack(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sallyport::netfilter
