"""The programs that are measured, how each is called, and what it gives."""

import sys
from dataclasses import dataclass
from pathlib import Path

DEBIAN = "apt-get install -y --no-install-recommends"

# what somebody would write with dpkt: headers of each packet, bytes by 5-tuple
DPKT = """
import sys, collections, dpkt
sums = collections.Counter()
with open(sys.argv[1], "rb") as file:
    for _, frame in dpkt.pcap.Reader(file):
        try:
            ip = dpkt.ethernet.Ethernet(frame).data
            if isinstance(ip, (dpkt.ip.IP, dpkt.ip6.IP6)):
                upper = ip.data
                key = (ip.src, getattr(upper, "sport", 0), ip.dst, getattr(upper, "dport", 0))
                sums[key] += len(ip)
        except (dpkt.UnpackError, ValueError, AttributeError, IndexError):
            pass
"""
NFSTREAM = """
import sys, nfstream
for flow in nfstream.NFStreamer(source=sys.argv[1], n_dissections=20, n_meters=1):
    pass
"""
# configurations of ours, each a file in {out}
CONFIGURATIONS = {
    # for a million open flows
    "roomy.yml": "capture: {memory: {flows: 512MiB}}\n",
    # what rules, and looking at what goes out in clear, cost
    "no-rules.yml": "rules: []\n",
    "no-content.yml": "capture: {content: false}\n",
    "neither.yml": "rules: []\ncapture: {content: false}\n",
}
# flow records and the three protocols that name servers, and nothing else; no rules
SURICATA = """%YAML 1.1
---
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types: [flow, dns, tls, quic]
app-layer:
  protocols:
    tls: {enabled: yes, detection-ports: {dp: 443}}
    dns: {tcp: {enabled: yes}, udp: {enabled: yes}}
    quic: {enabled: yes}
"""


@dataclass(frozen=True)
class Program:
    """A program to time; in the command `{}` stands for the capture and `{out}` for a folder to write in."""

    name: str
    command: tuple[str, ...]
    gives: str
    install: str = ""  # what brings it; nothing: it is built here
    most: int = sys.maxsize  # packets in its longer run: the slope of a slow one needs no more
    roomy: tuple[str, ...] = ()  # what makes room for a million open flows, behind the command


def programs(examples: Path, limit: Path | None) -> list[Program]:
    """Give all, ours first. `examples` holds what cargo built, `limit` is a bare loop of somebody else's."""
    python = sys.executable
    replay = (python, "-I", "-m", "monitor", "replay", "{}", "--metrics", "{out}/metrics.prom")
    worker = (str(examples / "line"), "{}")
    fields = ("-T", "fields", "-e", "tls.handshake.extensions_server_name", "-e", "dns.a")
    quiet = ("-S", "/dev/null", "-k", "none", "-l", "{out}")
    suricata = ("suricata", "-c", "{out}/suricata.yaml", *quiet, "-r", "{}")
    ndpi, nfstream = ("ndpiReader", "-q", "-i", "{}"), (python, "-I", "-c", NFSTREAM, "{}")
    argus, nfpcapd = ("argus", "-F", "/dev/null", "-r", "{}"), ("nfpcapd", "-r", "{}", "-w", "{out}")
    softflowd = ("softflowd", "-d", "-r", "{}", "-m", "2000000", "-n", "127.0.0.1:9")
    found = [
        Program(
            "egress-monitor",
            replay,
            "flows, names, attribution, rules, metrics",
            roomy=("--config", "{out}/roomy.yml"),
        ),
        Program("without rules", (*replay, "--config", "{out}/no-rules.yml"), "the same, no rules"),
        Program("without content", (*replay, "--config", "{out}/no-content.yml"), "content not looked at"),
        Program("without both", (*replay, "--config", "{out}/neither.yml"), "neither"),
        Program("the worker alone", worker, "flows, names; no Python", roomy=("512",)),
        Program("worker and ring", (*worker, "128", "{out}/ring"), "the same, and the ring on disk"),
        # 31 alerts a repetition, each with a capsule of its own: over 85 repetitions it measures nothing else
        Program("with evidence", (*replay, "--evidence", "{out}/evidence"), "all, capsules", most=3_000_000),
        Program("bare loop", (str(examples / "bare"), "{}"), "the practical limit"),
        Program("cat", ("cat", "{}"), "bytes"),
        Program("softflowd", softflowd, "flows", f"{DEBIAN} softflowd"),
        Program("nfpcapd", nfpcapd, "flows", f"{DEBIAN} nfdump"),
        Program("argus", (*argus, "-w", "/dev/null"), "flows", f"{DEBIAN} argus-server"),
        Program("ndpiReader", ndpi, "flows, names", f"{DEBIAN} libndpi-bin", 8_000_000),
        Program("suricata", suricata, "flows, names", f"{DEBIAN} suricata", 6_000_000),
        Program("nfstream", nfstream, "flows, names", "pip install nfstream", 3_000_000),
        Program("dpkt", (python, "-I", "-c", DPKT, "{}"), "bytes by 5-tuple", "pip install dpkt", 1_000_000),
        Program("tshark", ("tshark", "-n", "-r", "{}", *fields), "names", f"{DEBIAN} tshark", 1_000_000),
    ]
    if limit is not None:
        bare = next(place for place, program in enumerate(found) if program.name == "bare loop")
        found.insert(bare, Program("limit", (str(limit), "{}", "fullb"), "a bare loop that was given"))
    return found
