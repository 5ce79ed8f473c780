import errno
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from monitor import interfaces
from monitor.commands import check as command
from monitor.errors import InputError

ASN = Path(__file__).parent.parent / "attribute" / "databases" / "GeoLite2-ASN-Test.mmdb"
RULE = """\
id: {id}
title: Data leaves for Alibaba Cloud
severity: critical
status: stable
match: {{any_provider: alibaba}}
measure: {{sum: payload_out, per: [workload], window: 10m}}
fire: {{above: 1MiB}}
resolve_after: 15m
tests:
  - name: an upload fires
    flows: [{{workload: api, network_provider: alibaba, payload_out: {size}}}]
    expect: fires
  - name: S3 stays quiet
    flows: [{{workload: api, network_provider: aws, payload_out: 2MiB}}]
    expect: quiet
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration that is right, with one rule, in a folder that only this user can write."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text(RULE.format(id="a", size="2MiB"), encoding="utf-8")
    (tmp_path / "egress.yml").write_text(
        "workloads: {api: [10.0.1.0/24]}\npublished: {api: [443]}\nsanctioned_providers: [aws]\n"
        "resolvers: [10.0.0.2]\nrules: [rules]\nstate: state\nlisten: 127.0.0.1:0\n",
        encoding="utf-8",
    )
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path


def findings(capsys: pytest.CaptureFixture[str], path: Path, *names: str) -> tuple[int, list[str]]:
    status = command.check(path, list(names))
    return status, capsys.readouterr().out.splitlines()


def wrong(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("WRONG")]


def test_a_right_configuration_is_right(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = findings(capsys, place / "egress.yml")
    assert (status, wrong(lines)) == (0, [])
    assert any("1 with 2 tests" in line for line in lines)
    assert not (place / "state").exists(), "a check makes nothing"


def test_a_configuration_mistake_ends_the_check(place: Path) -> None:
    (place / "egress.yml").write_text("workload: {}\n", encoding="utf-8")
    with pytest.raises(InputError, match="did you mean 'workloads'"):
        command.check(place / "egress.yml", [])


@pytest.mark.parametrize(
    ("name", "before", "after", "says"),
    [
        ("rules/a.yml", "severity: critical", "severity: grave", "severity"),
        ("rules/a.yml", "2MiB}]\n    expect: fires", "2kB}]\n    expect: fires", "'quiet'"),
        ("egress.yml", "[aws]", "[awz]", "no provider 'awz'; did you mean 'aws'?"),
        ("egress.yml", "state: state", "state: egress.yml/state", "not a folder"),
        ("egress.yml", "127.0.0.1", "203.0.113.7", "no interface of this machine has this address"),
    ],
)
def test_what_is_wrong_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, before: str, after: str, says: str
) -> None:
    text = (place / name).read_text(encoding="utf-8")
    assert text.count(before) == 1
    (place / name).write_text(text.replace(before, after), encoding="utf-8")
    status, lines = findings(capsys, place / "egress.yml")
    assert status == 1
    assert any(says in line for line in wrong(lines)), lines


def test_a_state_that_this_user_may_not_look_at(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "closed").mkdir()
    text = (place / "egress.yml").read_text(encoding="utf-8")
    (place / "egress.yml").write_text(text.replace("state: state", "state: closed/state"), encoding="utf-8")
    stat, access = os.stat, os.access

    def refused(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{place}/closed/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    # as for whoever is not root
    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(os, "access", lambda path, how: path != place / "closed" and access(path, how))
    status, lines = findings(capsys, place / "egress.yml")
    assert status == 1
    assert any(f"this user cannot write in {place / 'closed'}" in line for line in wrong(lines))


def test_a_database_whose_last_good_copy_would_be_at_work(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = ASN.read_bytes()
    with (place / "egress.yml").open("a", encoding="utf-8") as file:
        file.write("databases: {asn: asn.mmdb}\n")
    _, lines = findings(capsys, place / "egress.yml")
    assert any("asn.mmdb: No such file or directory" in line for line in wrong(lines))
    copies = place / "state" / "databases"
    copies.mkdir(parents=True, mode=0o700)
    copy = copies / f"asn-{sha256(whole).hexdigest()}.mmdb"
    copy.write_bytes(whole)
    copy.chmod(0o600)
    status, lines = findings(capsys, place / "egress.yml")
    assert (status, len(wrong(lines))) == (1, 1)
    assert "asn.mmdb: No such file or directory; its last good copy is at work" in wrong(lines)[0]
    assert [path.name for path in copies.iterdir()] == [copy.name], "a check makes nothing"


def test_a_rule_that_others_can_write(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "rules" / "a.yml").chmod(0o666)
    status, lines = findings(capsys, place / "egress.yml")
    assert status == 1
    assert any(f"chmod go-w {place / 'rules' / 'a.yml'}" in line for line in wrong(lines))


def test_an_interface_that_is_not_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = findings(capsys, place / "egress.yml", "lo0")
    assert status == 1
    assert any("there is no interface 'lo0'; did you mean 'lo'?" in line for line in wrong(lines))


def test_stacked_interfaces_would_count_twice(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "bond0": interfaces.Interface("bond0", True, (), ("eth0", "eth1")),
        "eth0": interfaces.Interface("eth0", True, (), ()),
    }
    monkeypatch.setattr(interfaces, "inspect", found.__getitem__)
    monkeypatch.setattr(interfaces, "can_open_raw_sockets", lambda: True)
    status, lines = findings(capsys, place / "egress.yml", "bond0", "eth0")
    assert status == 1
    assert any("bond0 is stacked on eth0" in line for line in wrong(lines))
    status, _ = findings(capsys, place / "egress.yml", "bond0")
    assert status == 0


def test_a_missing_right_is_told(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interfaces, "can_open_raw_sockets", lambda: False)
    status, lines = findings(capsys, place / "egress.yml", "lo")
    assert status == 1
    assert any("CAP_NET_RAW is missing" in line for line in wrong(lines))


def test_interfaces_agree_with_the_kernels_own_list() -> None:
    # /proc/net/dev: two lines of heading, then one line an interface (proc(5))
    listed = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()[2:]
    assert interfaces.names() == sorted(line.split(":")[0].strip() for line in listed)


def test_an_interface_is_up_where_the_kernel_says_so() -> None:
    flags = Path("/sys/class/net/lo/flags")
    if not flags.exists():
        pytest.skip("needs /sys, to compare with")
    # IFF_UP is bit 0 (netdevice(7))
    assert interfaces.inspect("lo").is_up == bool(int(flags.read_text(encoding="ascii"), 16) & 1)


def test_a_stacked_interface_knows_what_is_below_it() -> None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip to make interfaces")
    namespaces = ["unshare", "--net", "--mount"]
    able = subprocess.run([*namespaces, "true"], capture_output=True, text=True, check=False)
    if able.returncode != 0:
        pytest.skip(f"root cannot make namespaces here: {able.stderr.strip()}")
    steps = [
        "mount -t sysfs none /sys",
        "ip link add br0 type bridge",
        "ip link add p type veth peer name q",
        "ip link set p master br0",
        f'{sys.executable} -I -c "from monitor import interfaces as i; print(i.inspect(\'br0\').below)"',
    ]
    command = [*namespaces, "sh", "-c", " && ".join(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("('p',)", "")



def test_outlets_are_looked_at_and_both_ways_at_once_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "egress.yml").write_text(
        "alertmanagers: [{url: 'http://am:9093', username: a, password_file: secret}]\n"
        "events: [{file: events.jsonl}, {webhook: 'https://h.example/in', ca_file: gone.pem}]\n"
        "canary: {enabled: false}\n"
    )
    (tmp_path / "secret").write_text("s3cret")
    command.check(tmp_path / "egress.yml", [])
    out = capsys.readouterr().out
    assert "the password goes there without TLS" in out
    assert "if Prometheus has the rule EgressDetected too, that is a mistake" in out
    assert f"{tmp_path / 'events.jsonl'}" in out
    assert f"ca_file: {tmp_path / 'gone.pem'}: cannot be read" in out
    assert "nothing tells when detection itself has stopped" in out
    assert "s3cret" not in out
