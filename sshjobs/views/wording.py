"""How things are said, the same way in every view. Nothing here is escaped yet: see :func:`errors.printable`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: How much of the end of a file is read for its last line, in bytes.
TAIL = 4096
#: The longest last line that is shown, in characters.
_LONGEST = 200
#: How much is told of one kind of thing on one host: a host may have, or claim to have, any number of them.
MOST_TOLD = 40
#: States in the order in which people ask for them.
STATE_ORDER = ("done", "error", "busy", "unknown", "free")


def duration(seconds: float) -> str:
    """Return a length of time: ``12 ms``, ``1.2 s``, ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    seconds = max(0.0, seconds)
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def clock(when: float, now: float | None = None) -> str:
    """Return a time of day, with the date where that is not today's."""
    moment, today = time.localtime(when), time.localtime(now)
    form = "%H:%M:%S" if moment[:3] == today[:3] else "%Y-%m-%d %H:%M:%S"
    return time.strftime(form, moment)


def size(count: int) -> str:
    """Return a number of bytes: ``512 B``, ``1.5 GiB``."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def count(number: int, noun: str) -> str:
    """Return ``1 job``, ``2 jobs``, ``1,000 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def places(hosts: Sequence[str]) -> str:
    """Return where jobs run: ``16 hosts``, ``this machine``. Who forgot to name hosts is to see it."""
    return "this machine" if list(hosts) == ["localhost"] else count(len(hosts), "host")


def receipt(event: Mapping[str, Any]) -> list[str]:
    """Return what an event ``receipt`` says: in a line how much is left, then each process, and who was not asked."""
    processes, hosts = event["processes"], count(event["hosts"], "host")
    lines = [f"{processes:,} process{'' if processes == 1 else 'es'}, {count(event['files'], 'file')} left on {hosts}"]
    return [*lines, *(f"  {line}" for line in event["left"]), *(f"  not asked: {line}" for line in event["unasked"])]


def carried(event: Mapping[str, Any]) -> str:
    """Return what an event ``carried`` says: ``90 jobs are done already: 80 in sweep-3, 10 in sweep-2``."""
    told = ", ".join(f"{number:,} in {run}" for run, number in event["runs"].items())
    are = "is" if event["jobs"] == 1 else "are"
    return f"{count(event['jobs'], 'job')} {are} done already: {told}"


def expected(half: float, most: float, now: float) -> str:
    """Return when a run is expected to end, from the seconds until then half the time and nine times in ten."""
    return (f"expected end: p50 {clock(now + half, now)} (in {duration(half)}), "
            f"p90 {clock(now + most, now)} (in {duration(most)})")


def left(half: float, most: float | None = None) -> str:
    """Return the same in few words: ``some 5 min left, p90 9 min``.

    :param most: nine times in ten; ``None`` where that is not known
    """
    more = "" if most is None or about(most) == about(half) else f", p90 {about(most)}"
    return f"some {about(half)} left{more}"


def about(seconds: float) -> str:
    """Return a length of time that is foretold: it is not known to the second."""
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} s"
    step = 60 if seconds < 7200 else 600
    return duration(max(step, round(seconds / step) * step)).removesuffix(" 0 s").removesuffix(" 0 min")


def counts(numbers: Mapping[str, int]) -> str:
    """Return the states that occur: ``198 done, 2 error``."""
    return ", ".join(f"{numbers[state]:,} {state}" for state in STATE_ORDER if numbers.get(state)) or "no jobs"


def signal_name(number: int) -> str:
    """Return ``SIGKILL``, or ``signal 63`` for one without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def ending(outcome: str | None, exit_status: int | None, number: int | None, reason: str | None) -> str:
    """Return in a few words how an attempt or a job ended: ``exit 3``, ``killed by SIGKILL``, ``timed out``."""
    words = {
        "succeeded": f"exit {exit_status or 0}",
        "failed": f"exit {exit_status}" if exit_status is not None else "failed",
        "signalled": f"killed by {signal_name(number)}" if number is not None else "killed by a signal",
        "timed_out": "timed out", "out_of_memory": "out of memory", "never_started": "never started",
    }
    return _because(words.get(outcome or "", outcome or "not over"), reason)


def rule(told: Mapping[str, Any] | None) -> str:
    """Return which rule ended a run before its last job, to stand at the end of a line; empty where none did."""
    if told is None:
        return ""
    if told["rule"] == "max_failures":
        return f"; ended by max_failures: {count(told['failed'], 'job')} failed, more than {told['limit']}"
    return f"; ended by {told['rule']}: {told['job']} did not succeed"


def of_host(host: str, reason: str) -> str:
    """Return a reason with the host that it is of. Some name it already: before a colon, or as who takes or waits."""
    return reason if reason.startswith((f"{host}: ", f"{host} takes ", f"{host} waits ")) else f"{host}: {reason}"


def bytes_left_out(number: int, stream: str, at: int) -> str:
    """Return what is said of bytes of an output that were left out, behind so many."""
    return f"{count(number, 'byte')} of {stream} left out behind the first {at:,} (output_limit)"


def left_out(cancelled: int, word: str) -> str:
    """Return what runs jobs after all that were cancelled: a resume leaves them out, and somebody who interrupted the
    run may not know.

    :param word: what to type for the run
    """
    were = "1 job was" if cancelled == 1 else f"{count(cancelled, 'job')} were"
    return f"{were} cancelled; to run what did not succeed, too: sshjobs retry {word} --failed"


def standing(paused: int | None, reason: str | None, not_before: float | None = None) -> str:
    """Return why a job that is not over stands where it does; empty where there is nothing to say.

    :param not_before: it is not tried again before that time
    """
    if paused:
        return "paused by a person"
    if not_before is not None:
        return f"is tried again at {clock(not_before)}{f'; {reason}' if reason else ''}"
    return reason or ""


def ending_of(event: Mapping[str, Any]) -> str:
    """Return how the job of an event ended, and how long it took: ``exit 3 in 1.2 s``."""
    text = ending(event["outcome"], event["exit_status"], event["signal"], None)
    if event["seconds"] is not None:
        text += f" in {duration(event['seconds'])}"
    return _because(text, event["reason"])


def setup_text(event: Mapping[str, Any]) -> str:
    """Return what an event ``setup`` says: ``h1`` where it begins, ``h1: exit 3 in 1.2 s`` where it has ended."""
    return str(event["host"]) if event["outcome"] is None else f"{event['host']}: {ending_of(event)}"


def _because(text: str, reason: str | None) -> str:
    if not reason:
        return text
    return reason if reason.startswith(text) else f"{text}: {reason}"


def last_line(path: Path) -> str | None:
    """Return the last line of a file that holds more than blanks; ``None`` where there is none, or no file."""
    lines = last_lines(path, 1)
    return lines[0] if lines else None


def last_lines(path: Path, most: int) -> list[str]:
    """Return the last lines of a file that hold more than blanks, in their order, as far as they stand in its last
    kilobytes; none where there is no such file."""
    try:
        # Should a FIFO stand there instead of a file, this does not wait for a process that writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        data = os.pread(descriptor, TAIL, max(0, end - TAIL))
    except OSError:
        return []
    finally:
        os.close(descriptor)
    return lines_of(data, most)


def lines_of(data: bytes, most: int) -> list[str]:
    """Return the last lines that hold more than blanks of what was read from the end of a file."""
    lines = [line for line in data.decode("utf-8", "replace").split("\n") if line and not line.isspace()]
    return [_as_read(line) for line in lines[-most:]]


def _as_read(line: str) -> str:
    """Return a line as it was there to be read: what a progress bar has overwritten on it was not."""
    line = line.strip()
    line = line.rpartition("\r")[2].strip() or line
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def told(path_out: Path, path_err: Path) -> tuple[str | None, Path]:
    """Return the last thing that a job said, and the file that it stands in: stderr, or stdout if that is empty."""
    lines, path = told_lines(path_out, path_err, 1)
    return (lines[0] if lines else None), path


def told_lines(path_out: Path, path_err: Path, most: int) -> tuple[list[str], Path]:
    """Return the last lines of what a job said, likewise."""
    lines = last_lines(path_err, most)
    return (lines, path_err) if lines else (last_lines(path_out, most), path_out)


def only_some(lines: Sequence[str], what: str) -> list[str]:
    """Return lines about one host, the last of which tells of how many more ``what`` there are."""
    more = len(lines) - MOST_TOLD
    return list(lines) if more <= 0 else [*lines[:MOST_TOLD], f"and {more:,} more {what}"]
