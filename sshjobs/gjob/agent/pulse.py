"""The pulse: how a host fares, said once a minute for people who watch. Nothing is decided by it, so what cannot be
found out is left open, and what could be slow is never waited for.
"""


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
#: It is said that the disk fills up when less is left than so many bytes, or than this share (one in so many) of a
#: small disk; once more after there was half as much again.
LITTLE, LITTLE_SHARE = 3 << 30, 7
#: Of a second; the same on every Linux.
_TICK = 0.01
_MIB = 1 << 20


class Pulse:
    """Finds out how the host fares.

    :param gpus: there are GPUs, so that nvidia-smi is worth asking
    :ivar at: when :meth:`beat` is due, by the monotonic clock
    :ivar warning: what a person should know since the last beat
    """

    def __init__(self, places: "Places", crew: "Crew", gpus: bool, now: float):
        self._places, self._crew, self.at = places, crew, now
        self._program = nvidia_smi() if gpus else None
        #: The pipe on which nvidia-smi answers, and its pid.
        self._answer: "tuple[int, int] | None" = None
        self._ask_at = now
        self.warning: "str | None" = None
        self._little = False
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
        return {"load": facts.load(), "memory": facts.available(), "disk": self._disk(),
                "gpus": self._use, "gpu_memory": self._memory, "ids": ids, "cpu": cpu, "rss": rss}

    def _disk(self) -> "int | None":
        """Return how many bytes the disk has left, and note whether a person should know of that by now."""
        self.warning = None
        found = facts.room(self._places.base)
        if found is None:
            return None
        free, whole = found
        little = min(LITTLE, whole // LITTLE_SHARE)
        if free < little and not self._little:  # never of a file system that does not tell what it has
            self._little = True
            self.warning = ("the disk of %s is filling up: %s left; make room there before jobs have to wait for it"
                            % (self._places.root, _amount(free)))
        elif free > little * 3 // 2:
            self._little = False
        return free

    def _ask(self, program: str) -> bool:
        """Start nvidia-smi; False where that cannot be, or an earlier one still hangs in the driver."""
        if self._crew.helpers.pids:
            return False
        try:
            self._answer = self._crew.helpers.start([program] + _QUERY)
        except (OSError, ValueError):
            return False
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
        self._crew.helpers.end(pid)
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


def _amount(size: int) -> str:
    return "%.1f GiB" % (size / 2.0 ** 30) if size >= 1 << 30 else "%d MiB" % (size >> 20)


def _whole(word: str, most: int) -> "int | None":
    """Return a number that nvidia-smi says; None for its "[N/A]"."""
    word = word.strip()
    return min(int(word), most) if word.isdigit() and len(word) < 12 else None
