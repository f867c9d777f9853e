"""What the far side says of things, to the letter and to the last byte: memory, GPUs, times, schedulers; and what it counts."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import headtail, lease, memory, system
from sshjobs.gjob.agent import gpus, gputools, handout, scheduler
from sshjobs.gjob.agent.gputools import Unit
from sshjobs.gjob.places import Places
from sshjobs.gjob.sharing import board, rules, usage, written
from sshjobs.gjob.verbs import shared, start

MIB, GIB = 1 << 20, 1 << 30


def limit(size: int, *, tells: bool = True, enforced: bool = False) -> memory.Limit:
    watch: Any = SimpleNamespace(tells=tells)
    made = memory.Limit(None, watch)
    made._size, made.enforced = size, enforced
    return made


@pytest.mark.parametrize(("limit_", "end", "said"), [
    (limit(GIB, enforced=True), ("oom", 9, 0), "it took more than its memory, 1G, which a cgroup enforces"),
    (limit(GIB, enforced=True), ("exited", None, 0), None),
    (limit(3 * GIB // 2), ("oom", 9, 2 << 20), "its memory, 1.5G, is counted here and not enforced: its largest process had taken 2G"),
    (limit(2 << 40), ("exited", None, 3 << 30), "its largest process took 3T, more than its memory, 2T, which is not enforced here"),
    (limit(MIB), ("exited", None, 1025), "its largest process took 1M, more than its memory, 1M, which is not enforced here"),
    (limit(MIB), ("exited", None, 1024), None), (limit(0), ("oom", 9, 1 << 30), None),
    (limit(0, tells=False), ("signalled", 9, 0), "probably out of memory: it was killed by signal 9, and this host does not tell why"),
    (limit(0, tells=False), ("signalled", 15, 0), None), (limit(0), ("signalled", 9, 0), None)])
def test_what_memory_had_to_do_with_an_end(limit_: memory.Limit, end: tuple[str, int | None, int], said: str | None) -> None:
    assert limit_.words(*end) == said


def unit(**keys: Any) -> Unit:
    made = Unit("GPU-1", "0", "A100", 40 * GIB, 0)
    for key, value in keys.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(("units", "trouble", "said"), [
    (None, "no tool", "no tool"), (None, None, None), ({}, None, "GPU-1 is not shown any more"), ({"GPU-1": unit()}, None, None),
    ({"GPU-1": unit(trouble="Xid 79")}, None, "GPU 0 (GPU-1): Xid 79"), ({"GPU-1": unit(used=500 * MIB)}, None, None),
    ({"GPU-1": unit(used=500 * MIB + 1)}, None, "GPU 0 is in use: 500 MiB of its memory, and no process is shown"),
    ({"GPU-1": unit(used=None)}, None, None), ({"GPU-1": unit(used=GIB, held=True)}, None, None),
    ({"GPU-1": unit(pids=[1 << 30])}, None, f"GPU 0 is in use: pid {1 << 30}")])
def test_why_a_job_cannot_start_on_its_gpus(units: dict[str, Unit] | None, trouble: str | None, said: str | None) -> None:
    assert gpus.why_not(["GPU-1"], 500 * MIB, units, trouble) == said


def test_users_of_a_gpu_are_named_as_far_as_there_is_room() -> None:
    pids = [1 << 30 | number for number in range(9)]
    assert gpus.users_of(unit()) is None
    for number in range(1, 9):
        said = gpus.users_of(unit(pids=pids[:number])) or ""
        shown = min(number, gpus._NAMED)
        assert said == "; ".join(f"pid {pid}" for pid in pids[:shown]) + (f"; and {number - shown} more" if number > shown else "")
    own = gpus.users_of(unit(pids=[os.getpid()])) or ""
    assert f", pid {os.getpid()}, since 20" in own and own[-3] == ":" and own[-9] == own[-12] == "-"


def amd(static: Any, **more: Any) -> tuple[list[Unit], str | None]:
    return gputools._amd({name: ([json.dumps(value)], 0) for name, value in {"static": static, **more}.items()})


def test_what_the_tool_of_amd_cards_says_is_taken_within_bounds() -> None:
    cards: list[dict[str, Any]] = [{"gpu": number, "asic": {}, "vram": {}} for number in (0, 999)]
    listed = [{"process_info": {"pid": pid}} for pid in (0, -1, 1, 2**31 - 1, 2**31, "7", True)]
    found, trouble = amd(cards, metric=[{"gpu": 999, "mem_usage": {"used_vram": {"value": 5, "unit": "MB"}}}],
                         process=[{"gpu": 0, "process_list": listed}, {"gpu": 7, "process_list": listed}, {"gpu": 999, "process_list": None}])
    assert trouble is None and [one.label for one in found] == ["0", "999"]
    assert [one.pids for one in found] == [[1, 2**31 - 1], []] and found[0].used is None and found[1].used
    for number in (-1, 1000, "0", True, None):
        with pytest.raises(gputools.Lie):
            amd([{"gpu": number}])
    assert gputools._amd({"static": (["  it broke ", "more"], 1)}) == ([], "it broke")
    assert gputools._amd({}) == gputools._amd({"static": ([], 0)}) == ([], "it says nothing")


@pytest.mark.parametrize(("seconds", "elapsed"), [(0.0, "0:00.00"), (59.994, "0:59.99"), (60.0, "1:00.00"), (3599.5, "59:59.50"), (3600.0, "1:00:00"),
                                                  (7325.9, "2:02:05"), (-1.0, "0:00.00")])
def test_times_are_told_as_time_does(seconds: float, elapsed: str) -> None:
    said = start._times(seconds)
    assert f" {elapsed}elapsed " in said and ("?%CPU" in said) == (seconds <= 0) and said.endswith("swaps\n")


@pytest.mark.parametrize(("answer", "said"), [
    ((1, "out", "sbatch: error: no such partition\n"), "no such partition"), ((1, "out\n \n", ""), "out"), ((7, "", " "), "it ended with 7"),
    ((None, "", ""), "no answer in time"), ((1, "", "a\nx" + "y" * 300), "x" + "y" * 199)])
def test_the_last_complaint_of_a_scheduler_is_shown(answer: tuple[int | None, str, str], said: str) -> None:
    assert scheduler.Answer(*answer).words == said


def test_what_was_written_for_a_batch_is_removed_with_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("3.jobs", "3-1.sh", "3-2.sh", "3-3.sh", "4-1.sh"):
        (tmp_path / "a" / name).write_text("")
    handout.remove(str(tmp_path), 3, 2)
    assert sorted(os.listdir(tmp_path / "a")) == ["3-3.sh", "4-1.sh"]


def test_what_is_used_is_added_up(tmp_path: Path) -> None:
    meter = usage.Meter(str(tmp_path), "r" * 32, "name")
    meter.add({"slots": 2, "memory": 3 * GIB, "unit.GPU-1": 1, "unit.GPU-2": 1}, 10.0)
    meter.add({"slots": 1}, 5.0)
    meter.add({"slots": 1}, -5.0)
    meter.add({"memory": GIB}, 1.0)
    assert (meter._slots, meter._memory, meter._units) == (25.0, 31.0, 20.0)


def test_the_last_bytes_of_an_output_come_from_both_halves(tmp_path: Path) -> None:
    assert [headtail.halves(size) for size in (0, 1, 2, 5)] == [(0, 0), (1, 0), (1, 1), (3, 2)]
    places = Places(str(tmp_path), "r" * 32, "h" * 16)
    Path(places.outputs).mkdir(parents=True)
    output, rest = Path(places.stream("1.1", 1)), Path(places.rest("1.1"))
    output.write_bytes(b"abc")
    kept = headtail.Kept(places, "1.1", 1, 6)
    assert [kept.last(most) for most in (0, 2, 3, 4)] == [(b"", False), (b"bc", False), (b"abc", True), (b"abc", True)]
    rest.mkdir()
    (rest / "1.0").write_bytes(b"defgh")
    assert [kept.last(most) for most in (2, 5, 6, 7, 8, 9)] == [
        (b"gh", False), (b"defgh", False), (b"cdefgh", False), (b"bcdefgh", False), (b"abcdefgh", True), (b"abcdefgh", True)]


def test_a_lease_lasts_until_its_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = lease.Heard(str(tmp_path / "lease"))
    heard.at = 100.0
    monkeypatch.setattr(heard, "refresh", lambda: None)
    for now, runs in ((100.0, True), (109.9, True), (110.0, False), (111.0, False), (90.0, True)):
        monkeypatch.setattr(lease, "clock", lambda now=now: now)
        assert heard.covers(10.0) is runs


# -- who may take what -----------------------------------------------------------------------------------------------------


def wish(person: int, amounts: dict[str, int], figures: dict[str, int], *, since: float = 0.0, run: str = "b") -> rules.Wish:
    return rules.Wish(person, run * 32, amounts, figures, since, 1.0, 0.0, f"{run}{person}", "h")


def holding(person: int, amounts: dict[str, int], run: str = "a") -> rules.Holding:
    return rules.Holding(person, run * 32, amounts, host="h")


def test_one_may_take_what_is_free_up_to_the_last() -> None:
    mine, slots = wish(1, {"slots": 2}, {"slots": 4}), [holding(2, {"slots": 2})]
    assert rules.may_take(mine, slots, [mine], 0.0)
    assert not rules.may_take(mine, [*slots, holding(3, {"slots": 1})], [mine], 0.0)
    assert rules.lacking({"slots": 2, "memory": 5}, {"slots": 3, "memory": 1}, {"slots": 4, "memory": 6}) == ["slots"]
    assert rules.sums([{"a": 1, "b": 2}, {"a": 3}]) == {"a": 4, "b": 2}


def test_who_waits_for_long_comes_first_from_a_certain_second_on() -> None:
    figures = {"slots": 2}
    late, early = wish(1, {"slots": 1}, figures, since=50.0, run="c"), wish(2, {"slots": 2}, figures, since=0.0)
    taken = [holding(2, {"slots": 1}, run="b")]
    # The other uses more than this one, so it comes later, until it has waited for very long.
    assert rules.may_take(late, taken, [early, late], rules.AGED - 0.5)
    assert not rules.may_take(late, taken, [early, late], rules.AGED)


def test_one_who_has_too_much_by_his_own_figures_keeps_nobody_else_from_the_rest() -> None:
    first = wish(2, {"slots": 1}, {"slots": 1}, since=0.0)
    mine = wish(1, {"slots": 1}, {"slots": 4}, since=5.0, run="c")
    held = [holding(3, {"slots": 1}, run="d")]
    assert not rules.may_take(mine, held, [first, mine], rules.AGED)
    assert rules.may_take(mine, [*held, holding(3, {"slots": 1}, run="d")], [first, mine], rules.AGED)


def test_what_is_held_is_there_while_others_can_see_its_file(tmp_path: Path) -> None:
    path = tmp_path / "hold"
    held = board.Hold(os.open(path, os.O_RDWR | os.O_CREAT), str(path))
    try:
        assert held.is_there()
        board.note_job((held.fd, held.path), 4711, 0)
        assert path.read_bytes() == b"%-31d%-31d\n" % (4711, 0)
        board.forget((held.fd, held.path))
        assert not path.exists() and not held.is_there()
        board.forget((held.fd, held.path))
    finally:
        os.close(held.fd)


def test_what_each_run_has_used_is_told_with_the_largest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSHJOBS_SHARED", str(tmp_path))
    own = tmp_path / str(os.getuid())
    own.mkdir(mode=0o700)
    now = system.time()
    lines: list[dict[str, Any]] = [
        {"at": at, "run": run * 32, "name": run, "jobs": 1, "slots": slots, "memory": 1.5, "units": 2.0}
        for at, run, slots in ((now - 5000, "a", 7.0), (now - 50, "a", 3.0), (now - 10, "b", 9.0), (now - 5, "a", 4.0))]
    for name, some in (("usage.1", lines[:2]), ("usage", [*lines[2:], {**lines[0], "jobs": -1}, {"at": 1}])):
        (own / name).write_bytes(b"".join(written.line(one) for one in some) + b"torn")
    (tmp_path / "12345678901").mkdir()
    me = {"uid": os.getuid(), "user": pwd.getpwuid(os.getuid()).pw_name}
    assert shared.usage(1000.0) == {"first": round(now - 5000), "used": [
        {**me, "run": "b", "jobs": 1, "slots": 9.0, "memory": 1.5, "units": 2.0},
        {**me, "run": "a", "jobs": 2, "slots": 7.0, "memory": 3.0, "units": 4.0}]}
    assert shared.usage(7.0)["used"] == [{**me, "run": "a", "jobs": 1, "slots": 4.0, "memory": 1.5, "units": 2.0}]
    assert len(shared.usage(10_000.0)["used"]) == 2


def test_a_directory_in_which_nobody_has_anything_goes_with_the_last(tmp_path: Path) -> None:
    top = tmp_path / "board"
    mine = board.Board(str(top), "me")
    Path(mine.own).mkdir(parents=True)
    (Path(mine.own) / "else").touch()
    mine.leave()
    assert Path(mine.own).exists()
    (Path(mine.own) / "else").unlink()
    (top / "4711").mkdir()
    mine.leave()
    assert os.listdir(top) == ["4711"]
    (top / "4711").rmdir()
    Path(mine.own).mkdir()
    mine.leave()
    assert not top.exists()
