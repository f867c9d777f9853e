"""Attempts that no runner of the agent's own tells of: found out as ``sshjobs/gjob/agent/adopt.py`` does."""

from __future__ import annotations

from typing import Any

from sshjobs.gjob.lease import GRACE
from sshjobs.simulation.disk import Record
from sshjobs.simulation.history import ENDED, RUNNING, Attempt, History, end_of
from sshjobs.simulation.killing import Killer
from sshjobs.simulation.machine import Machine, Process
from sshjobs.simulation.runner import LEFTOVERS_GRACE, TIMEOUT_GRACE

LOOK_INTERVAL = 0.1
#: Looks in a row that must find nothing alive.
CLEAR_LOOKS = 2


class Adoption:
    """Finds out how one attempt ends.

    :param mine: returns the pids of the agent's runners
    """

    def __init__(self, attempt: Attempt, history: History, machine: Machine, agent: Any):
        self.attempt = attempt
        self._history, self._machine, self._agent = history, machine, agent
        self._status: Process | None = None
        self._why: str | None = None
        self._killer: Killer | None = None
        self._clear = 0
        self._runner_lives = True

    @property
    def _records(self) -> dict[str, Record]:
        return self._history.records.get(self.attempt.uid, {})

    def cancel(self, grace: float, why: str = "cancelled") -> None:
        """End it."""
        if self._killer is not None:
            self._killer.hurry(grace)
            return
        if self._is_running():
            self._why = why
        self._kill(grace)

    def _kill(self, grace: float) -> None:
        self._killer = Killer(self._machine, self.attempt.uid, self.members, grace,
                              lambda: self._agent.alive and self.attempt.state == RUNNING)

    def members(self) -> list[Process]:
        """Return the living processes of the attempt."""
        claim, start = self._records.get("claim"), self._records.get("start")
        found = {process.pid: process for process in self._machine.holders(claim["token"] if claim else "")}
        if start is not None and self._history.is_alive(start["pid"], start["start"]):
            found.setdefault(start["pid"], self._machine.processes[start["pid"]])
        return list(found.values())

    def see_runner(self) -> None:
        """Note whether its runner lives, before its journal is read for :meth:`look`."""
        claim = self._records.get("claim")
        if claim is None:
            self._runner_lives = self._history.others_work(self._agent.mine())
        else:
            self._runner_lives = self._history.is_alive(claim["runner"], claim["rstart"])

    def look(self, reaped: dict[int, Process]) -> Record | None:
        """Do what is due; return the end once it is known and nothing is left alive."""
        records = self._records
        if "start" in records and records["start"]["pid"] in reaped:
            self._status = reaped.pop(records["start"]["pid"])
        if "end" in records:
            return self._told(records["end"])
        claim = records.get("claim")
        if claim is None:
            return None if self._runner_lives else self._finish("start_failed", "its runner died before it started")
        if self._runner_lives:
            return None
        if self._is_running():
            if self._killer is None and not self._agent.leasing.leases.covers(self.attempt.uid):
                self.cancel(GRACE, "lease")
            if self._killer is None and claim.get("until") is not None and self._machine.world.now >= claim["until"]:
                self._why = "timed_out"
                self._kill(TIMEOUT_GRACE)
            return None
        return self._over(records)

    def _over(self, records: dict[str, Record]) -> Record | None:
        if self.members():
            self._clear = 0
            if self._killer is None:
                self._kill(LEFTOVERS_GRACE)
            return None
        self._clear += 1
        if self._clear < CLEAR_LOOKS:
            return None
        noted = records.get("exit")
        if noted is not None:
            return self._finish(noted["why"], None, status=noted["status"], signal=noted["signal"])
        if self._status is not None:
            status, signal = self._status.status, self._status.signal
            return self._finish(self._why or ("exited" if signal is None else "signalled"), None, status=status,
                                signal=signal)
        if self._why in ("cancelled", "lease"):
            return self._finish(self._why, None)
        return self._finish("lost", "the exit status is not known")

    def _finish(self, why: str, msg: str | None, **keys: Any) -> Record:
        uid, disk = self.attempt.uid, self._machine.disk
        end = end_of(uid, why, msg, started=self._records.get("start", {}).get("at"), ended=self._machine.clock(),
                     out=disk.size(uid, 1), err=disk.size(uid, 2), **keys)
        self._history.note(k="end", **end)
        return end

    def _told(self, record: Record) -> Record:
        end = {key: record[key] for key in end_of("", "")}
        if self._why in ("cancelled", "lease") and end["why"] in ("exited", "signalled"):
            end["why"] = self._why
        return end

    def _is_running(self) -> bool:
        records = self._records
        if "exit" in records or "end" in records or self._status is not None:
            return False
        start = records.get("start")
        if start is not None:
            return self._history.is_alive(start["pid"], start["start"])
        return "claim" in records and any(process.leads for process in self.members())


def _is_whole(uid: str, records: dict[str, Record], machine: Machine) -> bool:
    """False when the host went down after the end, and outputs miss what was not on the disk by then."""
    claim, end = records.get("claim"), records["end"]
    if claim is not None and claim["boot"] == machine.boot:
        return True
    return bool(machine.disk.size(uid, 1) >= end["out"] and machine.disk.size(uid, 2) >= end["err"])


def recover(history: History, machine: Machine) -> list[Attempt]:
    """Return every attempt that an earlier agent left here. Those whose end is not known yet are running."""
    found = []
    for uid in sorted(set(machine.disk.claims) | set(history.records)):
        if uid in history.released:
            machine.disk.discard(uid)
            continue
        records = history.records.get(uid, {})
        claim = records.get("claim")
        attempt = Attempt(uid, ENDED)
        if "end" in records and _is_whole(uid, records, machine):
            attempt.end = {key: records["end"][key] for key in end_of("", "")}
        elif "fence" in records:
            attempt.end = end_of(uid, "fenced")
        elif "end" in records or ((claim["boot"] != machine.boot) if claim else machine.boot not in history.boots):
            attempt.end = end_of(uid, "reboot", "the host was restarted while it ran",
                                 started=records.get("start", {}).get("at"),
                                 out=machine.disk.size(uid, 1), err=machine.disk.size(uid, 2))
            history.note(k="end", **attempt.end)
        else:
            attempt.state = RUNNING
            attempt.lease = claim.get("lease") if claim else None
        found.append(attempt)
    return found
