"""The incident as people would have it in a folder."""

from pathlib import Path

import pytest

from monitor.scenario import incident
from monitor.scenario.incident import Incident


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The incident's capture, ``incident.pcap``, and its configuration, ``egress.yml``; tests add files."""
    place = tmp_path_factory.mktemp("incident")
    story = Incident()
    story.build()
    story.write(place / "incident.pcap")
    (place / "egress.yml").write_text(incident.CONFIG, encoding="utf-8")
    return place
