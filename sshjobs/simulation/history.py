"""What the journals on a host tell a new agent, and what the agent adds: as ``sshjobs/gjob/agent/attempts.py`` does."""

from __future__ import annotations

from typing import Any

from sshjobs.gjob.agent.attempts import UidSet
from sshjobs.simulation.disk import Record
from sshjobs.simulation.machine import Machine

QUEUED, RUNNING, ENDED = "queued", "running", "ended"


class Attempt:
    """One attempt that the manager has not released.

    :ivar launch: its launch frame; ``None`` for one that an earlier agent was given
    :ivar end: the keys of its ``ended`` frame
    :ivar started: its ``started`` frame
    """

    def __init__(self, uid: str, state: str = QUEUED, launch: dict[str, Any] | None = None):
        self.uid, self.state, self.launch = uid, state, launch
        self.runner: Any = None
        self.end: Record = {}
        self.started: Record | None = None
        self.lease: float | None = launch["spec"].get("lease") if launch is not None else None
        #: Bytes that were sent and then lost from the files.
        self.lost = [0, 0]


def end_of(uid: str, why: str, msg: str | None = None, **keys: Any) -> Record:
    """Return the keys of an ``ended`` frame."""
    return {"id": uid, "why": why, "status": None, "signal": None, "started": None, "ended": None, "out": 0, "err": 0,
            "msg": msg, "cpu": 0.0, "rss": 0, **keys}


class History:
    """Everything in the journals; a journal of the agent's own is begun."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self.epoch = -1
        self.boots: set[str] = set()
        self.released = UidSet()
        self.records: dict[str, dict[str, Record]] = {}
        self._runners: dict[tuple[int, int], None] = {}
        self._read: dict[str, int] = {}
        self.refresh()
        _, self.journal = machine.disk.new_journal()

    def refresh(self) -> None:
        """Read what came to the journals since the last time."""
        for name, journal in self._machine.disk.journals.items():
            records = journal.records
            for index in range(self._read.get(name, 0), len(records)):
                self._take(records[index][1])
            self._read[name] = len(records)

    def _take(self, item: Record) -> None:
        kind = item["k"]
        if kind == "release":
            for uid in item["ids"]:
                self.released.add(uid)
                self.records.pop(uid, None)
        elif kind == "epoch":
            self.epoch = max(self.epoch, item["epoch"])
            self.boots.add(item["boot"])
        elif kind == "runner":
            if item["boot"] == self._machine.boot:
                self._runners[item["runner"], item["rstart"]] = None
        elif item["id"] not in self.released:
            self.records.setdefault(item["id"], {})[kind] = item
            if kind == "claim":
                self.boots.add(item["boot"])

    def is_alive(self, pid: int, start: int) -> bool:
        """Tell whether a process of these records is alive."""
        return self._machine.lives(pid, start)

    def others_work(self, mine: set[int]) -> bool:
        """Tell whether a runner lives that is not one of mine: it may be about to write a claim."""
        self._runners = {one: None for one in self._runners if self.is_alive(*one)}
        return any(pid not in mine for pid, _ in self._runners)

    def note(self, **record: Any) -> None:
        """Append a record of the agent's own."""
        self.journal.append(self._machine.world.now, record)

    def note_epoch(self, epoch: int) -> None:
        """Keep the highest epoch, and that this boot has seen us."""
        self.epoch = epoch
        self.boots.add(self._machine.boot)
        self.note(k="epoch", epoch=epoch, boot=self._machine.boot)

    def note_start(self, uid: str, pid: int, start: int) -> None:
        """Keep the main process of an attempt, which its runner did not live to write down."""
        record = {"k": "start", "id": uid, "pid": pid, "start": start, "at": self._machine.clock()}
        self.records.setdefault(uid, {})["start"] = record
        self.note(**record)

    def note_release(self, uids: list[str]) -> None:
        """Keep that these can never be launched again."""
        for uid in uids:
            self.released.add(uid)
            self.records.pop(uid, None)
        self.note(k="release", ids=uids)
