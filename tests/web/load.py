"""What the pages cost while a run goes on: ``python -m tests.web.load``. Takes some five minutes, on a machine that does
nothing else.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import httpx

from sshjobs import JobSpec, Run
from tests.web.scale import Server, server

#: What issue 10 asks for: a share of a core, and how many times as long a run may take.
MOST_CPU, MOST_LONGER = 0.10, 1.05
READERS, JOBS, SLOTS, NAP = 50, 10_000, 8, 0.05


def readers(served: Server, number: int, over: threading.Event) -> list[threading.Thread]:
    """Let so many browsers follow the run; each is told of it once a second."""
    def read() -> None:
        with served.client() as client:
            while not over.is_set():
                try:
                    with client.stream("GET", "/api/runs/load-1/events?every=1") as stream:
                        for _ in stream.iter_raw():
                            if over.is_set():
                                return
                except httpx.TransportError:
                    over.wait(0.2)

    threads = [threading.Thread(target=read, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def carried_out(results: Path, name: str, jobs: int) -> float:
    """Return how long a run takes."""
    began = time.perf_counter()
    specs = [JobSpec([f"sleep {NAP}"], name="nap").named(f"nap-{n}", n) for n in range(1, jobs + 1)]
    assert Run.start(specs, [f"localhost local slots={SLOTS}"], results=results, name=name).wait(3600) == 0
    return time.perf_counter() - began


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as work:
        alone = Path(work) / "alone"
        seconds = carried_out(alone, "load-1", JOBS)
        print(f"{JOBS:,} jobs of {NAP} s on {SLOTS} slots: {seconds:.1f} s; load {os.getloadavg()[0]:.1f}")
        results, over = Path(work) / "seen", threading.Event()
        with server(results) as served:
            threads = readers(served, READERS, over)
            began, cpu = time.perf_counter(), served.cpu()
            watched = carried_out(results, "load-1", JOBS)
            share = (served.cpu() - cpu) / (time.perf_counter() - began)
            print(f"the same with {READERS} browsers: {watched:.1f} s, {watched / seconds:.3f} x as long (at most {MOST_LONGER}); "
                  f"the server takes {share:.1%} of a core (at most {MOST_CPU:.0%}), {served.status('VmRSS') >> 20} MiB")
            over.set()
        for thread in threads:
            thread.join(20)


if __name__ == "__main__":
    main()
