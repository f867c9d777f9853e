"""Hunts mutants, each in a copy of the tree, and writes down what became of each."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.house.source import ROOT
from tests.mutation.covering import Covered, note
from tests.mutation.mutants import Mutant, found_again, mutated
from tests.mutation.record import Record
from tests.mutation.report import told, written

#: A test may take so many seconds, and so many times what it took when it was noted, before it counts as stopped by a limit.
GRACE_S, TIMES = 40.0, 6
#: A limit tells of a fault only where the same tests take less than this part of it without the fault.
PART = 0.25
#: Tests that wait for no other process and no clock, so that they fail for nothing but the fault.
ALONE = ("tests/core/", "tests/store/", "tests/sim/", "tests/network/test_frames.py", "tests/network/test_link.py")


def copied(top: Path) -> Path:
    """Copy all that git keeps, and what is new beside it."""
    files = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    for name in filter(None, files.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, top / name)
    return top


class Copy:
    """A copy of the tree with a worker that carries out tests in it."""

    def __init__(self, top: Path):
        self.top = top

    def __enter__(self) -> Copy:
        environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")}
        self.worker = subprocess.Popen([sys.executable, "-m", "tests.mutation.worker"], cwd=self.top, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, env={**environ, "PYTHONPATH": str(self.top), "PYTHONHASHSEED": "0"})
        return self

    def __exit__(self, *_: object) -> None:
        assert self.worker.stdin is not None and self.worker.stdout is not None
        self.worker.stdin.close()
        self.worker.stdout.close()
        self.worker.wait()

    def put(self, path: str, text: str) -> None:
        """Give a file another text; what was compiled from it goes, since that is found by a time of whole seconds."""
        (self.top / path).write_text(text, encoding="utf-8")
        Path(importlib.util.cache_from_source(str(self.top / path))).unlink(missing_ok=True)

    def tried(self, tests: Sequence[str], longest: float, total: float) -> dict[str, Any]:
        """Carry out tests up to the first that fails; see :mod:`tests.mutation.worker`."""
        assert self.worker.stdin is not None and self.worker.stdout is not None
        asked = {"tests": tests, "each": GRACE_S + TIMES * longest, "all": GRACE_S + TIMES * total}
        self.worker.stdin.write(json.dumps(asked).encode() + b"\n")
        self.worker.stdin.flush()
        answer: dict[str, Any] = json.loads(self.worker.stdout.readline())
        return {**answer, "each": asked["each"]}


def hunt(mutant: Mutant, copy: Copy, tests: Sequence[str], seconds: dict[str, float]) -> dict[str, Any]:
    """Put a fault into a copy, and tell which of the tests noticed."""
    began = time.monotonic()
    source = (copy.top / mutant.path).read_text(encoding="utf-8")
    left, fate = list(tests), dict[str, Any](fate="survived", tests=len(tests))
    while left:
        times = [seconds.get(name, 20.0) for name in left]
        copy.put(mutant.path, mutated(mutant, copy.top))
        try:
            first = copy.tried(left, max(times), sum(times))
        finally:
            copy.put(mutant.path, source)
        failed = first["failed"]
        if first["status"] == 0:
            break
        if _tells(first, copy, left, times):
            fate.update(fate="limit" if first["limit"] else "killed", by=failed)
            break
        fate["failed_without"] = failed
        # Those before it have passed, and those behind it were not tried yet.
        left = left[left.index(failed) + 1:] if failed in left else []
    return {**fate, "seconds": round(time.monotonic() - began, 1)}


def _tells(first: dict[str, Any], copy: Copy, tests: Sequence[str], times: Sequence[float]) -> bool:
    """Return whether a failure tells of the fault: what fails without it too, or takes long then, does not."""
    failed = first["failed"]
    if str(failed).startswith(ALONE) and not first["limit"]:
        return True
    # Of a file that cannot be imported one test is enough.
    those = [failed] if failed in tests else [name for name in tests if name.startswith(f"{failed}::")][:1] or tests
    again = copy.tried(those, max(times), sum(times))
    return again["status"] == 0 and not (first["limit"] and again["seconds"] > PART * first["each"])


@contextmanager
def copies(number: int) -> Iterator[SimpleQueue[Copy]]:
    """Make copies of the tree for the block, each with its worker."""
    free: SimpleQueue[Copy] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="sshjobs-mutation-") as top, ExitStack() as stack:
        for n in range(number):
            free.put(stack.enter_context(Copy(copied(Path(top) / str(n)))))
        yield free


def hunted(record: Record, mutants: Sequence[Mutant], tests: Sequence[str], jobs: int, until: float) -> None:
    """Hunt mutants of a record.

    :param tests: what to try instead of what covers the fault's line
    """
    covered = Covered(record.lines, record.source)
    with copies(jobs) as free, ThreadPoolExecutor(jobs) as pool:
        def one(mutant: Mutant) -> None:
            if time.monotonic() > until:
                return
            copy = free.get()
            try:
                now = found_again(mutant, record.source(mutant.path), (copy.top / mutant.path).read_text(), copy.top)
                if now is None:
                    record.add(mutant, {"fate": "gone"})
                    return
                chosen = tests or covered.tests(mutant)
                record.add(mutant, hunt(now, copy, chosen, covered.seconds))
            finally:
                free.put(copy)

        list(pool.map(one, mutants))


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--mutants", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further one after that")
    parser.add_argument("--record", type=Path, default=ROOT / "build" / "mutation", help="directory to go on with")
    parser.add_argument("--cover", action="store_true", help="only note which tests cover which lines, where that is not done yet")
    parser.add_argument("--survivors", nargs="+", metavar="TEST", help="try these tests on those that no test has noticed")
    parser.add_argument("--report", action="store_true", help="hunt nothing, tell how it stands")
    parser.add_argument("--page", action="store_true", help="keep the figures for docs/reliability.md")
    given = parser.parse_args()
    record = Record(given.record.resolve(), given.mutants, given.seed)
    if not (given.report or given.page):
        if not given.survivors:
            with tempfile.TemporaryDirectory(prefix="sshjobs-mutation-") as top:
                note(copied(Path(top)), record.lines)
        fates = record.fates()
        again = {name for name, line in fates.items() if line["fate"] == "survived"}
        todo = [mutant for mutant in record.mutants if (mutant.name in again if given.survivors else mutant.name not in fates)]
        if not given.cover:
            hunted(record, todo, given.survivors or [], given.jobs, time.monotonic() + 60 * given.minutes)
    print(told(record))
    if given.page:
        written(record, given.seed)


if __name__ == "__main__":
    main()
