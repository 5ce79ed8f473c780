"""The log: whatever becomes of who reads it, the daemon goes on."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

SAY = """
import sys
from monitor.log import make_log
log = make_log()
for number in range(int(sys.argv[1])):
    log.warning("capture", what="x" * 100, number=number)
print("went on")
"""


def say(lines: int, stderr: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", SAY, str(lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_each_event_is_a_line_of_json() -> None:
    _, err = say(2, subprocess.PIPE).communicate(timeout=30)
    assert [json.loads(line)["number"] for line in err.splitlines()] == [0, 1]


def test_a_full_disk() -> None:
    with open("/dev/full", "wb") as full:
        one = say(3, full.fileno())
        out, _ = one.communicate(timeout=30)
    assert (one.returncode, out) == (0, "went on\n")


def test_standard_error_that_was_closed_is_nobody_elses_file(tmp_path: Path) -> None:
    """Its number is then given to the next file that is opened, such as the state."""
    code = f"file = open({str(tmp_path / 'state')!r}, 'w')\nassert file.fileno() == 2\n{SAY}"
    command = f"exec {sys.executable} -I -c {shlex.quote(code)} 3 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True, timeout=30)
    assert done.stdout == b"went on\n"
    assert (tmp_path / "state").read_bytes() == b""


def test_a_reader_that_stopped_reading_and_one_that_went_away() -> None:
    one = say(10_000, subprocess.PIPE)  # more than a pipe holds
    assert one.stdout is not None
    assert one.stderr is not None
    assert one.stdout.read() == "went on\n"
    kept = one.stderr.read().splitlines()
    assert 0 < len(kept) < 10_000
    assert json.loads(kept[0])["number"] == 0
    gone = say(10_000, subprocess.PIPE)
    assert gone.stderr is not None
    gone.stderr.close()
    assert gone.stdout is not None
    assert gone.stdout.read() == "went on\n"
    for process in (one, gone):
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()
    one.stderr.close()
