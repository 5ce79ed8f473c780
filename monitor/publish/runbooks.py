"""The shipped runbooks over HTTP: a closed set of texts, so that a link in an alert leads somewhere."""

from pathlib import Path

from monitor import shipped


class Runbooks:
    """Runbooks by file name, read once; nothing that a request names is ever opened."""

    def __init__(self) -> None:
        folder = shipped.rules() / "runbooks"
        self._texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))}

    @property
    def names(self) -> list[str]:
        """The file names there are."""
        return list(self._texts)

    def text(self, name: str) -> str | None:
        """Give a runbook in Markdown; None where there is none of this name."""
        return self._texts.get(name)

    def address(self, runbook: str | None) -> str | None:
        """Give where a rule's runbook is served, relative to the page; None: it is not a shipped one."""
        if runbook is None or runbook != f"runbooks/{Path(runbook).name}":
            return None
        return runbook if Path(runbook).name in self._texts else None
