"""``top`` on a large run, measured key by key: ``python -m tests.tui.scale [JOBS]``."""

from __future__ import annotations

import asyncio
import os
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.tui.app import Top
from tests.cli.terminal import Terminal
from tests.conftest import sshjobs_argv
from tests.web.scale import make_big

#: Seconds that the answer to a key may take, and bytes of memory that the process may have.
MOST_SECONDS, MOST_MEMORY = 0.3, 250 << 20
#: What is pressed, or typed behind ``:`` or ``/``.
KEYS = ("end", "pageup", "home", "pagedown", "down", *(f":sort {sign}{name}" for name in ("name", "state", "host", "seconds", "number") for sign in ("", "-")),
        "end", "home", "/77", "/nothing-of-the-kind", "/state=error", "end", "/state=error host=h050", "/lr=0.3", "end", "/lr=0.3 batch=13 state=done", "/seed={middle}",
        "/", ":sort number", "2", ":sort -failed", "enter", "escape", "3", "enter", "escape", "4", "enter", "escape", "1", ":logs job-{middle}", "1", "end")


class Counted:
    """How many rows were read of stores."""

    def __init__(self) -> None:
        self.rows = 0


@contextmanager
def counted_rows() -> Iterator[Counted]:
    """Count the rows that all readers of stores read during the block."""
    found, really = Counted(), RunReader._all

    def count(reader: RunReader, name: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        rows = really(reader, name, parameters)
        found.rows += len(rows)
        return rows

    RunReader._all = count  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        RunReader._all = really  # type: ignore[method-assign]


async def settled(pilot: Any) -> None:
    """Return once what was asked for is on the screen."""
    app = pilot.app
    await pilot.pause()
    while app._looking or app._again:
        await asyncio.sleep(0.001)
    await pilot.pause()


async def answer(pilot: Any, key: str) -> None:
    """Press a key, or type a line and press Enter; return once the answer is on the screen."""
    if key[0] in ":/":
        await pilot.press(key[0])
        pilot.app.query_one("#line").value = key[1:]
        key = "enter"
    await pilot.press(key)
    await settled(pilot)


def open_top(paths: RunPaths, act: Callable[[Top, Any], Awaitable[None]], size: tuple[int, int] = (120, 50)) -> None:
    """Open ``top`` on a run and do something with it."""
    async def go() -> None:
        app = Top(paths, lambda request: {}, lambda names: None)
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await act(app, pilot)
            await app._watch.close()

    asyncio.run(go())


def measure(paths: RunPaths, jobs: int) -> list[tuple[str, float, int]]:
    """Return for each key what it took, in seconds and in rows that were read."""
    found: list[tuple[str, float, int]] = []

    async def act(app: Top, pilot: Any) -> None:
        with counted_rows() as counted:
            for key in ("end", "/state=error", "/"):
                # Before the run was read.
                began, before = time.perf_counter(), counted.rows
                await answer(pilot, key)
                found.append((f"at once: {key}", time.perf_counter() - began, counted.rows - before))
            began = time.perf_counter()
            while not (app._watch.index.complete and app._watch._filling is not None and app._watch._filling.done()):
                await asyncio.sleep(0.05)
            found.append(("(the run is read, beside all that)", time.perf_counter() - began, counted.rows))
            for key in KEYS:
                key = key.format(middle=jobs // 2)
                began, before = time.perf_counter(), counted.rows
                await answer(pilot, key)
                found.append((key, time.perf_counter() - began, counted.rows - before))

    open_top(paths, act)
    return found


def opens(paths: RunPaths) -> float:
    """Return the seconds from the command to its first list."""
    began = time.perf_counter()
    with Terminal(sshjobs_argv(["top", "--results", str(paths.root.parent), paths.name]), paths.root.parent, columns=120, rows=50) as terminal:
        terminal.read_until(lambda text: "job-1 " in text, 60)
        took = time.perf_counter() - began
        terminal.press(b"q")
        terminal.read_to_end()
    return took


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as work:
        small, paths = make_big(Path(work) / "small", 100), make_big(Path(work) / "large", jobs)
        print(f"{shlex.join(sys.argv[1:]) or jobs}: load {os.getloadavg()[0]:.1f}")
        print(f"opens in {min(opens(paths) for _ in range(3)):.2f} s, a run of 100 jobs in {min(opens(small) for _ in range(3)):.2f} s")
        for key, seconds, rows in measure(paths, jobs):
            print(f"{key:40} {seconds * 1000:8.1f} ms {rows:9,} rows" + (" !" if seconds > MOST_SECONDS and key[0] != "(" else ""))
        print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
