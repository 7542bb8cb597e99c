"""Asks for an HTTPS record and reads the answer with dnspython, which refuses what breaks RFC 9460. Prints JSON.

    read_https.py SERVER udp|tcp NAME
"""

import json
import sys

import dns.flags
import dns.message
import dns.query
import dns.rdata
import dns.rdatatype
from dns.rdtypes.svcbbase import ParamKey


def main(server: str, transport: str, name: str) -> None:
    question = dns.message.make_query(name, dns.rdatatype.HTTPS, use_edns=0, payload=1232)
    ask = dns.query.tcp if transport == "tcp" else dns.query.udp
    answer = ask(question, server, timeout=6.0)
    answer = dns.message.from_wire(answer.to_wire(), one_rr_per_rrset=False)  # What it read, it can write and read again.
    records = []
    for rrset in answer.answer:
        for record in rrset if rrset.rdtype == dns.rdatatype.HTTPS else []:
            text = record.to_text()
            same = dns.rdata.from_text(record.rdclass, record.rdtype, text)
            records.append({"keys": [int(key) for key in record.params], "ordered": list(record.params) == sorted(record.params),
                            "alpn": [word.decode() for word in record.params[ParamKey.ALPN].ids],
                            "ipv6hint": list(record.params[ParamKey.IPV6HINT].addresses), "same_as_text": same == record})
    print(json.dumps({"rcode": answer.rcode(), "truncated": bool(answer.flags & dns.flags.TC), "ad": bool(answer.flags & dns.flags.AD),
                      "records": records}))


if __name__ == "__main__":
    main(*sys.argv[1:])
