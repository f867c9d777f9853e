"""Whose a run is, and who else may change it: by the owner, the mode and the group of what is there."""

from __future__ import annotations

import grp
import os
import pwd
import sqlite3
from pathlib import Path

import pytest

from sshjobs.store import RunReader
from sshjobs.store.database import _open_for_reading
from sshjobs.store.ownership import NotYoursError, check_own, check_own_results, user_name
from sshjobs.store.rundir import RunPaths
from tests.store.helpers import CREATED, make_jobs, make_store

NOBODYS_UID = 54_321


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    store = make_store(tmp_path / "results", make_jobs(1))
    store.close(CREATED)
    for path in (tmp_path / "results", store.paths.root):
        path.chmod(0o755)
    return store.paths


def refused(paths: RunPaths) -> str:
    """Return in words why a run is not acted on; nothing where it is."""
    try:
        check_own(paths)
    except NotYoursError as error:
        return str(error)
    return ""


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    assert user_name(os.geteuid()) == pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert user_name(NOBODYS_UID) == str(NOBODYS_UID)


@pytest.mark.parametrize(("mode", "right"), [(0o755, True), (0o700, True), (0o777, False), (0o757, False)])
@pytest.mark.parametrize("what", ["results", "run", "store"])
def test_what_everybody_may_write_to_is_not_acted_on(run: RunPaths, what: str, mode: int, right: bool) -> None:
    {"results": run.root.parent, "run": run.root, "store": run.store}[what].chmod(mode)
    assert bool(refused(run)) is not right
    if not right:
        assert f"its mode is {mode:04o}" in refused(run)
    with RunReader.open(run) as reader:
        assert reader.summary().total == 1


@pytest.mark.parametrize(("group", "members", "right"), [
    ("me", [], True), ("me", ["me"], True), ("me", ["me", "you"], False), ("staff", [], False), ("staff", ["me"], False)])
def test_a_group_may_write_where_it_is_its_users_alone(run: RunPaths, monkeypatch: pytest.MonkeyPatch, group: str,
                                                       members: list[str], right: bool) -> None:
    me = pwd.getpwuid(os.geteuid())
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(("me", *me[1:])))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((group, "x", gid, members)))
    run.root.chmod(0o770)
    assert bool(refused(run)) is not right


def test_a_group_that_nobody_knows_is_not_trusted(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(gid: int) -> grp.struct_group:
        raise KeyError(gid)

    monkeypatch.setattr(grp, "getgrgid", unknown)
    run.root.chmod(0o770)
    assert "others may write to it" in refused(run)


def test_where_names_are_protected_everybody_may_make_files(run: RunPaths) -> None:
    run.root.parent.chmod(0o1777)
    assert not refused(run)


def test_a_link_of_ones_own_to_a_run_is_followed_and_one_to_a_store_is_not(run: RunPaths, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    run.root.rename(moved)
    run.root.symlink_to(moved)
    assert not refused(run)
    moved.chmod(0o777)
    assert "others may write to it" in refused(run)
    moved.chmod(0o755)
    run.store.rename(tmp_path / "store")
    run.store.symlink_to(tmp_path / "store")
    assert "symbolic link" in refused(run)


def test_what_is_not_there_is_for_others_to_tell(tmp_path: Path) -> None:
    check_own_results(tmp_path / "none")
    check_own(RunPaths(tmp_path, "none"))


def test_what_another_has_left_of_a_commit_is_not_rolled_back_for_him(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "results", make_jobs(1), network_disk=True)
    store.close(CREATED)
    path = store.paths.store
    for user, may_write in ((os.geteuid(), True), (NOBODYS_UID, False)):
        path.with_name(path.name + "-journal").write_bytes(b"")
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        connection = _open_for_reading(path)
        try:
            connection.execute(f"CREATE TABLE of_{user} (a)")
            assert may_write
        except sqlite3.OperationalError as error:
            assert not may_write and "readonly" in str(error)
        finally:
            connection.close()
