"""``make dashboards``: write the dashboards as JSON that Grafana imports as it is."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards.investigation import investigation
from tools.dashboards.overview import overview
from tools.dashboards.sensor import sensor

FOLDER = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"


def texts() -> dict[str, str]:
    """Give the text of each dashboard by its file name."""
    return {
        "overview.json": _text(overview()),
        "investigation.json": _text(investigation()),
        "sensor.json": _text(sensor()),
    }


def _text(builder: Dashboard) -> str:
    model = builder.build()
    # the same panel has the same number each time, so that links to it last
    for number, panel in enumerate(model.panels or [], start=1):
        panel.id_val = number
    return json.dumps(model, cls=JSONEncoder, sort_keys=True, indent=2) + "\n"


def main() -> int:
    """Write them; gives the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
