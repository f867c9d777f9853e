"""What the pages cost while a run goes on: ``python -m tests.web.load [JOBS]``. Takes some five minutes, on a machine that does
nothing else.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sshjobs import JobSpec, Run
from tests.web.scale import Server, server

#: The marks: a share of a core, and how many times as long a run may take.
MOST_CPU, MOST_LONGER = 0.10, 1.05
READERS, JOBS, SLOTS, NAP = 50, 10_000, 8, 0.05


def read(address: str, token: str, number: int) -> None:
    """Be so many browsers that follow the run, each told of it once a second, until this process is ended. What is told is not looked at: browsers
    are on machines of their own."""
    host = address.partition("//")[2]
    name, _, port = host.rpartition(":")
    words = f"GET /api/runs/load-1/events?every=1 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    with selectors.DefaultSelector() as selector:
        def connect() -> None:
            one = socket.create_connection((name, int(port)))
            one.sendall(words)
            selector.register(one, selectors.EVENT_READ, one)

        for _ in range(number):
            connect()
        while True:
            for key, _ in selector.select():
                data = key.data.recv(1 << 16)
                # Before the run begins there is none of that name.
                if not data or data.startswith(b"HTTP/1.1 404"):
                    selector.unregister(key.data)
                    key.data.close()
                    time.sleep(0.02)
                    connect()


@contextmanager
def readers(served: Server, number: int) -> Iterator[None]:
    """Let a process of its own be so many browsers for the block."""
    with subprocess.Popen([sys.executable, "-m", "tests.web.load", "read", served.address, served.token, str(number)]) as process:
        try:
            yield
        finally:
            process.kill()


def carried_out(results: Path, name: str, jobs: int) -> float:
    """Return how long a run takes."""
    began = time.perf_counter()
    specs = [JobSpec([f"sleep {NAP}"], name="nap").named(f"nap-{n}", n) for n in range(1, jobs + 1)]
    assert Run.start(specs, [f"localhost local slots={SLOTS}"], results=results, name=name).wait(3600) == 0
    return time.perf_counter() - began


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as work:
        alone = Path(work) / "alone"
        seconds = carried_out(alone, "load-1", jobs)
        print(f"{jobs:,} jobs of {NAP} s on {SLOTS} slots: {seconds:.1f} s; load {os.getloadavg()[0]:.1f}")
        results = Path(work) / "seen"
        with server(results) as served, readers(served, READERS):
            began, cpu = time.perf_counter(), served.cpu()
            watched = carried_out(results, "load-1", jobs)
            share = (served.cpu() - cpu) / (time.perf_counter() - began)
            print(f"the same with {READERS} browsers: {watched:.1f} s, {watched / seconds:.3f} x as long (at most {MOST_LONGER}); "
                  f"the server takes {share:.1%} of a core (at most {MOST_CPU:.0%}), {served.status('VmRSS') >> 20} MiB; "
                  f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        read(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
