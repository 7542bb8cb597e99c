#include "sallyport/pcap/fragments.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

namespace sallyport::pcap {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kPieceOverhead = 64;  // What a kept piece costs beside its bytes.
constexpr std::size_t kDatagramMax = 65'535;
constexpr std::size_t kIpv4HeaderMin = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kFragmentHeaderSize = 8;  // RFC 8200 §4.5
constexpr int kExtensionsMax = 8;
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragmentHeader = 44;
constexpr std::uint8_t kDestinationOptions = 60;

std::uint16_t u16_at(ByteSpan bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::uint32_t u32_at(ByteSpan bytes, std::size_t at) {
  return std::uint32_t{u16_at(bytes, at)} << 16 | u16_at(bytes, at + 2);
}

void set_u16(Bytes& bytes, std::size_t at, std::size_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

struct Key {
  bool is_v6 = false;
  std::uint8_t protocol = 0;  // IPv4 only: RFC 8200 leaves it out of the key.
  std::uint32_t id = 0;
  std::array<std::uint8_t, 32> addresses{};

  friend auto operator<=>(const Key&, const Key&) = default;
};

// Fragment is one fragment, read: views into the packet.
struct Fragment {
  Key key;
  std::uint32_t offset = 0;
  bool more = false;
  std::uint8_t next_header = 0;     // IPv6: of what is fragmented.
  std::size_t next_header_at = 0;   // IPv6: place of the number 44 in `header`.
  ByteSpan header;                  // The part that is in every fragment.
  ByteSpan data;
};

std::optional<Fragment> read_ipv4(ByteSpan bytes) {
  if (bytes.size() < kIpv4HeaderMin) return std::nullopt;
  const std::size_t header = std::size_t{bytes[0] & 0x0fu} * 4;
  const unsigned field = u16_at(bytes, 6);
  if ((field & 0x3fff) == 0 || header < kIpv4HeaderMin || header > bytes.size()) return std::nullopt;
  Fragment fragment;
  fragment.key.protocol = bytes[9];
  fragment.key.id = u16_at(bytes, 4);
  std::copy_n(bytes.begin() + 12, 8, fragment.key.addresses.begin());
  fragment.offset = (field & 0x1fff) * 8;
  fragment.more = (field & 0x2000) != 0;
  fragment.header = bytes.first(header);
  fragment.data = bytes.subspan(header);
  return fragment;
}

std::optional<Fragment> read_ipv6(ByteSpan bytes) {
  if (bytes.size() < kIpv6Header) return std::nullopt;
  std::size_t next_header_at = 6;
  std::size_t at = kIpv6Header;
  for (int headers = 0; headers < kExtensionsMax; ++headers) {
    const std::uint8_t next = bytes[next_header_at];
    const std::size_t left = bytes.size() - at;
    if (next == kFragmentHeader) break;
    if ((next != kHopByHop && next != kRouting && next != kDestinationOptions) || left < 2) return std::nullopt;
    const std::size_t length = (std::size_t{bytes[at + 1]} + 1) * 8;
    if (length > left) return std::nullopt;
    next_header_at = at;
    at += length;
  }
  if (bytes[next_header_at] != kFragmentHeader || bytes.size() - at < kFragmentHeaderSize) return std::nullopt;
  const unsigned field = u16_at(bytes, at + 2);
  Fragment fragment;
  fragment.key.is_v6 = true;
  fragment.key.id = u32_at(bytes, at + 4);
  std::copy_n(bytes.begin() + 8, 32, fragment.key.addresses.begin());
  fragment.offset = field & 0xfff8;
  fragment.more = (field & 1) != 0;
  fragment.next_header = bytes[at];
  fragment.next_header_at = next_header_at;
  fragment.header = bytes.first(at);
  fragment.data = bytes.subspan(at + kFragmentHeaderSize);
  return fragment;
}

// RFC 8200 §4.5: the first fragment must hold the whole transport header; Linux drops it otherwise.
bool transport_header_is_cut(const Fragment& fragment) {
  if (!fragment.key.is_v6 || fragment.offset != 0) return false;
  switch (fragment.next_header) {
    case 6: return fragment.data.size() < 20;
    case 17:
    case 58: return fragment.data.size() < 8;
    default: return false;
  }
}

enum class Insert : std::uint8_t { kNew, kDuplicate, kOverlap };

// RangeSet follows the kernel's inet_frag_queue_insert: runs of fragments that came in order at the end,
// and single ones between. A repetition inside one run is a duplicate; across two it is an overlap.
class RangeSet {
 public:
  Insert insert(std::uint32_t begin, std::uint32_t end) {
    const std::uint32_t tail = runs_.empty() ? 0 : runs_.rbegin()->second;
    if (runs_.empty() || tail < end) {
      if (begin < tail) return Insert::kOverlap;
      if (!runs_.empty() && begin == tail) {
        runs_.rbegin()->second = end;
      } else {
        runs_.emplace(begin, end);
      }
      return Insert::kNew;
    }
    const auto after = runs_.lower_bound(end);  // Runs from here on begin at or behind the end.
    if (after != runs_.begin()) {
      const auto& [run_begin, run_end] = *std::prev(after);
      if (begin >= run_begin && end <= run_end) return Insert::kDuplicate;
      if (begin < run_end) return Insert::kOverlap;
    }
    runs_.emplace(begin, end);
    return Insert::kNew;
  }

 private:
  std::map<std::uint32_t, std::uint32_t> runs_;  // Begin to end; disjoint.
};

struct Piece {
  std::uint32_t offset;
  Bytes bytes;
};

struct Datagram {
  Timestamp expires;
  RangeSet ranges;
  std::vector<Piece> pieces;
  std::vector<PacketId> frames;
  std::size_t filled = 0;
  std::uint32_t length = 0;
  bool has_first = false;
  bool has_last = false;
  bool is_cut = false;  // The capture lacks bytes of it,
  bool cut_told = false;  // and that was said.
  Bytes header;
  std::uint8_t next_header = 0;
  std::size_t next_header_at = 0;

  bool complete() const { return has_first && has_last && !is_cut && filled == length; }
  std::size_t memory() const { return filled + pieces.size() * kPieceOverhead; }
};

enum class Accept : std::uint8_t { kKept, kIgnored, kRefused };

// check_bounds follows ip_frag_queue and ip6_frag_queue: where the datagram ends must be told once.
Accept check_bounds(Datagram& datagram, const Fragment& fragment, std::uint32_t end) {
  if (fragment.more) {
    if (end <= datagram.length) return Accept::kKept;
    if (datagram.has_last) return Accept::kRefused;
  } else {
    if (end < datagram.length || (datagram.has_last && end != datagram.length)) return Accept::kRefused;
    datagram.has_last = true;
  }
  datagram.length = end;
  return Accept::kKept;
}

void keep(Datagram& datagram, const Fragment& fragment) {
  if (fragment.offset == 0) {
    datagram.has_first = true;
    datagram.header.assign(fragment.header.begin(), fragment.header.end());
    datagram.next_header = fragment.next_header;
    datagram.next_header_at = fragment.next_header_at;
  }
  datagram.filled += fragment.data.size();
  datagram.pieces.push_back({fragment.offset, {fragment.data.begin(), fragment.data.end()}});
}

Accept store(Datagram& datagram, Fragment fragment) {
  if (transport_header_is_cut(fragment)) return Accept::kIgnored;
  const std::size_t odd = fragment.more ? fragment.data.size() % 8 : 0;
  if (odd != 0) {
    if (fragment.key.is_v6) return Accept::kIgnored;  // ICMP parameter problem.
    fragment.data = fragment.data.first(fragment.data.size() - odd);
  }
  if (fragment.data.size() > kDatagramMax - fragment.offset) return Accept::kIgnored;
  if (fragment.data.empty()) return Accept::kRefused;
  const auto end = fragment.offset + static_cast<std::uint32_t>(fragment.data.size());
  if (check_bounds(datagram, fragment, end) == Accept::kRefused) return Accept::kRefused;
  switch (datagram.ranges.insert(fragment.offset, end)) {
    case Insert::kDuplicate: return Accept::kIgnored;
    case Insert::kOverlap: return Accept::kRefused;
    case Insert::kNew: break;
  }
  keep(datagram, fragment);
  return Accept::kKept;
}

void write_ipv4_header(Bytes& packet, std::size_t header_size) {
  set_u16(packet, 2, packet.size());
  set_u16(packet, 6, u16_at(packet, 6) & 0x4000);  // Only "don't fragment" stays.
  set_u16(packet, 10, 0);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < header_size; i += 2) sum += u16_at(packet, i);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  set_u16(packet, 10, ~sum & 0xffff);
}

// assemble writes the whole packet; false when its length does not fit the header's field.
bool assemble(const Datagram& datagram, bool is_v6, Bytes& packet) {
  const std::size_t header_size = datagram.header.size();
  const std::size_t counted = datagram.length + header_size - (is_v6 ? kIpv6Header : 0);
  if (counted > kDatagramMax) return false;
  packet.resize(header_size + datagram.length);
  std::copy(datagram.header.begin(), datagram.header.end(), packet.begin());
  for (const Piece& piece : datagram.pieces) {
    std::copy(piece.bytes.begin(), piece.bytes.end(),
              packet.begin() + static_cast<std::ptrdiff_t>(header_size + piece.offset));
  }
  if (is_v6) {
    packet[datagram.next_header_at] = datagram.next_header;
    set_u16(packet, 4, counted);
  } else {
    write_ipv4_header(packet, header_size);
  }
  return true;
}

// begin_cut writes the datagram's first piece as a packet whose end the capture cut, and returns the length that it
// had: UDP tells, of the rest it is enough that there was more.
std::uint32_t begin_cut(const Datagram& datagram, bool is_v6, Bytes& packet) {
  constexpr std::uint8_t kUdp = 17;
  constexpr std::size_t kUdpLengthAt = 4;
  const auto first = std::ranges::find(datagram.pieces, 0u, &Piece::offset);
  packet = datagram.header;
  packet.insert(packet.end(), first->bytes.begin(), first->bytes.end());
  const std::uint8_t transport = is_v6 ? datagram.next_header : datagram.header[9];
  std::size_t body = first->bytes.size() + 8;
  if (transport == kUdp && first->bytes.size() >= kUdpLengthAt + 2) {
    body = std::max<std::size_t>(u16_at(first->bytes, kUdpLengthAt), first->bytes.size() + 1);
  }
  const std::size_t size = std::min(datagram.header.size() + body, kDatagramMax);
  packet.resize(std::min(packet.size(), size - 1));  // Never taken for whole.
  if (is_v6) {
    packet[datagram.next_header_at] = datagram.next_header;
    set_u16(packet, 4, size - kIpv6Header);
  } else {
    set_u16(packet, 2, size);
    set_u16(packet, 6, u16_at(packet, 6) & 0x4000);
  }
  return static_cast<std::uint32_t>(size);
}

}  // namespace

class FragmentTable::Impl {
 public:
  FragmentResult add(ByteSpan bytes, std::uint32_t wire_size, PacketId id, Timestamp now) {
    earlier_.clear();
    if (bytes.empty()) return {};
    const unsigned version = bytes[0] >> 4;
    const auto fragment = version == 4 ? read_ipv4(bytes) : version == 6 ? read_ipv6(bytes) : std::nullopt;
    if (!fragment) return {FragmentOutcome::kNotAFragment, bytes, {}, wire_size};
    const std::uint32_t missing = wire_size > bytes.size() ? wire_size - static_cast<std::uint32_t>(bytes.size()) : 0;
    const bool is_atomic = fragment->key.is_v6 && fragment->offset == 0 && !fragment->more;
    return is_atomic ? unwrap(*fragment, missing) : collect(*fragment, missing != 0, id, now);
  }

  bool take_expired(Timestamp now, std::vector<PacketId>& frames) {
    if (now < next_expiry_) return false;
    next_expiry_ = Timestamp::max();
    bool found = false;
    for (auto it = datagrams_.begin(); it != datagrams_.end();) {
      const auto datagram = it++;
      const bool expired = datagram->second.expires <= now;
      // A datagram that the capture cut has told of its frames already.
      if (expired && datagram->second.frames.empty()) {
        erase(datagram);
      } else if (expired && !found) {
        found = true;
        frames = std::move(datagram->second.frames);
        erase(datagram);
      } else {
        next_expiry_ = std::min(next_expiry_, datagram->second.expires);
      }
    }
    return found;
  }

  std::size_t size() const { return datagrams_.size(); }

 private:
  using Table = std::map<Key, Datagram>;

  void erase(Table::iterator it) {
    memory_ -= it->second.memory();
    datagrams_.erase(it);
  }

  FragmentResult unwrap(const Fragment& fragment, std::uint32_t missing) {
    packet_.assign(fragment.header.begin(), fragment.header.end());
    packet_.insert(packet_.end(), fragment.data.begin(), fragment.data.end());
    packet_[fragment.next_header_at] = fragment.next_header;
    const std::size_t size = packet_.size() + missing;
    set_u16(packet_, 4, size - kIpv6Header > kDatagramMax ? 0 : size - kIpv6Header);  // 0 leaves it open.
    return {missing == 0 ? FragmentOutcome::kComplete : FragmentOutcome::kCut, packet_, {}, static_cast<std::uint32_t>(size)};
  }

  FragmentResult collect(const Fragment& fragment, bool is_cut, PacketId id, Timestamp now) {
    auto it = datagrams_.find(fragment.key);
    if (it != datagrams_.end() && it->second.pieces.size() >= kFragmentsPerDatagramMax) return ignored();
    if (memory_ + fragment.data.size() + kPieceOverhead > kFragmentBytesMax) return ignored();
    if (it == datagrams_.end()) {
      if (datagrams_.size() >= kFragmentedDatagramsMax) return ignored();
      it = datagrams_.emplace(fragment.key, Datagram{}).first;
      it->second.expires = now + (fragment.key.is_v6 ? kFragmentTimeoutV6 : kFragmentTimeoutV4);
      next_expiry_ = std::min(next_expiry_, it->second.expires);
    }
    Datagram& datagram = it->second;
    const std::size_t memory_before = datagram.memory();
    if (is_cut || datagram.is_cut) {
      datagram.is_cut = true;
      if (fragment.offset == 0 && !datagram.has_first) keep(datagram, fragment);
      memory_ += datagram.memory() - memory_before;
      return tell_cut(datagram, fragment.key.is_v6, id);
    }
    const Accept accepted = store(datagram, fragment);
    memory_ += datagram.memory() - memory_before;
    switch (accepted) {
      case Accept::kIgnored:
        if (datagram.pieces.empty()) erase(it);  // Nothing waits, so nothing has to expire.
        return ignored();
      case Accept::kRefused: return end(it, FragmentOutcome::kRefused);
      case Accept::kKept: break;
    }
    if (!datagram.complete()) {
      datagram.frames.push_back(id);
      return {FragmentOutcome::kKept, {}, {}, 0};
    }
    const bool fits = assemble(datagram, fragment.key.is_v6, packet_);
    return end(it, fits ? FragmentOutcome::kComplete : FragmentOutcome::kRefused);
  }

  static FragmentResult ignored() { return {FragmentOutcome::kIgnored, {}, {}, 0}; }

  // tell_cut says once that a datagram cannot be put together; what else comes of it waits in vain.
  FragmentResult tell_cut(Datagram& datagram, bool is_v6, PacketId id) {
    if (datagram.cut_told || datagram.frames.size() >= kFragmentsPerDatagramMax) return ignored();
    if (!datagram.has_first) {
      datagram.frames.push_back(id);
      return {FragmentOutcome::kKept, {}, {}, 0};
    }
    datagram.cut_told = true;
    earlier_ = std::move(datagram.frames);
    datagram.frames.clear();
    const std::uint32_t size = begin_cut(datagram, is_v6, packet_);
    return {FragmentOutcome::kCut, packet_, earlier_, size};
  }

  FragmentResult end(Table::iterator it, FragmentOutcome outcome) {
    earlier_ = std::move(it->second.frames);
    erase(it);
    const ByteSpan packet = outcome == FragmentOutcome::kComplete ? ByteSpan(packet_) : ByteSpan{};
    return {outcome, packet, earlier_, static_cast<std::uint32_t>(packet.size())};
  }

  Table datagrams_;
  std::size_t memory_ = 0;
  Timestamp next_expiry_ = Timestamp::max();
  Bytes packet_;
  std::vector<PacketId> earlier_;
};

FragmentTable::FragmentTable() : impl_(std::make_unique<Impl>()) {}
FragmentTable::~FragmentTable() = default;
FragmentTable::FragmentTable(FragmentTable&&) noexcept = default;
FragmentTable& FragmentTable::operator=(FragmentTable&&) noexcept = default;

FragmentResult FragmentTable::add(ByteSpan bytes, std::uint32_t wire_size, PacketId id, Timestamp now) {
  return impl_->add(bytes, wire_size, id, now);
}

bool FragmentTable::take_expired(Timestamp now, std::vector<PacketId>& frames) {
  return impl_->take_expired(now, frames);
}

std::size_t FragmentTable::datagrams() const { return impl_->size(); }

}  // namespace sallyport::pcap
