"""A headless Chromium, driven by the DevTools protocol over a pipe: no port, no further package.

https://chromedevtools.github.io/devtools-protocol/ ; with ``--remote-debugging-pipe`` the browser reads
messages from file descriptor 3 and writes them to 4, each ended by a NUL byte.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
SECONDS = 60  # for an answer; the machine may be busy

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One page of one browser; `events` are all that it told."""

    def __init__(self, process: "subprocess.Popen[bytes]", to: int, back: int) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self._to, self._back = to, back
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol; gives its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._read(deadline)
            if answer is None:
                raise TimeoutError(method)
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, address: str) -> None:
        """Go to an address and wait until the page is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + SECONDS
        while not self.told("Page.loadEventFired"):
            answer = self._read(deadline)
            assert answer is not None, f"{address} did not load"
            self.events.append(answer)

    def told(self, method: str) -> list[dict[str, Any]]:
        """Give the events of one kind since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, as the console does: its policy does not apply."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + SECONDS
        while not self.value(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.1)

    def press(self, key: str, code: int, text: str = "", shift: bool = False) -> None:
        """Press and release a key; `code` is its Windows virtual key code, as the protocol wants it."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Set the size of the window in CSS pixels, and what the user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 700,
        )  # fmt: skip
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        taken = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _read(self, deadline: float) -> dict[str, Any] | None:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self._back, 1 << 20)
            assert piece, "the browser is gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Start a browser; `folder` takes its profile."""
    read_here, written_there = os.pipe()
    read_there, written_here = os.pipe()
    arguments = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    script = f'exec "$@" 3<&{read_there} 4>&{written_there}'
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", script, "browser", *arguments],
            pass_fds=(read_there, written_there), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    os.close(read_there)
    os.close(written_there)
    try:
        browser = Browser(process, written_here, read_here)
        yield browser
        browser._session = None
        browser.call("Browser.close")
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(20)
        os.close(written_here)
        os.close(read_here)
