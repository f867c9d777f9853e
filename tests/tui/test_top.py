"""``sshjobs top`` on runs that are made up, by Textual's own pilot: lists, filters, commands, and what they ask of a run."""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import EXIT_USAGE, UsageError
from sshjobs.store.rundir import RunPaths
from tests.cli.runs import edit
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.web.scale import make_big
from tests.web.spellings import SPELLINGS, give_values

pytest.importorskip("textual")

from textual import events
from textual.binding import Binding
from textual.timer import Timer
from textual.widgets import Input

from sshjobs.tui import listing as listings
from sshjobs.tui.app import Top, keys_told
from sshjobs.tui.commands import COMMANDS, Command, Filter, command_of, filter_of, sort_of
from sshjobs.tui.listing import LISTINGS, output_lines, widths_of
from sshjobs.tui.table import Rows
from tests.tui.scale import answer, counted_rows, open_top, settled

Play = Callable[[Top, Any], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """A run with jobs that are done, failed, running and waiting, with parameters."""
    params = {f"fit-{n}": {"lr": f"{n % 4 / 10}", "seed": str(n)} for n in range(1, 41)}
    with edit(tmp_path / "results", "sweep-1", list(params), params=params) as made:
        for n in range(1, 11):
            made.done(f"fit-{n}", f"out {n}\n".encode())
        for n in (11, 12):
            made.failed(f"fit-{n}", b"half\n", f"no such thing: {n}\n".encode())
        made.busy("fit-13", b"\x1b[31mat work\x1b[0m [red]5 %\r[red]10 %\nline two\n")
        for host in "ab":
            made.store.set_host(host, "up", facts={"cores": 4}, since=1_700_000_000.0)
    return made.paths


def play(paths: RunPaths, act: Play, *, refuse: str = "", size: tuple[int, int] = (100, 30)) -> list[dict[str, Any]]:
    """Play with the view of a run; return what it asked of the run."""
    asked: list[dict[str, Any]] = []

    def take(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        if refuse:
            raise UsageError(refuse)
        return {"ok": True, "jobs": request.get("jobs")}

    async def go() -> None:
        app = Top(paths, take, lambda names: asked.append({"do": "cancel", "jobs": names}))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.rows.total)
            await act(app, pilot)
            await app._watch.close()

    asyncio.run(go())
    return asked


async def until(pilot: Any, condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the view work until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, screen(pilot.app)
        await pilot.pause(0.01)


async def shows(pilot: Any, text: str) -> None:
    """Let the view work until a text is on its screen."""
    await until(pilot, lambda: text in screen(pilot.app))


def screen(app: Top) -> str:
    """Return what stands on the screen."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


async def typed(pilot: Any, mode: str, text: str) -> None:
    await pilot.press(mode)
    pilot.app.query_one("#line").value = text
    await pilot.press("enter")


def cells(app: Top, place: int = 0) -> list[str]:
    return [row.cells[place] for row in app.rows._page.rows]


def test_the_lists_show_jobs_hosts_failures_parameters_and_outputs(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: "sweep-1" in screen(app) and "fit-1 " in screen(app))
        assert "40 jobs on 2 hosts" in screen(app) and "10 done  2 error  1 busy" in screen(app)
        await pilot.press("2")
        await until(pilot, lambda: cells(app) == ["a", "b"])
        assert [app.rows._page.rows[0].cells[at] for at in (1, 2, 3)] == ["up", "1/4", "10"]
        await pilot.press("3")
        await until(pilot, lambda: app.view == "failures" and "no such thing: 11" in screen(app))
        assert cells(app) == ["2"] and cells(app, 4) == ["2 × b"]
        await pilot.press("enter")
        await until(pilot, lambda: app.view == "logs" and "stderr of fit-11" in screen(app) and "no such thing: 11" in screen(app))
        await pilot.press("e")
        await until(pilot, lambda: "half" in screen(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.view == "failures")
        await pilot.press("4")
        await until(pilot, lambda: app.view == "parameters" and "80 with one value" in screen(app))
        await pilot.press("1")
        await until(pilot, lambda: app.view == "jobs" and app.rows.total == 40)
    assert play(run, act) == []


def test_from_a_host_and_from_a_value_one_comes_to_their_jobs_and_back(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await typed(pilot, ":", "hosts")
        await until(pilot, lambda: cells(app) == ["a", "b"])
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.view == "jobs" and cells(app) == ["fit-11", "fit-12"])
        assert "host b" in screen(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.view == "hosts" and app.rows.cursor == 1)
    play(run, act)


@pytest.mark.parametrize(("line", "found"), [
    ("fit-1", ["fit-1", *(f"fit-1{n}" for n in range(10))]), ("state=error", ["fit-11", "fit-12"]), ("host=b", ["fit-11", "fit-12"]),
    ("state=done lr=0.1", ["fit-1", "fit-5", "fit-9"]), ("seed=7", ["fit-7"]), ("lr=0.1, seed=5", ["fit-5"]), ("nosuch", [])], ids=str)
def test_a_filter_keeps_names_states_hosts_and_parameters(run: RunPaths, line: str, found: list[str]) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete)
        await typed(pilot, "/", line)
        await until(pilot, lambda: cells(app) == found)
        await pilot.press("escape")
        await until(pilot, lambda: app.rows.total == 40)
    play(run, act)


def test_the_key_of_the_list_that_is_shown_leaves_it_as_it_is(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: cells(app)[:1] == ["fit-1"])
        await pilot.press("down")
        app.action_view("jobs")
        assert cells(app)[:1] == ["fit-1"] and app.rows.cursor == 1
    play(run, act)


def test_a_tick_while_the_view_ends_does_nothing(run: RunPaths) -> None:
    ended: list[Top] = []

    async def act(app: Top, pilot: Any) -> None:
        ended.append(app)
    play(run, act)
    ended[0]._look_if_due()


def test_lists_are_sorted_by_key_and_by_command(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete)
        await pilot.press("S")
        await until(pilot, lambda: cells(app)[0] == "fit-40")
        await pilot.press("s")
        await until(pilot, lambda: cells(app)[0] == "fit-9" and "by name, largest first" in screen(app))
        await typed(pilot, ":", "sort state")
        await until(pilot, lambda: cells(app)[0] == "fit-14")
        await typed(pilot, ":", "hosts")
        await typed(pilot, ":", "sort -failed")
        await until(pilot, lambda: app.view == "hosts" and cells(app) == ["b", "a"])
    play(run, act)


def test_what_is_asked_of_the_run(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: cells(app)[:1] == ["fit-1"])
        await pilot.press("down", "c", "n", "c", "y")
        await until(pilot, lambda: "cancelled: fit-2" in screen(app))
        await pilot.press("r")
        await until(pilot, lambda: "done: retry fit-2" in screen(app))
        await pilot.press("p")
        await until(pilot, lambda: "done: pause" in screen(app))
        await typed(pilot, ":", "cancel fit-3 fit-4")
        await pilot.press("y")
        await until(pilot, lambda: "cancelled: fit-3 fit-4" in screen(app))
        await pilot.press("d")
        await until(pilot, lambda: "choose a host first" in screen(app))
        await pilot.press("2")
        await until(pilot, lambda: cells(app) == ["a", "b"])
        await pilot.press("d")
        await until(pilot, lambda: "done: drain a" in screen(app))
        for line in ("undrain b", "slots b 3", "unpause"):
            await typed(pilot, ":", line)
            await shows(pilot, f"done: {line}")
    assert play(run, act) == [
        {"do": "cancel", "jobs": ["fit-2"]}, {"do": "retry", "jobs": ["fit-2"]}, {"do": "pause", "jobs": None},
        {"do": "cancel", "jobs": ["fit-3", "fit-4"]}, {"do": "hosts-drain", "hosts": ["a"]}, {"do": "hosts-undrain", "hosts": ["b"]},
        {"do": "hosts-slots", "hosts": ["b"], "slots": 3}, {"do": "unpause", "jobs": None}]


@tries("write :{} JOB", "write :{} HOST", "as in :slots gpu1 4")
def test_a_command_that_lacks_a_word_says_which_and_goes_with_it(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete)
        await typed(pilot, "/", "nosuch")
        await until(pilot, lambda: app.rows.total == 0)
        for line, told in (("cancel", "write :cancel JOB"), ("drain", "write :drain HOST"), ("slots b", "as in :slots gpu1 4")):
            await typed(pilot, ":", line)
            await shows(pilot, told)
        await typed(pilot, ":", "cancel fit-3")
        await pilot.press("y")
        await shows(pilot, "cancelled: fit-3")
        for line in ("drain b", "slots b 4"):
            await typed(pilot, ":", line)
            await shows(pilot, f"done: {line}")
    assert len(play(run, act)) == 3


def test_a_refusal_and_a_mistake_are_told_and_nothing_is_lost(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete)
        for mode, line, told in ((":", "nosuch", "no command is called 'nosuch'"), (":", "sort nosuch", "no column is called 'nosuch'"),
                                 ("/", "state=gone", "no state is called 'gone'"), ("/", "rate=3", "no job has a parameter 'rate'"),
                                 (":", "slots b many", "slots takes a host and a number"), (":", "slots b 99999", "it is refused [red]\\x1b")):
            await typed(pilot, mode, line)
            await shows(pilot, told)
            await until(pilot, lambda: app.rows.total == 40)
    assert len(play(run, act, refuse="it is refused [red]\x1b[2J")) == 1


def test_outputs_are_shown_as_text_and_followed(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await typed(pilot, ":", "logs fit-13")
        await until(pilot, lambda: "line two" in screen(app))
        assert cells(app) == ["[red]10 %", "line two"] and "[red]10 %" in screen(app) and "following" in screen(app)
        with open(run.stdout("fit-13"), "ab") as file:
            file.write(b"".join(b"more %d\n" % n for n in range(200)))
        await until(pilot, lambda: "more 199" in screen(app))
        await pilot.press("f", "g")
        await until(pilot, lambda: "10 %" in screen(app) and "following" not in screen(app))
        await typed(pilot, "/", "more 17")
        await until(pilot, lambda: app.rows.total == 11)
    play(run, act)


def test_one_moves_by_lines_and_pages_and_to_both_ends(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app.rows.room > 20)
        await pilot.press("end")
        await until(pilot, lambda: app.rows.cursor == 39 and "fit-40" in screen(app) and "40 of 40" in screen(app))
        await pilot.press("home", "pagedown")
        assert app.rows.cursor == app.rows.room
        await pilot.press("k", "j", "pageup", "up")
        assert app.rows.cursor == 0
        await pilot.resize_terminal(20, 8)
        await pilot.press("G")
        await until(pilot, lambda: "fit-40" in screen(app))
    play(run, act)


def test_keys_that_come_at_once_act_on_the_view_that_they_are_typed_in(run: RunPaths) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await pilot.press("2")
        await until(pilot, lambda: cells(app) == ["a", "b"])
        for key, character in (("3", "3"), ("enter", "\r")):
            app.post_message(events.Key(key, character))
        await settled(pilot)
        assert app.view == "failures" and not app._asked["logs"].of
        await until(pilot, lambda: app.rows.chosen())
        for key, character in (("enter", "\r"), ("2", "2")):
            app.post_message(events.Key(key, character))
        await settled(pilot)
        assert app.view == "hosts"
        await pilot.press("slash", "4", "2")
        assert app.view == "hosts" and app.query_one("#line", Input).value == "42"
    play(run, act)


def test_another_size_is_seen_although_the_timer_that_lays_out_anew_is_lost(
        run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    # As it is on a busy machine: Textual skips a timer that was due before it was looked at first.
    def lost(app: Top, _delay: float, *_: Any, **_more: Any) -> Timer:
        return Timer(app, 3600.0)

    def fills(app: Top, width: int, height: int) -> bool:
        lines = screen(app).splitlines()
        return len(lines) == height and lines[-1].strip() == keys_told(width)

    async def act(app: Top, pilot: Any) -> None:
        for width, height in ((60, 20), (100, 30)):
            await pilot.resize_terminal(width, height)
            await until(pilot, partial(fills, app, width, height))
    monkeypatch.setattr(Top, "set_timer", lost)
    play(run, act)


#: Each key: what is pressed before it, and what is so afterwards.
KEYS: dict[str, tuple[Sequence[str], Callable[[Top], object]]] = {
    "1": (["2"], lambda app: app.view == "jobs" and app.rows.total == 40), "2": ([], lambda app: cells(app) == ["a", "b"]),
    "3": ([], lambda app: app.view == "failures" and "no such thing" in screen(app)), "4": ([], lambda app: app.view == "parameters"),
    "5": ([], lambda app: app.view == "logs" and "choose a job first" in screen(app)),
    "enter": ([], lambda app: app.view == "logs" and cells(app) == ["out 1"]), "escape": (["2"], lambda app: app.view == "jobs"),
    "colon": ([], lambda app: "command, such as" in screen(app)), "slash": ([], lambda app: "a part of the name" in screen(app)),
    "question_mark": ([], lambda app: "commands: jobs" in screen(app)),
    "s": ([], lambda app: "by name" in screen(app) and cells(app)[1] == "fit-10"),
    "S": ([], lambda app: cells(app)[0] == "fit-40"), "f": (["enter"], lambda app: app.view == "logs" and not app._following),
    "e": (["enter"], lambda app: "stderr of fit-1" in screen(app)), "c": ([], lambda app: "cancel fit-1? y: yes" in screen(app)),
    "r": ([], lambda app: "done: retry fit-1" in screen(app)), "p": ([], lambda app: "done: pause" in screen(app)),
    "d": (["2"], lambda app: "done: drain a" in screen(app)), "q": ([], lambda app: app._exit), "ctrl+c": ([], lambda app: app._exit),
    # What it does needs a terminal: test_in_a_terminal.py.
    "ctrl+z": ([], lambda app: app.view == "jobs" and app.rows.total == 40),
    **dict.fromkeys(("down", "j"), ([], lambda app: app.rows.cursor == 1)),
    **dict.fromkeys(("up", "k"), (["down", "down"], lambda app: app.rows.cursor == 1)),
    **dict.fromkeys(("pagedown", "space"), ([], lambda app: app.rows.cursor == app.rows.room)),
    "pageup": (["end"], lambda app: app.rows.cursor == 39 - app.rows.room),
    **dict.fromkeys(("home", "g"), (["end"], lambda app: app.rows.cursor == 0)), **dict.fromkeys(("end", "G"), ([], lambda app: app.rows.cursor == 39)),
}
ASKED: dict[str, dict[str, Any]] = {"r": {"do": "retry", "jobs": ["fit-1"]}, "p": {"do": "pause", "jobs": None}, "d": {"do": "hosts-drain", "hosts": ["a"]}}


def test_no_key_is_forgotten() -> None:
    bound = [binding for widget in (Top, Rows) for binding in widget.BINDINGS if isinstance(binding, Binding)]
    assert {key for binding in bound for key in binding.key.split(",")} | {"enter"} == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_each_key_does_what_it_is_for_and_asks_nothing_else(run: RunPaths, key: str) -> None:
    before, done = KEYS[key]

    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete)
        for one in before:
            await pilot.press(one)
            await settled(pilot)
        await pilot.press(key)
        await until(pilot, lambda: done(app))
    assert play(run, act) == ([ASKED[key]] if key in ASKED else [])


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (10, 6), (300, 80)])
def test_every_size_is_fine(run: RunPaths, size: tuple[int, int]) -> None:
    async def act(app: Top, pilot: Any) -> None:
        for key in ("2", "3", "4", "5", "1", "end", "home", "colon", "escape", "question_mark"):
            await pilot.press(key)
    play(run, act, size=size)


def test_hostile_words_are_text(tmp_path: Path) -> None:
    spellings = [*SPELLINGS[::3], "[red]x[/red]", "[@click=app.bell]x[/]", "\\[b]", "[/]", "[link=http://e]x", "]0;title"]
    names = [spelling.replace("/", "\u2215") for spelling in spellings]
    params = {name: {f"q{n}": ""} for n, name in enumerate(names)}
    with edit(tmp_path / "results", "bad-1", names, params=params) as made:
        for name, spelling in zip(names, spellings, strict=True):
            made.failed(name, f"\x1b]0;{spelling}\x07\x9b2J".encode(), spelling.encode())
            job = made.jobs[name]
            job.reason = job.attempts[-1].reason = spelling
            made.store.touch(job)
        made.store.set_host("a", "away", "[red]\x1b[2J", since=1.0, facts={"gpus": ["[red]"]})
    give_values(made.paths.store, names, spellings)

    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete and len(cells(app)) >= len(names))
        for view in ("1", "2", "3", "4"):
            await pilot.press(view)
            await until(pilot, lambda: not app._looking)
            assert app.view == {"1": "jobs", "2": "hosts", "3": "failures", "4": "parameters"}[view]
            harmless(app)
        await pilot.press("1")
        for name in (*names[:4], *names[-6:]):
            await typed(pilot, ":", f"logs {name}")
            await until(pilot, lambda: app.view == "logs" and not app._looking)
            harmless(app)
            await typed(pilot, "/", name)
            harmless(app)
        await pilot.press("1")
        await until(pilot, lambda: "[red]x[" in screen(app))
        for word in ("[@click=app.bell]x", "\\[b]", "[link=http:"):
            assert word in screen(app), screen(app)

    def harmless(app: Top) -> None:
        shown = screen(app)
        assert not any(one < " " and one != "\n" or "\x7f" <= one <= "\x9f" or one in "\u202e\u200b\u2028" for one in shown), shown
        for line in app.screen._compositor.render_strips():
            assert not any(segment.style and (segment.style.link or segment.style.meta.get("@click")) for segment in line)

    play(made.paths, act, size=(200, 60))


def test_from_a_value_of_a_parameter_one_comes_to_its_jobs(tmp_path: Path) -> None:
    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: app._watch.index.complete)
        await typed(pilot, ":", "par")
        await until(pilot, lambda: app.view == "parameters" and cells(app, 1)[:1] == ["lr"])
        assert cells(app, 3)[:10] == ["50"] * 10
        await pilot.press("enter")
        await until(pilot, lambda: app.view == "jobs" and app.rows.total == 50 and cells(app)[0] == "job-10")
    play(make_big(tmp_path / "results", 500), act)


def test_a_run_of_many_jobs_is_shown_by_pages(tmp_path: Path) -> None:
    paths = make_big(tmp_path / "results", 20_000)

    async def act(app: Top, pilot: Any) -> None:
        await until(pilot, lambda: "job-1 " in screen(app), 5)
        await until(pilot, lambda: app._watch.index.complete, 60)
        await pilot.press("end")
        await until(pilot, lambda: "job-20000 " in screen(app) and "20,000 of 20,000" in screen(app))
        assert len(cells(app)) < 100, "no more is held than what can be seen, and a little beside it"
        await typed(pilot, "/", "state=error seed=7700")
        await until(pilot, lambda: cells(app) == ["job-7700"])
    play(paths, act)


@tries("of the first {} failures; of all: sshjobs why {}")
def test_of_many_failures_the_first_are_listed_and_said_to_be_no_more(run: RunPaths, sshjobs_cli: SshjobsCli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MOST_FAILURES", 1)

    async def act(app: Top, pilot: Any) -> None:
        await pilot.press("3")
        await shows(pilot, "of the first 1 failures; of all: sshjobs why sweep-1")
        assert cells(app) == ["1"]

    assert play(run, act) == []
    assert "no such thing: 11" in sshjobs_cli("why", "sweep-1").stdout


def rows_by_key(paths: RunPaths) -> dict[str, int]:
    """Return how many rows of the store are read for each of some keys."""
    found = dict[str, int]()

    async def act(app: Top, pilot: Any) -> None:
        with counted_rows() as counted:
            await until(pilot, lambda: app._watch.index.complete, 60)
            await settled(pilot)
            for key in ("end", "pageup", ":sort -seconds", ":sort name", "home", "/state=error", "end", "/lr=0.3", "/host=h050", "/"):
                before = counted.rows
                await answer(pilot, key)
                found[key] = max(found.get(key, 0), counted.rows - before)

    open_top(paths, act, (100, 30))
    return found


def test_a_key_costs_no_more_in_a_large_run_than_in_a_small_one(tmp_path: Path) -> None:
    """A million jobs: ``python -m tests.tui.scale``."""
    few, many = rows_by_key(make_big(tmp_path / "few", 3_000)), rows_by_key(make_big(tmp_path / "many", 30_000))
    # By a page: its jobs, their attempts, hosts, counts. A second passes now and then, and the page is read once more.
    assert sum(many.values()) < 1.5 * sum(few.values()) + 500, (few, many)
    assert 0 < max(many.values()) < 1_000, many


def test_a_live_run_is_followed(tmp_path: Path) -> None:
    with edit(tmp_path / "results", "live-1", ["x", "y"], attended=True) as made:
        made.store.commit()

        async def act(app: Top, pilot: Any) -> None:
            await until(pilot, lambda: "2 free" in screen(app))
            made.busy("x")
            made.store.commit()
            await until(pilot, lambda: "1 busy" in screen(app) and cells(app, 1) == ["busy", "free"])
            # Somebody else takes the run away from under us.
            made.paths.store.rename(made.paths.store.with_suffix(".away"))
            await until(pilot, lambda: "run.db" in screen(app))
            made.paths.store.with_suffix(".away").rename(made.paths.store)
            await typed(pilot, ":", "quit")
        play(made.paths, act)


# -- words ---------------------------------------------------------------------------------------------------------


def test_commands_are_known_by_their_first_letters() -> None:
    assert command_of("j") == Command("jobs", ()) and command_of("HO a b") == Command("hosts", ("a", "b"))
    assert command_of("d h1") == Command("drain", ("h1",))
    for word in ("", "zz", "p", "un", "\x1b"):
        with pytest.raises(UsageError) as told:
            command_of(word)
        assert "\n" not in str(told.value)
    assert {command_of(name).name for name in COMMANDS} == set(COMMANDS)


def test_filters_and_orders_are_understood() -> None:
    assert filter_of("  a  b state=done,error host=h lr=0.1, seed=3 ") == Filter("a b", ("done", "error"), "h", "lr=0.1, seed=3")
    assert filter_of("=x") == Filter("=x")
    assert sort_of("-sec", ("number", "seconds")) == ("seconds", True)
    with pytest.raises(UsageError):
        sort_of("", ("number",))


def test_keys_are_told_in_whole_words_as_many_as_fit() -> None:
    assert keys_told(200).startswith("1-5 views  Enter open") and keys_told(200).endswith("p pause  ? help  q quit")
    for width in range(20, 200):
        assert len(keys_told(width)) <= width and keys_told(width).endswith("? help  q quit")


def test_where_room_is_short_titles_and_empty_columns_give_way() -> None:
    row = listings.Row("k", ("5", "exit 1", "probably GPU error", "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB", "2 x node02", "", "fit-13, fit-26"))
    listing = LISTINGS["failures"]
    assert widths_of(listing, [row], 300, len) == [4, 14, 18, 60, 10, 8, 14]
    narrow = widths_of(listing, [row], 80, len)
    assert narrow == [4, 6, 17, 17, 10, 0, 14] and sum(narrow) + 2 * 6 == 80
    for width in (1, 10, 20, 40):
        assert sum(widths_of(listing, [row], width, len)) <= max(width, 7)


def test_lines_of_an_output_are_those_of_a_terminal() -> None:
    assert output_lines(b"a\r\nb\rc\n\n\td\r\xff") == ["a", "c", "", "\ufffd"]
    assert output_lines(b"") == [] and len(output_lines(b"x" * 9_000)[0]) == 2_000


# -- the command ---------------------------------------------------------------------------------------------------


@tries("install it with: pip install 'sshjobs[tui]'")
def test_without_the_package_the_extra_is_named(sshjobs_cli: SshjobsCli, run: RunPaths, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nold = u.find_spec\nu.find_spec = lambda name, *more: None if name == 'textual' else old(name, *more)\n")
    from tests.conftest import cli_environment

    done = sshjobs_cli("top", env={"PYTHONPATH": f"{tmp_path}:{cli_environment()['PYTHONPATH']}"})
    assert done.returncode == EXIT_USAGE
    assert done.stderr == "sshjobs: the terminal view cannot be shown: not installed: textual; install it with: pip install 'sshjobs[tui]'\n"
    asked = importlib.metadata.requires("sshjobs") or []
    assert {line.partition(">")[0] for line in asked if 'extra == "tui"' in line} == {"textual"}



@tries("elsewhere see: sshjobs status {}")
def test_without_a_terminal_it_says_what_else_there_is(sshjobs_cli: SshjobsCli, run: RunPaths) -> None:
    done = sshjobs_cli("top")
    assert done.returncode == EXIT_USAGE and done.stderr == "sshjobs: top needs a terminal; elsewhere see: sshjobs status sweep-1\n"
    assert sshjobs_cli("status", "sweep-1").stdout.startswith("sweep-1")
