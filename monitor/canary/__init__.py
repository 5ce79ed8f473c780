"""The canary: a marked packet that must pass the whole line: the dead-man's switch of detection itself.

Beside the line, not in it: it is sent out of the watched interfaces, seen by the ring like any other packet,
decoded, booked, attributed, judged by the shipped rule `RULE`, and only its age comes out.
"""

from ipaddress import ip_network

RULE = "egress-canary"  # the id of the shipped rule
DOMAIN = "egress-canary.invalid"  # RFC 2606: never resolves

# Addresses that are reserved for documentation and routed nowhere (RFC 5737, RFC 3849). Both count as local
# in every egress-monitor, so that a canary is `internal`: no traffic metric and no other rule sees it.
ADDRESS_V4 = "192.0.2.77"
ADDRESS_V6 = "2001:db8::77"
NETWORKS = [ip_network(ADDRESS_V4), ip_network(ADDRESS_V6)]


def let_pass(capture_filter: str) -> str:
    """Give a filter in tcpdump's language that takes canaries too; an empty one takes everything."""
    if not capture_filter:
        return ""
    return f"({capture_filter}) or (udp dst port 9 and (dst host {ADDRESS_V4} or dst host {ADDRESS_V6}))"
