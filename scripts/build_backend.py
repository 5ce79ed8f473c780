"""PEP 517 backend: maturin, after the rules and dashboards were copied into the package.

A wheel packs only what stands under ``monitor/``, while rules and dashboards live at the root of the
checkout, where people look for them. Every build goes through here (``pip install .``, an sdist, the
Makefile), so no wheel is ever without them. An sdist carries the copies and not the originals; there
is then nothing to copy. An editable install reads the originals.
"""

import shutil
from pathlib import Path
from typing import Any

import maturin

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "monitor" / "_shipped"
FOLDERS = ("rules", "dashboards")

get_requires_for_build_wheel = maturin.get_requires_for_build_wheel
get_requires_for_build_sdist = maturin.get_requires_for_build_sdist
get_requires_for_build_editable = maturin.get_requires_for_build_editable
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable
build_editable = maturin.build_editable


def copy_shipped() -> None:
    """Copy ``rules/`` and ``dashboards/`` to ``monitor/_shipped/``, replacing what was there."""
    for folder in FOLDERS:
        source, target = ROOT / folder, SHIPPED / folder
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: Any = None) -> str:
    """Build a wheel; gives its file name (PEP 517)."""
    copy_shipped()
    name: str = maturin.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Build a source distribution; gives its file name (PEP 517)."""
    copy_shipped()
    name: str = maturin.build_sdist(sdist_directory, config_settings)
    return name
