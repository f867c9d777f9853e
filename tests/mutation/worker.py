"""Carries out tests again and again, each time in a fork of a process that has imported what no fault changes.

Reads one line of JSON for each time from its input, with ``tests``, ``each`` (seconds of one test) and ``all`` (seconds of
processor time), and writes one back: ``status`` of pytest, ``failed`` (the first test that failed), ``limit`` (whether it
ran out of time), ``seconds``.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

#: What tests and the code under test import of others; takes longer than many tests.
WARM = ("hypothesis.stateful", "pytest_mock", "pytest_timeout", "xdist.plugin", "pydantic", "yaml", "rich.live", "click", "asyncio",
        "greenlet", "ClusterShell.NodeSet", "fabric", "sqlite3", "starlette.applications", "httpx")
PR_SET_CHILD_SUBREAPER = 36


class Chosen:
    """A plugin of pytest that carries out what was asked for, in that order, as far as it is there: tests come and go after
    they were noted.

    :param names: of tests, or of files with all that is in them
    """

    def __init__(self, names: Sequence[str]):
        self.names = dict.fromkeys(names)
        self.files = [name for name in dict.fromkeys(name.partition("::")[0] for name in names) if Path(name).exists()]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        place = {name: number for number, name in enumerate(self.names)}
        found = [(place.get(item.nodeid, place.get(item.nodeid.partition("::")[0])), item) for item in items]
        items[:] = [item for _, item in sorted(((at, item) for at, item in found if at is not None), key=lambda pair: pair[0])]


class First:
    """A plugin of pytest that tells the first failure.

    :param tell: a descriptor to write it to
    """

    def __init__(self, tell: int):
        self.tell = tell

    def _told(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            os.write(self.tell, json.dumps([report.nodeid, "Timeout (>" in report.longreprtext]).encode() + b"\n")

    pytest_runtest_logreport = _told
    pytest_collectreport = _told


def once(tests: list[str], each: float, processor: float) -> dict[str, Any]:
    """Carry out tests up to the first that fails."""
    read, write = os.pipe()
    began, pid = time.monotonic(), os.fork()
    if pid == 0:
        os._exit(_in_child(write, tests, each, processor))
    os.close(write)
    ended = os.pidfd_open(pid)
    late = not select.select([ended], [], [], len(tests) * each)[0]
    os.close(ended)
    if late:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    _end_children()
    # By now nobody else holds the other end.
    with open(read, "rb") as told:
        failed, timeout = json.loads(told.readline() or b"[null, false]")
    return {"status": status, "failed": failed, "limit": late or timeout or status == -signal.SIGXCPU,
            "seconds": round(time.monotonic() - began, 1)}


def _in_child(tell: int, tests: list[str], each: float, processor: float) -> int:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    resource.setrlimit(resource.RLIMIT_CPU, (int(processor), int(processor) + 5))
    chosen = Chosen(tests)
    try:
        status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--timeout", str(each), *chosen.files], plugins=[chosen, First(tell)])
        return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else int(status)
    except BaseException:  # noqa: BLE001  (whatever it is, it is not the end of the worker)
        return 70


def _end_children() -> None:
    """Kill what the tests have left: a fault can keep them from ending it."""
    while True:
        found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not found:
            return
        for pid in map(int, found):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in WARM:
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(once(asked["tests"], asked["each"], asked["all"])), flush=True)


if __name__ == "__main__":
    main()
