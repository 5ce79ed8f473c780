"""JA4 of real captures, as others published it for the very same files."""

import polars as pl
import pytest

from . import truth

# FoxIO's own results (github.com/FoxIO-LLC/ja4, rust/ja4/src/snapshots and python/test/testdata) and
# suricata-verify's (tests/ja4-tls/test.yaml)
PUBLISHED = {
    "ja4/pcap/badcurveball.pcap": "t13d1615h2_46e7e9700bed_45f260be83e2",
    "ja4/pcap/tls12.pcap": "t13d1715h2_5b57614c22b0_3d5424432f57",
    # FoxIO's programs write 99 for an ALPN of the bytes ba ad; its specification says bd, as do we
    "ja4/pcap/tls-non-ascii-alpn.pcapng": "t13d1516bd_8daaf6152771_e5627efa2ab1",
    "suricata-verify/tests/ja4-tls/input.pcap": "t12i1810s1_27d4652c4487_06a4338d0495",
}


@pytest.mark.parametrize("capture", PUBLISHED)
def test_ja4_is_the_published_one(capture: str) -> None:
    root = truth.folder()
    if root is None:
        pytest.skip("EGRESS_CAPTURES names no folder of real captures")
    seen = truth.read(root / "core" / "pcaps" / capture)
    assert seen.flows.select(pl.col("ja4").drop_nulls().unique())["ja4"].to_list() == [PUBLISHED[capture]]
