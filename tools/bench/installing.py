"""Programs that are not here yet: found, and brought by the ordinary clients of the package registries."""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .programs import Program

APT = Path("/etc/apt")


def is_here(program: Program) -> bool:
    """Whether a program can be started."""
    if program.install.startswith("pip"):
        module = program.install.rpartition(" ")[2]
        command = [sys.executable, "-I", "-c", f"import {module}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return shutil.which(program.command[0]) is not None


def install(missing: list[Program]) -> list[str]:
    """Install what is missing, each by its own command; gives what did not work."""
    failed = []
    for program in missing:
        command = program.install.split()
        if command[0] == "pip":
            error = _run([sys.executable, "-m", *command])
        else:
            error = _run(command) and _from_backports(command)
        if error:
            failed.append(f"{program.name}: {program.install}: {error}")
    return failed


def backports(release: str, sources: str) -> str:
    """Give the source of a Debian release's backports, made of that of the release itself.

    Args:
        release: the code name, as ``bookworm``.
        sources: what a file of sources says, in either form (sources.list(5)).

    Returns:
        The same mirror, key and components with the other suite, in the form of `sources`; empty where it
        does not name the release.
    """
    for stanza in re.split(r"\n\s*\n", sources):
        suites = rf"(?m)^Suites:(.*\s)?{release}(\s.*)?$"
        changed, count = re.subn(suites, f"Suites: {release}-backports", stanza)
        if count:
            return changed.strip() + "\n"
    line = re.search(rf"(?m)^deb\s+(\[[^\]]*\]\s+)?\S+\s+{release}(?=\s)", sources)
    if line is None:
        return ""
    rest = sources[line.end() :].partition("\n")[0]
    return f"{line.group()}-backports{rest}\n"


def _from_backports(command: list[str]) -> str:
    """Try again with the release's backports; the machine's own sources stay as they are."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder)
        for path in _sources():
            shutil.copy(path, parts)
            found = backports(release, path.read_text(encoding="utf-8")) if release else ""
            if found:
                (parts / f"backports{path.suffix}").write_text(found, encoding="utf-8")
        apt = [command[0], "-o", f"Dir::Etc::SourceParts={parts}"]
        return _run([*apt, "update"]) or _run([*apt, *command[1:], "-t", f"{release}-backports"])


def _sources() -> Iterator[Path]:
    yield from sorted([*APT.glob("sources.list.d/*.sources"), *APT.glob("sources.list.d/*.list")])
    if (APT / "sources.list").exists():
        yield APT / "sources.list"


def _run(command: list[str]) -> str:
    """Run a command; gives the end of what it says where it fails, else nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return (done.stderr or done.stdout).strip()[-200:] or "it failed" if done.returncode else ""
