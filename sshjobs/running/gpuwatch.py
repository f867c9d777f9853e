"""Which GPUs the hosts of a run have: asked for when a job needs some, and again while one waits for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sshjobs.model.gpus import GpuReport
from sshjobs.model.spec import Job
from sshjobs.network.clock import Clock
from sshjobs.network.contract import NetworkContract
from sshjobs.scheduling.schedule import Schedule

#: Seconds from an answer to the next question, while a job waits for GPUs that others use there, or as long as it is
#: not known which there are; the same where the host could not find out; and after which an answer that has not come is
#: asked for again.
LOOK_AGAIN_S, AFTER_TROUBLE_S, UNANSWERED_S = 2.0, 15.0, 60.0
#: Seconds from the beginning for which nothing is launched while nobody knows whether any host has what a job needs:
#: what no host has is told before anything was started, where hosts answer that soon.
FIRST_S = 10.0
#: So many waiting jobs of each host are told for whom they wait.
MOST_TOLD = 50

_WAITS = "waits for "


class GpuWatch:
    """Keeps the schedule informed. A run none of whose jobs needs GPUs asks nobody and pays nothing.

    :param warn: tells a person about a host
    """

    def __init__(self, network: NetworkContract, schedule: Schedule, warn: Callable[[str, str], None]):
        self._network, self._schedule, self._warn = network, schedule, warn
        self._clock: Clock = network.clock
        #: By host: when it is to be asked next, by the monotonic clock.
        self._due: dict[str, float] = {}
        #: Hosts that have answered since they came up.
        self._answered: set[str] = set()
        #: What was said of each host last.
        self._said: dict[str, str | None] = {}
        #: Nothing is due before.
        self._soonest = 0.0
        #: Until when nothing is launched; it is never looked at again once jobs may start.
        self._first_until: float | None = None
        self._begun = False

    def up(self, host: str, facts: Mapping[str, Any]) -> None:
        """Note that a host can be reached."""
        self._answered.discard(host)
        if facts.get("gpu_tool"):
            self._due[host] = self._soonest = self._clock.monotonic()
        else:
            self._due.pop(host, None)
            self._schedule.gpus.note(host, GpuReport())

    def down(self, host: str) -> None:
        """Note that a host cannot be reached, or has left."""
        self._due.pop(host, None)

    def ask(self) -> None:
        """Ask the hosts that are to be asked by now."""
        now = self._clock.monotonic()
        if not self._schedule.gpus.wanted or not self._due or now < self._soonest:
            return
        for host, due in self._due.items():
            if now >= due and (host not in self._answered or self._schedule.gpus.are_waited_for(host)):
                self._network.ask_gpus(host)
                self._due[host] = now + UNANSWERED_S
        # Of those of whom nobody wants anything now somebody may soon.
        self._soonest = min([now + LOOK_AGAIN_S, *(due for due in self._due.values() if due > now)])

    def within(self) -> float | None:
        """Return after how many seconds :meth:`ask` has something to do; ``None``: after the next event."""
        if not self._schedule.gpus.wanted:
            return None
        soonest = [self._soonest] if self._due else []
        if self._schedule.gpus.awaited and self._first_until is not None:
            soonest.append(self._first_until)
        return max(0.0, min(soonest) - self._clock.monotonic()) if soonest else None

    def look(self) -> None:
        """Have nothing launched at the beginning while it may turn out that no host has what a job needs."""
        gpus, now = self._schedule.gpus, self._clock.monotonic()
        if self._begun or not gpus.wanted:
            return
        if self._first_until is None:
            self._first_until = now + FIRST_S
        gpus.awaited = now < self._first_until and self._schedule.doubts_gpus()
        self._begun = not gpus.awaited

    def take(self, reports: Mapping[str, GpuReport]) -> dict[Job, str]:
        """Note what hosts have told of their GPUs. Returns for whom waiting jobs wait, where that is new."""
        found: dict[Job, str] = {}
        for host, report in reports.items():
            if host not in self._schedule.hosts:
                continue
            self._schedule.gpus.note(host, report)
            self._answered.add(host)
            soon = report.trouble is None or not self._schedule.gpus.are_known(host)
            pause = LOOK_AGAIN_S if soon else AFTER_TROUBLE_S
            due = self._clock.monotonic() + pause
            if host in self._due:
                self._due[host], self._soonest = due, min(self._soonest, due)
            said = report.trouble
            for job, words in self._schedule.gpus.waiting(host, MOST_TOLD):
                said = said or words
                words = f"{_WAITS}{host}: {words}"
                before = job.reason or ""
                if before != words and (before.startswith(f"{_WAITS}{host}: ") or not before.startswith(_WAITS)):
                    found[job] = words
            if said is not None and said != self._said.get(host):
                self._warn(host, said)
            self._said[host] = said
        return found
