"""What is placed in an attempt's directory beside the files of its jobfile: files that jobs of the run have left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sshjobs.gjob.patterns import Patterns
from sshjobs.model.outputs import outputs_of
from sshjobs.model.spec import JobSpec


class Extra(NamedTuple):
    """Files to place.

    :ivar source: directory on this machine that they are in
    :ivar patterns: which of the files below it
    :ivar target: directory below the attempt's own that they are placed in, under their paths; empty for that itself
    """

    source: Path
    patterns: Sequence[str]
    target: str

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield each file with the path that it is placed under.

        :raises OSError: they cannot be looked at
        """
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
                        yield Path(entry.path), f"{self.target}/{path}" if self.target else path


def is_carrying(uid: str, spec: JobSpec) -> bool:
    """Tell whether an attempt is to find what an earlier one has left, if anything of that was brought."""
    return bool(spec.outputs) and not uid.endswith(".1") and any(how["carry"] for how in spec.outputs.values())


def carried(uid: str, spec: JobSpec, place: Path) -> list[Extra]:
    """Return what an attempt finds of the attempts before it.

    :param place: directory of its job
    """
    if not is_carrying(uid, spec):
        return []
    patterns = [one.pattern for one in outputs_of(spec.outputs) if one.carry]
    target = "/".join(name for name in (spec.cwd or "").split("/") if name not in ("", "."))
    for n in range(int(uid.partition(".")[2]) - 1, 0, -1):
        source = place / f"attempt-{n}" / "files"
        if source.is_dir():
            return [Extra(source, patterns, target)]
    return []
