"""Input files of jobs: read once, named by the digest of their content, and sent to a host at most once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
import time
import zlib
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sshjobs.errors import LocalError, SshjobsError
from sshjobs.gjob.patterns import Patterns
from sshjobs.gjob.values import FIXED, LINK
from sshjobs.model.attempt import Inputs
from sshjobs.model.sent import Item, Sent, sent, taken
from sshjobs.model.spec import JobSpec
from sshjobs.network.staging.digests import Digests, Identity, identity_of, usual_store
from sshjobs.network.staging.extras import Extra

#: Bytes of a file sent in one frame.
PIECE = 1 << 18
#: A launch holds at most so many bytes of names; a longer list travels as a file of its own.
NAMED_IN_LAUNCH = 1 << 17
#: At most so many inputs of a job are listed one by one in the store.
MOST_LISTED = 1000
#: Whether files of a job have changed is looked at again only after so many times the time that the last look took.
FRESH = 3.0
#: Errors for a file that is missing or not readable by this user: waiting does not help.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)


class ChangedError(SshjobsError):
    """A file has changed since it was read. The launch may be tried again."""


class Placed(NamedTuple):
    """One entry of a working directory: its path, the digest of its content (``None`` for a directory) and its mode.
    For a symbolic link the target stands in place of the digest, and the mode is :data:`LINK`. The mode of a file that
    is placed as a hard link is :data:`FIXED`."""

    path: str
    sha: str | None
    mode: int


class Blob(NamedTuple):
    """Content to be sent to a host: of a local file, or some that exists in memory only.

    :ivar identity: identity of the file when it was read
    """

    sha: str
    crc: int
    path: str
    size: int
    identity: Identity | None = None
    data: bytes | None = None


class Piece(NamedTuple):
    """A part of a file that is open as long as the piece is looked at: descriptor, offset, bytes."""

    file: int
    offset: int
    size: int


@dataclass(eq=False, repr=False)
class Manifest:
    """The files that a spec's ``files`` and ``stdin`` place on a host, and their contents.

    :ivar inputs: all of that by its content, with what the spec ``uses``; ``None`` where the latter cannot be read
    :ivar listing: digest of the file with the list of them, where that is too long for a launch
    """

    placed: list[Placed] = field(default_factory=list)
    stdin: str | None = None
    listing: str | None = None
    blobs: dict[str, Blob] = field(default_factory=dict)
    inputs: Inputs | None = None

    def keys(self) -> dict[str, object]:
        """Return what a launch says of it."""
        if self.listing is not None:
            return {"files": [], "listing": self.listing, "stdin": self.stdin}
        return {"files": self.placed, "stdin": self.stdin}


class Staging:
    """Turns the ``files`` of specs into manifests. Each file is read once while it does not change.

    May be used by several threads at once.
    """

    def __init__(self, digests: Digests | None = None) -> None:
        self._digests = Digests(usual_store()) if digests is None else digests
        self._lock = threading.Lock()
        #: The last manifest, its key, and until when it is valid: thousands of jobs may have the same files.
        self._latest: tuple[object, float, Manifest] = (None, 0.0, Manifest())

    def manifest(self, spec: JobSpec) -> Manifest:
        """Return the manifest of a spec. Reads files: call it in a thread of its own.

        :raises SshjobsError: a file is gone or cannot be read
        :raises LocalError: this machine cannot read it for the moment
        """
        key = self.key(spec)
        with self._lock:
            known, until, manifest = self._latest
            if key == known and time.monotonic() < until:
                return manifest
        began = time.monotonic()
        manifest = self._look(spec)
        with self._lock:
            self._latest = (key, time.monotonic() + FRESH * (time.monotonic() - began), manifest)
        return manifest

    def with_extras(self, manifest: Manifest, extras: Iterable[Extra]) -> Manifest:
        """Return a manifest with further files, which replace its own at the same paths. They do not count as inputs:
        what jobs of the run have left follows from the inputs of those jobs. Call it in a thread of its own.

        :raises SshjobsError: a file is gone or cannot be read
        :raises LocalError: this machine cannot read it for the moment
        """
        placed, blobs = {one.path: one for one in manifest.placed}, dict(manifest.blobs)
        try:
            for extra in extras:
                for source, target in extra.files():
                    blob = self._blob(source)
                    blobs[blob.sha] = blob
                    placed[target] = Placed(target, blob.sha, stat.S_IMODE(source.stat().st_mode))
        except OSError as error:
            raise _cannot_read(error) from error
        return _listed(Manifest(list(placed.values()), manifest.stdin, blobs=blobs, inputs=manifest.inputs))

    @staticmethod
    def key(spec: JobSpec) -> Hashable:
        """Return what is equal for specs that have the same manifest at one time."""
        return spec.base_dir, json.dumps(spec.files), spec.stdin, tuple(tuple(one.items()) for one in spec.uses)

    def unchanged_since(self, spec: JobSpec, moment: float) -> str | None:
        """Return the digest of a spec's inputs where nothing of them has changed since a moment (seconds since the
        epoch); else, and where they cannot be read, ``None``."""
        base, before = Path(spec.base_dir or os.curdir), moment * 1e9
        names = [*(one.path for one in sent(spec.files)), *([] if spec.stdin is None else [spec.stdin]),
                 *(one["path"] for one in spec.uses if "path" in one)]
        try:
            for name in names:
                waiting = [base / name]
                while waiting:
                    path = waiting.pop()
                    # A named path may be a link to another place.
                    for info in (path.lstat(), path.stat()):
                        if max(info.st_mtime_ns, info.st_ctime_ns) >= before:
                            return None
                    if stat.S_ISDIR(info.st_mode):
                        waiting += [path / child for child in os.listdir(path)]
            inputs = self.manifest(spec).inputs
        except (OSError, SshjobsError):
            return None
        return None if inputs is None else inputs.digest

    def _look(self, spec: JobSpec) -> Manifest:
        result = Manifest()
        base = Path(spec.base_dir or os.curdir)
        try:
            for item in sent(spec.files):
                place = item.place or Path(item.path).resolve().name
                self._place(base / item.path, "" if place in (".", "./") else place, result, item)
            if spec.stdin is not None:
                blob = self._blob(base / spec.stdin)
                result.blobs[blob.sha] = blob
                result.stdin = blob.sha
        except OSError as error:
            raise _cannot_read(error) from error
        if spec.call is None:
            # The files of a call are its own, and never compared.
            result.inputs = self._inputs(result, base, spec.files, spec.uses)
        return _listed(result)

    def _inputs(self, manifest: Manifest, base: Path, files: list[Item], uses: list[dict[str, str]]) -> Inputs | None:
        found = Manifest()
        lines = [("file", one.path, _content(one)) for one in manifest.placed]
        lines += [("from", json.dumps(one), "") for one in taken(files)]
        if manifest.stdin is not None:
            lines.append(("stdin", "", manifest.stdin))
        for item in uses:
            if "text" in item:
                lines.append(("text", item["text"], ""))
                continue
            try:
                self._place(base / item["path"], item["path"], found)
            except (OSError, SshjobsError):
                # It is not sent, so the job can run without it; but the inputs are unknown then.
                return None
        lines += [("uses", one.path, _content(one)) for one in found.placed]
        return inputs_of(lines)

    def _place(self, source: Path, target: str, result: Manifest, item: Sent | None = None) -> None:
        left_out = Patterns(item.exclude) if item is not None and item.exclude else None
        top = source
        # A path that the job names may be a link, and is followed. A link within a directory is sent as a link.
        waiting = [(source, target, source.stat())]
        while waiting:
            source, target, info = waiting.pop()
            mode = stat.S_IMODE(info.st_mode)
            if stat.S_ISDIR(info.st_mode):
                result.placed.append(Placed(target, None, mode))
                waiting += [(child := source / name, f"{target}/{name}" if target else name, child.lstat())
                            for name in sorted(os.listdir(source), reverse=True)
                            if left_out is None or not left_out.of((source / name).relative_to(top).as_posix())]
            elif stat.S_ISLNK(info.st_mode):
                result.placed.append(Placed(target, os.readlink(source), LINK))
            elif stat.S_ISREG(info.st_mode):
                blob = self._blob(source)
                result.blobs[blob.sha] = blob
                # All hard links of a file have one mode, so a program is copied.
                fixed = item is not None and item.readonly and not mode & stat.S_IXUSR
                result.placed.append(Placed(target, blob.sha, FIXED if fixed else mode))
            else:
                raise SshjobsError("what is no file, directory or link cannot be sent", where=str(source),
                                   hint="take it out of the directory, then: sshjobs retry --failed")

    def _blob(self, path: Path) -> Blob:
        digest = self._digests.of(path)
        return Blob(digest.sha, digest.crc, str(path), digest.size, digest.identity)


def _content(one: Placed) -> str:
    """Return what counts of an entry when inputs are compared: the content of a file, and whether it is executable."""
    if one.mode == LINK:
        return f"-> {one.sha}"
    return "/" if one.sha is None else one.sha + ("*" if one.mode != FIXED and one.mode & stat.S_IXUSR else "")


def inputs_of(lines: Iterable[tuple[str, str, str]]) -> Inputs:
    """Return inputs that consist of these: kind, name and content of each, in any order."""
    listing = tuple(sorted(set(lines)))
    digest = hashlib.sha256(json.dumps(listing).encode("ascii")).hexdigest()[:32]
    return Inputs(digest, listing if len(listing) <= MOST_LISTED else None)


def _cannot_read(error: OSError) -> SshjobsError:
    if error.errno not in _NOT_THERE:
        return LocalError.of(error, "a file of the job cannot be read on this machine")
    return SshjobsError("a file of the job cannot be read", where=error.filename, why=os.strerror(error.errno or 0),
                        hint="put it back, then: sshjobs retry --failed")


def _listed(manifest: Manifest) -> Manifest:
    """Return the manifest itself, or one whose list of files is a file of its own where it is too long for a launch."""
    blob = _listing(manifest.placed)
    if blob.size > NAMED_IN_LAUNCH:
        manifest.blobs[blob.sha], manifest.listing = blob, blob.sha
    return manifest


def _listing(placed: list[Placed]) -> Blob:
    data = json.dumps({"files": placed}, separators=(",", ":")).encode("ascii")
    return Blob(hashlib.sha256(data).hexdigest(), zlib.crc32(data), "the list of its files", len(data), data=data)


def pieces(blob: Blob) -> Iterator[tuple[int, Piece | bytes]]:
    """Yield a blob's bytes piece by piece with their offsets; one empty piece for an empty file.

    The last piece is yielded only if the file has not changed meanwhile, so that no host gets a wrong file completely.

    :raises SshjobsError: it has changed, or cannot be read any more
    :raises LocalError: this machine cannot read it for the moment
    """
    if blob.data is not None:
        yield from ((offset, blob.data[offset:offset + PIECE]) for offset in range(0, max(blob.size, 1), PIECE))
        return
    try:
        yield from _pieces_of_file(blob)
    except FileNotFoundError as error:
        raise SshjobsError("a file of the job is gone", where=blob.path,
                           hint="put it back, then: sshjobs retry --failed") from error
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise unreadable(blob, os.strerror(error.errno or 0)) from error
        raise _cannot_read(error) from error


def unreadable(blob: Blob, why: str | None = None) -> SshjobsError:
    """Return the error for a blob whose file could be read before."""
    return SshjobsError("a file of the job cannot be read any more", where=blob.path, why=why,
                        hint="see its mode and its disk, then: sshjobs retry --failed")


def _pieces_of_file(blob: Blob) -> Iterator[tuple[int, Piece | bytes]]:
    with open(blob.path, "rb", buffering=0) as file:
        for offset in range(0, max(blob.size, 1), PIECE):
            piece = Piece(file.fileno(), offset, min(PIECE, blob.size - offset))
            found = os.fstat(piece.file)
            last = offset + piece.size == blob.size
            if found.st_size < offset + piece.size or (last and identity_of(found) != blob.identity):
                raise ChangedError("a file of the job changed while it was sent", where=blob.path,
                                   hint="it is sent anew; do not change it while jobs start")
            yield offset, piece if blob.size >= PIECE else os.pread(piece.file, piece.size, offset)
