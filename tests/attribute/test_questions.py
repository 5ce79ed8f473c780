import pytest

from monitor.attribute.questions import split


@pytest.mark.parametrize(
    ("question", "domain", "labels"),
    [
        ("www.example.com", "example.com", ["www"]),
        ("a.b.c.example.com", "example.com", ["a", "b", "c"]),
        ("example.com", "example.com", []),
        ("localhost", "localhost", []),
        (".", "", []),
        ("www.shop.example.co.uk", "example.co.uk", ["www", "shop"]),
        ("example.com.cn", "example.com.cn", []),
        ("co.uk", "co.uk", []),
        ("data.co.com", "co.com", ["data"]),  # no registry's suffix: anybody may have such a name
        ("4.3.2.1.in-addr.arpa", "in-addr.arpa", ["4", "3", "2", "1"]),
        ("1." * 32 + "ip6.arpa", "ip6.arpa", ["1"] * 32),
    ],
)
def test_domain_and_labels(question: str, domain: str, labels: list[str]) -> None:
    assert split(question) == (domain, sum(map(len, labels)))


@pytest.mark.parametrize(
    ("question", "label_bytes"),
    [
        (r"a\003b.example.com", 3),  # RFC 4343 section 2.1: three digits are one byte
        (r"a\.b.example.com", 3),  # a dot inside a label
        (r"ab\\.example.com", 3),  # a backslash at the end of a label
        (r"\\\..example.com", 2),
        (r"a\@b.c.example.com", 4),
        (r"\000\255.example.com", 2),
    ],
)
def test_escaped_bytes_count_as_one(question: str, label_bytes: int) -> None:
    assert split(question) == ("example.com", label_bytes)
