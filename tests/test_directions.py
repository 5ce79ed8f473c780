"""The direction of imports, design section 3: enforced here, not hoped for."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = CHECKOUT / "monitor"
FLOWCORE = PACKAGE / "hotpath" / "flowcore" / "src"
STAGES = {"capture", "attribute", "judge", "publish"}
GROUND = [
    "address_text", "config", "errors", "flow_batch", "shipped", "terminal", "units", "workloads_file",
    "yaml_file",
]  # fmt: skip
# whose a name of the compiled module is, where not capture's
COMPILED = {
    "address_texts": "address_text",
    "Rows": "flow_rows",
    **dict.fromkeys(
        ("AddressTree", "Cases", "DnsMemory", "KnownRows", "PublicResolvers", "first_values"), "attribute"
    ),
    **dict.fromkeys(("RuleEngine", "AddressList", "batch_of_rows", "counted_rows"), "judge"),
    **dict.fromkeys(("TrafficSums", "fold_workload", "fold_provider"), "publish"),
    **dict.fromkeys(("TotalSums", "TransitSums"), "totals"),
    "first_rows": "pipeline",
}
ABOVE = {"cli", "commands", "daemon", "pipeline", "replay", "scenario", "__main__"}


def imports(path: Path) -> set[str]:
    """Give the full names of all modules that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def parts(path: Path) -> set[str]:
    """Give the parts of monitor that a file imports; what is compiled belongs to a part too."""
    own = {tuple(name.split(".")[1:]) for name in imports(path) if name.startswith("monitor.")}
    return {COMPILED.get(name[-1], "capture") if name[0] == "_hotpath" else name[0] for name in own}


def files(part: str) -> list[Path]:
    single = PACKAGE / f"{part}.py"
    return [single] if single.is_file() else sorted((PACKAGE / part).rglob("*.py"))


def all_files() -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_relative_to(PACKAGE / "hotpath") and not path.is_relative_to(PACKAGE / "_shipped")
    ]


@pytest.mark.parametrize(
    ("part", "forbidden"),
    [
        ("capture", {"attribute", "judge", "publish"} | ABOVE),
        ("attribute", {"capture", "judge", "publish"} | ABOVE),
        ("judge", {"capture", "publish"} | ABOVE),
        ("publish", {"capture", "attribute"} | ABOVE),
        *[(part, STAGES | ABOVE) for part in GROUND],
        ("policy", {"capture", "publish"} | ABOVE),
        ("pipeline", {"capture"} | ABOVE - {"pipeline"}),
        ("replay", {"attribute"} | ABOVE - {"pipeline", "replay"}),
        ("scenario", STAGES | {"pipeline", "commands", "cli"}),
    ],
)
def test_a_part_does_not_import_a_later_one(part: str, forbidden: set[str]) -> None:
    assert files(part), f"there is no {part}"
    wrong = {str(path.relative_to(CHECKOUT)): parts(path) & forbidden for path in files(part)}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_one_file_knows_every_stage() -> None:
    behind = STAGES - {"capture"}  # which gives drains, to whoever plays or runs them
    knowing = [str(path.relative_to(PACKAGE)) for path in all_files() if parts(path) >= behind]
    assert knowing == ["pipeline.py"]


def test_slow_libraries_are_imported_only_where_they_are_used() -> None:
    owners = {
        "scapy": {"scenario", "evidence"},
        "pyshark": {"evidence"},
        "starlette": {"publish"},
        "uvicorn": {"publish"},
    }
    for path in all_files():
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        used = {name.split(".")[0] for name in imports(path)}
        assert {library for library in used & set(owners) if part not in owners[library]} == set(), path


SERVING = ["starlette", "uvicorn", "prometheus_client", "asyncio", "ssl", "http"]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("monitor.commands.replay", [*SERVING, "scapy", "pyshark", "aiohttp", "pyarrow"]),
        ("monitor.commands.lookup", ["scapy", "pyshark", "starlette", "uvicorn", "polars"]),
        ("monitor.commands.run", ["scapy", "pyshark"]),
        ("monitor.cli", ["scapy", "pyshark", "starlette", "uvicorn", "polars", "yaml"]),
    ],
)
def test_a_command_loads_only_what_it_needs(module: str, absent: list[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & set(absent) == set()


def test_decode_does_not_use_flow() -> None:
    """In Rust: what a packet says does not depend on what is kept about its flow."""
    decoders = sorted((FLOWCORE / "decode").glob("*.rs"))
    assert decoders
    for path in decoders:
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"\b(crate|super::super)::(flow|worker|source)\b", text), path.name


def test_unsafe_stands_only_in_the_sources() -> None:
    for path in sorted((PACKAGE / "hotpath").rglob("src/**/*.rs")):
        if path.is_relative_to(FLOWCORE / "source"):
            continue
        text = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"\bunsafe\s*(\{|fn|impl|extern)", text), path.name


def test_files_hold_one_idea() -> None:
    long = {}
    for path in [*all_files(), *sorted((PACKAGE / "hotpath").rglob("src/**/*.rs"))]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 450:
            long[str(path.relative_to(CHECKOUT))] = lines
    assert long == {}
