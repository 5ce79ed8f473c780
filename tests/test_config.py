from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from monitor import shipped
from monitor.config import load_config
from monitor.errors import InputError
from monitor.named_files import open_databases

# the file of design section 8, without paths that do not exist
WHOLE = """\
interfaces: [eth0]
networks:
  local: [10.0.0.0/8, 192.168.0.0/16]
  gateways: {proxy: [10.0.0.5], balancer: [10.0.0.6]}
workloads:
  api: [10.0.1.0/24, 10.0.9.17]
  web: [10.0.2.0/24, "fd00:2::/64"]
published: {web: [443]}
sanctioned_providers: [aws, google]
resolvers: [10.0.0.2]
databases: {country: country.mmdb}
rules: [rules]
state: state
listen: 127.0.0.1:9465
external_url: https://egress.example.org/
web_config: web.yml
tick: 2s
metrics: {hold: 1m30s, budget: 500}
capture: {promiscuous: true, filter: "", ring: 128MiB, workers: 1, memory: {flows: 1GiB}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "egress.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_work_without_a_file() -> None:
    config = load_config(None)
    assert config.interfaces == []
    assert config.rules == [shipped.rules()]
    assert config.tick == 1_000_000_000
    assert config.metrics.hold == 120 * 1_000_000_000
    assert config.capture.ring == 64 * 1024 * 1024
    assert config.path is None
    assert list(config.chosen_files()) == []


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("100.64.0.1", True),
        ("100.128.0.1", False),
        ("169.254.169.254", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("fd12::1", True),
        ("fe80::1", True),
        ("2001:db8::1", False),
        ("8.8.8.8", False),
    ],
)
def test_default_local_side(address: str, local: bool) -> None:
    networks = load_config(None).networks.local
    assert any(ip_address(address) in network for network in networks) is local


def test_whole_file(tmp_path: Path) -> None:
    (tmp_path / "country.mmdb").touch()
    (tmp_path / "web.yml").touch()
    (tmp_path / "rules").mkdir()
    config = load_config(write(tmp_path, WHOLE))
    assert config.networks.gateways["proxy"] == [ip_network("10.0.0.5/32")]
    assert config.workloads["api"] == [ip_network("10.0.1.0/24"), ip_network("10.0.9.17/32")]
    assert config.workloads["web"][1] == ip_network("fd00:2::/64")
    assert config.published == {"web": [443]}
    assert config.resolvers == [ip_address("10.0.0.2")]
    assert config.databases.country == tmp_path / "country.mmdb"
    assert config.databases.asn is None
    assert config.rules == [tmp_path / "rules"]
    assert config.state == tmp_path / "state"
    assert config.web_config == tmp_path / "web.yml"
    assert config.external_url == "https://egress.example.org"
    assert config.tick == 2 * 10**9
    assert (config.metrics.hold, config.metrics.budget) == (90 * 10**9, 500)
    assert (config.capture.ring, config.capture.workers) == (128 * 2**20, 1)
    assert (config.capture.memory.flows, config.capture.memory.dns) == (2**30, 32 * 2**20)
    assert [place for place, _ in config.chosen_files()] == [
        ("rules", 0),
        ("databases", "country"),
        ("web_config",),
    ]


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    (folder / "rules").mkdir(parents=True)
    write(folder, "rules: [rules]\n")
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("etc/egress.yml")).rules == [folder / "rules"]


def test_shipped_rules_are_not_the_users_choice(tmp_path: Path) -> None:
    assert list(load_config(write(tmp_path, "tick: 1s\n")).chosen_files()) == []


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("interface: [eth0]\n", 1, "unknown key 'interface'; did you mean 'interfaces'?"),
        ("capture:\n  promiscous: true\n", 2, "unknown key 'promiscous'; did you mean 'promiscuous'?"),
        ("interfaces: [eth0]\ninterfaces: [eth1]\n", 2, "'interfaces' stands here twice"),
        ("interfaces:\n- eth0\n- eth1\n- eth0\n", 4, "interface 'eth0' is named twice"),
        ("workloads:\n  api: [10.0.1.0/24]\n  web: [10.0.1.0/24]\n", 3, "belongs to 'api' and to 'web'"),
        ("workloads:\n  api: [10.0.9.17]\n  web: [10.0.9.17/32]\n", 3, "belongs to 'api' and to 'web'"),
        ("workloads:\n  api: [10.0.1.0/24, 10.0.1.0/24]\n", 2, "10.0.1.0/24 stands here twice"),
        ("workloads:\n  api: [10.0.1.5/24]\n", 2, "did you mean 10.0.1.0/24?"),
        ("workloads:\n  api: [ten]\n", 2, "'ten' is not a network"),
        ("workloads:\n  other: [10.0.1.0/24]\n", 2, "'other' is a name that the metrics use"),
        ("workloads:\n  'a b': [10.0.1.0/24]\n", 2, "'a b' is not a name"),
        ("workloads:\n  10.0.1.5: [10.0.1.5]\n", 2, "'10.0.1.5' is an address, not a name"),
        ("workloads:\n  web: [10.0.2.1]\npublished:\n  wbe: [443]\n", 4, "did you mean 'web'?"),
        ("workloads:\n  web: [10.0.2.1]\npublished:\n  web: [70000]\n", 4, "less than or equal to 65535"),
        ("networks:\n  gateways:\n    a: [10.0.0.5]\n    b: [10.0.0.5]\n", 4, "to 'a' and to 'b'"),
        ("networks:\n  local: []\n", 2, "at least 1 item"),
        ("resolvers: [dns.example]\n", 1, "'dns.example' is not an address"),
        ("tick: 1500ms\n", 1, "a whole number of seconds"),
        ("tick: 1\n", 1, "is not a duration; write it like 30s"),
        ("metrics:\n  hold: 2\n", 2, "is not a duration"),
        ("capture:\n  ring: big\n", 2, "is not a size"),
        ("capture:\n  ring: 1kB\n", 2, "greater than or equal to"),
        ("capture:\n  filter: tcp prot 80\n", 2, "'tcp prot 80' is no filter: "),
        ("capture:\n  filter: vlan 5 and tcp\n", 2, "comes without its VLAN tag"),
        ("capture:\n  snap: some\n", 2, "snap"),
        ("capture:\n  workers: 0\n", 2, "greater than or equal to 1"),
        ("listen: 9465\n", 1, "valid string"),
        ("listen: localhost\n", 1, "is not HOST:PORT"),
        ("listen: localhost:99999\n", 1, "is not HOST:PORT"),
        ("external_url: egress\n", 1, "is not an address like https://"),
        ("external_url: 'http://['\n", 1, "not a host and a port that there can be"),
        ("external_url: https://egress.example:port\n", 1, "not a host and a port that there can be"),
        ("rules:\n- ~no-such-user/rules\n", 2, "'~no-such-user/rules': there is no such user here"),
        ('state: "/var/lib/a\\0b"\n', 1, "no path holds a NUL"),
        (f"tick: 1s\nlists: {{bad: {'x' * 300}}}\n", 2, "File name too long"),
        ("lists:\n  bad: egress.yml/bad\n", 2, "egress.yml/bad: no such file or folder"),
        ("rules: [nowhere]\n", 1, "nowhere: no such file or folder"),
        ("- a\n", 1, "expected keys and values"),
        ("tick: !!timestamp soon\n", 1, "not YAML"),
        ("a: [\n", 2, "not YAML"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_config(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert says in message
    assert "\n" not in message


def test_a_database_that_is_not_there_is_told_where_it_is_opened(tmp_path: Path) -> None:
    path = write(tmp_path, "databases:\n  country: none.mmdb\n")
    config = load_config(path)  # its last good copy may stand in for it
    with pytest.raises(InputError, match=f"{path}:2: {tmp_path}/none.mmdb: No such file or directory"):
        open_databases(config)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_config(tmp_path / "none.yml")


def test_nested_networks_are_fine(tmp_path: Path) -> None:
    text = "workloads:\n  all: [10.0.0.0/8]\n  api: [10.0.1.0/24]\n"
    assert len(load_config(write(tmp_path, text)).workloads) == 2


def test_mapped_network_is_ipv4(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, 'workloads: {api: ["::ffff:10.0.1.0/120"]}\n'))
    assert config.workloads["api"] == [ip_network("10.0.1.0/24")]


@pytest.mark.parametrize("listen", ["[::1]:9465", "0.0.0.0:0", ":9465", "localhost:9465", "unix:/run/a.sock"])
def test_listen_forms(tmp_path: Path, listen: str) -> None:
    assert load_config(write(tmp_path, f"listen: '{listen}'\n")).listen == listen


def test_unknown_provider_names_line_and_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "sanctioned_providers:\n- aws\n- gogle\n")
    with pytest.raises(InputError) as caught:
        load_config(path).check_providers({"aws", "google"})
    assert str(caught.value) == f"{path}:3: the catalogue has no provider 'gogle'; did you mean 'google'?"


def test_override_keeps_the_rest(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "networks:\n  gateways: {proxy: [10.0.0.5]}\ninterfaces: [eth0]\n"))
    changed = config.with_local([ip_network("203.0.113.0/24")]).with_interfaces(["lo"])
    assert changed.networks.local == [ip_network("203.0.113.0/24")]
    assert changed.networks.gateways == config.networks.gateways
    assert changed.interfaces == ["lo"]
    assert changed.path == config.path


def test_state_follows_systemd_then_root_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert load_config(None).state == Path("/var/lib/a")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert load_config(None).state == Path("/var/lib/egress-monitor")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/a/state")
    assert load_config(None).state == Path("/home/a/state/egress-monitor")
    monkeypatch.delenv("XDG_STATE_HOME")

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")  # as Path.home does

    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(InputError, match="name a folder with `state:`"):
        load_config(None)
