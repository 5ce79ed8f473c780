"""``python -m tools.catalogue``: build what the package ships for attribution (``make catalogue``).

Writes ``catalogue.json``, ``egress-monitor.mmdb`` and ``build.json`` into ``monitor/attribute/data/``. The
same commit gives the same bytes. With ``--compile`` only the catalogue is compiled: enough after a change
of names; AS numbers and prefixes need the whole build.
"""

import argparse
import datetime
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from monitor.attribute.catalogue import compile_entries
from monitor.attribute.catalogue_file import CatalogueFiles, read_files
from monitor.errors import InputError
from tools.catalogue import sources
from tools.catalogue.build import Inputs, build, describe, networks_digest, prefix_layers
from tools.catalogue.moves import moves
from tools.catalogue.report import changes, overlaps, remarks

# of the checkout: the installed package was built from what was there before
PROVIDERS = Path(__file__).resolve().parents[2] / "monitor" / "attribute" / "providers"
DATA = PROVIDERS.with_name("data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the builder; gives the exit status (2: an input is wrong, told in one line)."""
    options = _parser().parse_args(arguments)
    try:
        files = read_files(sorted(PROVIDERS.glob("*.yml")))
        compiled = compile_entries((entry.provider for entry in files.entries), files.customer_chosen)
        options.out.mkdir(parents=True, exist_ok=True)
        if not options.compile:
            _build_database(files, options)
        (options.out / "catalogue.json").write_bytes(compiled)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(files.entries)} providers in {options.out / 'catalogue.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.catalogue", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write to")
    parser.add_argument("--cache", type=Path, help="folder that keeps the fetched packages")
    parser.add_argument("--country", type=Path, help="a newer country database (MaxMind format)")
    parser.add_argument(
        "--asn", type=Path, nargs=2, metavar=("IPV4", "IPV6"), help="newer asn-ipv4-num.csv, asn-ipv6-num.csv"
    )
    parser.add_argument(
        "--dated",
        type=datetime.date.fromisoformat,
        metavar="DATE",
        help="date of the files given with --asn, such as 2026-11-01",
    )
    parser.add_argument("--compile", action="store_true", help="only compile the catalogue")
    return parser


def _build_database(files: CatalogueFiles, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        cache = options.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        country = options.country or sources.fetch(sources.COUNTRY, cache)[0]
        asn_paths = options.asn or sources.fetch(sources.NETWORK, cache)
        countries_v4, countries_v6, built = sources.read_countries(country)
        inputs = [
            Inputs(bits, countries, sources.read_networks(path), *prefix_layers(files, family))
            for bits, family, countries, path in (
                (32, 4, countries_v4, asn_paths[0]),
                (128, 6, countries_v6, asn_paths[1]),
            )
        ]
        asn_dated = str(options.dated) if options.asn and options.dated else sources.NETWORK.dated
        country_dated = datetime.datetime.fromtimestamp(built, datetime.UTC).date().isoformat()
        oldest = datetime.datetime.fromisoformat(min(asn_dated, country_dated)).replace(tzinfo=datetime.UTC)
        about = describe((country_dated, asn_dated), int(oldest.timestamp()))
        content, summary = build(inputs, files, about)
    report_path = options.out / "build.json"
    old = json.loads(report_path.read_text()) if report_path.exists() else {}
    new = {
        "networks": networks_digest(files),
        "sources": {
            sources.COUNTRY.name: {"dated": country_dated, "licence": "CC-BY-4.0"},
            sources.NETWORK.name: {"dated": asn_dated, "licence": "CC-BY-4.0"},
        },
        **summary.as_json(),
    }
    database = options.out / "egress-monitor.mmdb"
    aside = database.with_suffix(".new")
    aside.write_bytes(content)
    moved = moves(database, aside) if database.exists() else ()
    for line in (*changes(old, new), *moved, *remarks(files, summary), *overlaps(files)):
        print(line)
    aside.replace(database)
    report_path.write_text(json.dumps(new, indent=1) + "\n")
    print(
        f"{summary.records:,} records and {summary.nodes:,} nodes, {len(content) / 1e6:.1f} MB "
        f"in {database}"
    )


if __name__ == "__main__":
    sys.exit(main())
