"""The GPUs of this host: asked about by the driver's tool, which nobody waits for, and looked at once more right before
a job starts on them."""

import os

from .. import files, procs, system
from ..gputool import gpu_tool
from ..light import dumps
from .attempts import QUEUED, RUNNING
from .gputools import SCRIPTS, Lie, Unit, units_of
from .loop import READ

MYPY = False
if MYPY:
    from typing import Any, Callable

    from .attempts import Attempt
    from .crew import Crew
    from .loop import Loop

#: Seconds that a tool gets for its answers, and the most bytes of them that are read.
PATIENCE, _MOST_BYTES = 5.0, 1 << 18
#: Seconds for which a look is good enough to start by, and after which the next one begins for what waits still: that
#: has its place among all who wait only as long as it may start.
FRESH, RENEWED = 3.0, 2.0
#: Of a second; the same on every Linux.
_TICK = 0.01
_MIB = 1 << 20
#: Processes on a GPU that are named.
_NAMED = 3


class Gpus:
    """Looks at the GPUs when that is wanted. One look is for all who want one before it begins.

    :param told: called with what there is after each look, for the manager
    """

    def __init__(self, crew: "Crew", loop: "Loop", told: "Callable[[dict[str, Any]], None]"):
        self._crew, self._loop, self._told = crew, loop, told
        self._tool = gpu_tool()
        self._wanted = False
        #: Called with the GPUs by their UUIDs, and with why there are none, after the next look; after this one.
        self._next: "list[Callable[[dict[str, Unit] | None, str | None], None]]" = []
        self._now: "list[Callable[[dict[str, Unit] | None, str | None], None]]" = []
        #: The pipe on which the tool answers, its pid, what it has said, and when it is given up.
        self._pipe, self._pid, self._said, self._until = -1, 0, b"", 0.0
        #: When attempts were found free to start that may wait for something else yet; those that are looked at again.
        self._cleared: "dict[str, float]" = {}
        self._renewed: "set[str]" = set()
        #: GPUs of jobs that have failed, with when these began, for the next look and for this one.
        self._suspected: "list[tuple[list[str], float | None]]" = []
        self._examined: "list[tuple[list[str], float | None]]" = []
        #: The one that had to be killed last.
        self._killed = 0

    def look(self, then: "Callable[[dict[str, Unit] | None, str | None], None] | None" = None) -> None:
        """Look soon, and tell the manager."""
        self._wanted = True
        if then is not None:
            self._next.append(then)

    def clear(self, attempt: "Attempt") -> None:
        """Look whether an attempt may start on its GPUs, or is to be given back."""
        def then(units: "dict[str, Unit] | None", trouble: "str | None") -> None:
            self._renewed.discard(attempt.uid)
            others = self._mine(but=attempt)
            why = next(("GPU %s has another job of this run" % uuid for uuid in attempt.gpus if uuid in others),
                       why_not(attempt.gpus, attempt.busy, units, trouble))
            if why is None:
                attempt.cleared = True
                self._cleared[attempt.uid] = system.monotonic()
                self._crew.share.consider()
            elif attempt.state == QUEUED:
                self._crew.turn_down(attempt.uid, "gpu_taken", why)

        self.look(then)

    def examine(self, attempt: "Attempt", frame: "dict[str, Any]", ended: "Callable[[Attempt], None]") -> None:
        """Look whether an attempt has failed because its GPUs have, before its end is told."""
        def then(units: "dict[str, Unit] | None", trouble: "str | None") -> None:
            why = broken(attempt.gpus, units, trouble)
            if why is not None:
                how = "signal %s" % frame["signal"] if frame["signal"] else "exit status %s" % frame["status"]
                changed = dict(frame, why="gpu_failed", msg="%s (the job ended with %s)" % (why, how))
                changed.pop("t", None)
                attempt.end = dumps(changed).encode("ascii")[1:]
            ended(attempt)

        # Tools may show a card as well of which the kernel has told what became of it.
        self._suspected.append((attempt.gpus, frame["started"]))
        self.look(then)

    def _mine(self, but: "Attempt | None" = None) -> "set[str]":
        """Return the GPUs that attempts have which run, or may begin at once."""
        return {uuid for attempt in self._crew.attempts.values() if attempt is not but and attempt.gpus and (
            attempt.state == RUNNING or (attempt.state == QUEUED and attempt.cleared)) for uuid in attempt.gpus}

    def due(self, now: float) -> float:
        """Return when to call :meth:`act`, by the monotonic clock."""
        if self._wanted and self._pipe < 0:
            return now
        due = [at + (FRESH if uid in self._renewed else RENEWED) for uid, at in self._cleared.items()]
        return min([now + 3600.0 if self._pipe < 0 else self._until, *due])

    def act(self, now: float) -> None:
        """Begin with a look that is wanted; give up one that takes too long."""
        if self._pipe >= 0 and now >= self._until:
            self._over("%s did not answer within %d s" % (self._name, PATIENCE))
        for uid, at in list(self._cleared.items()):
            attempt = self._crew.queue.get(uid)
            if attempt is None or now - at >= FRESH:
                del self._cleared[uid]
                if attempt is not None:
                    attempt.cleared = False
            elif now - at >= RENEWED and uid not in self._renewed:
                # It waits for what other runs have, and somebody may have come since.
                self._renewed.add(uid)
                self.clear(attempt)
        if self._pipe < 0 and self._wanted:
            self._wanted = False
            self._now, self._next = self._next, []
            self._examined, self._suspected = self._suspected, []
            self._begin(now)

    @property
    def _name(self) -> str:
        return os.path.basename(self._tool or "")

    def _begin(self, now: float) -> None:
        if self._tool is None:
            self._conclude(None, "there is no nvidia-smi, amd-smi or rocm-smi")
            return
        if self._killed in self._crew.helpers.pids:
            self._conclude(None, "%s still hangs: it was asked before, and cannot be ended" % self._name)
            return
        try:
            self._start(self._tool, now)
        except (OSError, ValueError) as error:
            self._conclude(None, "%s cannot be started: %s" % (self._name, error))

    def _start(self, tool: str, now: float) -> None:
        reading, self._pid = self._crew.helpers.start(["/bin/sh", "-c", SCRIPTS[self._name], "sh", tool])
        try:
            self._loop.watch(reading, self._read, READ)
        except OSError:
            files.close_quietly(reading)
            self._crew.helpers.end(self._pid)
            raise
        self._pipe, self._said, self._until = reading, b"", now + PATIENCE

    def _read(self) -> None:
        try:
            data = system.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            self._over("%s cannot be heard: %s" % (self._name, error.strerror))
            return
        self._said += data
        if len(self._said) > _MOST_BYTES:
            self._over("%s says more than %d KiB" % (self._name, _MOST_BYTES >> 10))
        elif not data:
            self._over(None)

    def _over(self, trouble: "str | None") -> None:
        """The answer is here, or will not come."""
        self._loop.forget(self._pipe)
        files.close_quietly(self._pipe)
        self._pipe = -1
        if trouble is not None:
            self._killed = self._pid
            self._crew.helpers.end(self._pid)
        text, self._said = self._said.decode("utf-8", "replace"), b""
        if trouble is not None:
            self._conclude(None, trouble)
            return
        try:
            units, trouble = units_of(self._name, text)
        except Lie as lie:
            self._conclude(None, "%s says what cannot be: %s" % (self._name, lie))
            return
        if trouble is not None:
            self._conclude(None, "%s: %s" % (self._name, trouble[:300]))
        else:
            self._conclude({unit.uuid: unit for unit in units}, None)

    def _conclude(self, units: "dict[str, Unit] | None", trouble: "str | None") -> None:
        told, self._now = self._now, []
        if units and self._name == "nvidia-smi":
            _ask_kernel(units, self._examined)
        mine, others = self._mine(), self._crew.share.units() if units else {}
        for unit in (units or {}).values():
            unit.held = unit.uuid not in mine and unit.uuid in others and _are_all_of(unit.pids, others[unit.uuid])
        self._told({"trouble": trouble, "units": [
            {"uuid": unit.uuid, "label": unit.label, "name": unit.name, "memory": unit.memory, "whole": unit.whole,
             "trouble": unit.trouble, "used": None if unit.uuid in mine else unit.used,
             "by": None if unit.uuid in mine else users_of(unit), "held": unit.held}
            for unit in (units or {}).values()]})
        for then in told:
            then(units, trouble)


def _ask_kernel(units: "dict[str, Unit]", examined: "list[tuple[list[str], float | None]]") -> None:
    """Note which GPUs of jobs have failed while these ran."""
    from . import xids  # only where a job with GPUs fails

    for uuids, started in examined:
        since = system.monotonic() - max(0.0, system.time() - (system.time() if started is None else started))
        failed = xids.failed(since)
        for unit in (units[uuid] for uuid in uuids if uuid in units):
            if unit.trouble is None:
                unit.trouble = failed.get(unit.parent or unit.uuid)


def why_not(uuids: "list[str]", busy: int, units: "dict[str, Unit] | None", trouble: "str | None") -> "str | None":
    """Return in words why a job cannot start on its GPUs; None where it can.

    :param busy: bytes in use from which on a GPU is not free
    """
    if units is None:
        return trouble
    for uuid in uuids:
        unit = units.get(uuid)
        if unit is None:
            return "%s is not shown any more" % uuid
        by = users_of(unit)
        if unit.trouble is not None:
            return "GPU %s (%s): %s" % (unit.label, uuid, unit.trouble)
        if unit.held:
            continue
        if by is not None:
            return "GPU %s is in use: %s" % (unit.label, by)
        if unit.used is not None and unit.used > busy:
            return "GPU %s is in use: %d MiB of its memory, and no process is shown" % (unit.label, unit.used // _MIB)
    return None


def broken(uuids: "list[str]", units: "dict[str, Unit] | None", trouble: "str | None") -> "str | None":
    """Return in words what is wrong with the GPUs of a job that has failed; None where they are well, or nobody
    knows."""
    if units is None:
        text = (trouble or "").lower()
        return trouble if any(word in text for word in _NONE_LEFT) else None
    for uuid in uuids:
        unit = units.get(uuid)
        if unit is None:
            return "%s has gone: the driver does not show it any more" % uuid
        if unit.trouble is not None:
            return "GPU %s (%s): %s" % (unit.label, uuid, unit.trouble)
    return None


#: What tools say when the driver has lost all.
_NONE_LEFT = ("no devices were found", "has fallen off the bus", "gpu is lost", "unable to determine the device handle",
              "couldn't communicate with the nvidia driver", "unknown error")


def _are_all_of(pids: "list[int]", person: int) -> bool:
    """Tell whether processes are all of one user, as far as they are still there."""
    for pid in pids:
        try:
            if system.stat("/proc/%d" % pid).st_uid != person:
                return False
        except OSError:
            pass
    return True


def users_of(unit: Unit) -> "str | None":
    """Return in words whose processes are on a GPU; None where there are none."""
    if not unit.pids:
        return None
    more = len(unit.pids) - _NAMED
    return "; ".join(map(_words, unit.pids[:_NAMED])) + ("; and %d more" % more if more > 0 else "")


def _words(pid: int) -> str:
    """Return a process in words: ``bob, pid 4711, since 2026-11-30 14:05``."""
    try:
        uid = system.stat("/proc/%d" % pid).st_uid
        found = procs.look(pid)
    except OSError:
        return "pid %d" % pid
    if found is None:
        return "pid %d" % pid
    began = system.time() - max(0.0, system.boottime() - found.start * _TICK)
    return "%s, pid %d, since %s" % (_name_of(uid), pid, "%d-%02d-%02d %02d:%02d" % tuple(system.localtime(began))[:5])


def _name_of(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return "uid %d" % uid
