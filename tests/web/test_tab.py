"""A tab that is left open: its memory is flat, however many changes it is told of; 1,000 hosts are no more work than ten.

``python -m tests.web.test_tab`` does the same for 1,800 changes, which are 30 minutes of them, and
``python -m tests.web.test_tab clock`` in 30 minutes by the clock, one change a second.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.host import Host
from sshjobs.web.events import Events
from tests.cli.runs import edit
from tests.web.scale import make_big
from tests.web.serving import Served, browser, serving
from tests.web.test_pages import log_in

#: Changes before the first look, and until the second. Bytes that JavaScript may hold more then, and nodes.
BEFORE, CHANGES = 30, 100
MORE_BYTES, MORE_NODES = 600_000, 300
HOSTS, WATCHED = 1_000, 100


async def shortly(self: Events, seconds: float) -> None:
    """Wait for a fiftieth of a second where a second is meant."""
    await asyncio.sleep(seconds / 50)


VIEWS = ("", "&view=job&job=job-1", "&view=jobs", "&view=timeline", "&view=results")


@contextmanager
def watched(results: Path) -> Iterator[tuple[edit, Served]]:
    """A run of 100 jobs on 102 hosts that goes on, and a server of it."""
    with edit(results, "tab-1", [f"job-{n}" for n in range(100)], attended=True) as run:
        run.store.add_hosts([Host(f"h{n}") for n in range(WATCHED)])
        with serving(results) as served:
            yield run, served


def change(run: edit, n: int) -> None:
    """Let ten hosts say how they fare, and a job write."""
    for host in range(n % 10, WATCHED, 10):
        run.store.set_pulse(f"h{host}", {"at": 1e9 + n, "load": n % 7 / 7, "sent": n, "received": n})
    run.wrote(f"job-{n % 100}", b"line\n" * (n % 9), b"")
    run.store.commit()


class Tab:
    """A page that is left open."""

    def __init__(self, served: Served, chromium: Any, view: str):
        self._context = chromium.new_context()
        self.page = log_in(self._context, served)
        self._devtools = self._context.new_cdp_session(self.page)
        self.page.goto(f"{served.address}/?run=tab-1{view}")
        self.page.wait_for_selector("main h1, #totals")
        self.page.evaluate("() => { window.told = 0; const parse = JSON.parse; JSON.parse = (text) => { window.told += 1; return parse(text); }; }")

    def used(self) -> tuple[int, int]:
        """Return how many bytes JavaScript holds and how many nodes there are, once garbage is gone."""
        for _ in range(3):
            self._devtools.send("HeapProfiler.collectGarbage")
        return (int(self._devtools.send("Runtime.getHeapUsage")["usedSize"]),
                int(self._devtools.send("Memory.getDOMCounters")["nodes"]))

    def told(self) -> int:
        """Return how many answers and events it was told."""
        return int(self.page.evaluate("() => window.told"))

    def close(self) -> None:
        assert self.page.complaints == []
        self._context.close()


def tell(results: Path, chromium: Any, view: str, changes: int) -> tuple[int, int]:
    """Let a page be told of so many changes; return by how many bytes and nodes it has grown."""
    with watched(results) as (run, served):
        tab = Tab(served, chromium, view)
        grown, n = (0, 0), 0
        for number in (BEFORE, changes):
            for _ in range(number):
                n += 1
                told = tab.told()
                change(run, n)
                tab.page.wait_for_function("told => window.told > told", arg=told)
            before, grown = grown, tab.used()
        tab.close()
    return grown[0] - before[0], grown[1] - before[1]


@pytest.mark.parametrize("view", VIEWS[:2])
def test_a_tab_does_not_grow_with_what_it_is_told(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    monkeypatch.setattr(Events, "_pause", shortly)
    more = tell(tmp_path / "results", chromium, view, CHANGES)
    assert more[0] < MORE_BYTES and more[1] < MORE_NODES


def test_of_very_many_hosts_those_in_sight_are_drawn(chromium: Any, tmp_path: Path) -> None:
    with edit(tmp_path / "results", "many-1", ["x"]) as run:
        run.store.add_hosts([Host(f"h{n:04}") for n in range(HOSTS)])
    with serving(tmp_path / "results") as served:
        context = chromium.new_context()
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=many-1&sort=name&order=asc")
        page.wait_for_selector("#hosts")
        assert page.locator("#hosts tbody tr").count() < 120
        assert page.locator("#hosts").get_attribute("aria-rowcount") == str(HOSTS + 3)
        page.locator("#hosts").evaluate("table => { table.parentElement.scrollTop = 1e9; }")
        page.get_by_role("link", name=f"h{HOSTS - 1:04}").wait_for()
        page.get_by_label("Filter hosts").fill("h0777")
        page.get_by_role("link", name="h0777").wait_for()
        assert page.locator("#hosts tbody tr").count() == 1
        context.close()


#: Whether bars are drawn down to the last hosts of the timeline, which are far below the screen.
ALL_DRAWN = """() => {
    const canvas = document.querySelector("canvas"), high = 200, top = canvas.height - 60 - high;
    return top > 2 * innerHeight && canvas.getContext("2d").getImageData(200, top, 1, high).data.some(Boolean); }"""


def test_a_timeline_is_drawn_beyond_the_screen_and_anew_for_another_width(chromium: Any, tmp_path: Path) -> None:
    make_big(tmp_path / "results", 20_000)
    with serving(tmp_path / "results") as served:
        context = chromium.new_context()
        page = log_in(context, served)
        page.goto(f"{served.address}/?run=big-1&view=timeline")
        page.wait_for_selector("canvas")
        page.wait_for_function(ALL_DRAWN)
        page.set_viewport_size({"width": 700, "height": 600})
        page.wait_for_function("() => document.querySelector('canvas').width < 700")
        # At once: a page that is printed is not drawn a second time.
        assert page.evaluate(ALL_DRAWN)
        context.close()


def by_the_clock(minutes: float) -> None:
    """Leave all pages open for so long, with one change a second."""
    with tempfile.TemporaryDirectory() as work, browser() as chromium, watched(Path(work) / "results") as (run, served):
        tabs = {view: Tab(served, chromium, view) for view in VIEWS}
        began, first, n = time.monotonic(), dict[str, tuple[int, int]](), 0
        while (passed := time.monotonic() - began) < 60 * minutes:
            n += 1
            change(run, n)
            if not first and passed > 60:
                first = {view: tab.used() for view, tab in tabs.items()}
            # So that what the browser says is heard meanwhile.
            tabs[""].page.wait_for_timeout(max(1.0, 1000 * (n - (time.monotonic() - began))))
        for view, tab in tabs.items():
            now = tab.used()
            print(f"{view or 'cluster':22} told {tab.told():,} times in {minutes:.0f} minutes: {(now[0] - first[view][0]) / 1e6:+.2f} MB, "
                  f"{now[1] - first[view][1]:+} nodes since the first minute")
            tab.close()


def main() -> None:
    if sys.argv[1:2] == ["clock"]:
        by_the_clock(float(sys.argv[2]) if len(sys.argv) > 2 else 30)
        return
    Events._pause = shortly  # type: ignore[method-assign]
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else 1_800
    for view in VIEWS:
        with tempfile.TemporaryDirectory() as work, browser() as chromium:
            more = tell(Path(work) / "results", chromium, view, changes)
            print(f"{view or 'cluster':22} after {changes:,} changes: {more[0] / 1e6:+.2f} MB, {more[1]:+} nodes")


if __name__ == "__main__":
    main()
