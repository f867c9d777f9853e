"""The pulse: how a host fares, said once a minute for people who watch. Nothing is decided by it, so what cannot be
found out is left open, and what could be slow is never waited for.
"""

import os

from .. import files, system
from ..gputool import nvidia_smi
from . import facts

try:
    from mmap import PAGESIZE as _PAGE
except ImportError:  # some Pythons are built without it
    _PAGE = 4096  # type: ignore[misc]

MYPY = False
if MYPY:
    from typing import Any

    from ..places import Places
    from .crew import Crew

#: Seconds between two pulses, between two questions about GPUs, and that nvidia-smi gets for its answer.
EVERY, GPU_EVERY, GPU_PATIENCE = 60.0, 60.0, 3.0
#: Processes of jobs that are looked at in one pulse: each costs 15 us of CPU, up to four times that where nothing is in
#: the caches; all else costs 0.4 ms then.
MOST_PROCESSES = 12
#: The most of nvidia-smi's answer that is read, and of an answer that is believed.
_ANSWER, _MOST_GPUS = 1 << 16, 1000
_QUERY = ["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
#: Of a second; the same on every Linux.
_TICK = 0.01
_MIB = 1 << 20


class Pulse:
    """Finds out how the host fares.

    :param gpus: there are GPUs, so that nvidia-smi is worth asking
    :ivar at: when :meth:`beat` is due, by the monotonic clock
    """

    def __init__(self, places: "Places", crew: "Crew", gpus: bool, now: float):
        self._places, self._crew, self.at = places, crew, now
        self._program = nvidia_smi() if gpus else None
        #: The pipe on which nvidia-smi answers, and its pid.
        self._answer: "tuple[int, int] | None" = None
        self._ask_at = now
        #: How busy each GPU was when last asked, in percent, and how much of its memory was taken.
        self._use: "list[int | None]" = []
        self._memory: "list[int | None]" = []

    def beat(self, now: float) -> "dict[str, Any] | None":
        """Return the keys of the frame; None where the GPUs were asked first, which takes until the next call."""
        if self._program is not None and self._answer is None and now >= self._ask_at:
            self._ask_at = now + GPU_EVERY
            if self._ask(self._program):
                self.at = now + GPU_PATIENCE
                return None
        self._read_answer()
        ids, cpu, rss = self._jobs()
        self.at = now + EVERY
        return {"load": facts.load(), "memory": facts.available(), "disk": facts.passing(self._places.base)["disk"],
                "gpus": self._use, "gpu_memory": self._memory, "ids": ids, "cpu": cpu, "rss": rss}

    def _ask(self, program: str) -> bool:
        """Start nvidia-smi; False where that cannot be, or an earlier one still hangs in the driver."""
        if self._crew.helpers:
            return False
        try:
            reading, writing = system.pipe()
        except OSError:
            return False
        try:
            nothing = system.open("/dev/null", os.O_RDWR)
            try:
                argv = [os.fsencode(word) for word in [program] + _QUERY]
                pid = system.spawn(argv[0], argv, system.environ(), (nothing, writing, nothing), [])
            finally:
                files.close_quietly(nothing)
            system.set_blocking(reading, False)
        except (OSError, ValueError):
            files.close_quietly(reading)
            return False
        finally:
            files.close_quietly(writing)
        self._crew.helpers.add(pid)
        self._answer = reading, pid
        return True

    def _read_answer(self) -> None:
        """Read what nvidia-smi has printed by now; the rest is not waited for."""
        if self._answer is None:
            return
        (reading, pid), self._answer = self._answer, None
        try:
            text = system.read(reading, _ANSWER).decode("ascii", "replace")
        except OSError:
            text = ""
        files.close_quietly(reading)
        self._crew.end_helper(pid)
        rows = [line.split(",") for line in text.splitlines()[:_MOST_GPUS] if line.count(",") == 1]
        self._use = [_whole(row[0], 100) for row in rows]
        used = [_whole(row[1], 1 << 30) for row in rows]
        self._memory = [None if one is None else one * _MIB for one in used]

    def _jobs(self) -> "tuple[list[str], list[float], list[int]]":
        """Return of jobs that run their ids, seconds of CPU so far, and KiB of memory, with all their processes."""
        ids: "list[str]" = []
        cpu: "list[float]" = []
        rss: "list[int]" = []
        left = MOST_PROCESSES
        for uid, pid in self._crew.running():
            if left <= 0:
                break
            todo, ticks, pages = [pid], 0, 0
            for one in todo:
                left -= 1
                try:
                    text = system.stat_of(one)
                    fields = text[text.rfind(b")") + 2:].split()
                    ticks += sum(map(int, fields[11:15]))
                    pages += int(fields[21])
                    if len(todo) <= left:
                        todo += system.children_of(one)[:left]
                except (OSError, ValueError, IndexError):  # gone, or a kernel that does not tell
                    continue
            ids.append(uid)
            cpu.append(round(ticks * _TICK, 2))
            rss.append(pages * _PAGE // 1024)
        return ids, cpu, rss


def _whole(word: str, most: int) -> "int | None":
    """Return a number that nvidia-smi says; None for its "[N/A]"."""
    word = word.strip()
    return min(int(word), most) if word.isdigit() and len(word) < 12 else None
