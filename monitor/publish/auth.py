"""Basic authentication (RFC 7617) against bcrypt hashes."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping

import anyio
import bcrypt

MAX_KNOWN = 100  # passwords that were right, remembered by their hash; a scrape must not cost 50 ms
_BCRYPT_READS = 72  # bytes of a password; Go's bcrypt, which the file format comes from, cuts there too


class BasicAuth:
    """Checks the ``Authorization`` header; without users everybody may pass.

    An unknown user costs as much time as a wrong password, and at most two checks run at once, so that
    guessing cannot take the processor from the capture.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._hashes = {user: text.encode() for user, text in users.items()}
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, None] = {}
        self._limiter: anyio.CapacityLimiter | None = None

    async def passes(self, authorization: str | None) -> bool:
        """Say whether the value of the header names a user with the right password."""
        if not self._hashes:
            return True
        credentials = _credentials(authorization or "")
        if credentials is None:
            return False
        user, password = credentials
        expected = self._hashes.get(user)
        digest = hmac.digest(self._key, f"{user}:".encode() + password, hashlib.sha256)
        if digest in self._known:
            return True
        if self._limiter is None:  # belongs to the event loop, so not made before it runs
            self._limiter = anyio.CapacityLimiter(2)
        compared = expected or next(iter(self._hashes.values()))
        is_right = await anyio.to_thread.run_sync(_matches, password, compared, limiter=self._limiter)
        if not is_right or expected is None:
            return False
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = None
        return True


def _credentials(authorization: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _matches(password: bytes, expected: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:_BCRYPT_READS], expected)
    except ValueError:  # a NUL byte, which no hash is made of
        return False
