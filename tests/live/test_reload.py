"""Files that judge, changed under a running daemon: taken up where they are right, left out where not."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from .daemons import Daemon, daemon, until

DATABASES = Path(__file__).parent.parent / "attribute" / "databases"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2 for network namespaces"
)

SETTINGS = """\
interfaces: [watched]
workloads_file: pods.txt
databases: {asn: asn.mmdb}
catalogue: [partners.yml]
"""
PARTNER = (
    "providers: [{id: partner, name: P, category: hosting, hq_country: DE, prefixes: [47.91.64.0/24]}]\n"
)


def lay_out(folder: Path) -> None:
    (folder / "pods.txt").write_text("10.77.0.1 shop\n")
    (folder / "partners.yml").write_text("providers: []\n")
    shutil.copy(DATABASES / "GeoLite2-ASN-Test.mmdb", folder / "asn.mmdb")


def send(one: Daemon) -> None:
    """One datagram to the cloud."""
    code = "import socket as s; s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x' * 99, ('47.91.64.9', 9))"
    one.spaces.run(one.spaces.backend, sys.executable, "-I", "-c", code)


def sent_by(one: Daemon, workload: str, provider: str) -> bool:
    send(one)
    return any(
        f'provider="{provider}"' in line and f'workload="{workload}"' in line and not line.endswith(" 0.0")
        for line in one.fetch("/metrics").splitlines()
        if line.startswith("egress_sent_bytes_total{")
    )


def test_files_are_taken_up_when_they_change_and_left_out_when_they_are_wrong(tmp_path: Path) -> None:
    lay_out(tmp_path)
    with daemon("files", tmp_path, SETTINGS + "metrics: {hold: 1s}\n") as one:
        assert until(lambda: sent_by(one, "shop", "alibaba"))
        # workloads: another name, then half a file, then none at all
        (tmp_path / "pods.txt").write_text("10.77.0.1 cart\n")
        assert until(lambda: sent_by(one, "cart", "alibaba"))
        (tmp_path / "pods.txt").write_text("10.77.0.1 ca\n10.77.0.")
        assert until(lambda: metric(one, 'egress_reload_successful{what="workloads"} 0.0'))
        (tmp_path / "pods.txt").unlink()
        assert until(lambda: sent_by(one, "cart", "alibaba"))
        (tmp_path / "pods.txt").write_text("10.77.0.1 cart\n")
        assert until(lambda: metric(one, 'egress_reload_successful{what="workloads"} 1.0'))
        # the catalogue: a partner's network inside Alibaba's
        (tmp_path / "partners.yml").write_text(PARTNER)
        assert until(lambda: sent_by(one, "cart", "partner"))
        (tmp_path / "partners.yml").write_text(PARTNER.replace("hosting", "hotel"))
        assert until(lambda: metric(one, 'egress_reload_successful{what="databases"} 0.0'))
        assert until(lambda: sent_by(one, "cart", "partner"))
        (tmp_path / "partners.yml").write_text(PARTNER)
        assert until(lambda: metric(one, 'egress_reload_successful{what="databases"} 1.0'))
        # a database is overwritten in place, piece by piece, and cut
        with (tmp_path / "asn.mmdb").open("r+b") as file:
            file.write(bytes(4000))
            file.flush()
            file.truncate(6000)
            assert until(lambda: metric(one, 'egress_reload_successful{what="databases"} 0.0'))
            assert until(lambda: sent_by(one, "cart", "partner"))
        shutil.copy(DATABASES / "GeoLite2-ASN-Test.mmdb", tmp_path / "asn.mmdb")
        assert until(lambda: metric(one, 'egress_reload_successful{what="databases"} 1.0'))
        status, err = one.end(signal.SIGTERM)
    assert status == 0
    assert "Traceback" not in err
    assert "pods.txt:2: a line is an address or network, then a workload" in err
    assert "'hotel' is not a category" in err
    assert "asn.mmdb: not a MaxMind DB file, or cut off" in err


def metric(one: Daemon, line: str) -> bool:
    return line in one.fetch("/metrics")
