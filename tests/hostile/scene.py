"""Runs with hostile hosts among honest ones, all of them on this machine, and what they cost the manager."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import cli_environment, sshjobs_argv
from tests.hostile.far_side import WELCOME, line, out

#: How long a test waits for what must come before it fails.
PATIENCE = 120.0
FAR_SIDE = Path(__file__).with_name("far_side.py")
#: The attempt of the first job that only a hostile host may run.
UID = "1.1"
#: What is said again and again: each type of frame, of an attempt that is there and of others. ``@``: a number that grows.
FRAMES: dict[str, bytes] = {
    "welcome": line(WELCOME),
    "stale": line({"t": "stale", "epoch": 1}),
    "refused": line({"t": "refused", "kind": "disk-full", "why": "no room", "hint": "make room"}),
    "state": line({"t": "state", "id": "@.1", "s": "running"}),
    "absent": line({"t": "state", "id": UID, "s": "absent"}),
    "running": line({"t": "state", "id": UID, "s": "running"}),
    "started": line({"t": "started", "id": "@.1", "pid": 12, "at": 1.5}),
    "started-again": line({"t": "started", "id": UID, "pid": 12, "at": 1.5}),
    "out": out(b"", uid="@.1"),
    "out-of-order": out(b"\n", uid=UID, off=7),
    "nothing": out(b"", uid=UID),
    "ended": line({"t": "ended", "id": "@.1", "why": "exited", "status": 0, "out": 0, "err": 0}),
    "ended-again": line({"t": "ended", "id": UID, "why": "exited", "status": 0, "out": 0, "err": 0}),
    "stuck": line({"t": "stuck", "id": "@.1", "pids": [12, 13]}),
    "long-stuck": line({"t": "stuck", "id": "@.1", "pids": [12] * 200_000}),
    "warn": line({"t": "warn", "msg": "this is number @"}),
    "long-warn": line({"t": "warn", "msg": "x" * 100_000 + "@"}),
    "pong": line({"t": "pong", "seq": 0}),
    "lack": line({"t": "lack", "shas": ["0" * 64]}),
    "lease": line({"t": "lease", "at": 1.5}),
    "clearing": line({"t": "clearing", "pieces": 7}),
    "gone": line({"t": "gone", "processes": 1, "files": 2}),
    "error": line({"t": "error", "msg": "it does not understand"}),
}


@dataclass
class Cost:
    """What a run was like.

    :ivar seconds: until every job of the honest hosts was done
    :ivar resident: most memory that the manager had, in bytes
    :ivar heard: seconds from the first Ctrl-C to the manager's end
    """

    code: int
    printed: str
    seconds: float
    resident: int
    heard: float

    def lines_of(self, host: str) -> list[str]:
        """Return what was printed that names a host."""
        return [text for text in self.printed.splitlines() if host in text.split() or f"{host}:" in text]


def hostile_host(directory: Path, name: str, scenario: str, said: bytes = b"", *more: str) -> str:
    """Return the line of a hosts file for a host that plays a scenario of the far side."""
    program, words = directory / f"far-{name}", directory / f"said-{name}"
    words.write_bytes(said)
    word = words if said else ""
    program.write_text(f"#!/bin/sh\nexec python3 {FAR_SIDE} {scenario} {word} {' '.join(more)}\n")
    program.chmod(0o755)
    return f"{name} python={program} slots=2"


def flood(frame: str) -> bytes:
    """Return what a host says that repeats a frame of :data:`FRAMES`."""
    return line(WELCOME) + FRAMES[frame]


class _Manager:
    """A manager at work, and what it printed."""

    def __init__(self, directory: Path):
        environment = {**os.environ, **cli_environment(), "HOME": str(directory / "home")}
        self._told = directory / "told"
        with open(self._told, "w") as output:
            self.process = subprocess.Popen(
                sshjobs_argv(["run", "jobs.yaml", "--hosts", "hosts.txt", "--transport", "local"]), cwd=directory,
                env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        self.resident = 0

    def printed(self) -> str:
        return self._told.read_text(errors="replace")

    def has_printed(self, word: str) -> bool:
        return word in self.printed()

    def ended(self) -> bool:
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.resident = usage.ru_maxrss * 1024
        return self.process.returncode is not None

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Wait until something is so, or the manager has ended."""
        deadline = time.monotonic() + PATIENCE
        while not self.ended() and not done():
            assert time.monotonic() < deadline, f"not after {PATIENCE:.0f} s; it printed:\n{self.printed()[-3000:]}"
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Press Ctrl-C until it leaves. Two that come at once are one, so each waits until it was heard."""
        for word in ("waiting for what runs", "cancelling what runs", "\0"):
            if not self.ended():
                self.process.send_signal(signal.SIGINT)
                self.wait_for(functools.partial(self.has_printed, word))


def run_among(directory: Path, hostile: list[str], *, jobs: int = 30, named: Iterable[str] = ()) -> Cost:
    """Run jobs on two honest hosts, and one on each hostile one; leave by Ctrl-C when the former are done.

    :param hostile: lines of a hosts file
    :param named: hosts that are to be told as away or blocked before we leave
    """
    names = [host.split()[0] for host in hostile]
    (directory / "hosts.txt").write_text("".join(f"{host}\n" for host in (*hostile, "honest1", "honest2")))
    (directory / "jobs.yaml").write_text(
        f"jobs:\n- {{name: there, per_host: true, commands: sleep 0.1, hosts: [{', '.join(names)}]}}\n"
        f"- {{name: here, repeat: {jobs}, commands: sleep 0.1, hosts: [honest1, honest2]}}\n")
    (directory / "home").mkdir(exist_ok=True)
    began = time.monotonic()
    manager = _Manager(directory)

    def ready() -> bool:
        text = manager.printed()
        return text.count("done   here") >= jobs and all(
            re.search(rf"(away|blocked) +{name}: ", text) for name in named)
    try:
        manager.wait_for(ready)
        assert ready(), f"it ended with {manager.process.returncode}:\n{manager.printed()[-3000:]}"
        seconds, left = time.monotonic() - began, time.monotonic()
        manager.interrupt()
    finally:
        if not manager.ended():
            manager.process.kill()
            manager.process.wait()
    return Cost(manager.process.returncode, manager.printed(), seconds, manager.resident, time.monotonic() - left)
