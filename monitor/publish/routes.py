"""What HTTP answers: metrics, health, the alerts API, the page, and reload where it is enabled."""

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass
from importlib import resources
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from monitor.errors import InputError
from monitor.judge.alert import Alert
from monitor.publish import destinations, pages
from monitor.publish.coverage_report import coverage_report
from monitor.publish.json_text import to_json_text
from monitor.publish.labels import OTHER, fold_provider, fold_workload
from monitor.publish.publisher import Publisher
from monitor.publish.runbooks import SCHEMES
from monitor.publish.scrape import Scrape
from monitor.terminal import visible

FILTERS = ("rule", "severity", "workload", "provider")
MAX_ALERTS = 1000  # in one answer
MAX_DESTINATIONS = 200  # in one answer
STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True)
class Sources:
    """What the answers are made of; all are called from the server's threads and must not wait."""

    publisher: Publisher
    alerts: Callable[[], list[Alert]]
    alert: Callable[[str], Alert | None]
    ready: Callable[[], tuple[bool, str]]
    reload: Callable[[], str] | None


class _OneAtATime:
    """Has answers made by a thread, one after the other, however many ask.

    Each thread that computes takes a share of the interpreter from the line, and forty of them nearly all.
    """

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None  # belongs to the event loop, so made when it runs

    def __call__(self, make: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if self._limiter is None:
                self._limiter = anyio.CapacityLimiter(1)
            return await anyio.to_thread.run_sync(make, request, limiter=self._limiter)

        return answer


def make_app(sources: Sources) -> Starlette:
    """Give the application without its guard.

    What takes milliseconds is answered by a thread, one at a time, and so are reloads, by another.
    """
    scrape = Scrape(sources.publisher)
    files = {name: (resources.files("monitor.publish") / "static" / name).read_bytes() for name in STATIC}

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("egress-monitor is running.\n")

    async def ready(_: Request) -> Response:
        is_ready, reason = sources.ready()
        return PlainTextResponse(f"{reason}\n", 200 if is_ready else 503)

    def alerts(request: Request) -> Response:
        chosen = _chosen(sources.alerts(), request.query_params)
        shown = [_brief(alert) for alert in chosen[:MAX_ALERTS]]
        return _json({"alerts": shown, "total": len(chosen)})

    def alert(request: Request) -> Response:
        found = sources.alert(request.path_params["id"])
        return (
            _json({"error": "there is no alert with this id"}, 404)
            if found is None
            else _json(found.to_json())
        )

    def page(request: Request) -> Response:
        write = pages.alerts_page if request.url.path == "/alerts" else pages.overview
        query = request.query_params
        filters = {name: query[name] for name in FILTERS if query.get(name, OTHER) != OTHER}
        shown = pages.Shown(
            _chosen(sources.alerts(), query),
            filters,
            coverage_report(sources.publisher.snapshot, sources.ready()),
            sources.publisher.destinations.summary(pages.TOP_ROWS),
            sources.publisher.runbooks,
        )
        return _page(write(shown))

    def coverage(_: Request) -> Response:
        return _json(coverage_report(sources.publisher.snapshot, sources.ready()))

    def top(_: Request) -> Response:
        return _json(destinations.to_json(sources.publisher.destinations.summary(MAX_DESTINATIONS)))

    def runbook_list(_: Request) -> Response:
        return _page(pages.runbooks_page(sources.publisher.runbooks))

    async def runbook(request: Request) -> Response:
        text = sources.publisher.runbooks.text(request.path_params["name"])
        if text is not None and text.startswith(SCHEMES):
            return RedirectResponse(text, 302)
        return PlainTextResponse(text or "There is no such runbook.\n", 404 if text is None else 200)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            return PlainTextResponse("There is no such file.\n", 404)
        return Response(files[name], media_type=STATIC[name])

    def reload(_: Request) -> Response:
        if sources.reload is None:
            return PlainTextResponse("Reload over HTTP is not enabled; send SIGHUP.\n", 403)
        try:
            text = sources.reload()
        except InputError as error:
            # names of files may hold what is no text, or would steer a terminal
            return PlainTextResponse(f"{visible(str(error))}\n", 500)
        return PlainTextResponse(f"{text}\n")

    threaded, reloading = _OneAtATime(), _OneAtATime()
    return Starlette(
        routes=[
            Route("/metrics", scrape.answer),
            Route("/-/healthy", healthy),
            Route("/-/ready", ready),
            Route("/-/reload", reloading(reload), methods=["POST"]),
            Route("/api/v1/alerts", threaded(alerts)),
            Route("/api/v1/alerts/{id}", threaded(alert)),
            Route("/api/v1/coverage", threaded(coverage)),
            Route("/api/v1/destinations", threaded(top)),
            Route("/", threaded(page)),
            Route("/alerts", threaded(page)),
            Route("/runbooks", threaded(runbook_list)),
            Route("/runbooks/{name}", runbook),
            Route("/static/{name}", static),
        ]
    )


def _page(html: str) -> Response:
    return HTMLResponse(html, headers={"Content-Security-Policy": pages.CONTENT_SECURITY_POLICY})


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json_text(value) + "\n", status, media_type="application/json")


def _brief(alert: Alert) -> dict[str, Any]:
    """Give an alert without its long parts; its own address has them."""
    brief = copy(alert)
    brief.flows = []  # nobody reads them here, and writing those of a thousand out would hold up the line
    return {name: value for name, value in brief.to_json().items() if name not in ("flows", "exceptions")}


def _chosen(alerts: list[Alert], query: Mapping[str, str]) -> list[Alert]:
    """Keep the alerts whose label values are those asked for, as a link from a metric's labels does."""
    wanted = {name: query[name] for name in FILTERS if query.get(name, OTHER) != OTHER}
    return [alert for alert in alerts if all(_label(alert, name) == value for name, value in wanted.items())]


def _label(alert: Alert, name: str) -> str:
    if name == "workload":
        return fold_workload(alert.workload)
    if name == "provider":
        return fold_provider(alert.provider)
    return alert.rule if name == "rule" else alert.severity
