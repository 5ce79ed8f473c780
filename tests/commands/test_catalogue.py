"""Lists that providers publish, made into entries of the user's own."""

import json
from pathlib import Path

import pytest

from monitor.attribute.catalogue import Catalogue
from monitor.commands.catalogue import import_lists
from monitor.errors import InputError


def aws_list(folder: Path, *prefixes: str) -> Path:
    path = folder / "ip-ranges.json"
    entries = [{"ip_prefix": prefix, "region": "eu-central-1"} for prefix in prefixes]
    path.write_text(json.dumps({"prefixes": entries, "ipv6_prefixes": []}))
    return path


def test_a_list_becomes_an_entry_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # half of it Amazon's own, a quarter RIPE NCC's (AS3333), a quarter run by NWCD in China; one bogon
    prefixes = ["52.216.0.0/22", "193.0.0.0/23", "52.82.0.0/23", "10.0.0.0/8"]
    into = tmp_path / "ours"
    import_lists("aws", [aws_list(tmp_path, *prefixes)], into, None)
    said = capsys.readouterr().out
    assert "aws: 2,048 IPv4 addresses and 0 IPv6 prefixes; 1 entries left out, not public" in said
    assert "told so already: 50.00%" in said
    assert "new: 25.00%, such as 193.0.0.0/23, until now as3333" in said
    assert "gives way: 25.00% is announced by aws_china, such as 52.82.0.0/23" in said
    assert f"catalogue: [{into / 'aws.yml'}]" in said
    ours = Catalogue.load([into / "aws.yml"])
    mapped = bytes(10) + b"\xff\xff"
    assert ours.prefix_of_address(mapped + bytes([193, 0, 1, 9])) == ("aws", True)
    # again, now named in the configuration: compared with what is known without it
    (tmp_path / "egress.yml").write_text("catalogue: [ours/aws.yml]\n")
    import_lists("aws", [aws_list(tmp_path, *prefixes)], into, tmp_path / "egress.yml")
    said = capsys.readouterr().out
    assert "new: 25.00%" in said
    assert "name it in the configuration" not in said


def test_a_geofeed_with_a_mark_at_its_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feed = tmp_path / "digitalocean.csv"
    feed.write_text("\ufeff104.131.0.0/18,US,US-NY,New York,10118\n2604:a880::/48,US,,,\n", encoding="utf-8")
    import_lists("digitalocean", [feed], tmp_path, None)
    assert "digitalocean: 16,384 IPv4 addresses and 1 IPv6 prefixes\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("provider", "content", "message"),
    [
        ("awss", "52.216.0.0/22\n", "the catalogue has no provider 'awss'; did you mean 'aws'?"),
        ("aws", "142.250.0.0/16\n52.216.0.0/22\n", "of it is announced by google: is it aws's list?"),
        ("aws", "52.216.0.0/22\nnonsense\n", "list.txt:2: 'nonsense' does not appear to be"),
        ("aws", "10.0.0.0/8\n", "no prefix of public address space in it"),
        ("aws", "", "no prefix of public address space in it"),
    ],
)
def test_what_is_no_such_list_is_refused(
    tmp_path: Path, provider: str, content: str, message: str
) -> None:
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(InputError, match=".") as told:
        import_lists(provider, [tmp_path / "list.txt"], tmp_path / "ours", None)
    assert message in str(told.value)
    assert not (tmp_path / "ours").exists()
