"""The story: what leaves the backend between 1 and 26 December 2025.

A shop keeps its backups in S3, which is allowed. On 4 December a copy of its customer database goes
up in an Elasticsearch that answers strangers. A scanner finds it and gets little; days later somebody
else takes it away, a part each night. A batch job copies an export to a bucket at Alibaba Cloud, which
nobody allowed. A build machine sends data inside DNS questions. On 26 December a stranger tells them.

Addresses of the outside are real ones from the providers' published ranges, so that attribution is
put to work; names of the shop and of the tunnel are reserved ones (RFC 2606).
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scapy.utils import PcapWriter

from monitor.scenario import messages
from monitor.scenario.conversation import MILLISECOND, DnsConversation, Packets, Side, TcpConversation

MINUTE = 60 * 10**9
KIB = 1024

RESOLVER = "10.20.0.2"
API, WEB, BATCH, BUILD = "10.20.1.10", "10.20.1.20", "10.20.2.40", "10.20.4.50"
DATABASE, SEARCH_COPY = "10.20.3.20", "10.20.3.30"
S3_NAME, S3_ADDRESS = "shop-backup.s3.eu-central-1.amazonaws.com", "52.219.170.66"  # AWS, S3 Frankfurt
OSS_NAME, OSS_ADDRESS = "exp-0412.oss-ap-southeast-1.aliyuncs.com", "161.117.71.33"  # Alibaba, Singapore
SCANNER = "167.99.140.21"  # DigitalOcean, Frankfurt
TAKER = "167.235.61.20"  # Hetzner, Germany
CRAWLER = "66.249.66.10"  # Google
TUNNEL_DOMAIN = "cdn-sync.example"

CONFIG = f"""\
networks:
  local: [10.20.0.0/16]
workloads:
  api: [{API}]
  web: [{WEB}]
  batch: [{BATCH}]
  build: [{BUILD}]
  database: [{DATABASE}]
  search-copy: [{SEARCH_COPY}]
published: {{web: [443]}}
sanctioned_providers: [aws]
resolvers: [{RESOLVER}]
"""


@dataclass(frozen=True)
class Told:
    """The truth about one conversation: who opened it to whom, and what each side sent."""

    about: str
    protocol: str  # tcp or udp
    client: Side
    server: Side


def _at(day: int, clock: str) -> int:
    """Give a time in December 2025, in nanoseconds since 1970."""
    hour, minute = clock.split(":")
    moment = datetime(2025, 12, day, int(hour), int(minute), tzinfo=UTC)
    return int(moment.timestamp()) * 10**9


class Incident:
    """Builds the packets; `told` lists every conversation with its truth."""

    def __init__(self) -> None:
        self.packets = Packets()
        self.told: list[Told] = []
        self.next_port = 40_000

    def build(self) -> None:
        """Play the story once."""
        for day in (1, 2, 3, 5, 8, 12, 15, 19, 22, 26):
            self.backup(_at(day, "02:30"))
            self.shop(_at(day, "09:15"))
        self.scan(_at(4, "21:07"))
        for night in (9, 10, 11, 13, 16, 18):
            self.take(_at(night, "03:40"), night)
        self.upload(_at(12, "23:05"))
        self.tunnel(_at(17, "11:00"))

    def write(self, path: Path) -> None:
        """Write the capture, in order of time, as pcap with nanoseconds."""
        with PcapWriter(str(path), linktype=1, nano=True, sync=False) as writer:
            writer.write_header(None)
            for time, raw in sorted(self.packets.timed, key=lambda timed: timed[0]):
                seconds, nanoseconds = divmod(time, 10**9)
                writer.write_packet(raw, sec=seconds, usec=nanoseconds)

    def backup(self, time: int) -> None:
        """The API server stores a backup in S3, as it may, and reads some of it again."""
        time = self._resolve(time, API, S3_NAME, [(S3_NAME, "A", S3_ADDRESS)])
        self._tls(time, API, S3_ADDRESS, S3_NAME, "backup to S3", sent=900 * KIB, received=300 * KIB)

    def shop(self, time: int) -> None:
        """A crawler reads the public shop, which reads its database."""
        inside = self._tcp(time, WEB, DATABASE, 5432, "the shop reads its database", MILLISECOND)
        inside.say(inside.client, b"Q" + messages.noise("query", 200))
        inside.say(inside.server, b"D" + messages.noise("rows", 30 * KIB))
        inside.close()
        self._tls(time + MINUTE, CRAWLER, WEB, "shop.example", "a crawler", sent=2 * KIB, received=60 * KIB)

    def scan(self, time: int) -> None:
        """A scanner tries ports; Elasticsearch answers with its name and the list of its indices."""
        for port in (27017, 6379, 5432):
            about = "a scanner, refused"
            closed = self._conversation(time, SCANNER, SEARCH_COPY, port, about, 20 * MILLISECOND)
            closed.refuse()
        found = self._tcp(time + MINUTE, SCANNER, SEARCH_COPY, 9200, "a scanner", 20 * MILLISECOND)
        found.say(found.client, messages.http_request("GET", "/", SEARCH_COPY))
        banner = b'{"cluster_name":"shop","version":{"number":"7.10.2"}}'
        found.say(found.server, messages.http_answer(banner))
        found.say(found.client, messages.http_request("GET", "/_cat/indices?format=json", SEARCH_COPY))
        found.say(found.server, messages.http_answer(messages.search_hits(0, 4 * KIB)))
        found.close()

    def take(self, time: int, night: int) -> None:
        """Somebody reads a part of the customers, page by page, over one connection."""
        about = f"customers taken on {night} December"
        theft = self._tcp(time, TAKER, SEARCH_COPY, 9200, about, 12 * MILLISECOND)
        page = messages.http_answer(messages.search_hits(night, 900 * KIB))
        for number in range(4):
            query = f'{{"size":10000,"from":{number * 10_000}}}'.encode()
            theft.say(theft.client, messages.http_request("POST", "/customers/_search", SEARCH_COPY, query))
            theft.say(theft.server, page, pause=400 * MILLISECOND)
        theft.close()

    def upload(self, time: int) -> None:
        """The batch job uploads an export to a bucket at a provider that nobody allowed."""
        time = self._resolve(time, BATCH, OSS_NAME, [(OSS_NAME, "A", OSS_ADDRESS)])
        self._tls(time, BATCH, OSS_ADDRESS, OSS_NAME, "upload to OSS", sent=6000 * KIB, received=4 * KIB)

    def tunnel(self, time: int) -> None:
        """The build machine sends a file out inside the names that it asks for."""
        dns = self._dns(BUILD, "data inside DNS questions")
        for number in range(700):
            data = base64.b32encode(messages.noise(f"stolen {number}", 110)).decode().rstrip("=").lower()
            labels = ".".join(data[start : start + 59] for start in range(0, len(data), 59))
            dns.ask(time + number * 200 * MILLISECOND, f"{labels}.{TUNNEL_DOMAIN}", [], kind="TXT")

    def _tls(
        self, time: int, client: str, server: str, name: str, about: str, *, sent: int, received: int
    ) -> None:
        talk = self._tcp(time, client, server, 443, about, 9 * MILLISECOND)
        talk.say(talk.client, messages.client_hello(name))
        talk.say(talk.server, messages.server_hello(name))
        talk.say(talk.client, messages.encrypted(about, sent), pause=50 * MILLISECOND)
        talk.say(talk.server, messages.encrypted(name, received))
        talk.close()

    def _resolve(self, time: int, client: str, name: str, answers: list[tuple[str, str, str]]) -> int:
        return self._dns(client, f"where is {name}").ask(time, name, answers)

    def _dns(self, client: str, about: str) -> DnsConversation:
        asker, resolver = Side(client, self._port()), Side(RESOLVER, 53)
        self.told.append(Told(about, "udp", asker, resolver))
        return DnsConversation(self.packets, asker, resolver)

    def _tcp(
        self, time: int, client: str, server: str, port: int, about: str, round_trip: int
    ) -> TcpConversation:
        talk = self._conversation(time, client, server, port, about, round_trip)
        talk.open()
        return talk

    def _conversation(
        self, time: int, client: str, server: str, port: int, about: str, round_trip: int
    ) -> TcpConversation:
        opener, answerer = Side(client, self._port()), Side(server, port)
        self.told.append(Told(about, "tcp", opener, answerer))
        return TcpConversation(self.packets, time, opener, answerer, round_trip)

    def _port(self) -> int:
        self.next_port += 1
        return self.next_port
