"""Which runs are shown: all of a results directory, the named ones, or those of managers in this very program."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from sshjobs.errors import SshjobsError
from sshjobs.model.states import STATES
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths, list_runs
from sshjobs.web.models import RunInfo
from sshjobs.web.routes import NotFound
from sshjobs.web.watch import RunWatch, run_info

#: How many stores are kept open; the least recently used one is closed for another.
MOST_OPEN = 16
#: How many runs are shown together at most.
MOST_TOGETHER = 12
_AT_WORK = ("running", "unattended")
#: For how many seconds a run's line in the list is not read again while its store does not change.
_FRESH = 1.0


class Sources:
    """The runs of this server.

    :param results: a directory all of whose runs are shown, also new ones; ``None`` for only the named runs
    :param named: further runs, wherever they are
    """

    def __init__(self, results: Path | None, named: Iterable[RunPaths] = ()):
        self._results = results
        self._named: dict[str, RunPaths] = {}
        for paths in named:
            self.add(paths)
        self._open: dict[str, RunWatch] = {}
        self._lines: dict[str, tuple[float, tuple[int, int], RunInfo]] = {}

    def add(self, paths: RunPaths) -> str:
        """Show one more run; return the name that it is shown by: its own unless that is taken."""
        name, n = paths.name, 1
        while self._named.get(name, paths).root != paths.root:
            n += 1
            name = f"{paths.name}~{n}"
        self._named[name] = paths
        return name

    def remove(self, name: str) -> None:
        """Stop showing a named run; pages that show it are told that it is not here."""
        self._named.pop(name, None)

    def paths(self) -> Mapping[str, RunPaths]:
        """Return all runs by name; those in the results directory with the newest first."""
        here = {} if self._results is None else {paths.name: paths for paths in list_runs(self._results)}
        return {**self._named, **here}

    async def lines(self) -> list[RunInfo]:
        """Return the state of every run; for a run whose store cannot be read, the reason."""
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: [self._line(name, paths) for name, paths in self.paths().items()])

    async def at_work(self) -> list[str]:
        """Return the newest few of the runs that are shown together: the named ones, else those under way."""
        lines = await self.lines()
        return [line.name for line in lines if line.damaged is None
                and (line.name in self._named or line.state in _AT_WORK)][:MOST_TOGETHER]

    def _line(self, name: str, paths: RunPaths) -> RunInfo:
        stamp = _stamp(paths)
        known = self._lines.get(name)
        # The store does not say whether the manager lives, so a run that is not over is looked at again.
        if known is not None and known[1] == stamp and (
                known[2].state in ("done", "failed", "cancelled") or time.monotonic() - known[0] < _FRESH):
            return known[2]
        try:
            with RunReader.open(paths) as reader:
                line = run_info(name, reader.summary(), reader.host_count())
        except SshjobsError as error:
            line = RunInfo(name=name, state="damaged", created=0.0, total=0, counts=dict.fromkeys(STATES, 0),
                           outcomes={}, paused=False, hosts=0, version=0, damaged=str(error))
        self._lines[name] = time.monotonic(), stamp, line
        return line

    async def watch(self, name: str) -> RunWatch:
        """Return the watch of a run, by its name.

        :raises NotFound: this server has no run of that name
        """
        known = self._open.get(name)
        if known is not None and (self._results is not None or self._named.get(name) is known.paths):
            return known
        if known is not None:
            await self._open.pop(name).close()
        paths = self.paths().get(name)
        if paths is None:
            raise NotFound("no run is called so here", where=name)
        if len(self._open) >= MOST_OPEN:
            oldest = min(self._open, key=lambda one: self._open[one].used)
            await self._open.pop(oldest).close()
        return self._open.setdefault(name, RunWatch(name, paths))

    async def close(self) -> None:
        """Close all stores."""
        watches, self._open = list(self._open.values()), {}
        for watch in watches:
            await watch.close()


def _stamp(paths: RunPaths) -> tuple[int, int]:
    """Return what changes with each commit: the modification times of the store and of its log."""
    found = []
    for path in (paths.store, paths.store.with_name(paths.store.name + "-wal")):
        try:
            found.append(path.stat().st_mtime_ns)
        except OSError:
            found.append(0)
    return found[0], found[1]
