"""What all benchmarks share: commands timed with what they and their children cost, rounds, and what is told of them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.disk import in_a_mount_namespace, mounted

REPOSITORY = Path(__file__).parents[2]
#: The peers that come from PyPI live in an environment of their own, made by ``make bench``.
PEERS_PYTHON = REPOSITORY / "build" / "bench-venv" / "bin" / "python"
PEERS = Path(__file__).with_name("peers.py")
#: Processes of a benchmark that take longer than this hang.
LIMIT = 900.0
#: Seconds that making a file takes at most where nothing was deleted lately, and how much of the machine's CPU others
#: take at most where it is quiet.
USUAL_PRICE, QUIET = 4e-5, 0.1
#: Seconds that a benchmark waits in all for both, before its rounds.
PATIENCE = 120.0
#: Peers from PyPI whose versions are told.
_PACKAGES = ("fabric", "asyncssh", "distributed", "hyperqueue")


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds by the clock, CPU seconds of it and all the children that it waited for, and CPU
    seconds of all processes of this machine meanwhile (the hosts of a lab are among them)."""

    seconds: float
    cpu: float
    machine: float


@dataclass
class Figure:
    """One line of the table.

    :param figure: what was measured, in words
    :param values: one for each round
    :param unit: of the values
    :param limit: what they should be, ``None`` where the figure only stands beside others
    :param at_least: the limit is the least, not the most, that is good
    """

    figure: str
    values: list[float]
    unit: str
    limit: float | None = None
    at_least: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def passes(self) -> bool | None:
        """Whether the median keeps to the limit."""
        if self.limit is None:
            return None
        return self.median >= self.limit if self.at_least else self.median <= self.limit

    def __str__(self) -> str:
        verdict = {None: "", True: "  ok", False: "  MISSED"}[self.passes]
        bound = "" if self.limit is None else f"  ({'>=' if self.at_least else '<='} {self.limit:g})"
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        return f"{self.figure}: {self.median:.3g} {self.unit} [{spread}]{bound}{verdict}"


@dataclass
class Ledger:
    """The rounds of several contestants, side by side."""

    rounds: list[dict[str, float]] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """The values of one contestant, one a round."""
        return [one[name] for one in self.rounds]

    def ratios(self, name: str, *others: str, best: Callable[[Sequence[float]], float] = max) -> list[float]:
        """One contestant against the best of others, round by round: a machine's mood of the moment cancels out."""
        return [one[name] / best([one[other] for other in others]) for one in self.rounds]


def timed(argv: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None,
          stdout: int | Any = subprocess.DEVNULL, input: bytes | None = None) -> Cost:
    """Run a command to its end.

    :raises RuntimeError: it failed or took too long, so that its time means nothing
    """
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as given:
        given.write(input or b"")
        given.seek(0)
        began, busy = time.perf_counter(), _busy()
        process = subprocess.Popen([str(word) for word in argv], cwd=cwd, env={**os.environ, **(env or {})},
                                   stdin=given, stdout=stdout, stderr=errors)
        with ended_in_time(process):
            _, status, usage = os.wait4(process.pid, 0)
        seconds, busy = time.perf_counter() - began, _busy() - busy
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{shlex.join(map(str, argv))}: exit {process.returncode}: "
                               f"{errors.read()[-2000:].decode(errors='replace')}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, busy)


@contextmanager
def ended_in_time(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process that hangs, so that whoever waits for it in the body goes on."""
    timer = threading.Timer(LIMIT, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _busy() -> float:
    """CPU seconds that this machine has spent since it was started, what another machine took from it left out."""
    user, nice, system, _idle, _waiting, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def sshjobs(*words: str | Path | int) -> list[str]:
    """The words of our command, from this checkout."""
    return [sys.executable, "-m", "sshjobs", *map(str, words)]


def sshjobs_env(home: Path) -> dict[str, str]:
    """What our command needs to be found from any directory, with nothing of the user's own."""
    # Compiled once and not in every run, as an installed program is, whatever the caller has its own Python do.
    return {"PYTHONPATH": str(REPOSITORY), "PYTHONSAFEPATH": "1", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": ""}


def peer(name: str, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> float:
    """Run one contestant of peers.py and return its seconds, its own set-up not counted."""
    done = subprocess.run([str(PEERS_PYTHON), str(PEERS), name, *map(str, words)], capture_output=True, text=True,
                          timeout=LIMIT, env={**os.environ, **(env or {})}, cwd=cwd, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: exit {done.returncode}: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for all rounds of a benchmark, on a disk of its own where that can be had.

    Contestants find it as TMPDIR too.
    """
    with mounted() as directory:
        before, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(directory)
        tempfile.tempdir = None
        try:
            yield directory
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before
            tempfile.tempdir = None


#: How much of the machine's CPU others took just before each round, of 1.
others: list[float] = []


def fresh(work: Path) -> Path:
    """A new directory for one round, when making files costs what it should (where there is no disk of its own) and the
    machine has nothing else to do; or when patience is over."""
    made = Path(tempfile.mkdtemp(dir=work))
    while True:
        taken, price = _taken_by_others(), _price_of_a_file(made)
        if (taken <= QUIET and price <= USUAL_PRICE) or not _waited(2.0):
            others.append(taken)
            return made


_left = PATIENCE


def _waited(seconds: float) -> bool:
    """Wait, unless all the time for that is used up."""
    global _left
    if _left <= 0:
        return False
    _left -= seconds
    time.sleep(seconds)
    return True


def _taken_by_others() -> float:
    """The share of all cores that is busy while this process does nothing."""
    busy, began = _busy(), time.perf_counter()
    time.sleep(0.5)
    return (_busy() - busy) / (time.perf_counter() - began) / (os.cpu_count() or 1)


def _price_of_a_file(directory: Path) -> float:
    """Seconds that it takes to make one, undisturbed."""
    names = [directory / f".{time.monotonic_ns()}-{number}" for number in range(20)]
    prices = []
    for name in names:
        began = time.perf_counter()
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600))
        prices.append(time.perf_counter() - began)
    return min(prices)


def about() -> dict[str, Any]:
    """The machine, the versions and the commit that a figure belongs to."""
    return {"when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "cpu": _cpu(), "cores": os.cpu_count(),
            "kernel": platform.release(), "load": round(os.getloadavg()[0], 1), "commit": _said("git", "describe",
            "--always", "--dirty"), "versions": _versions()}


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=REPOSITORY, timeout=LIMIT, check=False)
    except FileNotFoundError:
        return "absent"
    return ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0]


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "OpenSSH": _said("ssh", "-V").partition(",")[0],
             "parallel": _said("parallel", "--version").rpartition(" ")[2],
             "xargs": _said("xargs", "--version").rpartition(" ")[2],
             "clush": _said("clush", "--version").rpartition(" ")[2],
             "pdsh": _said("pdsh", "-V").partition(" (")[0].removeprefix("pdsh-")}
    if PEERS_PYTHON.exists():
        code = f"from importlib.metadata import version; print(*map(version, {_PACKAGES!r}))"
        versions = _said(str(PEERS_PYTHON), "-c", code).split()
        found.update(zip(_PACKAGES, versions, strict=False))
    return found


def main(module: str, measure: Callable[[int], list[Figure]], rounds: int) -> None:
    """The command line of a benchmark: print its figures, and keep them for the report where that is asked for."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.benchmarks.{module}")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default: {rounds}")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    in_a_mount_namespace()
    before = about()
    tell(module, options.rounds, before, measure(options.rounds), options.json)


def tell(module: str, rounds: int, before: Mapping[str, Any], figures: Sequence[Figure], into: Path | None) -> None:
    """Print figures, and write them to a file where one is named.

    :param before: what :func:`about` said when the benchmark began
    """
    for figure in figures:
        print(figure, flush=True)
    if into is not None:
        told = {"module": module, "rounds": rounds, "about": before, "others": others, "figures": [asdict(one) for one in figures]}
        into.write_text(json.dumps(told, indent=1) + "\n")
