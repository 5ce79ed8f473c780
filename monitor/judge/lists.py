"""Lists of addresses and domains that rules can name (``lists:`` of the configuration).

A file has one address, network or domain a line; ``#`` begins a comment. It is read again when it changes;
one that cannot be read, or has a wrong line, then leaves the list that was read before at work.
"""

from collections.abc import Mapping
from pathlib import Path

from monitor._hotpath import AddressList
from monitor.errors import InputError

MAX_BYTES = 64 * 2**20  # a million domains of 64 bytes


class AddressLists:
    """The lists of a configuration by name; `load` comes first."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)
        self.ready: dict[str, AddressList] = {}
        self.errors: list[str] = []  # one line for each file that `load_what_can` left out

    @classmethod
    def of_words(cls, lists: Mapping[str, list[str]]) -> "AddressLists":
        """Make lists of their entries; raises ValueError with a text for people."""
        made = cls({})
        for name, entries in lists.items():
            made.ready[name] = _parse("\n".join(entries), name)
        return made

    def load(self) -> None:
        """Read all files; raises InputError about the first that is wrong, and then none is taken."""
        self.ready = {name: read(path) for name, path in self.files.items()}

    def load_what_can(self) -> None:
        """Read all files and leave out those that are wrong: a feed that broke must not stop the monitor."""
        for name, path in self.files.items():
            try:
                self.ready[name] = read(path)
            except InputError as error:
                self.errors.append(f"{error}; rules that name the list {name!r} sleep")


def read(path: Path) -> AddressList:
    """Read the file of a list; raises InputError with file:line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 2**20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    try:
        return _parse(text, path)
    except ValueError as error:
        raise InputError(str(error)) from error


def _parse(text: str, source: object) -> AddressList:
    try:
        return AddressList(text)
    except ValueError as error:
        line, message = error.args
        raise ValueError(f"{source}:{line}: {message}") from error
