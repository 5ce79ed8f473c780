"""How every command ends: the status, and one line where the user gave something wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-I", "-m", "monitor"]
# magic, version 2.4, snap length 65535, Ethernet (draft-ietf-opsawg-pcap section 4), and no packet
EMPTY_CAPTURE = bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000")


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False)


def error_line(done: subprocess.CompletedProcess[bytes]) -> str:
    """Give the one line on standard error; it is the whole of it."""
    text = done.stderr.decode()
    assert text.startswith("egress-monitor: "), text
    assert text.count("\n") == 1, text
    return text.strip()


@pytest.mark.parametrize(
    "command", ["", "run", "replay", "check", "lookup", "demo", "rules", "rules test", "learn", "diff"]
)
def test_help_of_every_command(command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert b"Usage: egress-monitor" in done.stdout
    assert done.stderr == b""


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, b"egress-monitor 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["replay"], "Missing argument 'CAPTURE...'. See egress-monitor replay --help."),
        (["replay", "a.pcap", "--fail-on", "bad"], "'bad' is not one of"),
        (["replay", "--nonsense", "a.pcap"], "No such option: --nonsense. See egress-monitor replay --help."),
        (["replya", "a.pcap"], "? See egress-monitor --help."),
        (["replay", "none.pcap"], "none.pcap"),
        (["replay", "-", "-"], "standard input (-) can be read only once"),
        (["replay", "a.pcap", "--local", "10.0.0.1/8"], "did you mean 10.0.0.0/8?"),
        (["replay", "a.pcap", "--config", "none.yml"], "none.yml: No such file"),
        (["run"], "no interface to watch"),
        (["run", "--interface", "none0"], "none0"),
        (["lookup", "bad_name"], "'bad_name' is neither an IP address nor a host name"),
        (["lookup", "a\x1b[31mb"], "neither an IP address"),
        (["rules", "test", "nowhere"], "nowhere: no such file or folder"),
        (["rules", "show", "nonsense"], "no rule 'nonsense'"),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    line = error_line(done)
    assert says in line
    assert "\x1b" not in line


def test_no_command_shows_the_help() -> None:
    done = run()
    assert done.returncode == 2
    assert b"Usage: egress-monitor" in done.stdout + done.stderr


def test_what_is_no_capture(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("this is not a capture, however long it is", encoding="utf-8")
    done = run("replay", path)
    assert done.returncode == 2
    assert str(path) in error_line(done)


def test_configuration_mistake_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "egress.yml"
    path.write_text("tick: 1s\ncapture: {promiscous: true}\n", encoding="utf-8")
    for command in (["run", "--interface", "lo"], ["check"], ["replay", "a.pcap"]):
        done = run(*command, "--config", path)
        assert done.returncode == 2
        assert f"{path}:2: unknown key 'promiscous'; did you mean 'promiscuous'?" in error_line(done)


def test_run_refuses_a_configuration_that_others_can_write(tmp_path: Path) -> None:
    path = tmp_path / "egress.yml"
    path.write_text("tick: 1s\n", encoding="utf-8")
    path.chmod(0o666)
    done = run("run", "--interface", "lo", "--config", path)
    assert done.returncode == 2
    assert f"chmod go-w {path}" in error_line(done)


def test_empty_capture_from_standard_input() -> None:
    done = run("replay", "-", stdin=EMPTY_CAPTURE)
    assert done.returncode == 0, done.stderr
    assert b"Nothing left the local networks" in done.stdout
    assert b"0 frames" in done.stdout
    assert done.stderr == b""


def test_output_would_overwrite_a_capture(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(EMPTY_CAPTURE)
    done = run("replay", path, "--flows", path)
    assert done.returncode == 2
    assert "would be overwritten" in error_line(done)
    assert path.read_bytes() == EMPTY_CAPTURE


def test_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "lookup", "8.8.8.8"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_interrupt_is_no_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "replay", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(EMPTY_CAPTURE)
        process.stdin.flush()
        _wait_until_it_reads(process.pid)
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        assert process.wait(timeout=60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


# runs a command; Ctrl-C comes when a module is looked for, or while the command executes a text
PRESSED = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == when:
            sys.meta_path.remove(self)
            press()

def press():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass

when = sys.argv.pop()
if when == "a text":
    import monitor.commands.lookup
    monitor.commands.lookup.lookup = lambda *_, **__: exec("press()", {"press": press})
sys.argv = ["egress-monitor", "lookup", "8.8.8.8"]
sys.meta_path.insert(0, Finder())
runpy.run_module("monitor", run_name="__main__")
"""


@pytest.mark.parametrize("when", ["typer", "monitor.cli", "monitor.commands.lookup", "maxminddb", "a text"])
def test_interrupt_at_any_moment_is_told_by_the_status(tmp_path: Path, when: str) -> None:
    (tmp_path / "pressed.py").write_text(PRESSED, encoding="ascii")
    command = [sys.executable, "-m", "pressed", when]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def _wait_until_it_reads(pid: int) -> None:
    """Wait until the worker of the hot path runs: the interpreter has a second thread then."""
    for _ in range(600):
        if len(os.listdir(f"/proc/{pid}/task")) > 1:
            time.sleep(0.5)
            return
        time.sleep(0.05)
    raise AssertionError("the replay did not begin")
