"""Fixtures for every test: hosts over real ssh, a clean home, our command."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.lab import BaseLab, Lab, LabHost, LoopbackLab, open_lab
from tests.lab.needed import needed_lab

#: Variables of the user who runs the tests that would change what a command does or prints.
PERSONAL = ("SSH_AUTH_SOCK", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
#: Variables that have Python do otherwise than at a user's: what is never buffered cannot be flushed too late.
OF_PYTHON = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")
REPOSITORY = Path(__file__).parents[1]

# Before anything is started: all that tests start has them from here.
for _name in OF_PYTHON:
    os.environ.pop(_name, None)

# Nor do the settings of the user who runs the tests count.
os.environ["SSHJOBS_CONFIG"] = os.devnull
#: Where runs agree on what each holds of a host. Each process that runs tests is a machine by itself.
SHARED = f"/tmp/sshjobs-test-shared-{os.getpid()}"
os.environ["SSHJOBS_SHARED"] = SHARED
_numbers = itertools.count(1)

# Under env -i there is none. What tests start would look in two directories only.
os.environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")

# A shell that starts the tests in the background has them, and with them all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So has nohup, of the end of the terminal.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Who starts the tests may hold signals back, and all that is started from here would inherit that.
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})


class SshjobsCli(Protocol):
    """See :func:`sshjobs_cli`."""

    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_of_sharing() -> Iterator[None]:
    """What tests that kill agents leave where runs agree is removed."""
    yield
    for left in (SHARED, *glob.glob(f"{SHARED}-*")):
        shutil.rmtree(left, ignore_errors=True)


@pytest.fixture(scope="session")
def lab() -> Iterator[BaseLab]:
    """Four hosts for tests that leave hosts as they found them; made when first asked for."""
    with open_lab(hosts=4) as made:
        yield made


@pytest.fixture
def lab_host(lab: BaseLab) -> LabHost:
    """One of the hosts of ``lab``."""
    return lab.hosts[0]


@pytest.fixture
def fresh_lab() -> Iterator[Callable[..., Lab]]:
    """Make labs for one test that may damage them: ``fresh_lab(hosts=2, options=HostOptions(…))``.

    Takes what :class:`tests.lab.Lab` takes. Where this machine allows no such hosts the test is skipped,
    but never for root: there it is an error.
    """
    made: list[Lab] = []

    def make(hosts: int = 1, **more: Any) -> Lab:
        new = needed_lab(hosts, **more)
        made.append(new)
        new.start()
        return new

    yield make
    for old in made:
        old.close()


@pytest.fixture
def loopback_lab() -> Iterator[Callable[..., LoopbackLab]]:
    """Make labs of sshd processes on loopback addresses, as the present user."""
    made: list[LoopbackLab] = []

    def make(hosts: int = 1, **more: Any) -> LoopbackLab:
        made.append(LoopbackLab(hosts, **more))
        made[-1].start()
        return made[-1]

    yield make
    for old in made:
        old.close()


@pytest.fixture
def clean_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home, which HOME names; no setting of the user who runs the tests is seen, and no run of another test.
    """
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for name in list(os.environ):
        if name.startswith(("XDG_", "SSHJOBS_")) or name in PERSONAL:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    shared = f"{SHARED}-{next(_numbers)}"
    monkeypatch.setenv("SSHJOBS_SHARED", shared)
    yield home
    shutil.rmtree(shared, ignore_errors=True)


@pytest.fixture
def sshjobs_cli(clean_home: Path, tmp_path: Path) -> SshjobsCli:
    """Run our command as users do, in a process of its own: ``sshjobs_cli("run", "jobs.yaml", cwd=…)``.

    ``cwd`` is the test's own directory when it is left out; ``env`` is added to the environment. When
    ``timeout`` seconds are over the process is killed and ``subprocess.TimeoutExpired`` raised.
    """

    def call(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            sshjobs_argv(arguments),
            cwd=cwd or tmp_path,
            env={**os.environ, **cli_environment(), **(env or {})},
            input="" if input is None else input,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call


def sshjobs_argv(arguments: Sequence[str | Path]) -> list[str]:
    """The words that start our command from this checkout."""
    return [sys.executable, "-m", "sshjobs", *map(str, arguments)]


def cli_environment() -> dict[str, str]:
    """What the command needs to be found in this checkout from any directory."""
    return {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1"}
