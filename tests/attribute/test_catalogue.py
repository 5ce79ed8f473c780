import string
from pathlib import Path

import pytest

from monitor.attribute import catalogue_file
from monitor.attribute.catalogue import COMPILED, Catalogue, compile_entries
from monitor.attribute.catalogue_file import SHIPPED, read_files
from monitor.attribute.vendor_lists import read_vendor_list
from monitor.errors import InputError
from monitor.flow_batch import CATEGORIES

CATALOGUE = Catalogue.load()


def test_compiled_catalogue_says_what_the_files_say() -> None:
    files = read_files(sorted(SHIPPED.glob("*.yml")))
    compiled = compile_entries((entry.provider for entry in files.entries), files.customer_chosen)
    assert COMPILED.read_bytes() == compiled, "a catalogue file was changed: make catalogue"


def test_shipped_catalogue_is_broad_and_each_fact_has_a_source() -> None:
    files = read_files(sorted(SHIPPED.glob("*.yml")))
    assert len(files.entries) >= 100
    for entry in files.entries:
        provider = entry.provider
        assert bool(provider.asns) == bool(provider.source.asns), provider.id
        assert bool(provider.domains) == bool(provider.source.domains), provider.id
        assert bool(provider.prefixes or provider.prefix_files) == bool(provider.source.prefixes), provider.id
        assert provider.category == entry.document.path.stem
    assert {path.stem for path in SHIPPED.glob("*.yml")} == set(CATEGORIES)


@pytest.mark.parametrize(
    ("asn", "provider"),
    [
        (37963, "alibaba"),
        (45102, "alibaba"),
        (139341, "tencent"),  # Aceville, in lists of others under other names
        (58593, "azure_china"),
        (55960, "aws_china"),
        (135629, "aws_china"),
        (63949, "akamai"),  # Linode
        (16509, "aws"),
        # in common Alibaba lists, but without addresses, or a travel site in Iran
        *[(asn, f"as{asn}") for asn in (45103, 45104, 59028, 59051, 59055, 34947)],
        (64500, "as64500"),
    ],
)
def test_provider_of_asn(asn: int, provider: str) -> None:
    assert CATALOGUE.provider_of_asn(asn) == provider


@pytest.mark.parametrize(
    ("name", "provider", "suffix", "storage"),
    [
        ("backup.oss-cn-hangzhou.aliyuncs.com", "alibaba", "oss-*.aliyuncs.com", True),
        ("OSS-eu-central-1.AliyunCS.com.", "alibaba", "oss-*.aliyuncs.com", True),
        ("ecs.aliyuncs.com", "alibaba", "aliyuncs.com", False),
        ("aliyuncs.com", "alibaba", "aliyuncs.com", False),
        ("b.s3.eu-west-1.amazonaws.com", "aws", "s3.*.amazonaws.com", True),
        ("b.s3.dualstack.eu-west-1.amazonaws.com", "aws", "s3.dualstack.*.amazonaws.com", True),
        ("b.s3-eu-west-1.amazonaws.com", "aws", "s3-*.amazonaws.com", True),
        ("b.s3.cn-north-1.amazonaws.com.cn", "aws_china", "s3.*.amazonaws.com.cn", True),
        ("ec2.eu-west-1.amazonaws.com", "aws", "amazonaws.com", False),
        ("x.blob.core.windows.net", "azure", "blob.core.windows.net", True),
        ("x.servicebus.windows.net", "azure", "windows.net", False),
        ("x.blob.core.chinacloudapi.cn", "azure_china", "blob.core.chinacloudapi.cn", True),
        ("bucket.storage.googleapis.com", "google", "storage.googleapis.com", True),
        ("oauth2.googleapis.com", "google", "googleapis.com", False),
        ("fly.storage.tigris.dev", "tigris", "fly.storage.tigris.dev", True),
        ("cds.a1b2.hwcdn.net", "highwinds", "hwcdn.net", False),  # Highwinds, not Huawei
    ],
)
def test_longest_suffix_wins(name: str, provider: str, suffix: str, storage: bool) -> None:
    match = CATALOGUE.provider_of_name(name)
    assert match is not None
    assert (match.provider, match.suffix, match.storage) == (provider, suffix, storage)


@pytest.mark.parametrize(
    "name",
    [
        "notaliyuncs.com",  # a suffix begins at a label
        "aliyuncs.com.evil.example",
        "47.88.0.1",
        "com",
        "",
        ".",
        "..",
        "..aliyuncs..com",
        "a" * 300 + ".aliyuncs.com",
        "aliyuncs.com\n",
        "\uff41liyuncs.com",  # full-width a
    ],
)
def test_what_is_no_catalogued_name_matches_nothing(name: str) -> None:
    assert CATALOGUE.provider_of_name(name) is None


def test_names_from_the_wire_never_raise() -> None:
    for junk in (
        string.printable,
        "\0" * 100,
        "." * 253,
        "*.s3.*.amazonaws.com",
        "\udcff.aliyuncs.com",
        "-" * 254,
    ):
        CATALOGUE.provider_of_name(junk)
        match = CATALOGUE.provider_of_name(f"{junk[:200]}.aliyuncs.com")
        assert match is not None
        assert match.provider == "alibaba"


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("shop.trafficmanager.net", True),
        ("shop.azurefd.net", False),
        ("www.shop.example.cdn.cloudflare.net", True),
        ("x.cloudflare.net", False),
        ("x.akadns.net", True),
        ("e1.a.akamaiedge.net", False),
    ],
)
def test_names_whose_targets_customers_choose_are_marked(name: str, chosen: bool) -> None:
    match = CATALOGUE.provider_of_name(name)
    assert match is not None
    assert match.customer_chosen is chosen


def test_carriers() -> None:
    assert CATALOGUE.carriers("heroku") == {"aws"}
    assert CATALOGUE.carriers("snowflake") == {"aws", "azure", "google"}
    assert CATALOGUE.carriers("akamai") == frozenset()  # its nodes stand in other networks
    assert CATALOGUE.carriers("no-such-provider") == frozenset()


def test_carriers_of_a_suffix_differ_from_those_of_its_provider() -> None:
    images = CATALOGUE.provider_of_name("img.alicdn.com")
    bucket = CATALOGUE.provider_of_name("b.oss-cn-beijing.aliyuncs.com")
    assert images is not None
    assert bucket is not None
    assert images.carriers == frozenset()
    assert bucket.carriers == {"alibaba"}


def test_user_files_add_providers_and_win(tmp_path: Path) -> None:
    prefixes = tmp_path / "office.txt"
    prefixes.write_text("# ours\n192.88.98.0/24\n192.88.98.128/25  # lab\n")
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers:\n"
        "  - {id: partner, name: A partner, category: hosting, hq_country: DE, asns: [64500, 24940],\n"
        "     domains: [partner.example, s3.partner.example], storage_suffixes: ['s3.*.partner.example'],\n"
        "     prefix_files: [office.txt], carried_by: [partner, hetzner]}\n"
        "  - {id: alibaba, asns: [64501], domains: [oss.internal.example], prefixes: ['2a0f:1::/32']}\n"
        "customer_chosen_suffixes: [partner.example]\n"
    )
    ours = Catalogue.load([extra])
    assert ours.provider_of_asn(64500) == "partner"
    assert ours.provider_of_asn(24940) == "partner"  # was Hetzner's
    assert 24940 not in ours.providers["hetzner"].asns
    assert ours.provider_of_asn(64501) == ours.provider_of_asn(37963) == "alibaba"
    assert ours.providers["alibaba"].name == CATALOGUE.providers["alibaba"].name
    match = ours.provider_of_name("b.s3.x.partner.example")
    assert match is not None
    assert (match.provider, match.storage) == ("partner", True)
    assert match.carriers == {"partner", "hetzner"}
    mapped = bytes(10) + b"\xff\xff"
    assert ours.prefix_of_address(mapped + bytes([192, 88, 98, 200])) == ("partner", True)
    assert ours.prefix_of_address(mapped + bytes([192, 88, 97, 200])) is None
    assert ours.prefix_of_address(bytes.fromhex("2a0f0001") + bytes(12)) == ("alibaba", False)
    assert ours.version != CATALOGUE.version
    assert ours.version.startswith(CATALOGUE.version)


def test_longest_of_the_users_prefixes_wins(tmp_path: Path) -> None:
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers:\n"
        "  - {id: outer, name: Outer, category: cloud, hq_country: US, prefixes: [5.0.0.0/8]}\n"
        "  - {id: inner, name: Inner, category: cloud, hq_country: US, prefixes: [5.6.0.0/16]}\n"
    )
    ours = Catalogue.load([extra])
    mapped = bytes(10) + b"\xff\xff"
    assert ours.prefix_of_address(mapped + bytes([5, 6, 255, 255])) == ("inner", False)
    assert ours.prefix_of_address(mapped + bytes([5, 7, 0, 0])) == ("outer", False)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("asns: [0]", "0 is not an AS number"),
        ("asns: [4294967296]", "4294967296 is not an AS number"),
        ("asns: ['AS64500']", "valid integer"),
        ("asns: [64500, 64500]", "64500 stands twice in asns"),
        ("prefixes: [10.0.0.0/8]", "10.0.0.0/8 is not public address space"),
        ("prefixes: ['2002::/16']", "2002::/16 is not public address space"),
        ("prefixes: [0.0.0.0/0]", "0.0.0.0/0 is not public address space"),
        ("prefixes: ['::/0']", "::/0 is not public address space"),
        ("prefixes: [192.0.2.0/24]", "192.0.2.0/24 is not public address space"),
        ("prefixes: [5.6.7.8/24]", "has host bits set"),
        ("domains: [Example.com]", "is not a domain in lower case"),
        ("domains: [com]", "is not a domain"),
        ("domains: [com.cn]", "registry's suffix"),
        ("storage_suffixes: ['s3.*.com']", "is not a name suffix"),
        ("storage_suffixes: ['*.*.*a*b*.x.com']", "more than two '*'"),
        ("category: clowd", "did you mean 'cloud'?"),
        ("carried_by: [gogle]", "no provider 'gogle'; did you mean 'google'?"),
        ("carried_elsewhere: {x.example: [awss]}", "no provider 'awss'; did you mean 'aws'?"),
        ("domain: [x.example]", "unknown key 'domain'; did you mean 'domains'?"),
        ("prefixes: [16.0.0.0/7]", "16.0.0.0/7 is larger than anything that one provider has"),
        ("prefix_files: [missing.txt]", "there is no file"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, entry: str, message: str) -> None:
    extra = tmp_path / "ours.yml"
    key = entry.split(":")[0]
    base = {"id": "mine", "name": "Mine", "category": "cloud", "hq_country": "US"}
    lines = [f"    {name}: {value}" for name, value in base.items() if name != key]
    extra.write_text("providers:\n  -\n" + "\n".join(lines) + f"\n    {entry}\n")
    with pytest.raises(InputError) as caught:
        Catalogue.load([extra])
    line = 3 + len(lines)
    assert str(caught.value).startswith(f"{extra}:{line}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("identifier", ["as64500", "unlisted", "other", "Mine", "", "a b", "x" * 33])
def test_ids_that_would_confuse_metrics_are_refused(tmp_path: Path, identifier: str) -> None:
    extra = tmp_path / "ours.yml"
    extra.write_text(f"providers:\n  - {{id: '{identifier}', name: M, category: cloud, hq_country: US}}\n")
    with pytest.raises(InputError, match="cannot be a provider id"):
        Catalogue.load([extra])


@pytest.mark.parametrize(
    "second",
    ["asns: [64500]", "domains: [one.example]", "storage_suffixes: [one.example]", "prefixes: [5.6.0.0/16]"],
)
def test_one_thing_cannot_belong_to_two(tmp_path: Path, second: str) -> None:
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers:\n"
        "  - {id: one, name: One, category: cloud, hq_country: US, asns: [64500], domains: [one.example],\n"
        "     prefixes: [5.6.0.0/16]}\n"
        f"  - {{id: two, name: Two, category: cloud, hq_country: US, {second}}}\n"
    )
    with pytest.raises(InputError, match=r"ours.yml:4: \S+ belongs to one already \(.*ours.yml:2\)"):
        Catalogue.load([extra])


def test_new_provider_must_be_complete(tmp_path: Path) -> None:
    extra = tmp_path / "ours.yml"
    extra.write_text("providers:\n  - {id: mine, name: Mine, hq_country: US}\n")
    with pytest.raises(InputError, match="ours.yml:2: 'category' is missing in provider mine"):
        Catalogue.load([extra])


def test_bogon_in_a_prefix_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("5.6.0.0/16,DE,,Berlin,\n2001:db8::/32\n")
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers: [{id: mine, name: M, category: cloud, hq_country: US, prefix_files: [list.txt]}]\n"
    )
    with pytest.raises(InputError, match="list.txt:2: 2001:db8::/32 is not public address space"):
        Catalogue.load([extra])


def test_vendor_lists_are_read_in_their_own_forms(tmp_path: Path) -> None:
    lists = {
        "aws": '{"prefixes": [{"ip_prefix": "5.1.0.0/16", "region": "r"}],'
        ' "ipv6_prefixes": [{"ipv6_prefix": "2a0f:1::/32", "region": "r"}]}',
        "google": '{"prefixes": [{"ipv4Prefix": "5.2.0.0/16", "scope": "s"}, {"ipv6Prefix": "2a0f:2::/32"}]}',
        "azure": '{"values": [{"properties":'
        ' {"region": "", "addressPrefixes": ["5.3.0.0/16", "10.0.0.0/8"]}}]}',
        "oracle": '{"regions": [{"region": "r", "cidrs": [{"cidr": "5.4.0.0/16"}]}]}',
        "cloudflare": '{"result": {"ipv4_cidrs": ["5.5.0.0/16"], "ipv6_cidrs": ["2a0f:3::/32"]}}',
        "fastly": '{"addresses": ["5.6.0.0/16"], "ipv6_addresses": ["2a0f:4::/32"]}',
        "github": '{"web": ["5.7.0.0/16"], "ssh_keys": ["ssh-rsa AAAA/8"], "domains": {"a": ["a/8"]}}',
        "zscaler": '{"zscaler.net": {"continent : EMEA": {"city : B": [{"range": "5.8.0.0/16"}]}}}',
    }
    for name, text in lists.items():
        (tmp_path / f"{name}.json").write_text(text)
    extra = tmp_path / "ours.yml"
    names = ", ".join(f"{name}.json" for name in lists)
    extra.write_text(
        f"providers: [{{id: mine, name: M, category: cloud, hq_country: US, prefix_files: [{names}]}}]\n"
    )
    ours = Catalogue.load([extra])
    mapped = bytes(10) + b"\xff\xff"
    for second in range(1, 9):
        assert ours.prefix_of_address(mapped + bytes([5, second, 9, 9])) == ("mine", True)
    for second in range(1, 5):
        assert ours.prefix_of_address(bytes([0x2A, 0x0F, 0, second]) + bytes(12)) == ("mine", True)
    # a vendor's list with a private network in it must not take the inside of the user's house
    assert ours.prefix_of_address(mapped + bytes([10, 0, 0, 1])) is None


@pytest.mark.parametrize("text", ["[]", "{", "{}", '{"prefixes": [{}]}', '{"values": [1]}', '"x"'])
def test_what_is_no_vendor_list_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.json").write_text(text)
    extra = tmp_path / "ours.yml"
    extra.write_text(
        "providers: [{id: mine, name: M, category: cloud, hq_country: US, prefix_files: [list.json]}]\n"
    )
    with pytest.raises(InputError, match="list.json: "):
        Catalogue.load([extra])


def test_a_vendor_list_of_any_depth_is_read_or_told(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    told = 0
    for depth in (1, *range(800, 1100)):
        path.write_text("[" * depth + '"5.1.0.0/16"' + "]" * depth)
        try:
            assert read_vendor_list(path) == [("5.1.0.0/16", "")]
        except InputError:
            told += 1
    assert told > 50


def test_every_bogon_of_the_registries_is_refused() -> None:
    # IANA IPv4 and IPv6 special-purpose registries (RFC 6890), multicast (RFC 5771, 4291)
    special = """
        0.1.0.0/16 10.1.0.0/16 100.64.1.0/24 127.0.0.1/32 169.254.1.0/24 172.31.0.0/16 192.0.0.8/32
        192.0.2.0/25 192.88.99.1/32 192.168.1.0/24 198.19.0.0/16 198.51.100.0/24 203.0.113.0/24
        224.0.0.1/32 240.0.0.0/8 255.255.255.255/32
        ::1/128 ::ffff:5.6.7.8/128 64:ff9b::/96 100::/64 2001::/32 2001:2::/48 2001:db8:1::/48
        2002:506:708::/48 3fff::/20 5f00::/16 fc00::/8 fe80::/10 ff02::1/128
    """
    for text in special.split():
        with pytest.raises(ValueError, match="not public address space"):
            catalogue_file.parse_prefix(text)
