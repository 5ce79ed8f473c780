"""Keeps who opened which flows over a restart, so that a connection that goes on is not of unknown origin.

The hot path tells it about once a minute and at the end, as hashes under a secret key. The file is the
secret and the hashes: whoever had only the traffic could not make an entry that fits a flow of theirs.
"""

import secrets
import struct
from pathlib import Path

from monitor import state_file

_MAGIC = b"egress-monitor initiators 1\n"
_SECRET = struct.Struct("<QQ")
_MAX_BYTES = 64 << 20  # far above what all workers together tell


class Initiators:
    """The secret, and what was told last."""

    def __init__(self, path: Path, secret: tuple[int, int], known: bytes = b"") -> None:
        """Keep them; `load` reads a file."""
        self._path = path
        self.secret = secret
        self.known = known

    @classmethod
    def load(cls, path: Path) -> "Initiators":
        """Read what `save` wrote. What is no such file counts as nothing known, under a new secret."""
        try:
            with path.open("rb") as file:
                head = file.read(len(_MAGIC) + _SECRET.size)
                known = file.read(_MAX_BYTES)
        except OSError:
            head, known = b"", b""
        if len(head) == len(_MAGIC) + _SECRET.size and head.startswith(_MAGIC):
            low, high = _SECRET.unpack(head[len(_MAGIC) :])
            return cls(path, (low, high), known)
        return cls(path, (secrets.randbits(64), secrets.randbits(64)))

    def save(self) -> None:
        """Write it, whole or not at all; raises OSError, and the old file then stays."""
        state_file.write(self._path, _MAGIC + _SECRET.pack(*self.secret), self.known)
