"""Capsules that are made with one pass over the ring hold what each would hold alone."""

from pathlib import Path

import pytest

from monitor import pipeline
from monitor.config import load_config
from monitor.evidence import keeper, manifest
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
    pipeline.replay(config, [str(story / "incident.pcap")], learn=False, state=None, evidence=out)
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
        assert capsules(story, tmp_path / "put off") == together
    monkeypatch.setattr(keeper, "TOGETHER", 1)
    assert capsules(story, tmp_path / "alone") == together
