"""What the live view costs: ``python -m tests.benchmarks.live --hosts 1000 --seconds 60``.

Plays a run on made-up hosts, eight slots each, at some events a second, into the view on a terminal of 200 × 50 that is
drawn twice a second, and prints the processor time that this process took, less that of playing the same without a view.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import resource
import struct
import termios
import threading
import time

from sshjobs.views import live
from sshjobs.views.base import Output, View
from tests.cli import story


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
        while os.read(master, 1 << 20):
            pass

    threading.Thread(target=drain, daemon=True).start()
    return slave


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ends", type=int, default=50, help="jobs that end in a second")
    given = parser.parse_args()
    os.environ["TERM"] = "xterm-256color"
    plain = play(_Nothing(), given.hosts, given.seconds / 4, given.ends) * 4
    with open(_terminal(), "w", encoding="utf-8") as stream:
        view = live.LiveView(Output(stream, print), handle=lambda paths: paths.name)
        live.SLOWEST = live.FASTEST
        seen = play(view, given.hosts, given.seconds, given.ends)
        view.close()
    print(f"{given.hosts} hosts, {given.ends} ends a second, twice drawn a second for {given.seconds:.0f} s: {seen - plain:.2f} s of "
          f"processor, {100 * (seen - plain) / given.seconds:.2f} % of a core (the play itself: {plain:.2f} s)")


if __name__ == "__main__":
    main()
