"""Where a program is only in a release's backports, `make bench` finds them by the machine's own sources."""

from tools.bench.installing import backports

# both forms as sources.list(5) describes them
STANZAS = """\
# who serves it
Types: deb
URIs: mirror+file:/etc/apt/mirror.txt
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: mirror+file:/etc/apt/security.txt
Suites: bookworm-security
Components: main
"""
LINES = """\
# deb cdrom:[Debian] bookworm main
deb-src mirror+file:/etc/apt/mirror.txt bookworm main
deb mirror+file:/etc/apt/mirror.txt bookworm-updates main
deb [signed-by=/k.gpg arch=amd64] mirror+file:/etc/apt/mirror.txt bookworm main contrib
"""


def test_a_stanza_keeps_its_mirror_key_and_components() -> None:
    assert backports("bookworm", STANZAS).splitlines() == [
        "# who serves it",
        "Types: deb",
        "URIs: mirror+file:/etc/apt/mirror.txt",
        "Suites: bookworm-backports",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    ]


def test_a_line_keeps_its_options_mirror_and_components() -> None:
    line = "deb [signed-by=/k.gpg arch=amd64] mirror+file:/etc/apt/mirror.txt bookworm-backports main contrib"
    assert backports("bookworm", LINES) == f"{line}\n"


def test_sources_of_another_release_or_of_none_give_nothing() -> None:
    assert backports("trixie", STANZAS) == ""
    assert backports("trixie", LINES) == ""
    assert backports("bookworm", "") == ""
    assert backports("bookworm", "Suites: bookworm-updates\n") == ""
