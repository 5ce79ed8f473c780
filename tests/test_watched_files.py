import os
from pathlib import Path
from typing import Any

import pytest

from monitor.watched_files import WatchedFiles


def watch(folder: Path) -> WatchedFiles:
    return WatchedFiles({"rules": [folder / "rules"], "workloads": [folder / "pods"]})


def test_a_change_is_told_once_it_stands_still(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "pods").write_text("a")
    files = watch(tmp_path)
    assert files.changed() == set()
    (tmp_path / "pods").write_text("ab")
    assert files.changed() == set()  # may still be written
    (tmp_path / "pods").write_text("abc")
    assert files.changed() == set()
    assert files.changed() == {"workloads"}
    assert files.changed() == set()


def test_new_gone_and_replaced_files_are_changes(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    files = watch(tmp_path)
    (tmp_path / "rules" / "one.yml").write_text("1")
    files.changed()
    assert files.changed() == {"rules"}
    status = (tmp_path / "rules" / "one.yml").stat()
    (tmp_path / "new").write_text("2")  # of the same size, and made as old: another file all the same
    os.utime(tmp_path / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "new").rename(tmp_path / "rules" / "one.yml")
    files.changed()
    assert files.changed() == {"rules"}
    (tmp_path / "rules" / "one.yml").unlink()
    files.changed()
    assert files.changed() == {"rules"}


def test_a_file_that_comes_and_goes_back_is_no_change(tmp_path: Path) -> None:
    files = watch(tmp_path)
    (tmp_path / "pods").write_text("a")
    assert files.changed() == set()
    (tmp_path / "pods").unlink()
    assert files.changed() == set()
    assert files.changed() == set()


def test_more_files_are_watched_and_the_others_not_looked_at_anew(tmp_path: Path) -> None:
    (tmp_path / "pods").write_text("a")
    (tmp_path / "more").write_text("a")
    files = watch(tmp_path)
    files.also("workloads", [tmp_path / "more"])
    assert files.changed() == set()
    (tmp_path / "pods").write_text("changed while it was read")
    files.also("workloads", [tmp_path / "pods"])
    files.changed()
    assert files.changed() == {"workloads"}
    (tmp_path / "more").write_text("changed")
    files.changed()
    assert files.changed() == {"workloads"}
    assert files.changed() == set()


def test_a_folder_that_goes_while_it_is_read_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a volume of Kubernetes gets a new version: the folder of the old one is removed."""
    old = tmp_path / "rules" / "..2026_01"
    old.mkdir(parents=True)
    (old / "one.yml").write_text("1")
    files = watch(tmp_path)
    real = os.scandir

    def removed_meanwhile(path: Any) -> Any:
        if path == old:
            (old / "one.yml").unlink()
            old.rmdir()
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", removed_meanwhile)
        told = files.changed()
    assert not old.exists()
    for _ in range(3):
        told |= files.changed()
    assert told == {"rules"}


def test_a_path_that_the_system_refuses_is_not_there(tmp_path: Path) -> None:
    files = WatchedFiles({"rules": [tmp_path / ("x" * 300)]})
    assert files.changed() == set()
