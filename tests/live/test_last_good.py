"""A database that broke: a start with its last good copy, told; the file is taken once it is good again."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .daemons import Daemon, daemon, until

ASN = Path(__file__).parent.parent / "attribute" / "databases" / "GeoLite2-ASN-Test.mmdb"
SETTINGS = """\
interfaces: [watched]
workloads: {api: [10.77.0.1]}
metrics: {hold: 1s}
databases: {asn: asn.mmdb}
"""
LOADED = 'egress_reload_successful{what="databases"}'

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)


def answer_for_it(one: Daemon) -> None:
    one.spaces.run(one.spaces.cloud, "ip", "addr", "add", "1.0.0.9/32", "dev", "far")


def asks_the_users_file(one: Daemon) -> bool:
    """Send a datagram to 1.0.0.9: Cloudflare's in truth, Google's in MaxMind's test data."""
    code = "import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x' * 99, ('1.0.0.9', 9))"
    one.spaces.run(one.spaces.backend, sys.executable, "-I", "-c", code)
    metrics = one.fetch("/metrics").splitlines()
    sent = [line for line in metrics if line.startswith("egress_sent_bytes_total{")]
    assert not any('provider="cloudflare"' in line for line in sent)
    return any('provider="google"' in line and not line.endswith(" 0.0") for line in sent)


def troubles(one: Daemon) -> dict[str, Any]:
    found = json.loads(one.fetch("/api/v1/coverage").removeprefix("ready "))["loads_failed"]
    assert isinstance(found, dict)
    return found


def refused(one: Daemon) -> str:
    """Start it where it cannot; give what it says."""
    command = one.command("--config", str(one.folder / "egress.yml"))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    return ended.stderr


@pytest.mark.parametrize("how", ["missing", "cut off", "corrupt"])
def test_a_start_with_a_file_that_broke(tmp_path: Path, how: str) -> None:
    file = tmp_path / "asn.mmdb"
    whole = ASN.read_bytes()
    broken = {"missing": None, "cut off": whole[:-3000], "corrupt": bytes(len(whole))}[how]

    def lay_down(content: bytes | None) -> None:
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
            file.chmod(0o600)

    lay_down(whole)
    with daemon("good", tmp_path, SETTINGS) as one:
        answer_for_it(one)
        assert until(lambda: asks_the_users_file(one))
        assert (LOADED + " 1.0" in one.fetch("/metrics"), troubles(one)) == (True, {})
        # it breaks while the monitor runs: the one at work stays; then the machine loses power
        lay_down(broken)
        assert until(lambda: LOADED + " 0.0" in one.fetch("/metrics"))
        one.end(signal.SIGKILL)
        one.start()
        assert LOADED + " 0.0" in one.fetch("/metrics")
        why = troubles(one)["databases"]
        assert why.startswith(f"{file}: ")
        assert "its last good copy is at work, data of 20" in why
        assert "its last good copy is at work" in one.fetch("/")
        assert until(lambda: asks_the_users_file(one))
        # meanwhile rules can be changed
        assert 'rule="dns-tunnel"' in one.fetch("/metrics")
        (tmp_path / "rules" / "dns-tunnel.yml").unlink()
        assert until(lambda: 'rule="dns-tunnel"' not in one.fetch("/metrics"))
        assert LOADED + " 0.0" in one.fetch("/metrics")
        # the file is mended, and nobody has to say so
        lay_down(whole)
        assert until(lambda: LOADED + " 1.0" in one.fetch("/metrics"))
        assert troubles(one) == {}
        status, err = one.end(signal.SIGTERM)
        told = [json.loads(line) for line in err.splitlines()]
        warned = [line["what"] for line in told if "its last good copy is at work" in line.get("what", "")]
        assert (status, len(warned)) == (0, 1), err
        assert "nothing was changed" not in err
        # neither the file nor a copy that can be believed
        lay_down(broken)
        (copy,) = (tmp_path / "state" / "databases").glob("asn-*.mmdb")
        copy.write_bytes(copy.read_bytes()[:-1])
        assert f"; and {copy}: the copy kept there is damaged" in refused(one)
        copy.unlink()
        said = refused(one)
        assert f"egress.yml:4: {file}: " in said
        assert "copy" not in said


@pytest.mark.parametrize(("options", "why"), [("ro", "Read-only file system"), ("size=1m", "No space left")])
def test_where_no_copy_can_be_kept_it_runs_and_says_so(tmp_path: Path, options: str, why: str) -> None:
    shutil.copy(ASN, tmp_path / "asn.mmdb")
    place = tmp_path / "state" / "databases"
    with daemon("full", tmp_path, SETTINGS) as one:
        assert one.end(signal.SIGTERM)[0] == 0
        assert len(list(place.glob("*.mmdb"))) == 2
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        try:
            one.start()
            answer_for_it(one)
            assert until(lambda: asks_the_users_file(one))
            assert LOADED + " 1.0" in one.fetch("/metrics")
            status, err = one.end(signal.SIGTERM)
            assert not list(place.glob("default-*"))
        finally:
            subprocess.run(["umount", str(place)], check=True)
    assert status == 0
    assert why in err
    assert ": no copy of the default database is kept for the next start" in err
    assert "Traceback" not in err
