import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import load_config
from monitor.errors import InputError
from monitor.trusted import require_trusted, require_trusted_config


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    """Make files that only their owner can write, whatever the user's own habit is."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_own_file_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.touch(mode=0o644)
    require_trusted(path)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_writable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.yml"
    path.touch()
    path.chmod(mode)
    with pytest.raises(InputError, match=f"chmod go-w {path}"):
        require_trusted(path)


def test_folder_above_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "a.yml"
    path.touch(mode=0o644)
    folder.chmod(0o777)
    with pytest.raises(InputError, match="other users can write it"):
        require_trusted(path)
    folder.chmod(0o1777)
    require_trusted(path)


def test_file_inside_a_folder_of_rules_counts(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    inside = rules / "r.yml"
    inside.touch()
    inside.chmod(0o666)
    with pytest.raises(InputError, match="r.yml"):
        require_trusted(rules)


def test_target_of_a_link_counts(tmp_path: Path) -> None:
    target = tmp_path / "real.yml"
    target.touch()
    target.chmod(0o666)
    link = tmp_path / "link.yml"
    link.symlink_to(target)
    with pytest.raises(InputError, match="real.yml"):
        require_trusted(link)


def test_another_users_file_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: only root can give a file away")
    path = tmp_path / "a.yml"
    path.touch(mode=0o644)
    os.chown(path, 12345, -1)
    with pytest.raises(InputError, match="belongs to user 12345"):
        require_trusted(path)


def test_configuration_and_what_it_names(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    path = tmp_path / "egress.yml"
    path.write_text("rules: [rules]\n", encoding="utf-8")
    path.chmod(0o644)
    require_trusted_config(load_config(path))
    (rules / "r.yml").touch()
    (rules / "r.yml").chmod(0o662)
    with pytest.raises(InputError, match="r.yml"):
        require_trusted_config(load_config(path))


def test_a_database_need_not_be_there_but_others_may_not_write_it(tmp_path: Path) -> None:
    path = tmp_path / "egress.yml"
    path.write_text("databases: {asn: asn.mmdb}\n", encoding="utf-8")
    path.chmod(0o644)
    require_trusted_config(load_config(path))
    (tmp_path / "asn.mmdb").touch()
    (tmp_path / "asn.mmdb").chmod(0o662)
    with pytest.raises(InputError, match="chmod go-w"):
        require_trusted_config(load_config(path))


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        require_trusted(tmp_path / "none.yml")
