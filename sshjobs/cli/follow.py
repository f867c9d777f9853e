"""Prints the output of a job, and goes on while it grows."""

from __future__ import annotations

import codecs
import os
import re
import time
from pathlib import Path
from typing import BinaryIO

from sshjobs.cli.failures import complain
from sshjobs.cli.words import handle
from sshjobs.errors import HIDDEN
from sshjobs.model.states import FINAL_STATES, STATE_FREE, STATE_UNKNOWN
from sshjobs.store.named import named_setups
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import JobRow
from sshjobs.views.wording import standing

#: Seconds between two looks at a file that may grow.
INTERVAL = 0.1
#: Looks at the file for one at the run: its state does not change often.
_LOOKS = 5
_CHUNK = 1 << 16
#: Attempts in which a file that was put aside is looked for.
MAX_ATTEMPTS = 1000
# Everything that a terminal could obey or that nobody would see, but for line ends, tabs and what chooses the look of
# an emoji. A carriage return that ends no line lets a job write over what stands there.
_COMMANDS = re.compile(rf"(?!\t|\n|\r\n|[\ufe0e\ufe0f]){HIDDEN.pattern}")


class Sink:
    """Where the bytes go.

    :param escape: show what a terminal could obey as ``\\x1b``, and bytes that are no UTF-8 too
    """

    def __init__(self, stream: BinaryIO, *, escape: bool):
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace") if escape else None
        self._return = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes, at once. ``final``: a character that they leave unfinished stays so."""
        if self._decoder is not None:
            text = self._return + self._decoder.decode(data, final)
            # What comes next says whether it ends a line.
            self._return = "\r" if text.endswith("\r") and not final else ""
            text = text[: len(text) - len(self._return)]
            data = _COMMANDS.sub(_escaped, text).encode("utf-8", "backslashreplace")
        self._stream.write(data)
        self._stream.flush()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class Follower:
    """Prints one stream of one job.

    :param path: the stream's file, which appears with an attempt, and is put aside when a further one begins
    """

    def __init__(self, reader: RunReader, name: str, path: Path, sink: Sink):
        self._reader, self._name, self._path, self._sink = reader, name, path, sink
        self._paths = reader.paths
        self._file: BinaryIO | None = None
        # Number of the last attempt that was printed to its end and then followed by another; 0 before.
        self._done = 0
        self._told: str | None = None

    def print_all(self) -> None:
        """Print what is there now."""
        if self._open():
            self._copy()
            self._sink.write(b"", final=True)
            self._close()
        elif (job := self._job()).state == STATE_FREE:
            self._tell(f"{self._name} was not launched yet")
        elif job.reason:
            self._tell(f"{self._name} wrote nothing: {job.reason}")

    def follow(self) -> None:
        """Print what is there and what comes, until the job is over.

        Says on standard error what it waits for where that is not the job itself.
        """
        over = False
        while True:
            # In this order: what was written before the job was seen to be over is printed after that.
            for _ in range(1 if over else _LOOKS):
                self._take_in()
                if not over:
                    time.sleep(INTERVAL)
            if over:
                break
            job = self._job()
            over = job.state in FINAL_STATES
            if not over:
                self._tell_what_for(job)
        self._sink.write(b"", final=True)
        self._close()

    def _take_in(self) -> None:
        """Print what has come; go on with the next file where an attempt ended and another began."""
        while self._open():
            self._copy()
            if not self._put_aside():
                return
            self._copy()
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
        """Open the file of the next attempt that is there; tell whether one is open."""
        if self._file is None:
            aside = self._paths.attempt(self._name, self._done + 1) / self._path.name
            for path in ([aside] if self._done else []) + [self._path]:
                try:
                    self._file = open(path, "rb")
                except FileNotFoundError:
                    continue
                return True
        return self._file is not None

    def _copy(self) -> None:
        assert self._file is not None
        while chunk := self._file.read(_CHUNK):
            self._sink.write(chunk)

    def _put_aside(self) -> bool:
        """Tell whether the open file is of an attempt that another one has followed, and note which one it is."""
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


def _identity(file: Path | int) -> tuple[int, int] | None:
    try:
        info = os.stat(file)
    except FileNotFoundError:
        return None
    return info.st_dev, info.st_ino
