"""The runbooks over HTTP, by rule and by file: a closed set, so that a link in an alert leads somewhere.

All are read when rules are loaded; nothing that a request names is ever opened.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from monitor import shipped
from monitor.judge.rule import Rule

MAX_BYTES = 256 * 1024  # of one runbook; more is cut off
SCHEMES = ("https://", "http://")


@dataclass(frozen=True)
class Runbooks:
    """Texts in Markdown by file name, and for each rule that has one its title and its text or address."""

    files: dict[str, str] = field(default_factory=dict)  # the shipped ones
    rules: dict[str, tuple[str, str]] = field(default_factory=dict)  # by rule id

    def text(self, name: str) -> str | None:
        """Give a runbook by a rule's id or a file's name, or the address where it is; None: there is none."""
        if name in self.rules:
            return self.rules[name][1]
        return self.files.get(name)

    def address(self, rule: str) -> str | None:
        """Give where a rule's runbook is served, relative to the page; None: it has none."""
        return f"runbooks/{rule}" if rule in self.rules else None


def read_runbooks(rules: Iterable[Rule] = ()) -> Runbooks:
    """Read the shipped runbooks, and those that the rules name, each beside its rule.

    One that stands elsewhere, is no file in Markdown or cannot be read is left out: rules have a warning of
    their own for that, and a detection must not wait for a text.
    """
    files = {path.name: _read(path) for path in sorted((shipped.rules() / "runbooks").glob("*.md"))}
    by_rule = {}
    for rule in rules:
        if rule.runbook is None:
            continue
        text = rule.runbook if rule.runbook.startswith(SCHEMES) else _beside(rule.path.parent, rule.runbook)
        if text is not None:
            by_rule[rule.id] = rule.title, text
    return Runbooks(files, by_rule)


def _beside(folder: Path, name: str) -> str | None:
    """Read a file under the rule's folder; a rule must not publish what else the daemon may read."""
    try:
        path = (folder / name).resolve(strict=True)
        is_there = path.is_relative_to(folder.resolve()) and path.suffix == ".md" and path.is_file()
        return _read(path) if is_there else None
    except (OSError, RuntimeError):  # RuntimeError: links that lead in a circle
        return None


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_BYTES).decode("utf-8", errors="replace")
