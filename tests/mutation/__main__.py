"""Hunts mutants, two at a time, each in a copy of the tree, and writes down what became of each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from tests.house.source import ROOT
from tests.mutation.covering import suites_for
from tests.mutation.mutants import Mutant, mutated, sample

#: Seconds for one test, and for all tests of a mutant: one that makes a test hang is noticed too.
TEST_LIMIT, LIMIT = 60, 600
RECORD = Path(os.environ.get("SSHJOBS_MUTATION_RECORD", "/var/tmp/sshjobs-mutation.jsonl"))


@contextmanager
def copies(number: int) -> Iterator[SimpleQueue[Path]]:
    """Make copies of the tracked files for the block."""
    free: SimpleQueue[Path] = SimpleQueue()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    with tempfile.TemporaryDirectory(prefix="sshjobs-mutation-") as top:
        for n in range(number):
            copy = Path(top) / str(n)
            for name in filter(None, files):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name)
            free.put(copy)
        yield free


def hunt(mutant: Mutant, free: SimpleQueue[Path]) -> dict[str, object]:
    """Put a fault into a copy, and tell which of the tests noticed."""
    copy = free.get()
    began, fate, noticed = time.monotonic(), "survived", None
    try:
        (copy / mutant.path).write_text(mutated(mutant), encoding="utf-8")
        for tests in suites_for(mutant.path):
            left = LIMIT - (time.monotonic() - began)
            if left <= 0:
                break
            fate = _try(copy, tests, left)
            if fate != "survived":
                noticed = tests
                break
    finally:
        shutil.copy(ROOT / mutant.path, copy / mutant.path)
        free.put(copy)
    return {"mutant": mutant.name, "fate": fate, "by": noticed, "seconds": round(time.monotonic() - began, 1)}


def _try(copy: Path, tests: str, seconds: float) -> str:
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout", str(TEST_LIMIT), tests]
    with subprocess.Popen(command, cwd=copy, env={**environ, "PYTHONPATH": str(copy)}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as running:
        try:
            return "survived" if running.wait(seconds) == 0 else "killed"
        except subprocess.TimeoutExpired:
            running.kill()
            return "timeout"


def known(record: Path) -> dict[str, dict[str, object]]:
    """Return what became of the mutants that were hunted already, by name."""
    if not record.exists():
        return {}
    lines = map(json.loads, record.read_text(encoding="utf-8").splitlines())
    return {line["mutant"]: line for line in lines}


def report(mutants: list[Mutant], found: dict[str, dict[str, object]]) -> str:
    """Return in words how many were noticed, and which were not."""
    fates = [found[mutant.name] for mutant in mutants if mutant.name in found]
    counts = Counter(str(line["fate"]) for line in fates)
    noticed = counts["killed"] + counts["timeout"]
    share = 100 * noticed / len(fates) if fates else 0.0
    return "\n".join([f"{len(fates)} of {len(mutants)} mutants tried: {noticed} noticed ({share:.1f} %), "
                      f"{counts['timeout']} of them by a limit", *sorted(
                          str(line["mutant"]) for line in fates if line["fate"] == "survived")])


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--mutants", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further one after that")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    print(f"seed {given.seed}, record {RECORD}", flush=True)
    mutants = sample(given.mutants, given.seed)
    if not given.report:
        found, until = known(RECORD), time.monotonic() + 60 * given.minutes
        with copies(given.jobs) as free, ThreadPoolExecutor(given.jobs) as pool, RECORD.open("a", encoding="utf-8") as file:
            def one(mutant: Mutant) -> None:
                if time.monotonic() < until:
                    file.write(json.dumps(hunt(mutant, free)) + "\n")
                    file.flush()

            list(pool.map(one, [mutant for mutant in mutants if mutant.name not in found]))
    print(report(mutants, known(RECORD)))


if __name__ == "__main__":
    main()
