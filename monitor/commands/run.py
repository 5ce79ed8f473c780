"""``egress-monitor run``: the daemon."""

from pathlib import Path

from monitor import daemon
from monitor.config import load_config
from monitor.errors import InputError
from monitor.trusted import require_trusted_config


def run(config_path: Path | None, interfaces: list[str], alerts: Path | None) -> None:
    """Watch the interfaces until stopped; raises InputError where that cannot begin."""
    config = load_config(config_path)
    if interfaces:
        config = config.with_interfaces(list(dict.fromkeys(interfaces)))
    if not config.interfaces:
        raise InputError("no interface to watch: give --interface IF, or `interfaces:` in the configuration")
    require_trusted_config(config)
    daemon.run(config, alerts)
