"""``egress-monitor capsule``: which there are, and whether each is as it was written."""

from datetime import UTC, datetime
from pathlib import Path

from monitor import terminal
from monitor.commands.tables import table
from monitor.config import load_config
from monitor.errors import InputError
from monitor.evidence import manifest
from monitor.evidence.capsules import FOLDER
from monitor.terminal import safe
from monitor.yaml_file import nearest


def find(what: str, config_path: Path | None, evidence: Path | None) -> Path:
    """Give the folder of a capsule, named by its path, by the alert's id, or by how the id begins.

    Raises InputError where there is none, or more than one.
    """
    given = Path(what)
    if is_file(given / manifest.MANIFEST):
        return given
    folder = _folder(config_path, evidence)
    names = _names(folder)
    matching = [what] if what in names else [name for name in names if what and name.startswith(what)]
    if len(matching) == 1:
        return folder / matching[0]
    if matching:
        raise InputError(f"{what}: begins the ids of {len(matching)} capsules in {folder}; write more of it")
    if what and given.exists():
        raise InputError(f"{what}: is no capsule: a folder with a {manifest.MANIFEST}")
    where = "" if names else "; --evidence or --config says where else they are"
    raise InputError(f"{what!r}: no capsule of that id in {folder}{nearest(what, names)}{where}")


def is_file(path: Path) -> bool:
    """Tell whether a path is one of a file; raises InputError where that cannot be told."""
    try:
        return path.is_file()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def verify(what: list[str], config_path: Path | None, evidence: Path | None) -> int:
    """Hold capsules against their hashes; gives 1 where one is not as it was written."""
    folder = _folder(config_path, evidence) if not what else None
    paths = [folder / name for name in _names(folder)] if folder else []
    paths += [find(one, config_path, evidence) for one in what]
    out = terminal.console()
    is_wrong = False
    for path in paths:
        faults = _faults(path)
        if faults is None:
            continue
        is_wrong |= bool(faults)
        if not faults:
            out.print(safe(f"{path}: as it was written"), soft_wrap=True)
        for fault in faults:
            line = f"{path}/{fault.file}: {fault.what}"
            out.print(safe(line, longest=terminal.LONGEST_LINE), soft_wrap=True)
    if not paths:
        out.print(safe(f"{folder}: no capsules"), soft_wrap=True)
    return int(is_wrong)


def _faults(path: Path) -> list[manifest.Fault] | None:
    """Verify a capsule, anew where a monitor at work has replaced it; None: it has removed it."""
    while True:
        before = _number(path)
        if before is None:
            return None
        try:
            faults = manifest.verify(path)
        except InputError:
            if _number(path) == before:
                raise
            continue
        if not faults or _number(path) == before:
            return faults


def _number(path: Path) -> int | None:
    """Give what tells a folder from another of the same name; None: there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def list_all(config_path: Path | None, evidence: Path | None) -> None:
    """Print a line a capsule, the newest first."""
    folder = _folder(config_path, evidence)
    rows = table("", "id", "rule", "made", "for", "flows", "packets")
    paths = [folder / name for name in _names(folder)]
    written = {path: _written(path) for path in paths}
    for path in sorted(paths, key=lambda path: -written[path]):
        made = datetime.fromtimestamp(written[path], UTC)
        try:
            about = manifest.read(path)
            flows, packets = about["flows"]["count"], about["packets"]
            words = [about["rule"], about["made_for"], str(flows), f"{packets['count']} of {packets['of']}"]
        except (InputError, KeyError, TypeError):
            words = ["cannot be read", "", "", ""]
        rule, made_for, *counts = (safe(str(word)) for word in words)
        rows.add_row(safe(path.name), rule, f"{made:%Y-%m-%d %H:%M}", made_for, *counts)
    out = terminal.console()
    if paths:
        out.print(rows)
    else:
        out.print(safe(f"{folder}: no capsules"), soft_wrap=True)


def _folder(config_path: Path | None, evidence: Path | None) -> Path:
    return (evidence or load_config(config_path).state) / FOLDER


def _written(path: Path) -> float:
    """Give when a capsule was written, in seconds; 0 where a monitor at work there has removed it since."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if manifest.is_capsule(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from error
