"""Files of other attempts of the run that are placed in an attempt's directory, beside those of its jobfile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sshjobs.errors import SshjobsError
from sshjobs.gjob.patterns import Patterns
from sshjobs.model.after import When
from sshjobs.model.outputs import outputs_of
from sshjobs.model.sent import taken
from sshjobs.model.spec import JobSpec


class Extra(NamedTuple):
    """Files to place.

    :ivar source: directory on this machine that they are in
    :ivar patterns: which of the files below it
    :ivar place: maps the path of such a file to its path in the attempt's own directory
    :ivar missed: the error if there is no such file; ``None``: that is no error
    """

    source: Path
    patterns: Sequence[str]
    place: Callable[[str], str]
    missed: SshjobsError | None = None

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield each file with the path that it is placed under.

        :raises SshjobsError: there is none, which is an error
        :raises OSError: they cannot be looked at
        """
        found = False
        for path, target in self._files():
            found = True
            yield path, target
        if not found and self.missed is not None:
            raise self.missed

    def _files(self) -> Iterator[tuple[Path, str]]:
        if self.missed is not None and not self.source.is_dir():
            return
        patterns, todo = Patterns(self.patterns), [""]
        while todo:
            here = todo.pop()
            with os.scandir(self.source / here) as entries:
                for entry in entries:
                    path = f"{here}/{entry.name}" if here else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(path)
                    elif entry.is_file(follow_symlinks=False) and patterns.of(
                            os.fsencode(path).decode("utf-8", "surrogateescape")):
                        yield Path(entry.path), self.place(path)


def is_carrying(uid: str, spec: JobSpec) -> bool:
    """Return whether an attempt gets files of an earlier attempt of its job."""
    return bool(spec.outputs) and not uid.endswith(".1") and any(how["carry"] for how in spec.outputs.values())


def carried(uid: str, spec: JobSpec, place: Path) -> list[Extra]:
    """Return the files that an attempt gets from earlier attempts of its job.

    :param place: directory of its job
    """
    if not is_carrying(uid, spec):
        return []
    patterns = [one.pattern for one in outputs_of(spec.outputs) if one.carry]
    target = "/".join(name for name in (spec.cwd or "").split("/") if name not in ("", "."))
    for n in range(int(uid.partition(".")[2]) - 1, 0, -1):
        source = place / f"attempt-{n}" / "files"
        if source.is_dir():
            return [Extra(source, patterns, lambda path: f"{target}/{path}" if target else path)]
    return []


def taken_over(spec: JobSpec, sources: Mapping[str, Sequence[str]] | None, jobs: Path) -> list[Extra]:
    """Return the files that an attempt gets from other jobs of the run.

    :param sources: the names of these jobs, by the name of their entry
    :param jobs: the parent of all jobs' directories
    """
    found = []
    for one in taken(spec.files):
        names = (sources or {}).get(one.entry, ())
        needed = spec.after[one.entry]["when"] == When.SUCCEEDED.value
        for name in names:
            missed = SshjobsError(f"{name} has left no file for '{one.path}'", why="none of its outputs fits",
                                  hint=f"name it in the outputs of {one.entry}, and run both anew") if needed else None
            found.append(Extra(jobs / name / "files", [one.path],
                               partial(one.place, job=name if len(names) > 1 else None), missed))
    return found
