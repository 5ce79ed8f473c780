"""The normal work of a month. None of it is an attack; much of it looks like one to a simple rule."""

import numpy as np

from .events import Events
from .world import DAY, HOUR, KIB, MIB, Parameters, Service

HOSTS = [
    "web-1",
    "web-2",
    "api-1",
    "api-2",
    "auth",
    "orders",
    "search",
    "database",
    "batch",
    "build",
    "node-1",
    "node-2",
    "node-3",
]
NODES = ["node-1", "node-2", "node-3"]
TELEMETRY = ["api-1", "api-2", "web-1", "web-2", "orders", "logs"]


def add_normal(events: Events, services: dict[str, Service], month: Parameters) -> None:
    """Add everything that is no leak."""
    span = (0.0, float(month.days))
    _visitors(events, month, span)
    _calls(events, month, span)
    _telemetry(events, month)
    _nights(events, month)
    _deploys(events, month, span)
    _updates(events, month)
    _others(events, month, span)
    _strangers(events, month, span)
    _questions(events, month, span)


def _visitors(events: Events, month: Parameters, span: tuple[float, float]) -> None:
    """People and crawlers at the published shop, some of them from clouds that nobody here uses."""
    random = events.random
    for web in ("web-1", "web-2"):
        times = events.moments(1500 * month.days * month.load, span)
        who = np.array([f"visitors-{n}" for n in random.integers(0, month.visitors, len(times))])
        told = random.uniform(0, 1, len(times)) < 0.01  # seen from the middle on, after a restart
        events.add(
            web,
            who,
            times,
            out=events.sizes(len(times), 60 * KIB, 1.2),
            back=events.sizes(len(times), 2 * KIB),
            initiator=np.where(told, "unknown", "remote"),
            local_port=443,
            remote_port=random.integers(1024, 65535, len(times)),
        )
        for bot, a_day, size in (
            ("googlebot", 400, 80),
            ("alibabot", 60, 90),
            ("tencentbot", 40, 90),
            ("aibot", 900, 120),
        ):
            times = events.moments(a_day * month.days * month.load, span, by_day=0)
            events.add(
                web,
                bot,
                times,
                out=events.sizes(len(times), size * KIB),
                back=900,
                initiator="remote",
                local_port=443,
                remote_port=random.integers(1024, 65535, len(times)),
            )
        # somebody mirrors the whole shop from a rented server, twice a month
        for start in random.uniform(0, month.days * DAY, 2):
            times = start + np.arange(400) * 4.0
            events.add(
                web,
                "alibabot",
                times,
                out=300 * KIB,
                back=700,
                initiator="remote",
                local_port=443,
                remote_port=random.integers(1024, 65535, 400),
            )


def _calls(events: Events, month: Parameters, span: tuple[float, float]) -> None:
    """Requests to APIs: small, often, and with more coming back than goes out."""
    for workload, service, a_day, out, back in (
        ("api-1", "sqs", 900, 3, 4),
        ("api-2", "sqs", 900, 3, 4),
        ("orders", "sqs", 500, 2, 4),
        ("payments", "stripe", 400, 3, 6),
        ("api-1", "maps", 300, 1, 9),
        ("api-2", "maps", 300, 1, 9),
        ("orders", "partner", 120, 6, 9),
        ("orders", "erp", 80, 8, 14),
        ("batch", "bigquery", 60, 700, 90),
        ("reports", "bigquery", 40, 20, 4000),
        ("auth", "gmail", 30, 2, 6),
        ("search", "s3", 100, 40, 900),
        ("api-1", "slack", 25, 2, 5),
    ):
        times = events.moments(a_day * month.days * month.load, span, by_day=0.8)
        count = len(times)
        events.add(
            workload,
            service,
            times,
            out=events.sizes(count, out * KIB),
            back=events.sizes(count, back * KIB),
        )


def _telemetry(events: Events, month: Parameters) -> None:
    """Logs and measurements go to a service as regularly as a clock, far more out than in."""
    for place, workload in enumerate(TELEMETRY):
        times = np.arange(place * 7, month.days * DAY, 300.0) + events.random.normal(0, 0.4, month.days * 288)
        events.add(workload, "datadog", np.abs(times), out=events.sizes(len(times), 120 * KIB, 0.4), back=900)
    # uptime checks of a supplier, each minute in a connection of its own: regular, and to nobody on the list
    times = np.arange(11, month.days * DAY, 60.0)
    events.add("monitor", "erp", times, out=420, back=5200)
    # a gateway of the partner is pinged
    times = np.arange(3, month.days * DAY, 60.0)
    events.add(
        "monitor",
        "partner",
        times,
        out=56 * 6,
        back=56 * 6,
        protocol=1,
        application="icmp",
        local_port=0,
        remote_port=0,
        address=0,
    )
    for place, workload in enumerate(HOSTS):
        times = np.arange(place * 31, month.days * DAY, 1024.0)
        who = np.where(np.arange(len(times)) % 2, "ntp", "ntp2")
        events.add(
            workload,
            who,
            times,
            out=48,
            back=48,
            protocol=17,
            application="ntp",
            remote_port=123,
            local_port=123,
        )


def _nights(events: Events, month: Parameters) -> None:
    """Backups to the sanctioned storage, a file for the partner, reports."""
    for day in range(month.days):
        start = day * DAY + 2.5 * HOUR + events.random.uniform(0, 300)
        whole = 4 if day % 7 == 6 else 1  # on Sundays all of it
        size = 2_500 * MIB * whole * (1 + 0.004 * day) * events.random.normal(1, 0.03)
        events.bulk("database", "s3", start, size, rate=25 * MIB)
        events.bulk("search", "s3", start + HOUR, 300 * MIB * events.random.normal(1, 0.05), rate=15 * MIB)
        if day % 7 < 5:
            events.bulk(
                "batch",
                "partner",
                day * DAY + 22 * HOUR,
                9 * MIB * events.random.normal(1, 0.1),
                rate=MIB,
                remote_port=22,
                application="ssh",
            )


def _deploys(events: Events, month: Parameters, span: tuple[float, float]) -> None:
    """Builds push and pull images, fetch packages and code; nodes pull what is deployed."""
    random = events.random
    times = events.moments(12 * month.days * month.load, span)
    count = len(times)
    events.add(
        "build",
        "github",
        times,
        out=events.sizes(count, 20 * KIB),
        back=events.sizes(count, 8 * MIB),
        remote_port=22,
        application="ssh",
    )
    for service, size in (("npm", 30 * MIB), ("pypi", 40 * MIB), ("hub", 150 * MIB)):
        pulled = np.repeat(times, 3) + random.uniform(5, 120, 3 * count)
        # acknowledgements of a download are bytes, not payload
        events.add(
            "build",
            service,
            pulled,
            out=events.sizes(3 * count, 9 * KIB),
            back=events.sizes(3 * count, size),
        )
    for time in times[::2]:
        events.bulk("build", "ecr", time + 400, float(events.sizes(1, 120 * MIB)[0]), rate=20 * MIB)
        for node in NODES:
            events.add(node, "ecr", [time + 900 + random.uniform(0, 60)], out=14 * KIB, back=300 * MIB)
    # a tool that was never here before is tried, after some days
    if month.days > 12:
        events.add(
            "api-2",
            "sentry",
            events.moments(300 * (month.days - 12), (12.4, span[1])),
            out=6 * KIB,
            back=5 * KIB,
        )


def _updates(events: Events, month: Parameters) -> None:
    """Each host looks for packages once a day, and fetches what is new."""
    random = events.random
    for workload in HOSTS:
        times = np.arange(month.days) * DAY + 6 * HOUR + random.uniform(0, HOUR, month.days)
        events.add(
            workload,
            "debian",
            times,
            out=4 * KIB,
            back=events.sizes(month.days, 12 * MIB, 1.5),
            remote_port=80,
            application="http",
        )
    times = np.arange(month.days) * DAY + 4 * HOUR + random.uniform(0, 900, month.days)
    events.add("mirror", "mirror", times, out=300 * KIB, back=events.sizes(month.days, 900 * MIB))
    events.add("web-1", "acme", times[::10] + 100, out=9 * KIB, back=12 * KIB)


def _others(events: Events, month: Parameters, span: tuple[float, float]) -> None:
    """Webhooks and mail go to whoever is a customer, anywhere; customers come over time."""
    random = events.random
    times = events.moments(600 * month.days * month.load, span)
    here = 0.7 + 0.3 * times / (month.days * DAY)  # of all customers
    who = (random.power(0.5, len(times)) * month.customers * here).astype(int)
    events.add(
        "webhooks",
        np.array([f"customer-{n}" for n in who]),
        times,
        out=events.sizes(len(times), 2 * KIB),
        back=events.sizes(len(times), 5 * KIB, 0.3),
    )
    times = events.moments(300 * month.days * month.load, span)
    kind = random.uniform(0, 1, len(times))
    who = (random.power(0.5, len(times)) * month.customers * 0.7).astype(int)
    to = np.where(
        kind < 0.5, "gmail", np.where(kind < 0.8, "outlook", np.array([f"customer-{n}" for n in who]))
    )
    events.add(
        "mailer",
        to,
        times,
        out=events.sizes(len(times), 30 * KIB),
        back=5 * KIB,
        remote_port=25,
        application="smtp",
    )


def _strangers(events: Events, month: Parameters, span: tuple[float, float]) -> None:
    """The noise of the Internet: knocks at closed ports, tries at the bastion, pings; and the office."""
    random = events.random
    times = events.moments(400 * month.days, span, by_day=0)
    ports = random.choice([22, 23, 80, 445, 2375, 3306, 3389, 5432, 6379, 8080, 9200, 27017], len(times))
    who = np.array([f"visitors-{n}" for n in random.integers(0, month.visitors, len(times))])
    events.add(
        random.choice(HOSTS, len(times)),
        who,
        times,
        initiator="remote",
        local_port=ports,
        flags=22,
        remote_port=random.integers(1024, 65535, len(times)),
        application="unknown",
    )
    times = events.moments(200 * month.days, span, by_day=0)
    who = np.array([f"visitors-{n}" for n in random.integers(0, month.visitors, len(times))])
    events.add(
        "bastion",
        who,
        times,
        initiator="remote",
        local_port=22,
        out=1800,
        back=1500,
        application="ssh",
        remote_port=random.integers(1024, 65535, len(times)),
    )
    times = events.moments(15 * month.days, span)
    events.add(
        "bastion",
        "office",
        times,
        initiator="remote",
        local_port=22,
        out=events.sizes(len(times), 200 * KIB),
        back=60 * KIB,
        application="ssh",
        remote_port=random.integers(1024, 65535, len(times)),
    )
    times = events.moments(60 * month.days, span, by_day=0)
    events.add(
        "web-1",
        "aibot",
        times,
        initiator="remote",
        protocol=1,
        application="icmp",
        local_port=0,
        remote_port=0,
        out=56,
        back=56,
    )


def _questions(events: Events, month: Parameters, span: tuple[float, float]) -> None:
    """DNS: the same names again and again, customers' hosts, hashes, block lists, reverse zones."""
    random = events.random
    usual = [
        ("sqs.eu-central-1.amazonaws.com", "amazonaws.com"),
        ("http-intake.logs.datadoghq.eu", "datadoghq.eu"),
        ("github.com", "github.com"),
        ("debian.example.org", "example.org"),
        ("maps.googleapis.com", "googleapis.com"),
        ("api.payments.example.com", "example.com"),
    ]
    for workload in HOSTS:
        times = events.moments(250 * month.days * month.load, span, by_day=0.6)
        chosen = random.integers(0, len(usual), len(times))
        events.ask(workload, times, [usual[n][0] for n in chosen], [usual[n][1] for n in chosen])
    times = events.moments(600 * month.days * month.load, span)
    who = (random.power(0.5, len(times)) * month.customers).astype(int)
    events.ask("webhooks", times, [f"hook.c{n}.example" for n in who], [f"c{n}.example" for n in who])
    # a scanner of uploads asks for hashes of files, a mail server for block lists and reverse names
    times = events.moments(120 * month.days * month.load, span)
    events.ask(
        "orders", times, [f"{_hex(random, 20)}.files.scanner.example" for _ in times], "scanner.example", 16
    )
    times = events.moments(500 * month.days * month.load, span)
    quads = random.integers(1, 255, (len(times), 4))
    names = [".".join(map(str, quad)) for quad in quads]
    events.ask("mailer", times, [f"{name}.zen.blocklist.example" for name in names], "blocklist.example")
    events.ask("mailer", times + 1, [f"{name}.in-addr.arpa" for name in names], "in-addr.arpa", 12)
    # names of storage with a part that is always new
    times = events.moments(90 * month.days * month.load, span)
    events.ask(
        "search", times, [f"{_hex(random, 8)}.cdn-assets.example" for _ in times], "cdn-assets.example"
    )


def _hex(random: np.random.Generator, size: int) -> str:
    return random.bytes(size).hex()
