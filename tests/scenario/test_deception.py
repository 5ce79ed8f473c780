"""Names that lie: what a compromised host can make up must not quiet a rule, nor pass an exception.

Each story is played through the installed command, rules and databases; each has its honest twin, which the
same configuration lets pass.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from monitor import shipped
from monitor.scenario import messages
from monitor.scenario.conversation import DnsConversation, Packets, Side, TcpConversation
from monitor.scenario.incident import Incident

SECOND = 10**9
START = 1_764_806_400 * SECOND  # 2025-12-04T00:00:00Z
KIB = 1024
API, PROXY, RESOLVER, ROGUE = "10.0.1.10", "10.0.0.5", "10.0.0.2", "45.9.148.9"
OSS_ADDRESS = "47.91.64.9"  # Alibaba Cloud's published range 47.91.64.0/18
S3_NAME, OSS_NAME, CDN_NAME = "s3.amazonaws.com", "leak.oss-cn-hangzhou.aliyuncs.com", "x.alicdn.com"

CONFIG = """\
networks: {local: [10.0.0.0/8], gateways: {proxy: [10.0.0.5]}}
workloads: {api: [10.0.1.0/24]}
sanctioned_providers: [aws]
resolvers: [10.0.0.2]
rules: [rules]
"""
EXCEPTION = """\
exceptions:
  - match: {workload: api, name: "*.alicdn.com"}
    reason: images of the shop front
    owner: team-shop
    expires: 2099-03-31
"""


@dataclass
class Played:
    """What the command made of a story: the rules that fired, and the rows of the upload."""

    rules: set[str]
    upload: dict[str, Any]


class Story:
    """Packets of one host, and where they go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packets = Packets()
        self.time = START
        self.port = 40_000

    def ask(self, server: str, name: str, address: str) -> None:
        """The host asks a server for a name and is told the address."""
        self.port += 1
        talk = DnsConversation(self.packets, Side(API, self.port), Side(server, 53))
        self.time = talk.ask(self.time, name, [(name, "A", address)]) + SECOND

    def upload(self, address: str, port: int, *beginning: bytes) -> None:
        """The host sends its first message, and then 3 MiB."""
        self.port += 1
        talk = TcpConversation(
            self.packets, self.time, Side(API, self.port), Side(address, port), 9_000_000
        )
        talk.open()
        for message in beginning:
            talk.say(talk.client, message)
        talk.say(talk.client, messages.encrypted("upload", 3000 * KIB), pause=20_000_000)
        talk.close()

    def play(self, *, exception: bool = False) -> Played:
        """Replay it through the installed command."""
        rules = self.folder / "rules"
        rules.mkdir()
        for path in shipped.rules().glob("*.yml"):
            text = path.read_text(encoding="utf-8")
            if exception and path.name == "unsanctioned-cloud-alibaba.yml":
                text = text.replace("tests:\n", f"{EXCEPTION}tests:\n", 1)
            (rules / path.name).write_text(text, encoding="utf-8")
        (self.folder / "egress.yml").write_text(CONFIG, encoding="utf-8")
        writer = Incident()
        writer.packets = self.packets
        writer.write(self.folder / "story.pcap")
        arguments = ["replay", "story.pcap", "--config", "egress.yml"]
        outputs = ["--flows=flows.jsonl", "--alerts=alerts.jsonl"]
        command = [sys.executable, "-I", "-m", "monitor", *arguments, *outputs]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        flows = [json.loads(line) for line in (self.folder / "flows.jsonl").read_text().splitlines()]
        events = [json.loads(line) for line in (self.folder / "alerts.jsonl").read_text().splitlines()]
        heaviest = max(flows, key=lambda flow: int(flow["payload_out"]))
        return Played({_rule(event) for event in events}, heaviest)


def _rule(event: dict[str, Any]) -> str:
    return str(event.get("rule") or event["alert"]["rule"])


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


ALIBABA = {"unsanctioned-cloud-alibaba", "unsanctioned-cloud"}


def test_an_answer_of_a_server_of_its_own_quiets_nothing(story: Story) -> None:
    story.ask(ROGUE, S3_NAME, OSS_ADDRESS)
    story.upload(OSS_ADDRESS, 443, messages.client_hello(S3_NAME))
    played = story.play()
    assert played.rules >= ALIBABA
    assert (played.upload["dns_name"], played.upload["provider"]) == (None, "alibaba")
    assert played.upload["network_provider"] == "alibaba"


def test_even_a_resolver_of_ours_that_was_made_to_lie_does_not_hide_the_network(story: Story) -> None:
    story.ask(RESOLVER, S3_NAME, OSS_ADDRESS)
    story.upload(OSS_ADDRESS, 443, messages.client_hello(S3_NAME))
    played = story.play()
    assert (played.upload["provider"], played.upload["evidence"]) == ("aws", "dns")
    assert played.upload["confidence"] == "medium"  # who carries S3 is known, and it is not Alibaba
    assert "unsanctioned-cloud-alibaba" in played.rules


def test_a_spoofed_server_name_quiets_nothing_and_has_a_rule_of_its_own(story: Story) -> None:
    story.upload(OSS_ADDRESS, 443, messages.client_hello(S3_NAME))
    played = story.play()
    assert played.rules >= {*ALIBABA, "spoofed-name"}
    assert played.upload["disagreement"] is True
    assert (played.upload["provider"], played.upload["service_provider"]) == ("alibaba", "aws")


def test_the_same_name_where_it_belongs_is_quiet(story: Story) -> None:
    story.ask(RESOLVER, S3_NAME, "52.217.0.10")  # Amazon's published range 52.217.0.0/16
    story.upload("52.217.0.10", 443, messages.client_hello(S3_NAME))
    played = story.play()
    assert not played.rules & {*ALIBABA, "spoofed-name"}
    assert played.upload["disagreement"] is False


def test_a_host_header_passes_no_exception(story: Story) -> None:
    story.upload(OSS_ADDRESS, 80, messages.http_request("PUT", "/", CDN_NAME, b"x"))
    played = story.play(exception=True)
    assert (played.upload["name"], played.upload["name_source"]) == (CDN_NAME, "http_host")
    assert "unsanctioned-cloud-alibaba" in played.rules


def test_a_name_that_dns_led_to_passes_it(story: Story) -> None:
    story.ask(RESOLVER, CDN_NAME, OSS_ADDRESS)
    story.upload(OSS_ADDRESS, 80, messages.http_request("PUT", "/", CDN_NAME, b"x"))
    played = story.play(exception=True)
    assert (played.upload["dns_name"], played.upload["provider"]) == (CDN_NAME, "alibaba")
    assert "unsanctioned-cloud-alibaba" not in played.rules


def test_a_proxy_hides_nothing(story: Story) -> None:
    connect = f"CONNECT {OSS_NAME}:443 HTTP/1.1\r\nHost: {S3_NAME}\r\n\r\n".encode()
    story.upload(PROXY, 3128, connect, messages.client_hello(S3_NAME))
    played = story.play()
    assert played.rules >= ALIBABA
    assert (played.upload["via"], played.upload["provider"]) == ("proxy", "alibaba")
    assert played.upload["evidence"] == "http_connect"


def test_nor_does_a_target_that_is_an_address(story: Story) -> None:
    story.upload(PROXY, 3128, f"CONNECT {OSS_ADDRESS}:443 HTTP/1.1\r\nHost: {S3_NAME}\r\n\r\n".encode())
    played = story.play()
    assert played.rules >= ALIBABA
    assert (played.upload["via"], played.upload["network_provider"]) == ("proxy", "alibaba")


def test_nor_a_request_whose_host_is_not_its_target(story: Story) -> None:
    request = f"PUT http://{OSS_NAME}/x HTTP/1.1\r\nHost: {S3_NAME}\r\n\r\n".encode()
    story.upload(PROXY, 3128, request)
    played = story.play()
    assert played.rules >= ALIBABA
    assert (played.upload["name"], played.upload["provider"]) == (OSS_NAME, "alibaba")
