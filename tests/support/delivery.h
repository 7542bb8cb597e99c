// Random deliveries of one message: cut, overlapped, shuffled, repeated. Each follows from its seed alone, which a
// failing test prints.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "sallyport/core/limits.h"
#include "support/inspector_harness.h"

namespace sallyport::testing {

using Random = std::mt19937;

// at_most gives a number from 0 to `most`.
inline std::size_t at_most(Random& random, std::size_t most) { return random() % (most + 1); }
inline bool one_in(Random& random, unsigned n) { return random() % n == 0; }

// Piece is what one segment carries.
struct Piece {
  std::size_t offset = 0;
  Bytes bytes;

  std::size_t end() const { return offset + bytes.size(); }
};

inline Piece piece_of(const Bytes& stream, std::size_t begin, std::size_t end) {
  end = std::min(end, stream.size());
  return {begin, Bytes(stream.begin() + static_cast<std::ptrdiff_t>(begin), stream.begin() + static_cast<std::ptrdiff_t>(end))};
}

// A piece moves no further than this from its place: then fewer islands are in a stream at a time than
// kStreamRangesMax (stream_limit has a test of its own).
inline constexpr std::size_t kReach = 40;
static_assert(kReach / 2 + 1 < kStreamRangesMax);

// shuffled moves each item by kReach places at most, and repeats some of them, as late as that.
template <typename Item>
std::vector<Item> shuffled(const std::vector<Item>& items, Random& random, std::size_t reach = kReach) {
  reach = at_most(random, reach);  // Sometimes in order.
  std::vector<std::pair<std::size_t, Item>> places;
  for (std::size_t i = 0; i < items.size(); ++i) {
    places.emplace_back(i + at_most(random, reach), items[i]);
    if (one_in(random, 6)) places.emplace_back(i + at_most(random, reach), items[i]);
  }
  std::stable_sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Item> out;
  for (auto& [place, item] : places) out.push_back(std::move(item));
  return out;
}

// cut cuts a stream into pieces of one of several styles; some overlap the next ones. A flow may hold no more than
// kHeldPacketsPerFlow of them, with those that shuffled() repeats.
inline std::vector<Piece> cut(const Bytes& stream, Random& random) {
  constexpr std::size_t kMost[] = {1, 3, 20, 120, 600, 3'000};
  const std::size_t most = kMost[random() % std::size(kMost)];
  const std::size_t least = stream.size() / (kHeldPacketsPerFlow / 2) + 1;
  std::vector<Piece> pieces;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size = least + at_most(random, most - 1);
    const std::size_t overlap = one_in(random, 5) ? at_most(random, 2 * most) : 0;
    pieces.push_back(piece_of(stream, at, at + size + overlap));
    at += size;
  }
  return pieces;
}

inline std::vector<Piece> random_delivery(const Bytes& stream, Random& random) {
  return shuffled(cut(stream, random), random);
}

// mixed draws from two queues at random, each in its order.
template <typename Item>
std::vector<std::pair<bool, Item>> mixed(const std::vector<Item>& first, const std::vector<Item>& second, Random& random) {
  std::vector<std::pair<bool, Item>> out;
  for (std::size_t i = 0, j = 0; i < first.size() || j < second.size();) {
    const bool take_first = j == second.size() || (i < first.size() && one_in(random, 2));
    out.emplace_back(take_first, take_first ? first[i++] : second[j++]);
  }
  return out;
}

// judgement_of writes down what came of a flow; end() is called for it.
inline std::string judgement_of(InspectorHarness& fw) {
  std::string out;
  for (const SeenVerdict& seen : fw.verdicts()) {
    out += std::string(to_string(seen.verdict)) + " " + std::string(to_string(seen.reason)) + " [" + seen.name + "]\n";
  }
  for (const std::string& name : fw.names()) out += "name " + name + "\n";
  using engine::Detail;
  for (const Detail detail : {Detail::kAlpn, Detail::kEch, Detail::kJa4, Detail::kQuicVersion, Detail::kHttpMethod,
                              Detail::kClientBanner, Detail::kServerBanner, Detail::kHassh, Detail::kHasshServer,
                              Detail::kHostKeyType, Detail::kHostKeySha256}) {
    if (!fw.detail(detail).empty()) out += std::string(to_string(detail)) + " " + fw.detail(detail) + "\n";
  }
  return "protocol " + std::string(to_string(fw.end())) + "\n" + out;
}

// accepted_bytes marks the bytes of a stream of `size` that left in accepted packets; pieces[i] is in packet
// `first_packet` + i.
inline std::vector<bool> accepted_bytes(const InspectorHarness& fw, const std::vector<Piece>& pieces,
                                        std::size_t first_packet, std::size_t size) {
  std::vector<bool> left(size, false);
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (fw.fate(first_packet + i) != Verdict::kAccept) continue;
    std::fill(left.begin() + static_cast<std::ptrdiff_t>(pieces[i].offset),
              left.begin() + static_cast<std::ptrdiff_t>(pieces[i].end()), true);
  }
  return left;
}

}  // namespace sallyport::testing
