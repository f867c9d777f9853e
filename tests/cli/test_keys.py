"""The keys of the live view in a real terminal: each does what the line at the bottom says, and whatever ends the process,
the terminal is as it was found."""

from __future__ import annotations

import os
import re
import shlex
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import EXIT_INTERRUPTED, EXIT_JOBS_FAILED, EXIT_OK, UsageError
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.progress import Progress
from sshjobs.views.steering import ANSWER_S, Steering
from tests.cli import story
from tests.cli.terminal import Terminal, plain
from tests.cli.tmux import Tmux
from tests.conftest import sshjobs_argv
from tests.lab.waiting import wait_until

JOBFILE = """
jobs:
  - {name: "long", repeat: 12, commands: ['until test -e @/go; do sleep 0.1; done']}
"""
RUN = sshjobs_argv(["run", "jobs.yaml", "--slots", "2"])


@pytest.fixture
def place(tmp_path: Path, clean_home: Path) -> Iterator[Path]:
    """A directory with a jobfile of twelve jobs, which wait for a file called go."""
    (tmp_path / "jobs.yaml").write_text(JOBFILE.replace("@", str(tmp_path)))
    yield tmp_path
    (tmp_path / "go").touch()


def begin(terminal: Terminal) -> None:
    terminal.read_until(lambda text: "long-2 " in text and "q leave" in text)


def let_end(place: Path, terminal: Terminal) -> None:
    """Let the jobs end, and see the run end well."""
    (place / "go").touch()
    terminal.read_to_end()
    assert terminal.wait() == EXIT_OK


def cooked(terminal: Terminal) -> bool:
    """Tell whether lines are edited by the terminal, and what is typed is shown."""
    return bool(terminal.modes()[3] & termios.ICANON and terminal.modes()[3] & termios.ECHO)


def look(place: Path, what: Callable[[RunReader], Any]) -> Any:
    with RunReader.open(RunPaths(place / "results", "jobs-1")) as reader:
        return what(reader)


def after(terminal: Terminal, key: bytes, text: str) -> None:
    """Press a key and wait for what is shown after that."""
    seen = len(terminal.text)
    terminal.press(key)
    terminal.read_until(lambda _: text in plain(terminal.text[seen:]))


def test_p_pauses_and_unpauses(place: Path) -> None:
    with Terminal(RUN, place, columns=100) as terminal:
        begin(terminal)
        after(terminal, b"p", "launching paused by a person")
        assert look(place, lambda reader: reader.summary().options["paused"]) is True
        after(terminal, b"p", "launching unpaused by a person")
        assert look(place, lambda reader: reader.summary().options["paused"]) is False
        let_end(place, terminal)


def test_plus_and_minus_change_slots(place: Path) -> None:
    with Terminal(RUN, place, columns=100) as terminal:
        begin(terminal)
        after(terminal, b"+", "1 host: a slot more, 3 now")
        assert look(place, lambda reader: reader.hosts()[0].host.slots) == 3
        terminal.read_until(lambda text: "3/3" in text)
        after(terminal, b"-", "1 host: a slot fewer, 2 now")
        after(terminal, b"-", "1 host: a slot fewer, 1 now")
        after(terminal, b"-", "no host can have fewer")
        assert look(place, lambda reader: reader.hosts()[0].host.slots) == 1
        let_end(place, terminal)


def test_d_drains_the_host_that_is_chosen_and_uses_it_again(place: Path) -> None:
    with Terminal(RUN, place, columns=100) as terminal:
        begin(terminal)
        after(terminal, b"d", "drain localhost? _  (Enter, Esc)")
        after(terminal, b"x", "no host is called so: x_")
        # A letter of a name is no key.
        after(terminal, b"\x7fp", "no host is called so: p_")
        after(terminal, b"\x1b", "q leave")
        after(terminal, b"dloc", "drain localhost? loc_")
        after(terminal, b"\r", "localhost: drained: nothing more starts there")
        assert look(place, lambda reader: reader.hosts()[0].host.drained) is True
        after(terminal, b"d", "use again localhost?")
        after(terminal, b"\r", "localhost: used again")
        let_end(place, terminal)


def test_q_leaves_and_the_run_goes_on_by_itself(place: Path) -> None:
    with Terminal(RUN, place, columns=100, kill=False) as terminal:
        begin(terminal)
        terminal.press(b"q")
        text = plain(terminal.read_to_end())
        assert terminal.wait() == EXIT_OK
        assert cooked(terminal)
    assert re.search(r"jobs-1 goes on by itself \(process \d+\); to watch it: sshjobs attach jobs-1\n$", text)
    assert "not over" not in text
    (place / "go").touch()
    wait_until(lambda: look(place, lambda reader: reader.summary().state) == "done", 60)
    # Nothing ran twice.
    assert look(place, lambda reader: {len(one) for one in reader.attempts_of(range(1, 13)).values()}) == {1}


def test_keys_act_on_a_run_that_is_watched_and_q_ends_the_watching(place: Path) -> None:
    with Terminal([*RUN, "--detach"], place, kill=False) as terminal:
        terminal.read_to_end()
        assert terminal.wait() == EXIT_OK
    with Terminal(sshjobs_argv(["attach", "jobs-1"]), place, columns=100) as terminal:
        begin(terminal)
        after(terminal, b"p", "launching paused by a person")
        after(terminal, b"+", "1 host: a slot more, 3 now")
        after(terminal, b"d\r", "localhost: drained: nothing more starts there")
        assert look(place, lambda reader: (reader.summary().options["paused"], reader.hosts()[0].host.slots,
                                           reader.hosts()[0].host.drained)) == (True, 3, True)
        after(terminal, b"d\r", "localhost: used again")
        after(terminal, b"p", "launching unpaused by a person")
        terminal.press(b"q")
        text = plain(terminal.read_to_end())
        assert terminal.wait() == EXIT_OK and cooked(terminal)
    assert text.endswith("jobs-1 goes on; to watch it again: sshjobs attach jobs-1\n")
    (place / "go").touch()
    wait_until(lambda: look(place, lambda reader: reader.summary().state) == "done", 60)


def test_what_is_typed_is_not_shown_and_other_keys_do_nothing(place: Path) -> None:
    with Terminal(RUN, place, columns=100) as terminal:
        begin(terminal)
        assert not cooked(terminal)
        seen = len(terminal.text)
        terminal.press("xyzzy\x1b[200~\x1b[Dä\r\n".encode() + b"\xff\x00")
        after(terminal, b"p", "launching paused")
        assert "xyz" not in plain(terminal.text[seen:])
        after(terminal, b"p", "launching unpaused")
        let_end(place, terminal)
        assert cooked(terminal)


@pytest.mark.parametrize("end", ["ctrl-c twice", "term", "kill"])
def test_the_terminal_is_as_it_was_found_whatever_ends_the_process(place: Path, end: str) -> None:
    # A shell that goes on, as one in which a script runs does.
    words = shlex.join(RUN)
    with Terminal(["sh", "-c", f"trap : INT; {words}; echo code $?; read -r line; echo read $line"], place, columns=100) as terminal:
        before = terminal.modes()
        begin(terminal)
        assert terminal.modes() != before
        if end == "ctrl-c twice":
            terminal.press_ctrl_c()
            terminal.read_until(lambda text: "Ctrl-C again cancels it" in text)
            terminal.press_ctrl_c()
        else:
            child = int(Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()[0])
            os.kill(child, signal.SIGTERM if end == "term" else signal.SIGKILL)
        code = {"ctrl-c twice": EXIT_INTERRUPTED, "term": EXIT_INTERRUPTED, "kill": 128 + signal.SIGKILL}[end]
        text = terminal.read_until(lambda text: f"code {code}" in text)
        wait_until(lambda: terminal.modes() == before, 10)
        if end == "kill":
            text = terminal.read_until(lambda _: terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l"))
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
        terminal.press(b"again\n")
        terminal.read_until(lambda text: "read again" in text)
        (place / "go").touch()


def test_after_ctrl_z_and_fg_keys_work_and_at_the_end_the_modes_are_the_shells(place: Path) -> None:
    with Tmux(place, columns=100, rows=30) as terminal:
        terminal.type("stty -g > before")
        terminal.type(shlex.join(RUN))
        terminal.wait_for(lambda screen: "long-2 " in screen and "q leave" in screen)
        terminal.press("C-z")
        terminal.wait_for(lambda screen: "Stopped" in screen)
        terminal.type("stty -g > stopped; echo p-and-q")
        terminal.wait_for(lambda screen: screen.count("p-and-q") == 2)
        terminal.type("fg")
        terminal.wait_for(lambda screen: "q leave" in screen)
        terminal.press("p")
        terminal.wait_for(lambda screen: "launching paused" in screen)
        os.kill(terminal.child(), signal.SIGSTOP)
        terminal.wait_for(lambda screen: screen.count("Stopped") == 2)
        terminal.type("fg")
        terminal.wait_for(lambda screen: "launching paused" in screen.rpartition("Stopped")[2])
        terminal.press("p")
        terminal.wait_for(lambda screen: "launching unpaused" in screen.rpartition("Stopped")[2])
        (place / "go").touch()
        terminal.wait_for(lambda screen: "jobs-1 done" in screen)
        terminal.type("stty -g > end; echo o''ver")
        terminal.wait_for(lambda screen: "\nover" in screen)
        assert terminal.shows_cursor()
    modes = {name: (place / name).read_text() for name in ("before", "stopped", "end")}
    assert len(set(modes.values())) == 1, modes


def test_after_kill_9_an_interactive_shell_has_its_cursor_and_its_modes(place: Path) -> None:
    with Tmux(place, columns=100, rows=30) as terminal:
        terminal.type("stty -g > before")
        terminal.type(shlex.join(RUN))
        terminal.wait_for(lambda screen: "long-2 " in screen and "q leave" in screen)
        assert not terminal.shows_cursor()
        os.kill(terminal.child(), signal.SIGKILL)
        terminal.wait_for(lambda screen: "Killed" in screen and terminal.shows_cursor())
        terminal.type("stty -g > end; echo o''ver")
        terminal.wait_for(lambda screen: "\nover" in screen)
        (place / "go").touch()
    assert (place / "before").read_text() == (place / "end").read_text()


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (2, 3), (40, 5), (1, 50), (200, 1)])
def test_a_terminal_of_any_size_is_fine(place: Path, columns: int, rows: int) -> None:
    with Terminal(RUN, place, columns=columns, rows=rows) as terminal:
        terminal.read_until(lambda _: "\x1b[?25l" in terminal.text)
        wait_until(lambda: not cooked(terminal), 30)
        terminal.resize(100, 30)
        begin(terminal)
        terminal.resize(columns, rows)
        after(terminal, b"p", "")
        wait_until(lambda: look(place, lambda reader: reader.summary().options.get("paused")), 30)
        (place / "go").touch()
        terminal.press(b"p")
        text = terminal.read_to_end()
        assert terminal.wait() == EXIT_OK
    assert "Traceback" not in text


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_without_colours_there_are_keys_and_on_a_dumb_terminal_there_are_none(place: Path, variables: dict[str, str]) -> None:
    words = [f"{name}={value}" for name, value in variables.items()]
    with Terminal(["env", *words, *RUN], place, columns=100) as terminal:
        if "NO_COLOR" in variables:
            begin(terminal)
            after(terminal, b"p", "launching paused")
            after(terminal, b"p", "launching unpaused")
        else:
            terminal.read_until(lambda text: "launch long-2" in text)
            assert cooked(terminal)
        (place / "go").touch()
        text = terminal.read_to_end()
        assert terminal.wait() == EXIT_OK
    assert not re.search(r"\x1b\[(3[0-7]|9[0-7]|38;)", text)


@pytest.mark.parametrize("command", ["@ < /dev/null", "@ | cat", "cat jobs.yaml | sed s/jobs/jobs/ | @"])
def test_where_the_terminal_is_not_both_what_is_read_and_printed_on_no_key_is_read(place: Path, command: str) -> None:
    (place / "go").touch()
    words = shlex.join(sshjobs_argv(["run", "-" if "sed" in command else "jobs.yaml", "--slots", "2"]))
    with Terminal(["sh", "-c", command.replace("@", words)], place, columns=100) as terminal:
        text = plain(terminal.read_to_end())
        assert terminal.wait() == EXIT_OK
    assert "q leave" not in text and "12 done" in text


# -- without a terminal --------------------------------------------------------------------------------------------


def steering(ask: Callable[[dict[str, Any]], dict[str, Any]] | None = None, hosts: tuple[str, ...] = ("a", "b", "[red]c\x1b[2J")):
    progress, asked = Progress(lambda: 100.0), list[dict[str, Any]]()
    progress.take(story.run(40, list(hosts)))
    for host in hosts:
        progress.take({**story.up(host), "slots": 2})

    def note(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"ok": True}

    made = Steering(progress, threading.Lock(), ask or note, lambda: asked.append({"do": "left"}), lambda: None, lambda: 100.0)
    return made, progress, asked


def press(made: Steering, *keys: str) -> None:
    for key in keys:
        made.press(key)
        made.wait()


def test_hosts_with_as_many_slots_are_changed_by_one_request() -> None:
    made, progress, asked = steering()
    progress.take({"event": "hosts", "change": "slots", "hosts": ["b"], "slots": 5})
    press(made, "+")
    assert asked == [{"do": "hosts-slots", "hosts": ["a", "[red]c\x1b[2J"], "slots": 3}, {"do": "hosts-slots", "hosts": ["b"], "slots": 6}]
    assert made.line(80).plain == "3 hosts: a slot more"


def test_a_refusal_is_told_and_nothing_else_happens() -> None:
    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise UsageError("no host of the run is called 'a'", hint="they are \x1b[31m")

    made, progress, _ = steering(refuse)
    press(made, "p", "d", "enter")
    assert made.line(80).plain == "no host of the run is called 'a'; they are \\x1b[31m" and not progress.paused


def test_names_of_hosts_are_text_in_the_question() -> None:
    made, _, asked = steering()
    press(made, "d", "c")
    assert "\x1b" not in made.line(80).plain and "[red]c" in made.line(80).plain
    press(made, "enter")
    assert asked == [{"do": "hosts-drain", "hosts": ["[red]c\x1b[2J"]}]


def test_the_next_host_is_chosen_by_tab_and_the_question_fits() -> None:
    made, _, asked = steering(hosts=tuple(f"a-host-with-quite-a-long-name-{n}" for n in range(1000)))
    press(made, "d", "7", "down", "down", "up")
    for width in (1, 5, 20, 40, 80, 200):
        assert made.line(width).plain
    assert "2 of 271" in made.line(100).plain and len(made.line(100).plain) <= 100
    press(made, "enter")
    assert asked == [{"do": "hosts-drain", "hosts": ["a-host-with-quite-a-long-name-117"]}]


def test_once_the_run_was_told_to_stop_no_key_does_anything() -> None:
    made, progress, asked = steering()
    progress.take({"event": "interrupt", "reason": "launching nothing more"})
    press(made, "p", "q", "d", "+")
    assert asked == [] and made.line(80).plain == ""


def test_an_answer_gives_way_to_the_keys_after_a_while() -> None:
    made, progress, _ = steering()
    now = 100.0
    made._monotonic = lambda: now
    press(made, "p")
    assert made.line(80).plain == "launching paused by a person"
    now += ANSWER_S
    assert made.line(80).plain == "p unpause   + - slots   d drain   q leave" and made.line(38).plain == "p + - d q"
    press(made, "p")
    now += ANSWER_S
    assert made.line(80).plain.startswith("p pause ")


def test_keys_wait_for_each_other_and_q_is_asked_for_once() -> None:
    held, asked = threading.Event(), list[Any]()

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        held.wait()
        asked.append(request["do"] if "slots" not in request else request["slots"])
        return {"ok": True}

    made, _, _ = steering(ask)
    made._leave = lambda: asked.append("left")
    for key in "p++pqq":
        made.press(key)
    held.set()
    made.wait()
    assert asked == ["pause", 3, 4, "unpause", "left"]


def test_an_unfinished_run_that_failed_keeps_its_exit_code(place: Path) -> None:
    (place / "jobs.yaml").write_text("jobs: [{name: bad, commands: [exit 3]}]")
    with Terminal(RUN, place) as terminal:
        terminal.read_to_end()
        assert terminal.wait() == EXIT_JOBS_FAILED
