"""The file in which other systems write which workload has which address.

Two forms. YAML or JSON (``.yml``, ``.yaml``, ``.json``), as ``workloads`` in the configuration::

    {"api": ["10.0.1.0/24", "10.0.9.17"], "web": ["10.0.2.4"]}

Any other file is text, one network or address and its workload a line, as ``kubectl`` and ``awk`` write
it; a ``#`` begins a comment::

    10.0.1.17  api
    fd00::/64  web
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from monitor import yaml_file
from monitor.errors import InputError

Network = TypeVar("Network")

YAML = {".yml", ".yaml", ".json"}
MAX_NETWORKS = 500_000  # about 200 bytes each


def read_workloads(
    path: Path, model: type[pydantic.RootModel[dict[str, list[Network]]]]
) -> dict[str, list[Network]]:
    """Read the file, whatever its form.

    Args:
        path: the file.
        model: what a mapping of names to networks must be like.

    Raises InputError about the first mistake, with ``file:line``: no network, no name, a network that two
    workloads have, a file that is too large.
    """
    is_yaml = path.suffix in YAML
    document = yaml_file.parse(_plain(_text(path), path), path) if is_yaml else _columns(path)
    if document.value is None:
        raise InputError(f"{path}:1: the file is empty")
    found = yaml_file.validate(document, model).root
    owners: dict[Network, str] = {}
    for name, networks in found.items():
        for index, network in enumerate(networks):
            if owners.setdefault(network, name) != name:
                both = f"{owners[network]!r} and to {name!r}"
                raise document.error((name, index), f"{network} belongs to {both}")
    if len(owners) > MAX_NETWORKS:
        raise InputError(f"{path}: {len(owners):,} networks; at most {MAX_NETWORKS:,} are taken")
    return found


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > yaml_file.MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {yaml_file.MAX_FILE_BYTES // 2**20} MiB")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _plain(text: str, path: Path) -> str:
    """Give JSON as YAML reads it: a tab is white space there, and here an error."""
    if path.suffix != ".json":
        return text
    try:
        json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise InputError(f"{path}:{line}: not JSON: {getattr(error, 'msg', error)}") from error
    except RecursionError as error:
        raise InputError(f"{path}:1: not JSON: nested too deep") from error
    return text.replace("\t", " ")


def _columns(path: Path) -> yaml_file.Document:
    """Read text of two columns as the document that the same in YAML would be."""
    value: dict[str, list[Any]] = {}
    lines: dict[yaml_file.Place, int] = {}
    for number, network, name in _fields(path):
        networks = value.setdefault(name, [])
        lines.setdefault((name,), number)
        lines[(name, len(networks))] = number
        networks.append(network)
    return yaml_file.Document(path, value or None, lines)


def _fields(path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.partition("#")[0].replace(",", " ").split()
        if not fields:
            continue
        if len(fields) != 2:
            raise InputError(f"{path}:{number}: a line is an address or network, then a workload")
        yield number, fields[0], fields[1]
