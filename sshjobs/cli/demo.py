"""``sshjobs demo``."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, printable

#: Seconds that all of it may take; and that it gets to clean up after that.
LIMIT_S, CLEANING_S = 80.0, 8.0

_JOBFILE = """\
jobs:
  - name: train
    matrix: {lr: ["0.1", "0.01", "0.001"], seed: ["1", "2", "3"]}
    commands:
      - sleep 1
      - if [ ${{ lr }} = 0.1 ] && [ ${{ seed }} = 3 ]; then echo 'ValueError, loss is nan' >&2; exit 1; fi
      - echo "::result::"
      - echo loss=0.${{ seed }}7
"""
_HOSTS = "alpha slots=2\nbeta slots=2\n"
_CODE = "import sys; sys.path[:] = {path!r}; sys.argv[0] = 'sshjobs'; from sshjobs.__main__ import main; main()"


class _OverError(Exception):
    """The time is over."""


@click.command("demo")
def command() -> int:
    """Show in a minute what sshjobs is for: a sweep on two hosts, whose manager is killed and whose connection is cut.

    Both hosts are this machine. Everything is in a temporary directory, which is removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="sshjobs-demo-", ignore_cleanup_errors=True) as directory:
        tour = _Tour(Path(directory))
        try:
            tour.play()
            return EXIT_OK
        except _OverError:
            click.echo(f"this machine is too busy: not done in {LIMIT_S:.0f} s", err=True)
            return EXIT_JOBS_FAILED
        finally:
            tour.clean_up()


class _Tour:
    """Plays commands of ours, each in a process of its own, in a home that holds nothing else."""

    def __init__(self, directory: Path):
        self._directory, self._deadline = directory, time.monotonic() + LIMIT_S
        home = directory / "home"
        home.mkdir()
        own = ("SSHJOBS_HOSTS", "SSHJOBS_PROFILE", "SSHJOBS_RESULTS", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        self._environment = {**{name: value for name, value in os.environ.items() if name not in own},
                             "HOME": str(home), "XDG_RUNTIME_DIR": str(directory), "SSHJOBS_CONFIG": os.devnull}
        (directory / "jobs.yaml").write_text(_JOBFILE, encoding="utf-8")
        (directory / "hosts.txt").write_text(_HOSTS, encoding="utf-8")
        self._live: subprocess.Popen[bytes] | None = None

    def play(self) -> None:
        """Play all of it.

        :raises _OverError: it takes too long
        """
        self._say("A jobfile: nine jobs, one for each combination of two parameters.")
        click.echo(_JOBFILE)
        self._say("They run on two hosts (both are this machine), two at a time on each.")
        done = _Counter(lambda line: " done " in line)
        self._run("run", "jobs.yaml", "--hosts", "hosts.txt", "--transport", "local", until=done.reaches(2))
        self._say("kill -9: the manager is gone, as if your laptop were. What runs on the hosts goes on.")
        self._run("status", "--summary")
        self._say("Another manager takes over: what ended is collected, what runs is adopted, nothing runs twice.")
        self._say("Meanwhile the connection to a host is cut.")
        self._run("resume", seen=_Counter(lambda line: " done " in line or " launch " in line).once(self._cut))
        self._say("Eight of nine are done. Why not the ninth?")
        from sshjobs.cli.app import COMMANDS

        if "why" in COMMANDS:
            self._run("why")
        else:
            self._run("logs", "train-3", "--stderr")
        self._say("And what came of it, as a table:")
        self._run("table", "--columns", "job,lr,seed,outcome,loss,host", "--sort", "loss")
        self._say("That was it. Next: sshjobs init, or sshjobs help jobfile.")

    def clean_up(self) -> None:
        """End what is left, also after Ctrl-C."""
        with contextlib.suppress(_OverError):
            self._kill()
            self._deadline = time.monotonic() + CLEANING_S
            if (self._directory / "results").is_dir():
                self._run("cancel", "--all", quiet=True)
        shutil.rmtree(self._directory / "home", ignore_errors=True)

    def _say(self, text: str) -> None:
        click.echo(f"# {text}")

    def _run(self, *words: str, until: Callable[[str], bool] | None = None, seen: Callable[[str], object] | None = None,
             quiet: bool = False) -> None:
        """Carry out a command and show what it prints.

        :param until: asked with each line; where it is true, the process is killed
        :param seen: told each line
        """
        if not quiet:
            click.echo(f"$ sshjobs {shlex.join(words)}")
        process = self._live = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path=sys.path), *words], cwd=self._directory, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        late = threading.Timer(max(0.1, self._deadline - time.monotonic()), process.kill)
        late.start()
        assert process.stdout is not None
        try:
            for line in process.stdout:
                text = printable(line.decode("utf-8", "replace").rstrip("\n"))
                if not quiet:
                    click.echo(f"  {text}")
                if seen is not None:
                    seen(text)
                if until is not None and until(text):
                    break
            if until is not None:
                process.kill()
            process.wait()
        finally:
            late.cancel()
            process.stdout.close()
            self._live = None if process.poll() is not None else process
        if time.monotonic() >= self._deadline:
            raise _OverError

    def _kill(self) -> None:
        if self._live is not None and self._live.poll() is None:
            self._live.kill()
            self._live.wait()

    def _cut(self) -> None:
        """Cut a connection of the manager that is at work: its other end here is a child of it."""
        if self._live is None:
            return
        with contextlib.suppress(OSError, IndexError):
            pid = self._live.pid
            child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
            os.kill(child, signal.SIGKILL)


class _Counter:
    """Counts lines of a kind."""

    def __init__(self, kind: Callable[[str], bool]):
        self._kind, self._count = kind, 0

    def reaches(self, number: int) -> Callable[[str], bool]:
        """Return what tells of each line whether there were so many with it."""
        def told(line: str) -> bool:
            self._count += self._kind(line)
            return self._count >= number
        return told

    def once(self, act: Callable[[], None]) -> Callable[[str], None]:
        """Return what acts with the first of them."""
        reached = self.reaches(1)

        def told(line: str) -> None:
            if self._count == 0 and reached(line):
                act()
        return told
