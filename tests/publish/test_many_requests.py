"""However many ask at once, one thread makes the answers, and what is asked to live is answered meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from monitor.publish.http import HttpServer

from .serving import Serve, get
from .test_courier import wait_for

MANY = 45  # more than a pool of threads usually has (anyio: 40)


@contextmanager
def asking(many: Callable[[], Any]) -> Iterator[list[Any]]:
    """Ask this often at once; all are answered when it ends."""
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(many())) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        for thread in threads:
            thread.join(30)


def answers_meanwhile(server: HttpServer, *paths: str) -> bool:
    asked = ("/-/healthy", "/-/ready", "/metrics", *paths)
    return all(get(server, path).status_code == 200 for path in asked)


def test_answers_are_made_one_after_the_other(given: Any, serve: Serve) -> None:
    """Each thread that computes takes as large a share of the interpreter as the line itself."""
    publisher = given.publisher()
    summary, may_go_on = publisher.destinations.summary, threading.Event()
    at_once, most = [0], [0]

    def slow(rows: int) -> Any:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        assert may_go_on.wait(30)
        at_once[0] -= 1
        return summary(rows)

    publisher.destinations.summary = slow
    server = serve(publisher=publisher)
    url = f"http://{server.address}/api/v1/destinations"
    with asking(lambda: httpx.get(url, timeout=30).status_code) as answers:
        wait_for(lambda: at_once[0] > 0)
        assert answers_meanwhile(server, "/static/page.css")
        may_go_on.set()
    assert (answers, most) == ([200] * MANY, [1])


def test_reloads_under_way_keep_nobody_waiting(serve: Serve) -> None:
    may_go_on, under_way = threading.Event(), [0]

    def reload() -> str:
        under_way[0] += 1
        assert may_go_on.wait(30)
        return "2 rules at work"

    server = serve(reload=reload)
    url = f"http://{server.address}/-/reload"
    with asking(lambda: httpx.post(url, timeout=30).text) as answers:
        wait_for(lambda: under_way[0] > 0)
        assert answers_meanwhile(server, "/api/v1/alerts", "/")
        assert under_way == [1]
        may_go_on.set()
    assert answers == ["2 rules at work\n"] * MANY
