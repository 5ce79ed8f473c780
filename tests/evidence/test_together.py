"""Capsules that are made with one pass over the ring hold what each would hold alone."""

from datetime import datetime
from pathlib import Path

import pytest

from monitor.config import load_config
from monitor.evidence import keeper, manifest
from monitor.replay import replay
from tests.evidence import demo

FILES = ("packets.pcapng", "flows.jsonl")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("story")
    demo.build(place)
    return place


def capsules(story: Path, out: Path) -> dict[str, bytes]:
    """Play it with evidence; give what the capsules hold."""
    config = load_config(story / "incident.yml")
    replay(config, [str(story / "incident.pcap")], learn=False, state=None, evidence=out)
    made = list((out / "capsules").iterdir())
    assert not [capsule for capsule in made if capsule.name.startswith(".")], "nothing is left aside"
    assert all(manifest.verify(capsule) == [] for capsule in made)
    return {f"{capsule.name}/{name}": (capsule / name).read_bytes() for capsule in made for name in FILES}


def test_together_alone_and_one_after_the_other(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = capsules(story, tmp_path / "together")
    assert len(together) > 20
    with monkeypatch.context() as patch:
        patch.setattr(keeper, "ROOM", 1)  # none has room beside another
        assert capsules(story, tmp_path / "packets put off") == together
    with monkeypatch.context() as patch:
        patch.setattr(keeper, "ROOM_FLOWS", 1)
        assert capsules(story, tmp_path / "put off") == together
    monkeypatch.setattr(keeper, "TOGETHER", 1)
    assert capsules(story, tmp_path / "alone") == together


def test_where_the_ring_no_longer_reaches_back_the_capsule_says_from_when_it_has_packets(
    story: Path, tmp_path: Path
) -> None:
    config = load_config(story / "incident.yml")
    small = config.model_copy(update={"evidence": config.evidence.model_copy(update={"ring": 100_000})})
    replay(
        small, [str(story / "incident.pcap")], learn=False, state=None, evidence=tmp_path / "small"
    )
    cut = 0
    for capsule in (tmp_path / "small" / "capsules").iterdir():
        told = manifest.read(capsule)["packets"]
        times = demo.tshark(capsule / "packets.pcapng", "-T", "fields", "-e", "frame.time_epoch")
        assert (told["count"], told["from"] is None) == (len(times), not times)
        if told["count"] == told["of"]:
            continue
        cut += 1
        assert f"the ring reached back to {told['ring_from']}" in told["note"]
        if times:
            begins = datetime.fromisoformat(told["from"][:26] + "+00:00").timestamp()
            assert begins == pytest.approx(min(map(float, times)), abs=1e-5)
            assert told["from"] >= told["ring_from"]
    assert cut > 0
