"""Telling: delivers notices of a run to people, by its manager and after it.

A notice is in the store before it is delivered, and the result is written there, too. So it is delivered at least once,
whatever dies; a recipient who gets it twice can see that by its id. Notices are delivered one at a time in a thread of
their own. The manager never waits for them before the run is over.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sshjobs.errors import printable
from sshjobs.model.spec import Job
from sshjobs.model.telling import MOST_NAMES, Notice, Telling
from sshjobs.network.clock import SYSTEM, Clock
from sshjobs.network.contract import HostClosed, HostDown, HostUp, Silent, Warned
from sshjobs.running.courier import deliver
from sshjobs.store import ManagerIdentity, RunReader, RunStore, Summary
from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import ending

#: Seconds before a failed delivery is tried again, by the number of tries; the last value holds from then on.
PAUSES_S = (5.0, 60.0, 600.0, 3600.0)
#: Seconds that notices at the end of a run are waited for; seconds after which a person is told of the wait.
LAST_S, PATIENCE_S = 90.0, 5.0
#: A host that is away counts as lost after so many seconds; one that only a person can mend counts at once.
GRACE_S = 60.0
#: At most so many notices about one host in a run: it may come and go for ever.
MOST_LOST = 3


class Teller:
    """Delivers the notices of one run. Belongs to the manager's thread.

    :param telling: the recipients
    :param complain: called with a line about each notice that could not be delivered, once
    :param wake: wakes the manager, from any thread
    """

    def __init__(self, paths: RunPaths, store: RunStore, clock: Clock, *, telling: Telling, waiting: Sequence[Notice],
                 complain: Callable[[str], None], wake: Callable[[], None]):
        self._paths, self._store, self._clock, self._telling = paths, store, clock, telling
        self._complain, self._wake = complain, wake
        #: Undelivered notices that are in the store, with the time of the next try.
        self._waiting = {one.id: (one, 0.0) for one in waiting if one.delivered is None}
        #: Notices since the last commit.
        self._new: list[Notice] = []
        #: Undelivered notices of failures, to which further failures are added.
        self._open: dict[Any, Notice] = {}
        self._busy: str | None = None
        #: Notices that this teller has tried.
        self._tried: set[str] = set()
        self._ends: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        #: Hosts that are away or blocked, with the reason and the time from which they count as lost; notices per host.
        self._away: dict[str, tuple[str, float]] = {}
        #: When the next host counts as lost.
        self._soonest = float("inf")
        self._lost: Counter[str] = Counter()

    # -- what there is to tell ---------------------------------------------------------------------------------------

    def failed(self, job: Job) -> None:
        """Note that a job has failed for good."""
        why = ending(job.outcome and job.outcome.value, job.exit_status, job.signal, job.reason)
        for recipient in self._telling.recipients.get("failure", ()):
            known = self._open.get(recipient)
            if known is None:
                about = {**self._about(f"{job.name} failed: {why}"), "state": "running", "job": job.name,
                         "jobs": [job.name], "count": 1, "host": job.host, "reason": why}
                notice = Notice(secrets.token_hex(8), "failure", recipient, about, self._clock.time())
            else:
                count = known.about["count"] + 1
                names = [*known.about["jobs"], job.name][:MOST_NAMES]
                message = f"{self._paths.name}: {count:,} jobs failed, the first {names[0]}: {known.about['reason']}"
                about = {**known.about, "jobs": names, "count": count, "message": message}
                notice = Notice(known.id, "failure", recipient, about, known.made)
            self._open[recipient] = notice
            self._note(notice)

    def hear(self, event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        """Note an event of a host, if there are recipients for such notices."""
        if not self._telling.recipients.get("host_lost"):
            return
        match event:
            case HostUp(host):
                self._away.pop(host, None)
                self._soonest = min((due for _, due in self._away.values()), default=float("inf"))
            case HostDown(host, error) if host not in self._away or error.lasting:
                due = self._clock.monotonic() + (0.0 if error.lasting else GRACE_S)
                self._away[host], self._soonest = (str(error), due), min(due, self._soonest)

    def _look_at_hosts(self, now: float) -> None:
        for host, (why, due) in list(self._away.items()):
            if due <= now:
                # Only once until the host is back.
                self._away[host] = why, float("inf")
                self._lost[host] += 1
                if self._lost[host] <= MOST_LOST:
                    about = {**self._about(f"host {why}"), "state": "running", "host": host, "reason": why}
                    self._tell("host_lost", about)
        self._soonest = min((due for _, due in self._away.values()), default=float("inf"))

    def over(self, summary: Summary) -> None:
        """Note that the run is over."""
        done, failed = summary.counts["done"], summary.counts["error"]
        about = {**self._about(f"{summary.ending}: {done:,} of {summary.total:,} jobs done"), "state": summary.ending,
                 "done": done, "failed": failed, "total": summary.total, "count": failed}
        self._tell("done", about)

    def _about(self, message: str) -> dict[str, Any]:
        name = self._paths.name
        return {"run": name, "directory": str(self._paths.root.absolute()),
                "message": printable(f"{name}: {message}")[:1000]}

    def _tell(self, event: str, about: dict[str, Any]) -> None:
        for recipient in self._telling.recipients.get(event, ()):
            self._note(Notice(secrets.token_hex(8), event, recipient, about, self._clock.time()))

    def _note(self, notice: Notice) -> None:
        self._store.note_notice(notice)
        self._new.append(notice)

    # -- telling it --------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Begin to deliver notices that are in the store and due, and note results. Does not block."""
        if self._new and not self._store.dirty:
            # All notices are committed by now.
            self._waiting.update((one.id, (one, 0.0)) for one in self._new)
            self._new.clear()
        while not self._ends.empty():
            self._ended(*self._ends.get())
        if (now := self._clock.monotonic()) >= self._soonest:
            self._look_at_hosts(now)
        if self._busy is not None or self._new or not self._waiting:
            return
        due = next((one for one, when in self._waiting.values() if when <= now), None)
        if due is not None:
            self._busy = due.id
            if self._open.get(due.recipient) is not None and self._open[due.recipient].id == due.id:
                del self._open[due.recipient]
            threading.Thread(target=self._carry, args=(due,), name="sshjobs-telling", daemon=True).start()

    def _carry(self, notice: Notice) -> None:
        self._ends.put((notice.id, deliver(notice)))
        self._wake()

    def _ended(self, id_: str, error: str | None) -> None:
        self._busy = None
        notice = self._waiting[id_][0].tried(error, self._clock.time())
        self._store.note_notice(notice)
        if error is None:
            del self._waiting[id_]
            return
        pause = PAUSES_S[min(notice.tries, len(PAUSES_S)) - 1]
        self._waiting[id_] = notice, self._clock.monotonic() + pause
        if id_ not in self._tried:
            self._tried.add(id_)
            self._complain(f"{notice.recipient.shown()} was not told: {error}")

    def finish(self, commit: Callable[[], None], hurried: Callable[[], bool]) -> None:
        """After the run: deliver all notices that were not tried yet, once each, within :data:`LAST_S` seconds.

        :param commit: commits the store
        :param hurried: returns whether a person does not want to wait
        """
        until = self._clock.monotonic() + LAST_S
        said = self._clock.monotonic() + PATIENCE_S
        while self._busy is not None or self._new or not self._waiting.keys() <= self._tried:
            commit()
            self.turn()
            now = self._clock.monotonic()
            if now >= until or hurried():
                break
            if now >= said:
                said = float("inf")
                self._complain("waiting until people have been told")
            if self._busy is not None:
                self._clock.sleep(0.02)
        while not self._ends.empty():
            self._ended(*self._ends.get())
        commit()


def tell_again(paths: RunPaths, complain: Callable[[str], None]) -> tuple[int, int]:
    """Deliver the undelivered notices of a run without a manager; return how many were delivered, and how many not.

    :param complain: called with a line about each failure
    :raises RunBusyError: the run has a manager, which delivers them
    """
    store = RunStore.open(paths)
    try:
        store.take_over(ManagerIdentity.this_process())
        with RunReader.open(paths) as reader:
            waiting = [one for one in reader.notices() if one.delivered is None]
        teller = Teller(paths, store, SYSTEM, telling=Telling(), waiting=waiting, complain=complain, wake=lambda: None)
        teller.finish(store.commit, lambda: False)
        with RunReader.open(paths) as reader:
            left = [one for one in reader.notices() if one.delivered is None]
    finally:
        store.close(SYSTEM.time())
    return len(waiting) - len(left), len(left)
