#include "injection_rules.h"

#include <vector>

#include "guard_rules.h"

namespace sallyport::netfilter {
namespace {

std::string owner(const RulePlan& plan) {
  return "-m owner --uid-owner " + std::to_string(plan.service_uid);
}

std::string with_mark(std::uint32_t mark, std::uint32_t mask) {
  return "-m mark --mark " + hex(mark) + '/' + hex(mask);
}

// client_sides returns the interfaces behind which there are only clients that are judged. A command in a cgroup is on
// this host.
std::vector<std::string> client_sides(const RulePlan& plan) {
  std::vector<std::string> names = {"lo"};
  if (plan.forward) names.insert(names.end(), plan.inside.begin(), plan.inside.end());
  return names;
}

}  // namespace

std::string of_injector(const RulePlan& plan) {
  return with_mark(plan.mark.injected(Injected::kTracked), plan.mark.injected_mask()) + ' ' + owner(plan);
}

void add_injected(TableText& t, const RulePlan& plan, Family family) {
  const std::string chain = "SALLYPORT-INJECTED";
  t.chains.push_back(chain);
  for (const std::string& name : client_sides(plan)) {
    // Untracked, it leaves no entry whose other direction would be the client's. Tracked, it must be of a flow whose
    // client began it: an entry that it made itself would be one that nobody judged.
    for (const char* transport : {"udp", "tcp"}) {
      t.rules.push_back(chain + " -o " + name + " -p " + transport + " -m conntrack --ctstate UNTRACKED -j RETURN");
    }
    t.rules.push_back(chain + " -o " + name + " -p tcp -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j RETURN");
  }
  for (const std::string& match : guard_refusals(plan, family)) t.rules.push_back(chain + match + " -j RETURN");
  // A reset to the server, of nothing but headers.
  const char* const headers = family == Family::kIpv6 ? "60" : "40";
  t.rules.push_back(chain + " -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH RST -m length --length " + headers +
                    " -m conntrack --ctstate ESTABLISHED --ctdir ORIGINAL -j RETURN");
  t.rules.push_back(chain + " -j DROP");
}

// A question to a resolver on this host is never an answer: with the service's user one could go out unjudged, over lo.
TableText raw_table(const RulePlan& plan, const std::string& of_scope) {
  const std::string chain = "SALLYPORT-RAW";
  TableText t{"raw", {chain}, {}, {}};
  if (!of_scope.empty()) t.rules.push_back(chain + ' ' + of_scope + " -j RETURN");
  for (const std::string& name : client_sides(plan)) {
    for (const char* transport : {"udp", "tcp"}) {
      t.rules.push_back(chain + " -o " + name + " -p " + transport + " -m " + transport + " ! --dport 53 " + owner(plan) +
                        " -j CT --notrack");
    }
  }
  t.jumps.push_back("OUTPUT " + with_mark(plan.mark.injected(Injected::kUntracked), plan.mark.mask()) + " -j " + chain);
  return t;
}

}  // namespace sallyport::netfilter
