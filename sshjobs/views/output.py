"""What the jobs of a run write, printed: whole as they end, whole and in their order, or line by line as it comes.

Everything is read from the files of the run directory, a piece at a time, so that the size of an output does not
matter. Printing has a thread of its own: a slow reader delays what is printed, never the jobs.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from sshjobs.errors import SshjobsError, printable
from sshjobs.model.attempt import LeftOut, first_half
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.base import Event, View, paths_of
from sshjobs.views.ticker import Ticker
from sshjobs.views.wording import bytes_left_out

#: Ways to print outputs.
WAYS = ("grouped", "ordered", "line")
_CHUNK = 1 << 16
#: What begins a line of a terminal anew, but for the end of the text.
_LINE_END = re.compile(rb"(?:\n|\r(?!\n))(?!\Z)")
#: Seconds between two looks at the clock of the ticker.
_TICK = 1.0
#: Seconds between two looks at files that grow; longer where looking takes more than a twentieth of that.
_INTERVAL, _SHARE = 0.1, 20

Tag = Callable[[str], str]


class Layout(NamedTuple):
    """How outputs are set.

    :ivar tag: returns what to put before each line of a job, given its name; ``None`` for nothing
    :ivar between: what stands between that and the line
    :ivar whole_lines: end the last line where an output does not, so that the next one begins one of its own
    """

    tag: Tag | None = None
    between: bytes = b"\t"
    whole_lines: bool = False


class Sink(Protocol):
    """Where bytes go.

    :ivar terminal: they are made harmless to a terminal, and lines of ours may stand between them
    """

    terminal: bool

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes at once; ``final``: the stream that they belong to ends with them."""


class OutputsView(View):
    """Prints what jobs wrote to standard output and standard error; says what else there is to say by another view.

    :param sinks: where standard output goes, and where standard error goes
    :param messages: shows events; called in the thread that prints, so that its lines stand between outputs
    :param way: one of :data:`WAYS`
    :param tag: returns what to put before each line of a job, given its name; ``None`` for nothing
    :param layout: the same with more to say about it
    :param complain: told about trouble, in a line
    :param printer: prints instead of the one that ``way`` names
    :param ticker: shows on a line of its own where the run stands
    """

    def __init__(self, sinks: tuple[Sink, Sink], messages: View, complain: Callable[[str], None], *, way: str,
                 tag: Tag | None = None, layout: Layout | None = None, printer: type[Printer] | None = None,
                 ticker: Ticker | None = None):
        streams = Stream(sinks[0], ticker), Stream(sinks[1], ticker)
        self._printer = (printer or _PRINTERS[way])(streams, layout or Layout(tag))
        self._printer.say = self._say
        self._messages, self._complain, self._ticker = messages, complain, ticker
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        #: The run's directory.
        self._run = "RUN"
        # A reader that never reads again must not keep the process from its end.
        self._thread = threading.Thread(target=self._work, name="outputs", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        self._events.put(event)

    def close(self) -> None:
        """Return when all is printed. What the printing died of is raised here."""
        self._events.put(None)
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _work(self) -> None:
        try:
            self._print()
        except Exception as error:  # noqa: BLE001 (it is raised where the view is closed)
            self._failure = error

    def _print(self) -> None:
        try:
            while True:
                try:
                    event = self._events.get(timeout=self._patience())
                except queue.Empty:
                    self._attempt(self._printer.look)
                    self._tick()
                    continue
                if event is None:
                    break
                self._take(event)
        finally:
            if self._ticker is not None:
                self._ticker.clear()
            self._printer.close()
            self._messages.close()

    def _patience(self) -> float | None:
        """Return the seconds until something is to be done even if nothing happens, ``None`` for never."""
        patience = self._printer.patience()
        return patience if self._ticker is None else min(_TICK, _TICK if patience is None else patience)

    def _tick(self) -> None:
        if self._ticker is not None and self._events.empty():
            self._ticker.show()

    def _take(self, event: Event) -> None:
        if self._ticker is not None:
            self._ticker.take(event)
        if event["event"] == "run":
            self._run = event["directory"]
        self._attempt(lambda: self._printer.take(event))
        if event["event"] != "end" or event["exit_code"]:
            if self._ticker is not None:
                self._ticker.clear()
            self._messages(event)
        self._tick()

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except SshjobsError as error:
            self._lose(error)
        except OSError as error:
            self._lose(SshjobsError("an output cannot be printed", where=error.filename, why=error.strerror,
                                    hint=f"see: sshjobs logs {self._run} JOB"))

    def _say(self, text: str) -> None:
        if self._ticker is not None:
            self._ticker.clear()
        self._complain(text)

    def _lose(self, error: SshjobsError) -> None:
        self.lost = True
        self._complain(str(error))


class Stream:
    """One of our two streams. Where its reader has gone, nothing more is printed on it."""

    def __init__(self, sink: Sink, ticker: Ticker | None = None):
        self._sink, self._ticker, self._alive = sink, ticker, True
        self.terminal = sink.terminal

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write bytes at once; ``final``: an output ends with them."""
        if self._alive:
            if self._ticker is not None and data:
                self._ticker.make_way(data)
            try:
                self._sink.write(data, final=final)
            except BrokenPipeError:
                self._alive = False
            except OSError:
                # Told once: what comes after a gap is worth nothing.
                self._alive = False
                raise


class _Cut(NamedTuple):
    """Where bytes were left out of an output with a limit: behind how many, how many, and the words for that."""

    at: int
    words: str


class _Tail:
    """What one attempt writes to one stream, as far as it was not printed yet.

    :param say: says where bytes were left out
    :param tag: before each line
    :param whole_lines: end the last line where the output does not
    :param before: where the output of the attempt before it is, as soon as ``path`` is not that one's any more
    :param half: print no more than so many bytes before the end: nobody knows before that what is left out behind them
    """

    def __init__(self, path: Path, stream: Stream, say: Callable[[str], None], tag: bytes, before: Path | None = None,
                 *, whole_lines: bool = False, half: int | None = None):
        self.path, self._stream, self._say, self._tag, self._before = path, stream, say, tag, before
        self._whole_lines, self._stop = whole_lines, half
        self._cut: _Cut | None = None
        self._offset, self._at_line_start, self._after_return, self._ends_line = 0, True, False, True
        self._inode: int | None = None

    def more(self) -> None:
        """Print what has come, but for a line that has only begun; of a very long one, its beginning too."""
        self._read(self.path, whole_lines=True)

    def finish(self, aside: Path | None = None, cut: _Cut | None = None) -> None:
        """Print the rest.

        :param aside: where the file is moved before another attempt is launched, now or already
        :param cut: where bytes of it were left out
        """
        self._cut, self._stop = cut, None if cut is None else cut.at
        self._read(self.path, unless=aside)
        if aside is not None:
            self._read(aside)
        self._stream.write(b"\n" if self._whole_lines and not self._ends_line else b"", final=True)

    def _read(self, path: Path, *, whole_lines: bool = False, unless: Path | None = None) -> None:
        """Print what is new in a file, if it is the one that was printed before.

        :param unless: with a file there, the one at ``path`` is of another attempt
        """
        if self._before is not None:
            if not self._before.exists():
                return
            self._before = None
        try:
            file = open(path, "rb", buffering=0)
        except FileNotFoundError:
            return
        with file:
            inode = os.fstat(file.fileno()).st_ino
            # Looked for only now: had it been moved after that, ours would still be the right one.
            if self._inode not in (None, inode) or (unless is not None and unless.exists()):
                return
            self._inode = inode
            self._copy(file.fileno(), whole_lines)
            if self._cut is not None and self._offset >= self._cut.at:
                self._tell_cut(self._cut)
                self._copy(file.fileno(), whole_lines)

    def _copy(self, descriptor: int, whole_lines: bool) -> None:
        """Print what is new, as far as it may be printed now."""
        while data := os.pread(descriptor, _CHUNK if self._stop is None else max(0, min(
                _CHUNK, self._stop - self._offset)), self._offset):
            if whole_lines:
                end = data.rfind(b"\n") + 1
                data = data[:end] if end or len(data) < _CHUNK else data
            if not data:
                break
            self._print(data)

    def _tell_cut(self, cut: _Cut) -> None:
        """Say where bytes were left out: not among the bytes, unless a person reads them."""
        if self._stream.terminal and not self._ends_line:
            self._print(b"\n")
            self._offset -= 1
        self._say(cut.words)
        self._cut = self._stop = None

    def _print(self, data: bytes) -> None:
        self._offset += len(data)
        self._ends_line = data.endswith(b"\n")
        self._stream.write(self._tagged(data) if self._tag else data)

    def _tagged(self, data: bytes) -> bytes:
        """Return bytes with the tag before each line, and wherever a carriage return leads back to its beginning:
        nobody writes over it."""
        goes_on = self._after_return and data.startswith(b"\n")
        begin = self._tag if self._at_line_start and not goes_on else b""
        self._after_return = data.endswith(b"\r")
        self._at_line_start = data.endswith((b"\n", b"\r"))
        return begin + _LINE_END.sub(lambda match: match[0] + self._tag, data)


class Printer:
    """Prints outputs as events tell of them."""

    #: Says something in a line.
    say: Callable[[str], None]

    def __init__(self, streams: tuple[Stream, Stream], layout: Layout):
        self.streams, self.layout = streams, layout
        self.paths: RunPaths
        #: What was left out of the outputs of jobs with a limit; and the limits of those that run.
        self._left_out: dict[str, LeftOut] = {}
        self._limits: dict[str, int] = {}

    def take(self, event: Event) -> None:
        """Take an event."""
        self._note_limits(event)
        match event["event"]:
            case "run":
                self.paths = paths_of(event)
            case "launch":
                self.launched(event["job"], event["attempt"])
            case "retry":
                self.failed(event["job"], event["attempts"])
            case "done" | "error":
                self.ended(event["job"])
            case "end":
                self.over()

    def _note_limits(self, event: Event) -> None:
        if event["event"] == "launch" and "output_limit" in event:
            self._limits[event["job"]] = event["output_limit"]
        elif event["event"] in ("retry", "done", "error"):
            self._limits.pop(event["job"], None)
            if "left_out" in event:
                self._left_out[event["job"]] = LeftOut(**event["left_out"])
            else:
                self._left_out.pop(event["job"], None)

    def cut(self, name: str, tail: _Tail) -> _Cut | None:
        """Return where bytes were left out of an output that is over; ``None`` where none were."""
        found, stream = self._left_out.get(name), tail.path.name
        if found is None or not found.of(stream):
            return None
        return _Cut(found.at, f"{printable(name)}: {bytes_left_out(found.of(stream), stream, found.at)}")

    def launched(self, name: str, attempt: int) -> None:
        """An attempt was launched."""

    def failed(self, name: str, attempt: int) -> None:
        """An attempt ended, and the job is going to be tried again."""

    def ended(self, name: str) -> None:
        """A job has ended."""

    def over(self) -> None:
        """The run has ended."""

    def look(self) -> None:
        """Look at files that may have grown."""

    def patience(self) -> float | None:
        """Seconds until the next look is due, ``None`` for none."""
        return None

    def close(self) -> None:
        """Close all files."""

    def tails(self, name: str, attempt: int = 1) -> tuple[_Tail, _Tail]:
        """Return both streams of a job's newest attempt.

        :param attempt: its number, where it was only just launched
        """
        layout = self.layout
        tag = b"" if layout.tag is None else printable(layout.tag(name)).encode() + layout.between

        def tail(path: Path, stream: Stream) -> _Tail:
            before = self.paths.attempt(name, attempt - 1) / path.name if attempt > 1 else None
            half = first_half(self._limits[name]) if name in self._limits else None
            return _Tail(path, stream, self.say, tag, before, whole_lines=layout.whole_lines, half=half)
        return tail(self.paths.stdout(name), self.streams[0]), tail(self.paths.stderr(name), self.streams[1])

    def print_whole(self, name: str) -> None:
        """Print all that a job's newest attempt wrote."""
        for tail in self.tails(name):
            tail.finish(cut=self.cut(name, tail))


class _Grouped(Printer):
    """Whole outputs, in the order of the ends."""

    def ended(self, name: str) -> None:
        self.print_whole(name)


class _Ordered(Printer):
    """Whole outputs, in the order of the jobs: each waits for those before it."""

    def __init__(self, streams: tuple[Stream, Stream], layout: Layout):
        super().__init__(streams, layout)
        self._reader: RunReader | None = None
        self._next, self._waiting = 1, dict[int, str]()

    def ended(self, name: str) -> None:
        if self._reader is None:
            self._reader = RunReader.open(self.paths)
        job = self._reader.job(name)
        if job is None:
            # Added to the run and ended before that was committed: it never ran.
            return
        self._waiting[job.number] = name
        while self._next in self._waiting:
            self._next += 1
            self.print_whole(self._waiting.pop(self._next - 1))

    def over(self) -> None:
        # Those before them were not run to their ends.
        for number in sorted(self._waiting):
            self.print_whole(self._waiting.pop(number))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class _Line(Printer):
    """Lines as they come, of every attempt."""

    def __init__(self, streams: tuple[Stream, Stream], layout: Layout):
        super().__init__(streams, layout)
        self._live: dict[str, tuple[_Tail, _Tail]] = {}
        self._pause, self._looked = _INTERVAL, time.monotonic()

    def launched(self, name: str, attempt: int) -> None:
        self._live[name] = self.tails(name, attempt)

    def failed(self, name: str, attempt: int) -> None:
        for tail in self._live.pop(name, ()):
            tail.finish(self.paths.attempt(name, attempt) / tail.path.name, self.cut(name, tail))

    def ended(self, name: str) -> None:
        for tail in self._live.pop(name, ()):
            tail.finish(cut=self.cut(name, tail))

    def over(self) -> None:
        for name in list(self._live):
            self.ended(name)

    def take(self, event: Event) -> None:
        super().take(event)
        if self.patience() == 0:
            self.look()

    def look(self) -> None:
        began = time.monotonic()
        for tails in self._live.values():
            for tail in tails:
                tail.more()
        self._looked = time.monotonic()
        self._pause = max(_INTERVAL, _SHARE * (self._looked - began))

    def patience(self) -> float | None:
        return max(0.0, self._looked + self._pause - time.monotonic()) if self._live else None


_PRINTERS: dict[str, type[Printer]] = {"grouped": _Grouped, "ordered": _Ordered, "line": _Line}
