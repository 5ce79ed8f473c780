"""What is installed is what was meant: the wheel holds the rules, an sdist can be built from."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import monitor
from monitor import shipped

CHECKOUT = Path(__file__).resolve().parent.parent
PACKAGE = Path(str(monitor.__file__)).parent
IS_CHECKOUT = PACKAGE == CHECKOUT / "monitor"


@pytest.fixture
def installed() -> importlib.metadata.Distribution:
    if IS_CHECKOUT:
        pytest.skip("the package under test is the checkout, not the wheel: use make test, or python -I")
    return importlib.metadata.distribution("egress-monitor")


def names(distribution: importlib.metadata.Distribution) -> list[str]:
    assert distribution.files is not None
    return [str(path) for path in distribution.files]


def relative(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_wheel_holds_rules_and_dashboards(installed: importlib.metadata.Distribution) -> None:
    for folder, found in (("rules", shipped.rules()), ("dashboards", shipped.dashboards())):
        assert found == PACKAGE / "_shipped" / folder
        assert relative(found) == relative(CHECKOUT / folder) > set()


def test_wheel_holds_no_rust_and_nothing_built_here(installed: importlib.metadata.Distribution) -> None:
    packed = names(installed)
    assert [name for name in packed if name.endswith((".rs", ".toml", ".lock", ".o", ".d"))] == []
    assert [name for name in packed if "hotpath/" in name or "/target/" in name] == []
    assert len([name for name in packed if "_hotpath" in name and name.endswith(".so")]) == 1


def test_wheel_holds_every_module(installed: importlib.metadata.Distribution) -> None:
    def modules(folder: Path) -> set[str]:
        paths = {path.relative_to(folder) for path in folder.rglob("*.py")}
        return {str(path) for path in paths if path.parts[0] not in ("hotpath", "_shipped")}

    assert modules(PACKAGE) == modules(CHECKOUT / "monitor")


def test_wheel_says_its_licences(installed: importlib.metadata.Distribution) -> None:
    assert installed.metadata["License-Expression"] == "Apache-2.0"
    licences = {Path(name).name for name in names(installed) if "/licenses/" in name}
    assert {"LICENSE", "NOTICE"} <= licences


def test_one_wheel_for_all_pythons(installed: importlib.metadata.Distribution) -> None:
    text = installed.read_text("WHEEL")
    assert text is not None
    assert "Tag: cp311-abi3-" in text


def test_locks_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text
        assert text.count("--hash=sha256:") > text.count("==") > 10


def test_locks_cover_what_the_project_asks_for() -> None:
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = {text.split(">")[0].lower() for text in project["project"]["dependencies"]}
    lock = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    locked = {line.split("==")[0].lower() for line in lock.splitlines() if "==" in line}
    assert asked - locked == set()


def test_sdist_builds_a_wheel_with_everything(tmp_path: Path) -> None:
    """Build as pip would on another machine, from the sdist alone; the profile is the quick one."""
    pytest.importorskip("maturin", reason="needs maturin to build an sdist")
    target = CHECKOUT / "build" / "sdist-target"
    # files in an sdist are all of one age, so that cargo would take an older build of ours for this one
    for crate in (path.parent.name for path in (CHECKOUT / "monitor" / "hotpath").glob("*/Cargo.toml")):
        for known in target.glob(f"*/.fingerprint/{crate}-*"):
            shutil.rmtree(known)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    program = (
        "import sys; sys.path.insert(0, 'scripts'); import build_backend; "
        "build_backend.build_sdist(sys.argv[1])"
    )
    build([sys.executable, "-c", program, str(tmp_path)], environment)
    sdist = next(tmp_path.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        packed = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"LICENSE", "NOTICE", "pyproject.toml", "scripts/build_backend.py"} <= packed
    unwanted = ("tests/", ".venv/", "build/", "monitor/hotpath/target/")
    assert [name for name in packed if name.startswith(unwanted)] == []
    build(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--config-settings", "build-args=--profile dev", "--wheel-dir", str(tmp_path), str(sdist)),
        ],
        environment,
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = set(wheel.namelist())
    for folder in ("rules", "dashboards"):
        originals = {f"monitor/_shipped/{folder}/{name}" for name in relative(CHECKOUT / folder)}
        assert originals <= inside
    assert any(name.startswith("monitor/_hotpath") and name.endswith(".so") for name in inside)


def build(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
