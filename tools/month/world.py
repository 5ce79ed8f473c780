"""The backend, and who is at the other ends: workloads, services, parameters."""

from dataclasses import dataclass
from ipaddress import IPv4Address

START = 1_772_409_600  # seconds since 1970: Monday, 2 March 2026, 00:00 UTC
HOUR = 3600
DAY = 86_400
KIB = 1024
MIB = 2**20

RESOLVER = "10.30.0.2"
WORKLOADS = [
    "web-1",
    "web-2",
    "api-1",
    "api-2",
    "auth",
    "orders",
    "payments",
    "search",
    "database",
    "cache",
    "queue",
    "batch",
    "reports",
    "mailer",
    "webhooks",
    "build",
    "mirror",
    "monitor",
    "logs",
    "resolver",
    "node-1",
    "node-2",
    "node-3",
    "bastion",
]
PUBLISHED = {"web-1": [443], "web-2": [443], "bastion": [22]}
SANCTIONED = ["aws", "google"]


@dataclass(frozen=True)
class Service:
    """One remote side as the attribute stage would tell it; `addresses` is how many it has."""

    provider: str
    category: str | None
    country: str
    name: str | None
    first: str
    addresses: int = 4
    asn: int = 64500
    carried_by: str | None = None  # the network's provider, where it is another

    def address(self, index: int) -> bytes:
        """Give one of its addresses, 16 bytes."""
        number = int(IPv4Address(self.first)) + index % self.addresses
        return bytes(10) + b"\xff\xff" + number.to_bytes(4)


def services(customers: int, visitors: int) -> dict[str, Service]:
    """Give the services by a short name; those that get webhooks, mail and visits are numbered."""
    found = {
        "s3": Service("aws", "storage", "DE", "backup.s3.eu-central-1.amazonaws.com", "52.219.170.0", 60),
        "sqs": Service("aws", "cloud", "DE", "sqs.eu-central-1.amazonaws.com", "3.120.10.0", 30),
        "ecr": Service("aws", "cloud", "DE", "1234.dkr.ecr.eu-central-1.amazonaws.com", "3.120.40.0", 20),
        "bigquery": Service("google", "cloud", "BE", "bigquery.googleapis.com", "142.250.1.0", 20),
        "datadog": Service("datadog", "saas", "US", "http-intake.logs.datadoghq.eu", "34.107.20.0", 8),
        "sentry": Service("sentry", "saas", "US", "o1.ingest.sentry.io", "34.120.195.0", 4),
        "github": Service("github", "saas", "US", "github.com", "140.82.121.0", 8),
        "slack": Service("slack", "saas", "US", "hooks.slack.com", "3.68.170.0", 8, carried_by="aws"),
        "hub": Service("cloudflare", "cdn", "US", "images.example.net", "104.18.120.0", 8),
        "npm": Service("cloudflare", "cdn", "US", "packages.example.org", "104.16.20.0", 12),
        "pypi": Service("fastly", "cdn", "SE", "wheels.example.org", "151.101.0.0", 8),
        "debian": Service("fastly", "cdn", "SE", "debian.example.org", "151.101.130.0", 4),
        "mirror": Service("hetzner", "hosting", "DE", "mirror.example.net", "168.119.10.0", 2),
        "stripe": Service("aws", "cloud", "IE", "api.payments.example.com", "54.187.1.0", 12),
        "maps": Service("google", "cloud", "US", "maps.googleapis.com", "142.250.9.0", 12),
        "acme": Service("cloudflare", "cdn", "US", "acme-v02.api.letsencrypt.org", "172.65.32.0", 2),
        "ntp": Service("as64510", None, "DE", None, "198.18.10.0", 12, 64510),
        "ntp2": Service("hetzner", "hosting", "DE", None, "168.119.20.0", 4),
        "partner": Service("as64501", None, "NL", "edi.partner.example", "198.18.20.0", 2, 64501),
        "erp": Service("ovh", "cloud", "FR", "erp.supplier.example", "51.68.10.0", 2),
        "office": Service("as64502", None, "DE", None, "198.18.30.0", 6, 64502),
        "googlebot": Service("google", "cloud", "US", None, "66.249.66.0", 60),
        "alibabot": Service("alibaba", "cloud", "SG", None, "47.74.10.0", 60),
        "tencentbot": Service("tencent", "cloud", "HK", None, "43.134.10.0", 60),
        "aibot": Service("hetzner", "hosting", "FI", None, "95.216.10.0", 100),
        "gmail": Service("google", "cloud", "US", "aspmx.l.google.com", "142.250.27.0", 8),
        "outlook": Service("azure", "cloud", "NL", "mail.protection.outlook.com", "52.101.68.0", 20),
    }
    places = ["DE", "FR", "GB", "US", "PL", "NL", "ES", "IT", "CH", "AT", "BR", "IN", "JP", "CA", "AU", "CN"]
    hosts = [
        ("hetzner", "hosting"),
        ("ovh", "cloud"),
        ("digitalocean", "cloud"),
        ("aws", "cloud"),
        ("azure", "cloud"),
    ]
    for number in range(customers):
        place = places[(number * number + number) % len(places)]
        provider, category = hosts[number % 5] if number % 3 else (f"as{64600 + number}", None)
        first = str(IPv4Address(int(IPv4Address("198.51.0.0")) + 2 * number))
        found[f"customer-{number}"] = Service(provider, category, place, f"hook.c{number}.example", first, 2)
    for number in range(visitors):
        first = str(IPv4Address(int(IPv4Address("100.200.0.0")) + 256 * number))
        place = places[number % len(places)]
        found[f"visitors-{number}"] = Service(
            f"as{65000 + number}", None, place, None, first, 250, 65000 + number
        )
    return found


LEAK_SERVICES = {
    "oss": Service(
        "alibaba", "storage", "SG", "exp-0412.oss-ap-southeast-1.aliyuncs.com", "161.117.71.33", 1
    ),
    "mega": Service("mega", "storage", "LU", "gfs270n389.userstorage.mega.co.nz", "66.203.125.14", 2),
    "taker": Service("as64777", None, "RO", None, "203.0.113.20", 1, 64777),
    "drop": Service("as64778", None, "MD", "cdn-metrics.example", "203.0.113.40", 3, 64778),
    "pinged": Service("vultr", "cloud", "US", None, "203.0.113.60", 1),
    "operator": Service("digitalocean", "cloud", "NL", "status-check.example", "203.0.113.80", 1),
    "broker": Service("as64779", None, "CY", "import.example", "203.0.113.90", 1, 64779),
    "bucket": Service("aws", "storage", "US", "tmp-7714.s3.us-east-1.amazonaws.com", "52.216.10.0", 8),
}


@dataclass(frozen=True)
class Parameters:
    """What a month is made from. `load` multiplies the normal work."""

    seed: int = 1
    days: int = 30
    load: float = 1.0
    customers: int = 120
    visitors: int = 150
    first_leak: float = 8.0  # day from which leaks begin, each at a moment of its own
    leak_size: float = 1.0
