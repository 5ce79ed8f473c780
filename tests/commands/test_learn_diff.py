"""``learn`` and ``diff`` as they are called, over the incident's capture."""

import json
from pathlib import Path

import yaml

from monitor.scenario import incident

from .command import run


def test_the_incident_becomes_a_policy_that_says_what_was(folder: Path) -> None:
    done = run("learn", "incident.pcap", "-c", "egress.yml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    policy = yaml.safe_load(done.stdout)
    assert policy["policy"] == 1
    said = {(entry["match"]["workload"], entry["match"]["initiator"]): entry for entry in policy["allow"]}
    api = said["api", "local"]
    assert api["match"]["provider"] == "aws"
    assert api["match"]["name"] == incident.S3_NAME
    assert api["match"]["remote_port"] == 443
    assert "sent_per_day" not in said["web", "remote"], (
        "a published service may answer as much as it is asked"
    )
    assert "critical exposed-data-store, search-copy" in done.stdout
    # ten nights of 900 KiB and a TLS handshake each
    assert "# 10 connections, 8.8 MiB sent" in done.stdout


def test_what_was_learnt_is_not_new_and_a_narrower_policy_finds_the_rest(folder: Path) -> None:
    policy = folder / "policy.yml"
    assert run("learn", "incident.pcap", "-c", "egress.yml", "-o", policy, cwd=folder).returncode == 0
    again = run("diff", policy, "incident.pcap", "-c", "egress.yml", cwd=folder)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("0 new")
    value = yaml.safe_load(policy.read_text())
    value["allow"] = [entry for entry in value["allow"] if entry["match"]["workload"] != "batch"]
    narrow = folder / "narrow.yml"
    narrow.write_text(yaml.safe_dump(value))
    found = run("diff", narrow, "incident.pcap", "-c", "egress.yml", "--json", cwd=folder)
    assert (found.returncode, found.stderr) == (1, "")
    new = json.loads(found.stdout)["new"]
    assert [(one["workload"], one["provider"], one["name"]) for one in new] == [
        ("batch", "alibaba", incident.OSS_NAME)
    ]
    shown = run("diff", narrow, "incident.pcap", "-c", "egress.yml", cwd=folder)
    assert shown.returncode == 1
    assert "no entry speaks of batch" in shown.stdout
    assert "1 new, 0 times more than allowed; 3 of 3 entries were used" in shown.stdout


def test_a_provider_of_ones_own_is_learnt_and_compared(folder: Path) -> None:
    (folder / "own.yml").write_text(
        "providers:\n- {id: backups, name: Backups, category: storage, hq_country: DE, "
        f"domains: [{incident.S3_NAME}]}}\n"
    )
    settings = folder / "own-egress.yml"
    settings.write_text((folder / "egress.yml").read_text() + "\ncatalogue: [own.yml]\n")
    learnt = run("learn", "incident.pcap", "-c", settings, "-o", "own-policy.yml", cwd=folder)
    assert (learnt.returncode, learnt.stderr) == (0, "")
    assert "provider: backups" in (folder / "own-policy.yml").read_text()
    again = run("diff", "own-policy.yml", "incident.pcap", "-c", settings, cwd=folder)
    assert (again.returncode, again.stderr) == (0, "")


def test_flow_files_say_the_same_as_the_capture(folder: Path) -> None:
    run("replay", "incident.pcap", "-c", "egress.yml", "--flows", "flows.parquet", cwd=folder)
    run("replay", "incident.pcap", "-c", "egress.yml", "--flows", "flows.jsonl", cwd=folder)
    texts = [
        run("learn", "-c", "egress.yml", *what, cwd=folder).stdout
        for what in (["incident.pcap"], ["--flows", "flows.parquet"], ["--flows", "flows.jsonl"])
    ]
    policies = [text[text.index("\npolicy: ") :] for text in texts]
    assert policies[0] == policies[1] == policies[2]


def test_a_reviewed_policy_is_not_overwritten(folder: Path) -> None:
    kept = folder / "kept.yml"
    kept.write_text("policy: 1\nallow: []\n")
    done = run("learn", "incident.pcap", "-o", kept, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is there already" in done.stderr
    assert kept.read_text() == "policy: 1\nallow: []\n"


def test_wrong_input_is_one_line_and_status_2(folder: Path) -> None:
    good = folder / "good.yml"
    good.write_text("policy: 1\nallow: []\n")
    bad = folder / "bad.yml"
    bad.write_text("policy: 1\nallow:\n- match: {proivder: aws}\n")
    (folder / "cut.jsonl").write_text('{"tick": "2026')
    for arguments in (
        ["learn"],
        ["learn", "nowhere.pcap"],
        ["learn", "-", "-"],
        ["learn", "incident.pcap", "--local", "ten"],
        ["learn", "--flows", "cut.jsonl"],
        ["learn", "incident.pcap", "-o", "no/such/folder/policy.yml"],
        ["diff", good],
        ["diff", bad, "incident.pcap"],
        ["diff", "nowhere.yml", "incident.pcap"],
        ["diff", folder, "incident.pcap"],
    ):
        done = run(*arguments, cwd=folder)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("egress-monitor: ")


def test_an_empty_capture_allows_nothing(folder: Path) -> None:
    # magic, version 2.4, snap length 65535, Ethernet (draft-ietf-opsawg-pcap section 4), and no packet
    (folder / "empty.pcap").write_bytes(
        bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000")
    )
    done = run("learn", "empty.pcap", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout) == {"policy": 1, "allow": []}
