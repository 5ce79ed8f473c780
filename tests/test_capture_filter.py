"""The filter's programs against those of tcpdump, and libpcap's own words where one is wrong."""

import ctypes.util
import shutil
import subprocess

import pytest

from monitor import capture_filter
from monitor.capture_filter import compile_filter

pytestmark = pytest.mark.skipif(ctypes.util.find_library("pcap") is None, reason="libpcap is not installed")

FILTERS = ["tcp port 443", "net 10.0.0.0/8 and not port 22", "ip6 and udp", "not host 10.1.2.3"]


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize(("link", "name"), [("EN10MB", "ethernet"), ("RAW", "ip")])
def test_the_same_program_as_tcpdump(text: str, link: str, name: str) -> None:
    shown = subprocess.run(
        ["tcpdump", "-y", link, "-ddd", text], capture_output=True, text=True, check=True, timeout=30
    ).stdout
    count, *lines = shown.splitlines()
    theirs = [tuple(map(int, line.split())) for line in lines]
    ours = getattr(compile_filter(text), name)
    assert len(theirs) == int(count)
    assert ours == theirs


def test_no_filter_is_no_program() -> None:
    assert compile_filter("  ") is None


@pytest.mark.parametrize("text", ["tcp prot 80", "host", "port 99999999", "("])
def test_a_wrong_filter_is_told_in_one_line_of_libpcap(text: str) -> None:
    with pytest.raises(ValueError, match="is no filter: .+") as caught:
        compile_filter(text)
    assert "\n" not in str(caught.value)


def test_an_ethernet_filter_lets_nothing_in_where_there_is_no_ethernet() -> None:
    compiled = compile_filter("ether host 02:00:00:00:00:01")
    assert compiled is not None
    assert compiled.ip == [(6, 0, 0, 0)]
    assert len(compiled.ethernet) > 1


def test_without_libpcap_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_filter, "LIBRARIES", ("libpcap-that-is-nowhere.so",))
    with pytest.raises(ValueError, match="needs libpcap"):
        compile_filter("tcp")


def test_a_vlan_is_refused() -> None:
    with pytest.raises(ValueError, match="without its VLAN tag"):
        compile_filter("tcp and vlan 100")
