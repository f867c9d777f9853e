"""``cancel`` and ``resume``, and Ctrl-C: acting on a run that is under way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_INTERRUPTED, EXIT_JOBS_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.runs import edit
from tests.conftest import SshjobsCli, cli_environment
from tests.lab.waiting import wait_until

SLOW = "jobs: [{name: slow, repeat: 4, commands: [echo begin, 'test -e go || sleep 60', echo end]}]\n"


@contextmanager
def running(cwd: Path, jobfile: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``sshjobs run`` and yield its process once two jobs have begun."""
    (cwd / "jobs.yaml").write_text(jobfile)
    command = [sys.executable, "-m", "sshjobs", "run", "jobs.yaml", "--slots", "2", "--name", "r", *arguments]
    with open(cwd / "out.txt", "w") as out:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, text=True,
                                   stdin=subprocess.DEVNULL, env={**os.environ, **cli_environment()})
    try:
        wait_until(lambda: _begun(cwd) == 2 or process.poll() is not None, 30, "two jobs have begun")
        assert process.poll() is None, (cwd / "out.txt").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def _begun(cwd: Path) -> int:
    return sum(path.stat().st_size > 0 for path in cwd.glob("results/r/jobs/*/stdout"))


@pytest.fixture
def no_orphan(tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """Return the pids of jobs of this test that are alive; at the end there must be none."""
    def alive() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    text = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if b"SSHJOBS_TOKEN=" in text and os.fsencode(tmp_path) in text:
                    found.append(int(entry.name))
        return found

    yield alive
    assert alive() == []


LEFT = "0 processes, 0 files left on 1 host\n"


def test_cancel_ends_some_jobs_and_the_run_goes_on(sshjobs_cli: SshjobsCli, tmp_path: Path,
                                                   no_orphan: Callable[[], list[int]]) -> None:
    with running(tmp_path, SLOW) as run:
        told = sshjobs_cli("cancel", "slow-1", "slow-2", "slow-4")
        assert (told.returncode, told.stdout, told.stderr) == (EXIT_OK, f"3 jobs cancelled\n{LEFT}", "")
        told = sshjobs_cli("cancel", "r", "slow-1")
        assert told.stdout == "0 jobs cancelled; 1 job had ended before\n"
        told = sshjobs_cli("cancel", "--all")
        assert (told.returncode, told.stdout) == (EXIT_OK, f"1 job cancelled; nothing of r runs any more\n{LEFT}")
        assert run.wait(30) == EXIT_JOBS_FAILED
    assert "r cancelled: 4 error of 4 jobs" in (tmp_path / "out.txt").read_text()


def test_cancel_works_without_a_manager_too(sshjobs_cli: SshjobsCli, tmp_path: Path,
                                            no_orphan: Callable[[], list[int]]) -> None:
    with running(tmp_path, SLOW) as run:
        run.kill()
        run.wait()
        assert re.match(r"r unattended: \d busy(, \d free)? of 4 jobs\n", sshjobs_cli("status").stdout)
        assert len(no_orphan()) > 0
        told = sshjobs_cli("cancel", "--all")
        assert (told.returncode, told.stdout) == (EXIT_OK, f"4 jobs cancelled; nothing of r runs any more\n{LEFT}")
        assert no_orphan() == []
    assert sshjobs_cli("status").stdout.startswith("r cancelled: 4 error of 4 jobs\n")


def test_what_waits_is_cancelled_without_a_word_about_each(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("jobs: [{name: x, commands: 'true'}]")
    (tmp_path / "more.yaml").write_text("jobs: [{name: wrong, repeat: 30, commands: 'true'}]")
    assert sshjobs_cli("run", "one.yaml", "--name", "r", "-q").returncode == EXIT_OK
    sshjobs_cli("add", "r", "more.yaml")
    told = sshjobs_cli("cancel", "r", "wrong-7")
    assert (told.returncode, told.stdout.splitlines()[0], told.stderr) == (EXIT_OK, "1 job cancelled", "")
    told = sshjobs_cli("cancel", "r", "--all")
    assert told.stdout.startswith("29 jobs cancelled; nothing of r runs any more\n")
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    told = sshjobs_cli("withdraw", "r", "wrong-*")
    assert (told.stdout, told.stderr) == ("30 jobs withdrawn; r is done\n", "")


def test_cancel_never_guesses_what_is_meant(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    with edit(tmp_path / "results", "r", ["sim-1"]):
        pass
    for arguments, complaint in (
        ([], "nothing was named to cancel; for all of run r: sshjobs cancel r --all"),
        (["r"], "nothing was named to cancel; for all of run r: sshjobs cancel r --all"),
        (["sim-1", "--all"], "name jobs or say --all, not both; for all of run r: sshjobs cancel r --all"),
        (["sim-1", "sim-2"], "r: no job is called 'sim-2'; did you mean sim-1?"),
    ):
        told = sshjobs_cli("cancel", *arguments)
        assert (told.returncode, told.stdout, told.stderr) == (EXIT_USAGE, "", f"sshjobs: {complaint}\n")


def test_resume_takes_over_what_a_killed_manager_left(sshjobs_cli: SshjobsCli, tmp_path: Path,
                                                      no_orphan: Callable[[], list[int]]) -> None:
    jobfile = ("jobs: [{name: x, repeat: 4, cwd: " + str(tmp_path) + ", commands: [echo $SSHJOBS_JOB | tee -a ledger, "
               "'for i in $(seq 600); do test -e go && exit 0; sleep 0.1; done; exit 1']}]\n")
    with running(tmp_path, jobfile) as run:
        told = sshjobs_cli("resume", "r")
        assert told.returncode == EXIT_USAGE
        assert "another manager works on this run" in told.stderr
        run.kill()
        run.wait()
        (tmp_path / "go").touch()
        told = sshjobs_cli("resume")
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    assert "r done: 4 done of 4 jobs" in told.stdout
    assert told.stdout.count(" launch ") <= 2, "those that ran are not started again"
    assert sorted((tmp_path / "ledger").read_text().split()) == ["x-1", "x-2", "x-3", "x-4"]
    assert sshjobs_cli("resume").returncode == EXIT_OK, "nothing is left to do"


def test_one_ctrl_c_waits_for_what_runs_and_says_so(tmp_path: Path, clean_home: Path) -> None:
    jobfile = "jobs: [{name: x, repeat: 20, commands: [echo begin, sleep 1, echo end]}]\n"
    with running(tmp_path, jobfile) as run:
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == EXIT_INTERRUPTED
    text = (tmp_path / "out.txt").read_text()
    assert " stop   launching nothing more, waiting for what runs; Ctrl-C again cancels it\n" in text
    assert re.search(r"^\d+ jobs not over; go on with: sshjobs resume r\n(.*\n)*"
                     r"r interrupted: \d+ done, \d+ free of 20 jobs in .*\n", text, re.MULTILINE), text
    assert "Traceback" not in text


def test_the_second_ctrl_c_cancels_what_runs(tmp_path: Path, clean_home: Path,
                                             no_orphan: Callable[[], list[int]]) -> None:
    with running(tmp_path, SLOW) as run:
        run.send_signal(signal.SIGINT)
        wait_until(lambda: " stop " in (tmp_path / "out.txt").read_text(), 30, "it was said")
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == EXIT_INTERRUPTED
    assert re.search(r"^r \w+: \d+ error(, \d+ free)? of 4 jobs", (tmp_path / "out.txt").read_text(), re.MULTILINE)


def test_what_ctrl_c_cancelled_is_named_with_what_runs_it_after_all(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    jobfile = ("jobs: [{name: x, repeat: 8, cwd: " + str(tmp_path) + ", commands: "
               "[echo begin, 'for i in $(seq 600); do test -e go && exit 0; sleep 0.1; done; exit 1']}]\n")
    with running(tmp_path, jobfile) as run:
        run.send_signal(signal.SIGINT)
        wait_until(lambda: " stop " in (tmp_path / "out.txt").read_text(), 30, "it was said")
        run.send_signal(signal.SIGINT)
        assert run.wait(30) == EXIT_INTERRUPTED
    told = re.search(r"^(\d+) jobs? (was|were) cancelled; to run what did not succeed, too: (sshjobs retry r --failed)$",
                     (tmp_path / "out.txt").read_text(), re.MULTILINE)
    assert told, (tmp_path / "out.txt").read_text()
    status = sshjobs_cli("status", "r").stdout
    assert ("go on with: sshjobs resume r" in status) <= (told[0] in status)
    (tmp_path / "go").touch()
    after = sshjobs_cli(*told[3].split()[1:])
    assert after.returncode == EXIT_OK
    assert "r done: 8 done of 8 jobs" in after.stdout
