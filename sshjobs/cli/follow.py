"""Prints the output of a job and follows it while it grows."""

from __future__ import annotations

import codecs
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from sshjobs.cli.failures import complain
from sshjobs.cli.words import handle
from sshjobs.errors import HIDDEN
from sshjobs.model.attempt import LeftOut, first_half
from sshjobs.model.states import FINAL_STATES, STATE_FREE, STATE_UNKNOWN
from sshjobs.store.named import named_setups
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import JobRow, left_out_of
from sshjobs.views.wording import standing

#: How often, in seconds, a file that may grow is looked at.
INTERVAL = 0.1
#: How many looks at the file there are for each look at the run, whose state rarely changes.
_LOOKS = 5
_CHUNK = 1 << 16
#: In how many attempts a file that was put aside is looked for.
MAX_ATTEMPTS = 1000
# Control characters and invisible characters, except line ends, tabs and variation selectors of emoji. A carriage
# return that ends no line would let a job overwrite what is on the line.
_COMMANDS = rf"(?!\t|\n|\r\n|[\ufe0e\ufe0f]){HIDDEN}"


class Printed(Protocol):
    """Where the bytes of one output go."""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes at once. ``final``: no more bytes follow."""

    def cut(self, number: int, at: int) -> None:
        """Say that so many bytes were left out here, behind so many."""


class Sink:
    """Writes bytes on one of our streams.

    :param escape: show control characters, and bytes that are not UTF-8, in the form ``\\x1b``
    """

    def __init__(self, stream: BinaryIO, *, escape: bool):
        self._stream, self.terminal = stream, escape
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace") if escape else None
        self._return = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes at once. ``final``: no more bytes follow to complete a character."""
        if self._decoder is not None:
            text = self._return + self._decoder.decode(data, final)
            # The next byte decides whether this one ends a line.
            self._return = "\r" if text.endswith("\r") and not final else ""
            text = text[: len(text) - len(self._return)]
            data = re.sub(_COMMANDS, _escaped, text).encode("utf-8", "backslashreplace")
        self._stream.write(data)
        self._stream.flush()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def follow(followers: Sequence[Follower]) -> None:
    """Print what each stream has and what comes, until all jobs are over.

    A line on standard error says what is waited for, where that is not the job itself.
    """
    live = list(followers)
    while live:
        for _ in range(_LOOKS):
            for follower in live:
                follower.take_in()
            time.sleep(INTERVAL)
        live = [follower for follower in live if not follower.over()]


class Follower:
    """Prints one stream of one job.

    :param path: the stream's file, which appears with an attempt and is put aside when another one begins
    :param tail: with how many of the last lines to begin
    """

    def __init__(self, reader: RunReader, name: str, path: Path, sink: Printed, *, tail: int | None = None):
        self._reader, self._name, self._path, self._sink, self._tail = reader, name, path, sink, tail
        self._paths = reader.paths
        self._file: BinaryIO | None = None
        #: Behind how many bytes of the open file some may have been left out; ``None``: behind none.
        self._cut: int | None = None
        # Number of the last attempt that was printed to its end and then followed by another; 0 before.
        self._done = 0
        self._told: str | None = None

    def print_all(self) -> None:
        """Print what the stream has now."""
        if self._open():
            self._copy()
            if self._job().state in FINAL_STATES:
                self._copy_rest()
            self._sink.write(b"", final=True)
            self._close()
        elif (job := self._job()).state == STATE_FREE:
            self._tell(f"{self._name} was not launched yet")
        elif job.reason:
            self._tell(f"{self._name} wrote nothing: {job.reason}")

    def over(self) -> bool:
        """Tell whether the job is over; its whole output is printed then."""
        job = self._job()
        if job.state not in FINAL_STATES:
            self._tell_what_for(job)
            return False
        # Print what was written before the job was seen to be over.
        self.take_in()
        if self._file is not None:
            self._copy_rest()
        self._sink.write(b"", final=True)
        self._close()
        return True

    def take_in(self) -> None:
        """Print what has come; continue with the next file where an attempt ended and another began."""
        while self._open():
            self._copy()
            if not self._put_aside():
                return
            self._copy_rest(self._done)
            self._sink.write(b"", final=True)
            self._close()

    def _tell_what_for(self, job: JobRow) -> None:
        summary = self._reader.summary()
        if summary.state not in ("running", "done", "failed", "cancelled"):
            self._tell(f"nobody attends the run; to go on: sshjobs resume {handle(self._reader.paths)}")
        elif job.state == STATE_UNKNOWN:
            self._tell(f"waiting for {job.host}, which cannot be asked at present")
        elif job.state == STATE_FREE:
            why = standing(job.paused, job.reason, job.not_before)
            self._tell(f"{self._name} waits for a host" + (f": {why}" if why else ""))
        else:
            self._told = None

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            complain(text)

    def _job(self) -> JobRow:
        job = self._reader.job(self._name)
        return named_setups(self._reader, self._name)[0] if job is None else job

    def _open(self) -> bool:
        """Open the file of the next attempt that has one; tell whether a file is open."""
        if self._file is None:
            aside = self._paths.attempt(self._name, self._done + 1) / self._path.name
            for path in ([aside] if self._done else []) + [self._path]:
                try:
                    self._file = open(path, "rb")
                except FileNotFoundError:
                    continue
                if self._tail is not None:
                    self._file.seek(tail_start(self._file, self._tail))
                    self._tail = None
                self._cut = self._first_half()
                return True
        return self._file is not None

    def _copy(self) -> None:
        """Print what has come; what comes behind the first half of an output with a limit only with :meth:`_copy_rest`,
        as nobody knows before the end what was left out."""
        assert self._file is not None
        while chunk := self._file.read(_CHUNK if self._cut is None else min(_CHUNK, self._until_cut())):
            self._sink.write(chunk)

    def _until_cut(self) -> int:
        assert self._file is not None and self._cut is not None
        return max(0, self._cut - self._file.tell())

    def _copy_rest(self, attempt: int | None = None) -> None:
        """Print what there is of an attempt that has ended.

        :param attempt: its number; ``None``: the newest
        """
        self._copy()
        if self._cut is None:
            return
        assert self._file is not None
        found = self._left_out(attempt)
        if found is not None and found.of(self._path.name) and self._file.tell() <= found.at:
            self._sink.cut(found.of(self._path.name), found.at)
        self._cut = None
        self._copy()

    def _first_half(self) -> int | None:
        job = self._reader.job(self._name)
        if job is None:
            return None
        # What was carried over from another run may have had another limit there.
        known = [found for row in self._reader.attempts_of([job.number])[job.number] if (found := left_out_of(row))]
        limit = self._reader.spec_of(job.number).output_limit
        return known[0].at if known else None if limit is None else first_half(limit)

    def _left_out(self, attempt: int | None) -> LeftOut | None:
        number = self._job().number
        rows = [row for row in self._reader.attempts_of([number])[number] if attempt in (None, row.n)]
        return left_out_of(rows[-1]) if rows else None

    def _put_aside(self) -> bool:
        """Tell whether the open file belongs to an attempt that another one has followed, and note which attempt."""
        assert self._file is not None
        if _identity(self._path) == (mine := _identity(self._file.fileno())):
            return False
        done = self._done + 1
        while (found := _identity(self._paths.attempt(self._name, done) / self._path.name)) != mine:
            if found is None and done > self._done + MAX_ATTEMPTS:
                return False
            done += 1
        self._done = done
        return True

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def tail_start(file: BinaryIO, lines: int) -> int:
    """Return where the last lines of a file begin. It is read from its end, a piece at a time."""
    place = file.seek(0, os.SEEK_END)
    if not lines:
        return place
    # The last line end does not begin another line.
    place = max(0, place - 1)
    while place:
        end, place = place, max(0, place - _CHUNK)
        data = os.pread(file.fileno(), end - place, place)
        found = data.count(b"\n")
        if found >= lines:
            at = len(data)
            for _ in range(lines):
                at = data.rindex(b"\n", 0, at)
            return place + at + 1
        lines -= found
    return 0


def _identity(file: Path | int) -> tuple[int, int] | None:
    try:
        info = os.stat(file)
    except FileNotFoundError:
        return None
    return info.st_dev, info.st_ino
