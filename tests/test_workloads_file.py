from ipaddress import ip_network
from pathlib import Path

import pytest

from monitor.config import Config, load_config
from monitor.errors import InputError


def load(folder: Path, name: str, content: str, rest: str = "") -> Config:
    (folder / name).write_text(content, encoding="utf-8")
    config = folder / "egress.yml"
    config.write_text(f"workloads_file: {name}\n{rest}", encoding="utf-8")
    return load_config(config)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("inventory.yml", "api: [10.0.1.0/24, 10.0.9.17]\nweb: ['fd00:2::/64']\n"),
        ("inventory.json", '{\n\t"api": ["10.0.1.0/24", "10.0.9.17"],\n\t"web": ["fd00:2::/64"]\n}\n'),
        ("inventory.txt", "# pods\n10.0.1.0/24\tapi\n10.0.9.17, api # the old one\n\nfd00:2::/64 web\n"),
    ],
)
def test_each_form_says_the_same(tmp_path: Path, name: str, content: str) -> None:
    assert load(tmp_path, name, content).workloads == {
        "api": [ip_network("10.0.1.0/24"), ip_network("10.0.9.17/32")],
        "web": [ip_network("fd00:2::/64")],
    }


def test_the_configuration_wins_over_the_file(tmp_path: Path) -> None:
    rest = "workloads: {shop: [10.0.1.5], api: [10.0.2.0/24]}\n"
    config = load(tmp_path, "pods", "10.0.1.5 api\n10.0.1.6 api\n", rest)
    assert config.workloads == {
        "shop": [ip_network("10.0.1.5/32")],
        "api": [ip_network("10.0.2.0/24"), ip_network("10.0.1.6/32")],
    }


def test_a_published_workload_may_be_one_that_comes_later(tmp_path: Path) -> None:
    assert load(tmp_path, "pods", "10.0.1.5 api\n", "published: {web: [443]}\n").published == {"web": [443]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pods", "10.0.1.5 api\n10.0.1.6\n", "pods:2: a line is an address or network, then a workload"),
        ("pods", "10.0.1.5 api\n10.0.1.300 api\n", "pods:2: api.1: '10.0.1.300' is not a network"),
        ("pods", "10.0.1.5 api\n10.0.1.5 web\n", "pods:2: 10.0.1.5/32 belongs to 'api' and to 'web'"),
        ("pods", "10.0.1.5 bad,name x\n", "pods:1: a line is an address or network"),
        ("pods", "10.0.1.5 other\n", "pods:1: other"),
        ("pods", "# nothing\n", "pods:1: the file is empty"),
        ("pods", "", "pods:1: the file is empty"),
        ("pods.yml", "api: 10.0.0.1\n", "pods.yml:1: api: Input should be a valid list"),
        ("pods.yml", "- api\n", "pods.yml:1: expected keys and values, found list"),
        ("pods.json", '{"api": ["10.0.0.1"],\n "web": [', "pods.json:2: not JSON: Expecting value"),
        ("pods.json", "[" * 100_000, "pods.json:1: not JSON"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(InputError) as told:
        load(tmp_path, name, content)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "pods").write_bytes(b"10.0.0.1 \xff\n")
    (tmp_path / "egress.yml").write_text("workloads_file: pods\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(tmp_path / "egress.yml")
    (tmp_path / "egress.yml").write_text("workloads_file: gone\n")
    with pytest.raises(InputError, match=r"egress\.yml:1: .*gone: no such file"):
        load_config(tmp_path / "egress.yml")
