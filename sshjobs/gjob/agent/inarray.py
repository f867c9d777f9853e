"""How an attempt ends that an element of a job array carries out: by its journal, and by what the scheduler says."""

from .. import files, wire
from . import adopt
from .attempts import Attempt, History
from .scheduler import GONE, killed

MYPY = False
if MYPY:
    from typing import Any

    from ..places import Places
    from .batches import Batches

#: Looks at the files of a job that is over before what they lack counts as lost: a shared file system may be late.
LATE_LOOKS = 40
#: Seconds until an element is ended again that goes on.
END_AGAIN_S = 15.0
_ENDED_BY = "the scheduler has ended it: %s"


class InArray(adopt.Adopted):
    """Finds out how an attempt ends that an element of an array carries out."""

    def __init__(self, attempt: Attempt, history: History, places: "Places", crew: "Batches"):
        super().__init__(attempt, history, places, lambda: set(), list, crew.leases)
        self._crew = crew
        self._looks = 0
        self._end_at = 0.0

    def cancel(self, grace: float, now: float, why: str = "cancelled") -> None:
        if self._why is None:
            self._why = why

    def pause(self, stop: bool) -> None:
        """Nobody here can."""

    def see_runner(self) -> None:
        """It is elsewhere."""

    def look(self, now: float, reaped: "dict[int, tuple[int, float, int]]") -> bytes:
        records, attempt = self._records, self.attempt
        start = records.get("start")
        if start is not None and not attempt.started_line:
            attempt.pid = start["pid"]
            attempt.started_line = wire.encode({"t": "started", "id": attempt.uid, "pid": start["pid"],
                                                "at": start["at"]})
            self._crew.began(attempt)
        state = self._crew.state_of(attempt.uid, attempt.journal)
        end = records.get("end")
        if end is not None and not self._is_whole(end):
            return b""
        if end is not None and not killed(end["why"], end["status"], end["signal"]):
            return self._told(end)
        if state is None:
            self._wait(end is not None, now)
            return b""
        self._looks += 1
        # The second look has read all that was written before the scheduler said that it is over.
        if self._looks < adopt.CLEAR_LOOKS:
            return b""
        return self._over(state, records, end)

    def _wait(self, ended: bool, now: float) -> None:
        """See to it that it is over for the scheduler, too."""
        if self._why is not None and not ended and now >= self._end_at:
            self._end_at = now + END_AGAIN_S
            self._crew.end_soon(self.attempt.uid)
        elif ended or self._why is not None:
            self._crew.find_out()

    def _over(self, state: str, records: "dict[str, dict[str, Any]]", end: "dict[str, Any] | None") -> bytes:  # type: ignore[override]
        if self._why is not None and (end is None or killed(end["why"], end["status"], end["signal"])):
            return self._finish(self._why, None)
        if end is not None and end["why"] != "closed" and state in ("COMPLETED", "FAILED", GONE):
            return self._told(end)
        said = "Slurm says %s" % state if state != GONE else "the scheduler knows nothing of it any more"
        if "claim" not in records:
            return self._finish("start_failed", "%s; it was not started" % said)
        if state == "TIMEOUT":
            return self._finish("timed_out", _ENDED_BY % "its time was over (time=)")
        if state == "OUT_OF_MEMORY":
            return self._finish("oom", _ENDED_BY % said)
        noted = records.get("exit")
        if noted is not None and not killed(noted["why"], noted["status"], noted["signal"]):
            return self._finish(noted["why"], None, noted["status"], noted["signal"])
        return self._finish("lost", _ENDED_BY % said)

    def _is_whole(self, end: "dict[str, Any]") -> bool:
        """Tell whether the outputs are here as they were at the end, or will not be any more."""
        for number, size in ((1, end["out"]), (2, end["err"])):
            try:
                # Opening it asks the file server, where a look at its size alone may be answered from memory.
                files.close_quietly(files.open_regular(self._places.stream(self.attempt.uid, number)))
            except OSError:
                pass
            if self._places.size(self.attempt.uid, number) < size:
                self._looks += 1
                return self._looks >= LATE_LOOKS
        return True
