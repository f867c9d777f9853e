"""What the live view costs: ``python -m tests.benchmarks.live --hosts 1000 --seconds 60``.

Plays a run on made-up hosts, eight slots each, at some events a second, into the view on a terminal of 200 × 50 that is
drawn twice a second, with forecasts from the store of a large run that is half done, and prints the processor time that this
process took, less that of playing the same without a view.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pty
import resource
import sqlite3
import struct
import tempfile
import termios
import threading
import time
from pathlib import Path

from sshjobs.planning.expected import expected_of
from sshjobs.store.rundir import RunPaths
from sshjobs.views import live
from sshjobs.views.base import Output, View
from tests.cli import story
from tests.web.scale import make_big


class _Nothing(View):
    def __call__(self, event: dict[str, object]) -> None:
        return None

    def close(self) -> None:
        return None


def play(view: View, hosts: int, seconds: float, ends: int) -> float:
    """Return the processor seconds that a run takes whose jobs end so many times a second."""
    names = [f"node-{n:04}" for n in range(hosts)]
    view(story.run(10_000_000, names))
    for name in names:
        view({**story.up(name), "slots": 8})
    for n in range(8 * hosts):
        view(story.launch(f"fit-{n}", names[n % hosts]))
        view(story.change("started", f"fit-{n}", names[n % hosts]))
    began, before, n = time.monotonic(), _used(), 0
    while (passed := time.monotonic() - began) < seconds:
        while n < passed * ends:
            host = names[n % hosts]
            view((story.failed if n % 50 == 0 else story.done)(f"fit-{n}", host))
            view(story.launch(f"fit-{n + 8 * hosts}", host))
            view(story.change("started", f"fit-{n + 8 * hosts}", host))
            n += 1
        time.sleep(0.05)
    return _used() - before


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _terminal() -> int:
    """Return a terminal that somebody reads; what it gets is thrown away."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))

    def drain() -> None:
        with contextlib.suppress(OSError):
            while os.read(master, 1 << 20):
                pass

    threading.Thread(target=drain, daemon=True).start()
    return slave


def half_done(results: Path, jobs: int) -> RunPaths:
    """Make a run of so many jobs of which half have ended."""
    paths = make_big(results, jobs)
    connection = sqlite3.connect(paths.store)
    with connection:
        connection.execute("DELETE FROM attempts WHERE job > ?", (jobs // 2,))
        connection.execute("UPDATE jobs SET state = 'free', outcome = NULL, exit_status = NULL, host = NULL WHERE number > ?", (jobs // 2,))
        connection.execute("DELETE FROM counts")
        connection.execute("INSERT INTO counts SELECT state, coalesce(outcome, ''), count(*) FROM jobs GROUP BY 1, 2")
        connection.execute("UPDATE run SET state = 'running'")
    connection.close()
    return paths


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ends", type=int, default=50, help="jobs that end in a second")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="of the store that forecasts are made from")
    given = parser.parse_args()
    os.environ["TERM"] = "xterm-256color"
    plain = play(_Nothing(), given.hosts, given.seconds / 4, given.ends) * 4
    forecasts: list[object] = []
    with tempfile.TemporaryDirectory() as work, open(_terminal(), "w", encoding="utf-8") as stream:
        store = half_done(Path(work), given.jobs)

        def expect(paths: RunPaths) -> tuple[float, float]:
            told = expected_of(store)
            assert told is not None
            forecasts.append(told)
            return told.p50, told.p90

        view = live.LiveView(Output(stream, print), handle=lambda paths: paths.name, expect=expect)
        live.SLOWEST = live.FASTEST
        seen = play(view, given.hosts, given.seconds, given.ends)
        view.close()
    print(f"{given.hosts} hosts, {given.ends} ends a second, twice drawn a second for {given.seconds:.0f} s, {len(forecasts)} forecasts of "
          f"{given.jobs:,} jobs: {seen - plain:.2f} s of processor, {100 * (seen - plain) / given.seconds:.2f} % of a core (the play itself: {plain:.2f} s)")


if __name__ == "__main__":
    main()
