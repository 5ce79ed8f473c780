"""The shipped runbooks over HTTP: a closed set of texts, so that a link in an alert leads somewhere."""

from pathlib import Path

import yaml

from monitor import shipped


class Runbooks:
    """Runbooks by file name, read once; nothing that a request names is ever opened."""

    def __init__(self) -> None:
        folder = shipped.rules() / "runbooks"
        self._texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}
        self._of_rules = dict(_runbook(path) for path in folder.parent.glob("*.yml"))

    @property
    def names(self) -> list[str]:
        """The file names there are."""
        return list(self._texts)

    def text(self, name: str) -> str | None:
        """Give a runbook in Markdown, by its file name or by the id of a shipped rule; None: there is none.

        An alerting rule of Prometheus knows the id only.
        """
        return self._texts.get(self._of_rules.get(name, name))

    def address(self, runbook: str | None) -> str | None:
        """Give where a rule's runbook is served, relative to the page; None: it is not a shipped one."""
        if runbook is None or runbook != f"runbooks/{Path(runbook).name}":
            return None
        return runbook if Path(runbook).name in self._texts else None


def _runbook(rule: Path) -> tuple[str, str]:
    """Give the id of a shipped rule and the file name of its runbook."""
    written = yaml.safe_load(rule.read_text(encoding="utf-8"))
    return str(written["id"]), Path(str(written.get("runbook"))).name
