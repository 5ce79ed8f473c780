"""`scripts/fuzz` says what is wrong with its arguments before it builds anything."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "monitor/hotpath/flowcore/fuzz/corpus"


def refused(*arguments: str) -> str:
    done = subprocess.run([ROOT / "scripts/fuzz", *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize("name", ["nosuch", "..", "dns/.", ""])
def test_a_target_that_is_none_is_refused_with_those_there_are(name: str) -> None:
    known = " ".join(sorted(folder.name for folder in CORPUS.iterdir()))
    assert refused("60", "dns", name) == f"no fuzz target {name}; there are: {known}\n"


@pytest.mark.parametrize("arguments", [(), ("",), ("dns",), ("-1",), ("1.5", "dns")])
def test_seconds_are_a_number(arguments: tuple[str, ...]) -> None:
    assert refused(*arguments) == "usage: fuzz SECONDS [TARGET...]\n"
