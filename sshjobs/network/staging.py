"""Input files on their way to hosts: read once, named by their content, sent to a host at most once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sshjobs.errors import SshjobsError
from sshjobs.spec import JobSpec

#: Bytes of a file sent in one frame.
PIECE = 1 << 18


class Placed(NamedTuple):
    """One entry of a working directory: where it goes, its content (``None`` for a directory) and its mode."""

    path: str
    sha: str | None
    mode: int


class Blob(NamedTuple):
    """The content of one local file."""

    sha: str
    path: str
    size: int


@dataclass
class Manifest:
    """What a spec's ``files`` and ``stdin`` put on a host, and the contents that it takes."""

    placed: list[Placed] = field(default_factory=list)
    stdin: str | None = None
    blobs: dict[str, Blob] = field(default_factory=dict)


class Staging:
    """Turns the ``files`` of specs into manifests. Each file is read once as long as it does not change."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, int], str] = {}

    def manifest(self, spec: JobSpec) -> Manifest:
        """Return what to place for a spec. Reads files: for a thread of its own.

        :raises SshjobsError: a file is gone or cannot be read
        """
        result = Manifest()
        base = Path(spec.base_dir or os.curdir)
        try:
            for name in spec.files:
                self._place(base / name, placed_name(name), result)
            if spec.stdin is not None:
                blob = self._blob(base / spec.stdin)
                result.blobs[blob.sha] = blob
                result.stdin = blob.sha
        except OSError as error:
            raise SshjobsError("a file of the job cannot be read", where=error.filename,
                               why=os.strerror(error.errno or 0), hint="put it back, then resume") from error
        return result

    def _place(self, source: Path, target: str, result: Manifest) -> None:
        info = source.stat()
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISDIR(info.st_mode):
            result.placed.append(Placed(target, None, mode))
            for child in sorted(os.listdir(source)):
                self._place(source / child, f"{target}/{child}" if target else child, result)
        else:
            blob = self._blob(source)
            result.blobs[blob.sha] = blob
            result.placed.append(Placed(target, blob.sha, mode))

    def _blob(self, path: Path) -> Blob:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise SshjobsError("only files and directories can be sent", where=str(path), hint="leave it out of files")
        key = (str(path), info.st_ino, info.st_size, info.st_mtime_ns)
        sha = self._known.get(key)
        if sha is None:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(1 << 20):
                    digest.update(piece)
            sha = self._known[key] = digest.hexdigest()
        return Blob(sha, str(path), info.st_size)


def placed_name(name: str) -> str:
    """Return where a file lands in the working directory: its own relative path, or its last name if that leads out."""
    parts = [part for part in Path(name).parts if part != "."]
    if os.path.isabs(name) or ".." in parts:
        return Path(name).name if Path(name).name not in ("", "..") else Path(name).resolve().name
    return "/".join(parts)


def pieces(blob: Blob) -> Iterator[tuple[int, bytes]]:
    """Yield a file's bytes piece by piece with their offsets; one empty piece for an empty file.

    :raises OSError: it cannot be read
    :raises SshjobsError: it has changed its size since it was named
    """
    offset = 0
    with open(blob.path, "rb") as file:
        while piece := file.read(PIECE):
            yield offset, piece
            offset += len(piece)
    if offset != blob.size:
        raise SshjobsError("a file of the job changed while it was sent", where=blob.path, hint="resume the run")
    if not blob.size:
        yield 0, b""
