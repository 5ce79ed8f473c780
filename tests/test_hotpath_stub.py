"""The stub says what the compiled module has: names, methods, and the batch's columns."""

import ast
import inspect
import struct
from pathlib import Path

import polars as pl

import monitor
from monitor import _hotpath
from monitor.capture import Capture
from monitor.config import Config
from monitor.flow_batch import DNS_SCHEMA, FLOW_SCHEMA

STUB = Path(str(monitor.__file__)).with_name("_hotpath.pyi")


def test_the_stub_names_what_the_module_has() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    stubbed = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    public = {
        name
        for name, value in vars(_hotpath).items()
        if not name.startswith("_") and (inspect.isclass(value) or callable(value))
    }
    assert set(stubbed) == public
    for name in ("Capture", "Settings"):
        node = stubbed[name]
        assert isinstance(node, ast.ClassDef)
        methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)} - {"__new__"}
        real = {one for one in vars(getattr(_hotpath, name)) if not one.startswith("_")}
        assert methods == real, name


def test_batches_have_the_documented_columns(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcap"
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
    capture = Capture.of_files([str(path)], Config().networks.local, [], 10**9)
    capture.start()
    drains = list(capture)
    capture.close()
    assert [drain.done for drain in drains] == [True]
    assert dict(drains[0].flows.frame.schema) == FLOW_SCHEMA
    assert dict(drains[0].dns.frame.schema) == DNS_SCHEMA


def test_no_categorical_anywhere() -> None:
    """A Categorical interns every name for ever, and attackers choose the names."""
    for schema in (FLOW_SCHEMA, DNS_SCHEMA):
        assert not [name for name, kind in schema.items() if isinstance(kind, pl.Categorical)]
    for path in Path(str(monitor.__file__)).parent.rglob("*.py"):
        assert "pl.Categorical" not in path.read_text(encoding="utf-8"), path
