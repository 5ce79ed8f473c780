"""Finds the rules and dashboards that come with the package, in a checkout and in a wheel.

In a checkout they stand at the root, where people read them; a build copies them to
``monitor/_shipped/`` (``scripts/build_backend.py``). The originals win, so that an edit in a checkout
is never shadowed by an old copy.
"""

from importlib import resources
from pathlib import Path

from monitor.errors import InputError


def _folder(name: str) -> Path:
    package = Path(str(resources.files("monitor")))
    checkout = package.parent
    for folder in (checkout / name, package / "_shipped" / name):
        # site-packages may hold a folder of the same name that is not ours
        is_original = folder.parent == checkout
        if folder.is_dir() and (not is_original or (checkout / "pyproject.toml").is_file()):
            return folder
    raise InputError(f"{name}/ is missing from this installation; install egress-monitor anew")


def rules() -> Path:
    """Give the folder of the shipped rules."""
    return _folder("rules")


def dashboards() -> Path:
    """Give the folder of the shipped Grafana dashboards and Prometheus rules."""
    return _folder("dashboards")
