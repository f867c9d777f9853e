"""Every line of a job that opens its own outputs anew, also when runner and agent die under it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gjob.client import FarHost, alive, eventually
from tests.lab import disks

EPOCHS = "".join(f"epoch {number}\n" for number in range(1, 7)).encode()
LOOP = "for i in 1 2 3 4 5 6; do echo \"epoch $i\" {0}; done\n"


@pytest.mark.parametrize(("text", "out", "err"), [
    (LOOP.format("> /dev/stderr"), b"", EPOCHS),
    (LOOP.format("> /dev/stdout"), EPOCHS, b""),
    (LOOP.format("> /proc/self/fd/2"), b"", EPOCHS),
    (LOOP.format("> /dev/fd/1"), EPOCHS, b""),
    (LOOP.format("| tee /dev/stderr"), EPOCHS, EPOCHS),
    ("echo a\n" + LOOP.format("> /dev/stdout") + "echo b\n", b"a\n" + EPOCHS + b"b\n", b""),
])
def test_a_script_that_names_its_outputs_loses_no_line(far: FarHost, text: str, out: bytes, err: bytes) -> None:
    link = far.connect()
    end = link.run("1.1", script=text)
    assert (end["why"], end["status"]) == ("exited", 0)
    assert (link.stdout("1.1"), link.stderr("1.1")) == (out, err)
    assert (end["out"], end["err"]) == (len(out), len(err))


def test_so_does_a_program_with_arguments_that_name_them(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", "sh", "-c", LOOP.format("> /dev/stderr"))
    assert link.stderr("1.1") == EPOCHS


def test_a_job_that_asks_for_pipes_has_them_for_all_that_it_starts(far: FarHost) -> None:
    hidden = far.home / "hidden.sh"
    hidden.write_text(LOOP.format("> /dev/stdout"))
    link = far.connect()
    link.run("1.1", "sh", str(hidden), output="pipe")
    assert link.stdout("1.1") == EPOCHS
    assert sorted(path.name for path in far.directory.glob("o/*")) == ["1.1.err", "1.1.out"]


def test_much_comes_through_a_pipe_byte_exact(far: FarHost) -> None:
    link = far.connect()
    end = link.run("1.1", "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x; echo end > /dev/stderr", output="pipe")
    assert (end["out"], end["err"]) == (20_000_000, 4)
    assert link.stdout("1.1") == b"x" * 20_000_000


def test_a_job_that_closes_its_outputs_costs_no_rest(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script="echo a\nexec > /dev/null 2>&1\nuntil [ -e \"$HOME/go\" ]; do sleep 0.05; done\n",
                output="pipe")
    link.until("out", id="1.1")
    [runner] = far.runners()
    before = _ticks(runner)
    link.launch("2.1", "sleep", "0.5")
    link.end_of("2.1")
    assert _ticks(runner) - before < 20
    (far.home / "go").touch()
    assert link.end_of("1.1")["out"] == 2


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


STEPS = ('for i in $(seq 1 40); do echo "line $i" > /dev/stdout; sleep 0.05; done\n'
         'until [ -e "$HOME/go" ]; do sleep 0.05; done\necho last > /dev/stderr\nexit 4\n')
LINES = "".join(f"line {number}\n" for number in range(1, 41)).encode()


@pytest.mark.parametrize("who", ["runner", "agent", "agent, then runner"])
def test_pipes_live_on_when_agent_and_runner_die(far: FarHost, who: str) -> None:
    link = far.connect()
    link.launch("1.1", script=STEPS)
    pid = link.until("started", id="1.1")["pid"]
    link.until("out", id="1.1")
    [runner] = far.runners()
    if who != "runner":
        far.kill_agent()
    if who != "agent":
        os.kill(runner, signal.SIGKILL)
        eventually(lambda: not alive(runner), "the runner's death")
    if who != "runner":
        link = far.again(link, "1.1", epoch=2)
    eventually(lambda: (far.directory / "o" / "1.1.out").read_bytes() == LINES, "all lines")
    assert alive(pid)
    (far.home / "go").touch()
    end = link.end_of("1.1")
    # With both of them its status dies, but not a byte.
    assert (end["why"], end["status"]) == (("lost", None) if "," in who else ("exited", 4))
    assert (end["out"], end["err"]) == (len(LINES), 5)
    assert not list(far.directory.glob("o/*.pipe"))


def test_what_a_job_leaves_running_is_not_given_a_pipe_that_nobody_reads(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script="echo a > /dev/stdout\n(sleep 0.5; seq 100000; touch $HOME/done) &\n", leftovers="keep")
    assert link.end_of("1.1")["why"] == "exited"
    eventually((far.home / "done").exists, "what was kept to come to its end")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_makes_a_job_with_pipes_wait_and_loses_nothing(make_far: Callable[..., FarHost]) -> None:
    far = make_far()
    with disks.small_disk(far.home, "4m"):
        link = far.connect()
        link.launch("1.1", script=f"until [ -e {far.home.parent}/go ]; do sleep 0.05; done\nseq 3000 > /dev/stdout\n")
        link.until("started", id="1.1")
        with disks.without_bytes(far.home):
            (far.home.parent / "go").touch()
            with pytest.raises(TimeoutError):
                link.end_of("1.1", 1.5)
        assert link.end_of("1.1")["why"] == "exited"
        assert link.stdout("1.1") == "".join(f"{n}\n" for n in range(1, 3001)).encode()
        far.close()
