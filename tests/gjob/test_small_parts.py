"""Small decisions of the far side, each by itself: what a job needs, whether it gets pipes, what is a process, what was left out."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import headtail, job, procs, system, values
from sshjobs.gjob.agent import attempts
from sshjobs.gjob.agent.attempts import History
from sshjobs.gjob.journal import Reader
from sshjobs.gjob.places import Places
from sshjobs.gjob.sharing import written
from sshjobs.gjob.sharing.share import ONE_SLOT
from sshjobs.gjob.verbs import shell


def launched(**spec: Any) -> attempts.Attempt:
    return attempts.launched({"id": "1.1", "token": "t" * 8, "spec": spec}, b"")


def test_a_job_holds_what_it_says_that_it_needs() -> None:
    assert launched().want is ONE_SLOT and launched(cpus=1, needs={}).want is ONE_SLOT
    gpus = {"uuids": ["GPU-1", "GPU-2"], "busy": 5}
    needs: list[tuple[dict[str, Any], dict[str, int]]] = [
        ({"cpus": 2}, {"slots": 2}), ({"memory": 7}, {"slots": 1, "memory": 7}), ({"scratch": 8}, {"slots": 1, "scratch": 8}),
        ({"needs": {"license": 3}}, {"slots": 1, "count.license": 3})]
    for spec, amounts in needs:
        assert launched(**spec).want.amounts == amounts
    held = launched(gpus=gpus)
    assert held.want.kind != ONE_SLOT.kind and set(held.want.amounts) > {"slots"} and len(held.want.amounts) == 3
    assert (held.gpus, held.busy, held.cleared) == (["GPU-1", "GPU-2"], 5, False)
    assert (launched().gpus, launched().busy, launched().cleared) == ([], 0, True)


def ended(why: str, status: int | None = None, number: int | None = None) -> attempts.Attempt:
    attempt = attempts.Attempt("1.1", "t" * 8)
    attempt.end = attempts.end_text("1.1", why, status=status, signal=number, sizes=(10, 20))
    return attempt


@pytest.mark.parametrize(("why", "status", "number", "killed"), [
    ("signalled", None, 9, True), ("signalled", None, 15, True), ("signalled", None, 11, False), ("exited", 137, None, True),
    ("exited", 143, None, True), ("exited", 136, None, False), ("exited", 9, None, False), ("cancelled", None, None, False)])
def test_an_end_by_a_kill_is_known(why: str, status: int | None, number: int | None, killed: bool) -> None:
    assert ended(why, status, number).was_killed is killed


def test_an_end_counts_what_the_job_removed_and_not_what_others_did() -> None:
    attempt = ended("exited", 0)
    assert (json.loads(attempt.ended_line())["out"], json.loads(attempt.ended_line())["err"]) == (10, 20)
    attempt.lost = 3, 4
    assert (json.loads(attempt.ended_line())["out"], json.loads(attempt.ended_line())["err"]) == (13, 24)
    for missing in ((1, 0), (0, 1)):
        attempt.missing = missing
        said = json.loads(attempt.ended_line())
        assert (said["why"], said["out"], said["err"]) == ("lost", 13 - missing[0], 24 - missing[1])
        assert said["msg"].startswith("it exited with 0; 1 bytes")


def test_what_is_released_is_written_down_once(places: Places) -> None:
    history = History(places)
    history.records["1.1"] = {"claim": {}}
    history.note_release([], ["9.1"])
    history.note_release(["1.1", "2.1"], [])
    history.note_release(["3.1"], ["3.1"])
    assert "1.1" not in history.records and all(uid in history.released for uid in ("1.1", "2.1", "3.1")) and "4.1" not in history.released
    found = [item for path in Path(places.journals).iterdir() for item in Reader(str(path)).read()]
    assert found == [{"k": "release", "ids": ["1.1", "2.1"]}, {"k": "release", "ids": ["3.1"], "keep": ["3.1"]}]


@pytest.mark.parametrize(("spec", "wanted"), [
    ({"script": "echo x >/dev/stderr"}, True), ({"argv": ["tee", "/dev/fd/2"]}, True), ({"script": "echo >/proc/self/fd/1"}, True),
    ({"script": "echo >/proc/$$/fd/1"}, True), ({"script": "echo >/dev/null"}, False), ({"script": "cat /proc/cpuinfo"}, False),
    ({"argv": ["echo", "stdout"]}, False), ({"argv": ["true"], "output": "pipe"}, True), ({"argv": ["true"], "output_limit": 0}, True),
    ({"argv": ["true"], "output": "file"}, False), ({"script": "echo >/dev/stderr", "leftovers": "keep"}, False)])
def test_a_job_has_pipes_where_its_text_names_its_outputs_or_it_asks_for_them(spec: dict[str, Any], wanted: bool) -> None:
    assert job.wants_pipes(spec) is wanted


@pytest.mark.parametrize(("fields", "there"), [(19, False), (20, True), (52, True)])
def test_a_process_is_read_from_what_the_kernel_says_where_that_is_whole(fields: int, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    said = b"7 (a) b) " + b" ".join([b"S", *(b"%d" % number for number in range(4, 3 + fields))])
    monkeypatch.setattr(system, "stat_of", lambda pid: said)
    found = procs.look(7)
    assert (found is not None) is there
    assert found is None or (found.pid, found.ppid, found.state, found.session, found.start) == (7, 4, "S", 6, 22)


def test_what_was_left_out_is_what_is_missing_between_the_halves(places: Places) -> None:
    output, rest = Path(places.stream("1.1", 1)), Path(places.rest("1.1"))
    output.write_bytes(b"abc")
    assert headtail.Kept(places, "1.1", 1, 6).left_out() == 0
    rest.mkdir()
    (rest / "1.0").write_bytes(b"defgh")
    (rest / "2.0").write_bytes(b"of the other stream")
    kept = headtail.Kept(places, "1.1", 1, 6)
    assert kept.left_out() == 5
    kept.settle()
    assert output.read_bytes() == b"abcfgh" and kept.left_out() == 2
    output.write_bytes(b"a")
    assert kept.left_out() == 5


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b"\xff{}", b"[" * 100_000, b'"x"', b"{}x"])
def test_what_is_no_line_of_ours_holds_nothing(line: bytes) -> None:
    assert written.parse(line) is None
    assert written.parse(b'{"a": 1}\n' + line) == {"a": 1}


AMOUNTS: dict[str, Any] = {"slots": 1, "x" * 128: (1 << 62) - 1}
HOLDS: dict[str, Any] = {"run": "a" * 32, "name": "n" * 256, "host": "h" * 256, "amounts": AMOUNTS, "since": 1.5}
WISHES: dict[str, Any] = {**HOLDS, "figures": {}, "given": 0, "share": 1}
#: What may stand in both, at the ends of its range, and what may not.
STANDING: list[tuple[str, list[Any], list[Any]]] = [
    ("run", ["0" * 32], ["a" * 31, "a" * 33, "g" * 32, None]),
    ("host", ["", "h"], ["h" * 257, "a\0", None, 1]),
    ("amounts", [{}, {str(number): 0 for number in range(400)}],
     [{str(number): 0 for number in range(401)}, {"x" * 129: 1}, {"slots": -1}, {"slots": 1 << 62}, {"slots": 1.0}, {"slots": True}, [], None]),
    ("since", [0, 0.0], [-1, None, "1", True])]


@pytest.mark.parametrize(("key", "right", "wrong"), STANDING, ids=[key for key, _, _ in STANDING])
def test_what_others_write_down_of_what_they_hold_and_want_is_checked(key: str, right: list[Any], wrong: list[Any]) -> None:
    def pass_(value: Any) -> list[bool]:
        return [written.holding(7, {**HOLDS, key: value}) is not None, written.wish(7, "p", {**WISHES, key: value}) is not None]

    assert all(pass_(value) == [True, True] for value in [HOLDS[key], *right])
    assert [value for value in wrong if pass_(value) != [False, False]] == []


def test_what_others_write_down_is_taken_as_it_stands() -> None:
    held = written.holding(7, HOLDS)
    assert held is not None and (held.person, held.run, held.amounts, held.since) == (7, "a" * 32, AMOUNTS, 1.5)
    assert written.holding(7, {**HOLDS, "name": "n" * 257}) is None
    more: list[tuple[str, list[Any], list[Any]]] = [
        ("share", [0.001, 1], [0, 1.001, -1, None, True]), ("given", [0, 7.5], [-1, None]), ("figures", [{}], [None, {"x": -1}])]
    for key, right, wrong in more:
        assert all(written.wish(7, "p", {**WISHES, key: value}) is not None for value in right)
        assert all(written.wish(7, "p", {**WISHES, key: value}) is None for value in wrong)


@pytest.mark.parametrize(("check", "right", "wrong"), [
    (values.is_count, [0, 1 << 70], [-1, 0.0, True, None]), (values.is_seconds, [0, 0.0, 999_999_999_999], [-0.1, 1e12, True, None, "1"]),
    (values.is_text, ["", "x"], ["\0", b"x", None]), (values.is_id, ["1.1", "9" * 15 + "." + "9" * 16], ["0.1", "1.0", "1.", ".1", "1", "9" * 16 + "." + "9" * 16]),
    (values.is_inner_path, ["a", "a/b", "x" * 4096], ["", "a/", "/a", "..", "a/./b", "x" * 4097, None]),
    (values.is_blob, [None, "0" * 64], ["0" * 63, "G" * 64, 1])])
def test_a_value_passes_up_to_the_ends_of_its_range(check: Any, right: list[Any], wrong: list[Any]) -> None:
    assert [value for value in right if not check(value)] == [] == [value for value in wrong if check(value)]


@pytest.mark.parametrize(("path", "target", "inside"), [
    ("a", "b", True), ("a", "..", False), ("a/b", "..", True), ("a/b", "../..", False), ("a/b", "../c/..", True), ("a", "./b//c", True),
    ("a", "b/../..", False), ("a", "", False), ("a", "/b", False), ("a", "x" * 4096, True), ("a", "x" * 4097, False)])
def test_a_link_leads_no_further_up_than_its_directory(path: str, target: str, inside: bool) -> None:
    assert values.is_inner_link(path, target) is inside


# -- a shell in the directory of an attempt ------------------------------------------------------------------------------


def test_a_shell_finds_the_directory_of_an_attempt_where_it_is_ours(tmp_path: Path) -> None:
    home = tmp_path / "home"
    base = home / ".sshjobs" / "run" / "host"
    (base / "w" / "1.1" / "sub").mkdir(parents=True)
    base.chmod(0o700)

    def found(cwd: str | None, uid: str = "1.1") -> Path | None:
        wish: dict[str, Any] = {"run": "run", "host": "host", "id": uid, "cwd": cwd}
        path = shell.find(wish, bytes(home))
        return None if path is None else Path(path.decode())

    there = base / "w" / "1.1"
    assert (found(None), found("sub"), found("nowhere"), found(None, "2.1")) == (there, there / "sub", None, None)
    assert (found("~"), found("~/.sshjobs"), found(str(tmp_path)), found("/nowhere")) == (home, home / ".sshjobs", tmp_path, None)
    base.chmod(0o770)
    assert found(None) is None, "others could have made it"
    assert not shell.is_own(bytes(tmp_path / "nowhere"))
    (tmp_path / "link").symlink_to(there)
    assert shell.is_own(bytes(there)) and not shell.is_own(bytes(tmp_path / "link"))


@pytest.mark.parametrize(("login", "there"), [("/bin/dash", True), ("", False)])
def test_a_login_shell_begins_in_the_directory_or_says_that_it_is_gone(
        login: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    became: list[Any] = []
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_dir="/", pw_shell=login))
    monkeypatch.setattr(os, "execve", lambda *words: became.extend(words))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    cwd = str(tmp_path) if there else "/nowhere"
    shell.main(json.dumps({"run": "r", "host": "h", "id": "1.1", "cwd": cwd, "env": {"A": "1"}, "gone": "it is gone"}).encode().hex())
    path, words, env = became
    assert path == (login or "/bin/sh").encode() and words == [b"-" + path.rpartition(b"/")[2]]
    assert (env.get(b"A"), env.get(b"PWD") == cwd.encode()) == ((b"1", True) if there else (None, False))
    assert ("it is gone" in capfd.readouterr().err) is not there and Path.cwd() == tmp_path
