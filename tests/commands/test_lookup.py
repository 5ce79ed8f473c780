"""What `lookup` says, for people and as JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.lookup import lookup


def said(capsys: pytest.CaptureFixture[str], what: str, config: Path | None = None) -> dict[str, Any]:
    lookup(what, config, as_json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "47.91.64.9")  # Alibaba Cloud, 47.91.64.0/18
    assert (found["side"], found["provider"], found["hq_country"]) == ("remote", "alibaba", "CN")
    assert (found["asn"], found["evidence"]) == (45102, "asn")
    assert found["sources"]["default"].startswith("egress-monitor.mmdb, 2026-")
    assert ["address", "47.91.64.9", ""] in found["steps"]
    lookup("47.91.64.9", None)
    text = capsys.readouterr().out
    for words in ("alibaba", "AS45102", "headquarters in CN"):
        assert words in text


def test_an_address_inside_another(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "64:ff9b::808:808")
    assert (found["carries"], found["provider"], found["resolver"]) == ("8.8.8.8", "google", True)


def test_names(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "bucket.oss-cn-hangzhou.aliyuncs.com")
    assert (found["provider"], found["storage"], found["carriers"]) == ("alibaba", True, ["alibaba"])
    assert said(capsys, "a.trafficmanager.net")["customer_chosen"] is True
    assert "unlisted" in said(capsys, "www.google.com")["carriers"]
    assert said(capsys, "dns.google")["resolver"] is True
    assert said(capsys, "www.example.org")["provider"] is None


def test_the_users_own_entries_count(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "ours.yml").write_text(
        "providers: [{id: partner, name: A partner, category: hosting, hq_country: DE,"
        " prefixes: [193.0.0.0/21], domains: [partner.example]}]\n"
    )
    (tmp_path / "pods").write_text("10.1.2.3 api\n")
    config = tmp_path / "egress.yml"
    config.write_text("catalogue: [ours.yml]\nworkloads_file: pods\n")
    assert said(capsys, "193.0.6.139", config)["provider"] == "partner"
    assert said(capsys, "www.partner.example", config)["provider"] == "partner"
    ours = said(capsys, "10.1.2.3", config)
    assert (ours["side"], ours["workload"], ours["gateway"]) == ("local", "api", None)
