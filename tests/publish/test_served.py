"""What is served beside metrics and alerts: the page's files, runbooks, coverage, destinations."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from monitor import shipped
from monitor.attribute.catalogue import Catalogue
from monitor.canary.watch import CanaryState
from monitor.flow_batch import Counters
from monitor.judge.rule import Rule
from monitor.judge.rule_set import load_rules
from monitor.publish.runbooks import read_runbooks

from .serving import HOSTILE, Serve, exchange, get


def test_what_the_page_needs_is_served_and_nothing_else(serve: Serve) -> None:
    server = serve()
    for name, kind in (("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg")):
        answer = get(server, f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        said = re.sub(r"(?m)(^|\s)//.*$|http://www.w3.org/2000/svg", "", answer.text)  # less comments
        assert "//" not in said, "all is here"
    names = ("page.py", "../pages.py", "..%2fpages.py", "%2e%2e/%2e%2e/config.py", "page.css%00", "")
    for path in [f"/{folder}/{name}" for folder in ("static", "runbooks") for name in names]:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        status = exchange(server, request.encode()).split(b" ")[1]
        assert status in (b"404", b"307"), path


def test_the_page_stays_small_whatever_is_in_it(given: Any, serve: Serve) -> None:
    flow = dict.fromkeys(("flow_id", "remote_address", "initiator", "name", "evidence"), HOSTILE)
    step = {"what": HOSTILE, "answer": HOSTILE, "why": HOSTILE}
    alerts = [
        given.alert(
            id=f"{number:016x}", title=HOSTILE, names=[HOSTILE] * 100, measure=HOSTILE,
            flows=[flow | {"attribution": [step] * 50}] * 50, exceptions=[{"reason": HOSTILE}] * 100,
            group={f"{key}{HOSTILE}": HOSTILE for key in range(50)},
        )
        for number in range(1000)
    ]  # fmt: skip
    server = serve(alerts=alerts)
    page = get(server, "/")
    assert page.status_code == 200
    assert len(page.content) < 5 * 2**20
    assert "and 950 more" in page.text


def test_the_commands_that_the_page_names_are_there(given: Any, serve: Serve) -> None:
    kept_elsewhere = "egress-monitor inspect a1 --evidence '/var/a &amp; b'"
    server = serve(alerts=[given.alert(capsule="c1", inspect=kept_elsewhere.replace("&amp;", "&"))])
    assert kept_elsewhere.replace("'", "&#x27;") in get(server, "/").text
    named = set(re.findall(r"<code>egress-monitor (\w+) a1\b", get(server, "/").text))
    assert named == {"explain", "inspect"}
    for name in named:
        command = [sys.executable, "-I", "-m", "monitor", name, "--help"]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0, name


def test_runbooks_are_served_by_file_and_by_rule(given: Any, serve: Serve) -> None:
    publisher = given.publisher()
    publisher.runbooks = read_runbooks(shipped_rules())
    server = serve(publisher=publisher)
    listed = re.findall(r'href="(runbooks/[\w.-]+)"', get(server, "/runbooks").text)
    files = sorted(path.name for path in (shipped.rules() / "runbooks").glob("*.md"))
    rules = {path.stem: yaml.safe_load(path.read_text()) for path in shipped.rules().glob("*.yml")}
    assert sorted(listed) == sorted(f"runbooks/{name}" for name in [*files, *rules])
    for path in listed:
        answer = get(server, f"/{path}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        name = path.removeprefix("runbooks/")
        file = rules[name]["runbook"] if name in rules else path
        assert answer.text == (shipped.rules() / file).read_text(encoding="utf-8")


def test_a_rule_publishes_only_what_stands_beside_it(given: Any, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("a secret")
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "mine.md").write_text("# Mine")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "key.pem").write_text("a secret")
    (rule, *_) = shipped_rules()
    named = {
        "mine": "mine.md", "far": "https://wiki.example/page", "up": "../secret.md", "linked": "link.md",
        "whole": str(tmp_path / "secret.md"), "gone": "gone.md", "other": "key.pem", "none": None,
    }  # fmt: skip
    publisher = given.publisher()
    publisher.runbooks = read_runbooks(
        dataclasses.replace(rule, id=name, runbook=runbook, path=folder / "rule.yml")
        for name, runbook in named.items()
    )
    server = serve(publisher=publisher)
    assert get(server, "/runbooks/mine").text == "# Mine"
    far = get(server, "/runbooks/far", follow_redirects=False)
    assert (far.status_code, far.headers["location"]) == (302, "https://wiki.example/page")
    for name in ("up", "linked", "whole", "gone", "other", "none", "key.pem", "mine.md"):
        assert get(server, f"/runbooks/{name}").status_code == 404


def shipped_rules() -> list[Rule]:
    return load_rules(
        [shipped.rules()], sanctioned=[], providers=Catalogue.load().provider_ids(), workloads=[]
    ).rules


def test_coverage_as_json(given: Any, serve: Serve) -> None:
    publisher = given.publisher()
    server = serve(publisher=publisher)
    counters = Counters(
        frames={"eth0": 100}, wire_bytes={"eth0": 9000}, repeated_headers={("eth0", "told"): 500},
        interface_bytes={"eth0": 10_000}, interface_up={"eth0": False}, dropped_frames={("eth0", "ring"): 7},
        undecoded_frames={"not_ip": 3, "tunnel_depth": 0}, undecoded_bytes={"not_ip": 180},
        scope_frames={"egress": 97}, laws_broken={"frames": 0}, backlog_dropped={"0": 2, "1": 3},
    )  # fmt: skip
    given.publish(publisher, counters=counters, canary=CanaryState({"eth0": 12.5}, sent=4, failed=1))
    answer = get(server, "/api/v1/coverage").json()
    assert answer["blind"] is True, "the interface is down"
    (interface,) = answer["interfaces"]
    assert (interface["seen_bytes"], interface["carried_bytes"]) == (9500, 10_000)
    assert (interface["up"], interface["blind"]) == (False, ["down"])
    assert interface["dropped_frames"] == {"ring": 7}
    assert answer["undecoded"] == {"frames": 3, "bytes": 180, "by_reason": {"not_ip": 3}}
    assert (answer["frames"], answer["dropped_frames"], answer["backlog_dropped_frames"]) == (100, 7, 5)
    assert answer["canary"] == {"last_seen": {"eth0": 12.5}, "sent": 4, "failed": 1}
    assert answer["ready"] is True


def test_destinations_as_json(given: Any, serve: Serve) -> None:
    publisher = given.publisher()
    server = serve(publisher=publisher)
    assert get(server, "/api/v1/destinations").json()["destinations"] == []
    row = {"provider": "as64500", "as_name": HOSTILE, "dns_name": "a.example", "bytes_out": 5, "bytes_in": 7}
    given.publish(publisher, row, {"provider": "aws", "bytes_out": 9})
    answer = get(server, "/api/v1/destinations")
    assert b"<" not in answer.content
    first, second = answer.json()["destinations"]
    assert (first["provider"], first["sent_bytes"]) == ("aws", 9)
    assert (second["provider"], second["name"], second["evidence"], second["confidence"]) == (
        "as64500", "a.example", "dns", "high",
    )  # fmt: skip
    assert (second["sent_bytes"], second["received_bytes"], second["connections"]) == (5, 7, 1)
    assert [new["provider"] for new in answer.json()["new"]] == ["aws", "as64500"]
