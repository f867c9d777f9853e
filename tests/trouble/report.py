"""``make errnos``: plays every case of the sweep that is not recorded yet for this commit; its figures are in the page.

What was played is in ``build/errnos.jsonl``: a run that was broken off goes on where it ended. Each line of
``tests/trouble/record.jsonl`` is one whole sweep.
"""

from __future__ import annotations

import argparse
import errno
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.trouble import sweep

HERE = Path(__file__).parent
RECORD = HERE / "record.jsonl"
PLAYED = REPOSITORY / "build" / "errnos.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trouble.report", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--cases", type=int, default=None, help="so many, chosen by the seed; all if left out")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    commit = _git("rev-parse", "--short", "HEAD")
    cache = PLAYED.parent / "errnos-cache"
    cache.mkdir(parents=True, exist_ok=True)
    todo = sweep.cases(cache)
    if options.cases is not None:
        todo = sweep.chosen(todo, options.cases, options.seed)
    known: dict[tuple[str, int, str], dict[str, Any]] = {tuple(row["case"]): row for row in _played() if row["commit"] == commit}
    began = time.monotonic()
    print(f"{len(todo)} cases, {sum(case in known for case in todo)} of them played before", flush=True)

    def play(case: tuple[str, int, str]) -> dict[str, Any]:
        if case in known:
            return known[case]
        one = sweep.Case(*case)
        row: dict[str, Any] = {"case": case, "commit": commit, "wrong": one.run(cache), "how": one.how}
        with open(PLAYED, "a") as file:
            file.write(json.dumps(row) + "\n")
        if row["wrong"]:
            print(f"{one}: {row['wrong']}", flush=True)
        return row

    with ThreadPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(play, todo))
    wrong = [row for row in rows if row["wrong"]]
    figures = {"commit": commit, "day": time.strftime("%Y-%m-%d"), "places": len({case[0] for case in todo}),
               "listed": len(sweep.places()), "cases": len(rows), "wrong": len(wrong),
               "how": dict(Counter(str(row["how"]) for row in rows)),
               "errnos": [errno.errorcode[number] for number in sweep.ERRNOS],
               "minutes": round((time.monotonic() - began) / 60, 1), "seed": None if options.cases is None else options.seed}
    with open(RECORD, "a") as file:
        file.write(json.dumps(figures) + "\n")
    print(json.dumps(figures))
    return 1 if wrong else 0


def section() -> str:
    """Return the part of ``docs/reliability.md`` about the sweep, with its heading and the figures of all that are recorded."""
    lines = [(HERE / "found.md").read_text(), "| commit | places reached | cases | went on | waited, then went on | stopped, then resumed | wrong | minutes |",
             "|---|---|---|---|---|---|---|---|"]
    for row in (json.loads(line) for line in RECORD.read_text().splitlines()):
        how = row["how"]
        seed = "" if row["seed"] is None else f", chosen by seed {row['seed']}"
        lines.append(f"| {row['commit']}, {row['day']} | {row['places']} | {row['cases']}{seed} | {how.get('went on', 0)} | "
                     f"{how.get('waited', 0)} | {how.get('stopped', 0)} | {row['wrong']} | {row['minutes']} |")
    return "\n".join(lines) + "\n"


def _played() -> list[dict[str, Any]]:
    if not PLAYED.exists():
        return []
    rows = [json.loads(line) for line in PLAYED.read_text().splitlines()]
    return [{**row, "case": tuple(row["case"])} for row in rows]


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
