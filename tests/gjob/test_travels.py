"""Which options the ssh of this machine knows, and the program that travels."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path

import pytest

from sshjobs.gjob import ship
from sshjobs.gjob.verbs import sshoptions


@pytest.mark.parametrize(("said", "version", "since"), [
    ("OpenSSH_9.6p1 Debian", (9, 6), True), ("OpenSSH_8.7p1", (8, 7), True), ("OpenSSH_8.6p1", (8, 6), False), ("OpenSSH_7.9", (7, 9), False),
    ("OpenSSH_for_Windows_9.5p1", (9, 5), True), ("dropbear", (0,), False)])
def test_the_version_of_ssh_decides_which_options_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str,
                                                        version: tuple[int, ...], since: bool) -> None:
    (tmp_path / "ssh").write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sshoptions, "_version", None)
    assert sshoptions.version() == version
    options = sshoptions.safe_options()
    assert ("SessionType" in options) is since
    assert options["BatchMode"] == "yes" and "BatchMode" not in sshoptions.safe_options(terminal=True)


def test_where_the_configuration_sets_no_newer_option_ssh_is_not_asked_for_its_version(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshoptions, "version", lambda: pytest.fail("asked"))
    assert "SessionType" not in sshoptions.safe_options(silent=frozenset(map(str.lower, sshoptions.SINCE_8_7)))


def test_without_ssh_it_has_no_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sshoptions, "_version", None)
    assert sshoptions.version() == (0,)


def test_only_a_socket_is_a_masters(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        (tmp_path / "f").touch()
        paths = [str(tmp_path / "s"), str(tmp_path / "f"), str(tmp_path / "none"), "none", "a\0b"]
        assert [sshoptions.control_path({"controlpath": [path]}) for path in paths] == [paths[0], None, None, None, None]
        assert sshoptions.control_path({}) is None


def test_the_program_that_travels_is_the_same_bytes_each_time_and_runs() -> None:
    whole = ship.one_file("1.2.3")
    assert whole == ship.one_file("1.2.3")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        names = archive.namelist()
        assert {"__main__.py", "sshjobs/__init__.py", "sshjobs/gjob/wire.py", "sshjobs/gjob/verbs/main.py"} <= set(names)
        assert {one.date_time for one in archive.infolist()} == {(2000, 1, 1, 0, 0, 0)}
