"""The answer to ``GET /metrics``: made once for each finished batch and format, then only sent.

It is given on the server's own thread: a scrape takes no second thread, no lock and nothing of the pipeline,
so that neither waits for the other, however many scrape at once.
"""

import gzip
from collections.abc import Iterator

from prometheus_client import ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from monitor.publish.collector import collect
from monitor.publish.exposition import ExpositionWriter
from monitor.publish.families import Family, counter, gauge
from monitor.publish.publisher import Publisher

OPEN_METRICS = "application/openmetrics-text"


class Scrape:
    """Answers scrapes of one publisher; keeps the texts of its last snapshot, at most four."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._made_of: object = None
        self._writer = ExpositionWriter()
        self._texts: dict[tuple[bool, bool], bytes] = {}  # by whether it is OpenMetrics, and zipped
        self._process = ProcessCollector(registry=None)

    async def answer(self, request: Request) -> Response:
        """Give the metrics in the format that is asked for."""
        content_type = _content_type(request.headers.get("accept", ""))
        zipped = "gzip" in request.headers.get("accept-encoding", "")
        text = self._text(content_type.startswith(OPEN_METRICS), zipped)
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        return Response(text, headers=headers | ({"Content-Encoding": "gzip"} if zipped else {}))

    def _text(self, is_open: bool, zipped: bool) -> bytes:
        snapshot = self._publisher.snapshot
        if snapshot is not self._made_of:
            self._texts.clear()
            self._made_of = snapshot
        plain = self._texts.get((is_open, False))
        if plain is None:
            plain = self._writer.write([*collect(snapshot), *self._of_process()], is_open=is_open)
            self._texts[is_open, False] = plain
        if not zipped:
            return plain
        packed = self._texts.get((is_open, True))
        if packed is None:
            packed = self._texts[is_open, True] = gzip.compress(plain, compresslevel=1, mtime=0)
        return packed

    def _of_process(self) -> Iterator[Family]:
        """Give ``process_*`` (memory, CPU, open files), as the official client finds them."""
        for metric in self._process.collect():
            make = counter if metric.type == "counter" else gauge
            rows = ((tuple(one.labels.values()), one.value) for one in metric.samples)
            yield make(metric.name, metric.documentation, (), rows)


def _content_type(accept: str) -> str:
    try:
        return str(choose_encoder(accept)[1])
    except (TypeError, ValueError):  # a version that is no number
        return str(CONTENT_TYPE_PLAIN_0_0_4)
