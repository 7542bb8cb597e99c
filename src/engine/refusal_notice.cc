// The words of a refusal: who may not have what, and which line of the policy says so.
#include <algorithm>

#include "inspector_impl.h"
#include "notice_text.h"

namespace sallyport::engine {
namespace {

// says_not_allowed tells the reasons that need no further words than that the rules have no such name or address. Of one that
// they have for another protocol it would be misleading.
bool says_not_allowed(Reason reason) {
  return reason == Reason::kRuleDenies || reason == Reason::kNameNotAllowed || reason == Reason::kAddressNotAllowed;
}

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

// refused_query returns the DNS message that is refused, empty if none is.
ByteSpan Inspector::Impl::refused_query(const Flow& flow) const {
  if (flow.stage != Protocol::kDns) return {};
  if (flow.key.transport == Transport::kUdp) return datagram_;
  if (flow.client == nullptr) return {};
  const auto message = parsers::read_dns_tcp_message(flow.client->contiguous(), kDnsQueryMax);
  return message.framing == Framing::kComplete ? message.message : ByteSpan{};
}

refusal::Notice Inspector::Impl::notice_of(const Flow& flow) {
  refusal::Notice notice;
  notice.reason = to_string(flow.reason);
  NoticeText name(notice_name_);
  const ByteSpan query = refused_query(flow);
  const auto question = query.empty() ? std::nullopt : parsers::read_first_dns_question(query);
  if (question) {
    name << question->name.text();
  } else if (flow.has_name) {
    name << flow.name.text();
  } else {
    IpAddress::Text storage;
    name << target_address(flow).text(storage);
  }
  notice.name = name.from(0);

  NoticeText text(notice_text_);
  text << "sallyport: " << notice.name;
  if (says_not_allowed(flow.reason)) {
    text << " is not allowed";
  } else {
    text << ": " << kReasonInfo[static_cast<std::size_t>(flow.reason)].text;
  }
  if (policy_->refusals().show_rule) {
    const std::vector<std::string>& scopes = policy_->scope_names();
    for (std::size_t i = 0; i < scopes.size(); ++i) {
      if ((flow.scopes >> i & 1) == 0) continue;
      notice.scope = scopes[i];
      text << " for " << notice.scope;
      break;
    }
    text << " (";
    const std::size_t begin = text.size();
    if (flow.rule < policy_->rules().size()) {
      const policy::RuleInfo& rule = policy_->rules()[flow.rule];
      text << file_name(rule.file) << ":" << rule.line;
    } else if (const policy::Guard* guard = policy_->guard_at(flow.rule)) {
      text << file_name(guard->file) << ":" << guard->line;
    } else {
      text << "default";
    }
    notice.rule = text.from(begin);
    text << ")";
  }
  notice.text = text.from(0);
  return notice;
}

}  // namespace sallyport::engine
