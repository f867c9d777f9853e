"""``sshjobs top`` on runs that are made up, by Textual's own pilot: lists, filters, commands, and what they ask of a run."""

from __future__ import annotations

import asyncio
import importlib.metadata
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import EXIT_USAGE, UsageError
from sshjobs.store.rundir import RunPaths
from tests.cli.runs import edit
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.web.scale import make_big
from tests.web.test_hostile import SPELLINGS, give_values

pytest.importorskip("textual")

from sshjobs.tui.app import Top
from sshjobs.tui.commands import COMMANDS, Command, Filter, command_of, filter_of, sort_of
from sshjobs.tui.listing import output_lines

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
