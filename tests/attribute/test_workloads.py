from ipaddress import ip_network

from monitor.attribute.addresses import parse
from monitor.attribute.workloads import Workloads

WORKLOADS = Workloads(
    workloads={
        "all": [ip_network("10.0.0.0/8")],
        "api": [ip_network("10.0.1.0/24"), ip_network("10.0.9.17/32")],
        "six": [ip_network("fd00:1::/32")],
    },
    gateways={"proxy": [ip_network("10.0.0.5/32")], "balancer": [ip_network("10.0.0.6/31")]},
    published={"api": [443, 80], "192.0.2.7": [25]},
)


def test_the_longest_network_names_the_workload() -> None:
    assert WORKLOADS.name(parse("10.0.1.200")) == "api"
    assert WORKLOADS.name(parse("10.0.9.17")) == "api"
    assert WORKLOADS.name(parse("10.0.9.18")) == "all"
    assert WORKLOADS.name(parse("fd00:1::9")) == "six"


def test_an_address_without_a_name_is_its_text() -> None:
    assert WORKLOADS.name(parse("192.0.2.7")) == "192.0.2.7"
    assert WORKLOADS.name(parse("fd00:2::9")) == "fd00:2::9"
    assert WORKLOADS.configured(parse("fd00:2::9")) is None


def test_gateways() -> None:
    assert WORKLOADS.gateway(parse("10.0.0.5")) == "proxy"
    assert WORKLOADS.gateway(parse("10.0.0.7")) == "balancer"
    assert WORKLOADS.gateway(parse("10.0.0.8")) is None


def test_published_ports() -> None:
    assert WORKLOADS.published == {"api": {80, 443}, "192.0.2.7": {25}}
