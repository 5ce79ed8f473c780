"""Addresses that providers publish as theirs, against the shipped database.

The lists stay where they are (EGRESS_PREFIXES, else beside the captures): they belong to their vendors.
"""

import os
from pathlib import Path

import pytest

from monitor.attribute.databases import Databases
from tools.catalogue.accuracy import Accuracy, measure

AWS = {"aws", "aws_china"}  # Sinnet and NWCD run the Chinese regions that Amazon lists
AZURE = {"azure", "azure_china"}  # so does 21Vianet those of Microsoft
GITHUB = {"github", "azure", "aws"}  # its runners and importers are rented there

# Not asked: misp/akamai.json, a search in routing tables that holds the nodes in networks of others, and
# lord-alfred/openai, which are hosts in Azure.
LISTS = [
    (AWS, "seligman/ip-ranges.json"), (AWS, "wangmm001/aws.json"),
    (AWS, "lord-alfred/amazon/ipv4_merged.txt"), (AWS, "lord-alfred/amazon/ipv6_merged.txt"),
    ({"google"}, "wangmm001/gcp.json"), ({"google"}, "femueller/google-cloud-ip-ranges.json"),
    ({"google"}, "misp/google-gcp.json"), ({"google"}, "lord-alfred/google/ipv4_merged.txt"),
    ({"google"}, "lord-alfred/google/ipv6_merged.txt"),
    (AZURE, "wangmm001/azure.json"), (AZURE, "misp/microsoft-azure-china.json"),
    ({"cloudflare"}, "wangmm001/cloudflare-v4.txt"), ({"cloudflare"}, "wangmm001/cloudflare-v6.txt"),
    ({"oracle"}, "femueller/oracle-cloud-ip-ranges.json"), ({"oracle"}, "misp/oracle-oci.json"),
    ({"digitalocean"}, "femueller/digitalocean.csv"),
    ({"digitalocean"}, "lord-alfred/digitalocean/ipv4_merged.txt"),
    ({"digitalocean"}, "lord-alfred/digitalocean/ipv6_merged.txt"),
    ({"fastly"}, "femueller/fastly-ip-ranges.json"), (GITHUB, "femueller/github-ip-ranges.json"),
    ({"akamai"}, "femueller/linode.txt"), ({"akamai"}, "lord-alfred/linode/ipv4_merged.txt"),
    ({"zscaler"}, "femueller/zscaler-cloud-ip-ranges.json"),
    ({"alibaba"}, "disposable/alibaba.json"), ({"tencent"}, "disposable/tencent.json"),
    ({"huawei"}, "disposable/huawei-cloud.json"), ({"ucloud"}, "disposable/ucloud.json"),
    ({"hetzner"}, "disposable/hetzner.json"), ({"nforce"}, "disposable/nforce.json"),
    ({"ovh"}, "disposable/ovh.json"),
    ({"rackspace"}, "disposable/rackspace.json"), ({"ibm"}, "disposable/softlayer-ibm.json"),
    ({"vultr"}, "lord-alfred/vultr/ipv4_merged.txt"), ({"vultr"}, "lord-alfred/vultr/ipv6_merged.txt"),
    ({"meta"}, "lord-alfred/facebook/ipv4_merged.txt"), ({"meta"}, "lord-alfred/facebook/ipv6_merged.txt"),
    ({"x"}, "lord-alfred/twitter/ipv4_merged.txt"), ({"telegram"}, "lord-alfred/telegram/ipv4_merged.txt"),
]  # fmt: skip


def folder() -> Path | None:
    captures = os.environ.get("EGRESS_CAPTURES")
    given = os.environ.get("EGRESS_PREFIXES") or (captures and f"{captures}/../data/prefixes")
    return Path(given) if given and Path(given).is_dir() else None


def test_what_providers_publish_is_attributed_to_them(capsys: pytest.CaptureFixture[str]) -> None:
    lists = folder()
    if lists is None:
        pytest.skip("NOT RUN: published address lists; EGRESS_PREFIXES names no folder with them")
    databases = Databases()
    databases.start()
    found: dict[str, Accuracy] = {}
    for providers, name in LISTS:
        found[name] = measure(databases, providers, lists / name)
    databases.stop()
    asked, right = (sum(getattr(one, what) for one in found.values()) for what in ("asked", "right"))
    with capsys.disabled():
        print(f"\npublished addresses: {right:,} of {asked:,} right ({right / asked:.2%})")
        for name, one in found.items():
            if one.right < one.asked:
                rest = ", ".join(f"{other} {count}" for other, count in one.others.most_common(3))
                print(f"  {name}: {one.right / one.asked:.2%}; else {rest}")
    assert asked > 300_000
    assert right >= 0.99 * asked
    # one list a provider that is told wrong must not drown in the large ones
    shares = sorted(one.right / one.asked for one in found.values())
    assert sum(share >= 0.99 for share in shares) >= 0.75 * len(shares)
    assert {name: one.wrong_by_prefix for name, one in found.items() if one.wrong_by_prefix.total()} == {}
