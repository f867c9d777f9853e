"""An earlier run that a jobfile is compared with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from types import TracebackType

from sshjobs.model.attempt import Inputs
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_DONE, STATE_FREE, STATE_UNKNOWN
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.identity import Identities, Work, reads
from sshjobs.store.rundir import RunPaths
from sshjobs.store.works import WorkReader, WorkRow

#: By how many seconds the clocks of a file server and of this machine may differ.
_CLOCKS = 2.0


#: How good a match an earlier job is: one that is done is better than one that runs, and so on.
DONE, RUNNING, FAILED, WAITING = range(4)


class Earlier:
    """A run that is open for comparison. All is read as it was at one moment.

    :param staging: looks at inputs on this machine
    :ivar live: a manager is working on it
    :raises StoreError: it cannot be read
    """

    def __init__(self, paths: RunPaths, staging: Staging):
        self.paths, self.name, self._staging = paths, paths.name, staging
        self.reader = WorkReader.open(paths)
        summary = self.reader.summary()
        self.uid, self.created, self.live = summary.uid, summary.created, summary.state == "running"
        self._inputs: dict[str, Inputs] = {}
        self._unchanged: dict[object, str | None] = {}

    def __enter__(self) -> Earlier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.reader.close()

    def jobs(self) -> Iterator[tuple[WorkRow, bytes | None]]:
        """Yield every job with its identity, ``None`` where that is not known."""
        with self.reader.snapshot():
            # Where no job waits for others, one pass over the jobs is enough.
            identities = Identities(lambda: map(self.work, self.reader.works()) if self.reader.has_followers() else ())
            for row in self.reader.works():
                yield row, identities.identity(self.work(row))

    def work(self, row: WorkRow) -> Work:
        """Return what a job's identity is computed from."""
        inputs = row.inputs
        if not reads(row.spec):
            inputs = ""
        elif inputs is None:
            # The digest was not stored: the run has not started, its manager died before, or was an older release.
            inputs = self._as_they_are(row.spec)
        return Work(row.spec, row.only_host, inputs)

    def _as_they_are(self, spec: JobSpec) -> str | None:
        """Return the digest of the inputs as they are now; ``None`` where one has changed since the run began."""
        key = self._staging.key(spec)
        if key not in self._unchanged:
            self._unchanged[key] = self._staging.unchanged_since(spec, self.created - _CLOCKS)
        return self._unchanged[key]

    def whole(self, row: WorkRow) -> bool:
        """Tell whether the output of a job that succeeded is there, as far as sizes tell."""
        directory = self.paths.job_text(row.name)
        for name, size in (("stdout", row.out_size), ("stderr", row.err_size)):
            try:
                info = os.lstat(f"{directory}/{name}")
            except OSError:
                return False
            if not stat.S_ISREG(info.st_mode) or (size is not None and info.st_size != size):
                return False
        return not row.spec.outputs or self._has_files(row, f"{directory}/files")

    def _has_files(self, row: WorkRow, directory: str) -> bool:
        """Tell whether the files that were brought of a job are there, by their number and sizes."""
        brought = None if row.n is None else self.reader.brought(row.number, row.number).get((row.number, row.n))
        if brought is None:
            return True
        files = size = 0
        for here, _, names in os.walk(directory):
            for name in names:
                info = os.lstat(f"{here}/{name}")
                files, size = files + 1, size + info.st_size
        return (files, size) == (brought.files, brought.size)

    def rank(self, row: WorkRow) -> int:
        """Return how good a match a job is for one of its identity: one of :data:`DONE` to :data:`WAITING`."""
        if row.state == STATE_DONE:
            return DONE
        if row.state in (STATE_BUSY, STATE_UNKNOWN) or (row.state == STATE_FREE and self.live):
            return RUNNING
        return FAILED if row.state in FINAL_STATES else WAITING

    def inputs(self, digest: str) -> Inputs:
        """Return what the inputs of a digest consist of; always the same object for a digest."""
        if digest not in self._inputs:
            listing = self.reader.inputs(digest)
            self._inputs[digest] = Inputs(digest, None if listing is None else tuple(listing))
        return self._inputs[digest]

    def load(self, names: list[str]) -> list[Job]:
        """Return jobs by name, with all their attempts."""
        return self.reader.load(names)
