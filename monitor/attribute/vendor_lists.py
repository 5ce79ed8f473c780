"""The address lists that clouds publish, in the forms in which they publish them.

AWS ``ip-ranges.json``, Google ``cloud.json`` and ``goog.json``, Azure ``ServiceTags_*.json`` and Oracle
``public_ip_ranges.json`` are told apart by their keys, and name regions. Of any other JSON (Cloudflare,
Fastly, GitHub, Zscaler, Atlassian, ...) whatever is an address prefix counts. Other lists are text: one
prefix a line, or a geofeed (RFC 8805: prefix, country, ...), as DigitalOcean and Linode publish theirs.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from monitor.errors import InputError

Listed = tuple[str, str]  # prefix, the vendor's name of the region ("" where there is none)


def read_vendor_list(path: Path) -> list[Listed]:
    """Read a vendor's JSON list; raises InputError where it is none of the known forms."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from error
    try:
        found = [(str(prefix), str(region)) for prefix, region in _entries(content)]
    except (KeyError, TypeError, AttributeError):
        found = []
    try:
        found = found or [(prefix, "") for prefix in _anywhere(content)]
    except RecursionError as error:  # a little less than what the reader of JSON takes
        raise InputError(f"{path}: nested too deep") from error
    if not found:
        raise InputError(f"{path}: no address prefix in it")
    return found


def published_prefixes(path: Path) -> list[str]:
    """Read the prefixes of a list in any of the forms, public address space or not.

    Raises InputError where the file is no list, of text with ``file:line``.
    """
    if path.suffix == ".json":
        return sorted({prefix for prefix, _ in read_vendor_list(path)})
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        prefix = line.partition("#")[0].partition(",")[0].strip()  # a geofeed goes on after the prefix
        try:
            found += [str(ip_network(prefix))] if prefix else []
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from error
    return found


def _entries(content: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    for item in content.get("prefixes", []):
        if "ip_prefix" in item:  # AWS
            yield item["ip_prefix"], item["region"]
        else:  # Google
            yield item.get("ipv4Prefix") or item["ipv6Prefix"], item.get("scope", "")
    for item in content.get("ipv6_prefixes", []):  # AWS
        yield item["ipv6_prefix"], item["region"]
    for item in content.get("values", []):  # Azure: the same prefix stands under several tags
        for prefix in item["properties"]["addressPrefixes"]:
            yield prefix, item["properties"].get("region", "")
    for region in content.get("regions", []):  # Oracle
        for item in region["cidrs"]:
            yield item["cidr"], region["region"]


def _anywhere(content: object) -> Iterator[str]:
    """Give every text in it that is an address prefix; raises RecursionError where it is nested too deep."""
    if isinstance(content, str):
        with suppress(ValueError):
            if "/" in content:
                yield str(ip_network(content.strip()))
    elif isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _anywhere(part)
