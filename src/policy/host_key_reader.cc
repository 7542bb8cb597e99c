#include "host_key_reader.h"

#include <algorithm>

#include "sallyport/policy/base64.h"
#include "sallyport/core/limits.h"
#include "text_file.h"

namespace sallyport::policy {
namespace {

constexpr std::string_view kFingerprint = "SHA256:";
constexpr std::string_view kFile = "known_hosts:";
constexpr std::size_t kPortsChecked = 16;  // For the warning about hosts without a key.

std::optional<HostKey> parse_fingerprint(std::string_view text) {
  const auto bytes = decode_base64(text.substr(kFingerprint.size()), false);
  HostKey key{};
  if (!bytes || bytes->size() != key.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

// suggestion tells the fingerprint of a key that was written out: "ssh-ed25519 AAAA...".
std::string suggestion(std::string_view text) {
  const std::size_t at = text.find("AAAA");
  if (at == std::string_view::npos) return {};
  const std::string_view key = text.substr(at, std::min(text.find(' ', at), text.size()) - at);
  const auto blob = decode_base64(key, true);
  if (!blob) return {};
  return "; did you mean \"SHA256:" + encode_base64(host_key_of_blob(*blob)) + "\"?";
}

// hosts_of returns those of a rule's targets that are one host each.
std::vector<std::string> hosts_of(const RuleDraft& draft) {
  std::vector<std::string> hosts;
  for (const NameTarget& target : draft.names) {
    if (target.form != NameForm::kBelow) hosts.emplace_back(target.name);
  }
  for (const IpPrefix& prefix : draft.prefixes) {
    if (prefix.length() == prefix.address().bits()) hosts.push_back(prefix.address().to_string());
  }
  return hosts;
}

std::vector<PortRange> ports_of(const RuleDraft& draft) {
  if (draft.terms.ports.empty()) return {PortRange{22, 22}};
  return draft.terms.ports;
}

std::size_t port_count(const std::vector<PortRange>& ports) {
  std::size_t count = 0;
  for (const PortRange& range : ports) count += std::size_t{range.last} - range.first + 1;
  return count;
}

// warn_of_hosts_without_key names the targets that can never be reached.
void warn_of_hosts_without_key(const Reader& reader, const Value& value, const std::string& path, const RuleDraft& draft,
                               const HostKeys& keys) {
  const auto ports = ports_of(draft);
  if (port_count(ports) > kPortsChecked) return;
  for (const std::string& host : hosts_of(draft)) {
    bool known = false;
    for (const PortRange& range : ports) {
      for (std::uint32_t port = range.first; port <= range.last; ++port) {
        known = known || keys.knows(host, static_cast<std::uint16_t>(port));
      }
    }
    if (!known) reader.warning(value.position, path, "no key for " + quote(host) + ": no flow to it can be allowed");
  }
}

}  // namespace

std::shared_ptr<const HostKeys> HostKeyReader::read(const Reader& reader, const Value& value, const RuleDraft& draft,
                                                    const std::optional<std::filesystem::path>& folder) {
  const std::string path = join(draft.path, "host_keys");
  auto keys = std::make_shared<HostKeys>();
  const auto items = one_or_many(value);
  bool sound = !items.empty();
  if (items.empty()) reader.error(value.position, path, "an empty list accepts no server; leave \"host_keys\" out for any");
  for (const Value& item : items) {
    const auto text = reader.string(item, path);
    if (!text) {
      sound = false;
    } else if (text->starts_with(kFile)) {
      sound &= read_file(reader, item, path, draft, folder, *keys);
    } else {
      sound &= read_fingerprint(reader, item, path, *keys);
    }
  }
  if (!sound) return nullptr;
  keys->seal();
  warn_of_hosts_without_key(reader, value, path, draft, *keys);
  return keys;
}

bool HostKeyReader::read_fingerprint(const Reader& reader, const Value& value, const std::string& path, HostKeys& out) {
  if (value.text.starts_with(kFingerprint)) {
    if (const auto key = parse_fingerprint(value.text)) {
      out.add(*key);
      return true;
    }
  }
  reader.error(value.position, path,
               quote(value.text) + ": expected \"SHA256:\" and 43 digits of base 64, as \"ssh-keygen -lf\" shows it, or \"known_hosts:FILE\"" +
                   suggestion(value.text));
  return false;
}

const HostKeyReader::File& HostKeyReader::file_of(const Reader& reader, const Value& value, const std::string& path,
                                                  const std::string& name) {
  const auto [place, is_new] = files_.try_emplace(name);
  File& file = place->second;
  if (!is_new) return file;
  const auto text = store_.read(name, kKnownHostsFileMax);
  if (!text) {
    file.failed = true;
    reader.error(value.position, path, quote(value.text) + ": " + text.error());
    return file;
  }
  const Reader lines = reader.of_file(name);
  file.lines = parse_known_hosts(*text, [&](Position position, std::string message) {
    file.failed = true;
    lines.error(position, "known_hosts", message);
  });
  return file;
}

bool HostKeyReader::read_file(const Reader& reader, const Value& value, const std::string& path, const RuleDraft& draft,
                              const std::optional<std::filesystem::path>& folder, HostKeys& out) {
  const std::string_view name = value.text.substr(kFile.size());
  if (name.empty() || name.find('\0') != std::string_view::npos) {
    reader.error(value.position, path, quote(value.text) + ": expected a file after \"known_hosts:\"");
    return false;
  }
  if (!folder) {
    reader.error(value.position, path, quote(value.text) + ": a policy that is not a file can name no other file; list fingerprints");
    return false;
  }
  const File& file = file_of(reader, value, path, (*folder / std::filesystem::path(name)).string());
  if (file.failed) return false;
  for (const KnownHostsLine& line : file.lines) {
    if (line.revoked) {
      out.revoke(line.key);
    } else if (!line.hashed) {
      out.add(line.key, line.patterns);
    }
  }
  return resolve_hashes(reader, value, path, draft, file.lines, out);
}

bool HostKeyReader::resolve_hashes(const Reader& reader, const Value& value, const std::string& path,
                                   const RuleDraft& draft, const std::vector<KnownHostsLine>& lines, HostKeys& out) {
  std::vector<const KnownHostsLine*> hashed;
  for (const KnownHostsLine& line : lines) {
    if (line.hashed && !line.revoked) hashed.push_back(&line);
  }
  if (hashed.empty()) return true;
  const auto hosts = hosts_of(draft);
  const auto ports = ports_of(draft);
  const bool many = draft.any || std::any_of(draft.names.begin(), draft.names.end(), [](const NameTarget& target) {
                      return target.form != NameForm::kExact;
                    });
  if (many) {
    reader.warning(value.position, path,
                   quote(value.text) + ": hosts that are hashed there are found for the exact names and addresses of this rule only");
  }
  const std::size_t tries = hosts.size() * port_count(ports);
  if (tries > (kPolicyHostHashesMax - hashes_) / hashed.size()) {
    reader.error(value.position, path,
                 quote(value.text) + ": too many names and ports to find among " + std::to_string(hashed.size()) +
                     " hashed hosts; list fewer ports, or write the hosts in plain");
    return false;
  }
  hashes_ += tries * hashed.size();
  for (const std::string& host : hosts) {
    for (const PortRange& range : ports) {
      for (std::uint32_t port = range.first; port <= range.last; ++port) {
        HostTextBuffer buffer;
        const std::string_view text = host_text(host, static_cast<std::uint16_t>(port), buffer);
        for (const KnownHostsLine* line : hashed) {
          if (line->hashed->is(text)) out.add(line->key, {HostPattern{std::string(text), false}});
        }
      }
    }
  }
  return true;
}

}  // namespace sallyport::policy
