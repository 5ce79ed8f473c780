"""A listening socket with a bound on the connections that are open through it.

Counted from the accept on, before anything is read: whoever only connects, or begins a TLS handshake and
never ends it, takes a file of the process as well, and the capture needs some too.
"""

import socket
from typing import Any


class BoundedListener(socket.socket):
    """Closes at once whoever comes while `most` connections are open. Takes over `listener`."""

    def __init__(self, listener: socket.socket, most: int) -> None:
        super().__init__(listener.family, listener.type, listener.proto, listener.detach())
        self._most = most
        self._accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; raises BlockingIOError where none waits or there is no room for it."""
        connection, address = super().accept()
        self._accepted = [one for one in self._accepted if one.fileno() != -1]
        if len(self._accepted) >= self._most:
            connection.close()
            # whoever asks comes back for the next one, and looks after the open ones before
            raise BlockingIOError("too many connections")
        self._accepted.append(connection)
        return connection, address
