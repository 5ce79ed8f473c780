"""The HTTP server: an application on a thread of its own, started and stopped by the daemon."""

import asyncio
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitor.errors import InputError
from monitor.judge.alert import Alert
from monitor.publish.auth import BasicAuth
from monitor.publish.bounded_listener import BoundedListener
from monitor.publish.guard import Allowance, AllowedHosts, Guard
from monitor.publish.listening import address_of, bind
from monitor.publish.publisher import Publisher
from monitor.publish.routes import Sources, make_app
from monitor.publish.web_config import WebConfig, files_of, load_web_config
from monitor.watched_files import WatchedFiles

MAX_HEAD_BYTES = 16 * 1024
MAX_CONNECTIONS = 100  # more get 503
MAX_OPEN = 2 * MAX_CONNECTIONS  # more are closed at once, before a TLS handshake
BACKLOG = 64  # connections that wait to be accepted; with no file left, asyncio logs that many errors
HEAD_SECONDS = 10  # a connection that does not finish a handshake or a request's head in this time is closed
ANSWER_SECONDS = 30  # from a request's head to the end of its answer; a slow reader is cut off
KEEP_ALIVE_SECONDS = 75  # longer than a usual scrape interval, so that a scraper keeps its connection
START_SECONDS = 10
STOP_SECONDS = 3
# While the line computes, a thread that wants to answer waits this long for each of its steps (Python's own
# is 5 ms, and a scrape has some ten steps). It costs nothing while nobody asks.
SWITCH_SECONDS = 0.001


class _TimedProtocol(H11Protocol):
    """Closes connections that wait with the head of a request, or do not read the answer.

    Otherwise they could use up all places.
    """

    _deadline: asyncio.TimerHandle | None = None
    _answer_by: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for deadline in (self._deadline, self._answer_by):
            if deadline is not None:
                deadline.cancel()

    def _watch(self) -> None:
        """Run a deadline while a head is awaited; keep-alive has its own while nothing has come at all."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        is_idle = self.timeout_keep_alive_task is not None
        if is_answering and self._answer_by is None:
            self._answer_by = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)
        elif not is_answering and self._answer_by is not None:
            self._answer_by.cancel()
            self._answer_by = None
        if is_answering or is_idle:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.abort)


class _Loop(asyncio.SelectorEventLoop):
    """Closes connections that wait with their TLS handshake, or with its end, like those with a head."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options |= {"ssl_handshake_timeout": HEAD_SECONDS, "ssl_shutdown_timeout": HEAD_SECONDS}
        return await super().create_server(*args, **options)


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    # not by uvicorn's own `run`: before its version 0.36 that takes no loop of ours
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(server.serve(sockets=[listener]))


class HttpServer:
    """Serves a publisher and the alerts at one address.

    `alerts`, `alert`, `ready` and `reload` are called from other threads and must be safe for that.
    Where `reload` is None, ``POST /-/reload`` is refused; it gives one line for people, or raises
    InputError. `external_url` is how people reach the server, for instance through a reverse proxy.
    `requests` are answered a second, of all clients together.
    """

    def __init__(
        self,
        publisher: Publisher,
        alerts: Callable[[], list[Alert]],
        alert: Callable[[str], Alert | None],
        ready: Callable[[], tuple[bool, str]],
        listen: str,
        web_config: Path | None = None,
        reload: Callable[[], str] | None = None,
        external_url: str | None = None,
        requests: int = 50,
    ) -> None:
        self.requests = requests
        self.listen = listen
        self.web_config = web_config
        self.external_url = external_url
        self.sources = Sources(publisher, alerts, alert, ready, reload)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._watched = WatchedFiles({})
        self._retired: list[threading.Thread] = []

    @property
    def address(self) -> str:
        """Where it is served, with the real port; `start` comes first."""
        assert self._listener is not None, "start() comes first"
        return address_of(self._listener)

    def start(self) -> None:
        """Bind and serve; returns when connections are accepted.

        Raises InputError where the address cannot be had or the web configuration is wrong.
        """
        config, tls = load_web_config(self.web_config)
        self._listener = bind(self.listen)
        # `dup` sets this for all that share the listener: a server that serves already would otherwise wait
        # in its next accept, and answer nobody
        self._listener.setblocking(False)
        self._watch(config)
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self._serve(config, tls)
        except InputError:
            self.stop()
            raise

    def refresh(self) -> bool:
        """Read the web configuration again where it or a file that it names has changed; say whether it has.

        Raises InputError where it is wrong now: what was at work stays at work. Connections that are open go
        on for a moment with what they began with, and are then closed.
        """
        if self._server is None or not self._watched.changed():
            return False
        config, tls = load_web_config(self.web_config)
        self._watch(config)
        old, thread = self._server, self._thread
        self._serve(config, tls)
        old.should_exit = True
        self._retired = [one for one in (*self._retired, thread) if one is not None and one.is_alive()]
        return True

    def _watch(self, config: WebConfig) -> None:
        if self.web_config is not None:
            self._watched = WatchedFiles({"web_config": files_of(self.web_config, config)})

    def _serve(self, config: WebConfig, tls: ssl.SSLContext | None) -> None:
        """Serve on the listening socket, beside whoever serves there still; raises InputError."""
        assert self._listener is not None
        try:
            listener = BoundedListener(self._listener.dup(), MAX_OPEN)
        except OSError as error:
            raise InputError(f"listen: {self.listen}: {error.strerror or error}") from error
        app = Guard(
            make_app(self.sources),
            hosts=AllowedHosts(self._listener, self.external_url),
            auth=BasicAuth(config.basic_auth_users),
            extra_headers={str(name): text for name, text in config.http_server_config.headers.items()},
            allowance=Allowance(self.requests),
        )
        options: dict[str, Any] = {} if tls is None else {"ssl_context_factory": lambda *_: tls}
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="none",  # `_run` makes it
                http=_TimedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",  # what strangers send is not worth a line each
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                backlog=BACKLOG,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
                **options,
            )
        )
        thread = threading.Thread(target=_run, args=(server, listener), name="http", daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                server.should_exit = True
                raise InputError(f"listen: {self.listen}: the server did not start")
            time.sleep(0.005)
        self._server, self._thread = server, thread

    def stop(self) -> None:
        """Stop serving and give the address back; a second call does nothing."""
        server, self._server = self._server, None
        thread, self._thread = self._thread, None
        listener, self._listener = self._listener, None
        if server is not None and thread is not None:
            server.should_exit = True
            for one in (thread, *self._retired):
                one.join(STOP_SECONDS)
        if listener is not None:
            listener.close()
            if self.listen.startswith("unix:"):
                Path(self.listen.removeprefix("unix:")).unlink(missing_ok=True)
