"""Progress: where a run stands, put together from its events. As large as what runs, not as the run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, STATES
from sshjobs.views.acts import event_text
from sshjobs.views.base import Event

#: Failures that are remembered.
MAX_FAILURES = 50
#: Moments that are remembered to tell how fast jobs end, and seconds between two at least; the time that has passed is
#: as long as twice so many.
_MOMENTS, _MOMENT_S = 16, 1.0
#: Jobs that must have ended, and seconds that must have passed, before anything is said of the rate.
_LEAST_ENDS, _LEAST_S = 3, 3.0
_STATE_AFTER = {"launch": STATE_BUSY, "started": STATE_BUSY, "retry": STATE_FREE, "unknown": STATE_UNKNOWN,
                "done": STATE_DONE, "error": STATE_ERROR}


class Live:
    """A job that was launched and is not over. ``since``: when it was launched or, once ``started``, began."""

    __slots__ = ("host", "job", "since", "started", "state")

    def __init__(self, job: str, host: str, state: str, since: float, *, started: bool = False):
        self.job, self.host, self.state, self.since, self.started = job, host, state, since, started


class HostView:
    """What is known of a host.

    :ivar state: ``connecting``, ``up``, ``away``, ``closed`` or ``blocked``
    :ivar running: jobs that were seen to begin there; ``launched`` those that were sent ahead of that
    :ivar done: jobs that succeeded there while we watched; ``failed`` those that ended otherwise
    :ivar drained: nothing more starts there
    """

    state: str = "connecting"
    slots: int | None = None
    running: int = 0
    launched: int = 0
    done: int = 0
    failed: int = 0
    drained: bool = False
    reason: str = ""
    #: When it was last heard, where it has not answered since for longer than it should take.
    silent_since: float | None = None

    def __init__(self, name: str, *, since: float = 0.0):
        self.name, self.since = name, since


class Progress:
    """Takes events and answers what a view asks.

    :param monotonic: the clock that lengths of time are measured by
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic):
        self._monotonic = monotonic
        self.run, self.directory, self.notice = "", "", ""
        #: Nothing is launched, because a person wants it so; a person, or the system, wants the run to stop.
        self.paused = self.stopping = False
        self.counts: dict[str, int] = dict.fromkeys(STATES, 0)
        #: Jobs by name, in the order of their launches.
        self.live: dict[str, Live] = {}
        self.hosts: dict[str, HostView] = {}
        self.failures: deque[Event] = deque(maxlen=MAX_FAILURES)
        self._began: float | None = None
        #: When how many jobs were over: some moments of the newer half of the time.
        self._ends: deque[tuple[float, int]] = deque(maxlen=_MOMENTS)
        #: When all will be over, half the time and nine times in ten, as was forecast last.
        self._expected: tuple[float, float] | None = None
        # Of a run that is resumed the first event does not name the jobs that may be running, it counts them.
        self._adopted = {STATE_BUSY: 0, STATE_UNKNOWN: 0}

    @property
    def total(self) -> int:
        """How many jobs the run has."""
        return sum(self.counts.values())

    def elapsed(self) -> float | None:
        """Return for how many seconds the run has been watched; ``None`` before its first event."""
        return None if self._began is None else self._monotonic() - self._began

    @property
    def over(self) -> int:
        """How many jobs have ended."""
        return self.counts[STATE_DONE] + self.counts[STATE_ERROR]

    def rate(self) -> float | None:
        """Return how many jobs end in a second, by the newer half of the time that the run was watched for; ``None``
        where too few have ended to tell."""
        if not self._ends or self._began is None:
            return None
        since, before = self._ends[0]
        seconds, ended = self._monotonic() - since, self.over - before
        return ended / seconds if ended >= _LEAST_ENDS and seconds >= _LEAST_S else None

    def expect(self, left: tuple[float, float] | None) -> None:
        """Take a forecast: in how many seconds all will be over, half the time and nine times in ten."""
        now = self._monotonic()
        self._expected = None if left is None else (now + left[0], now + left[1])

    def left(self) -> tuple[float, float | None] | None:
        """Return the seconds until all jobs are over: half the time, and nine times in ten where that was forecast;
        where it was not, if they go on as now. ``None`` where nobody knows."""
        if self.stopping or self.paused:
            return None
        if self._expected is not None:
            now = self._monotonic()
            return max(0.0, self._expected[0] - now), max(0.0, self._expected[1] - now)
        rate = self.rate()
        return None if rate is None else ((self.total - self.over) / rate, None)

    def take(self, event: Event) -> None:
        """Take an event of any kind; those that it does not know change nothing."""
        word = event["event"]
        if word in _STATE_AFTER:
            self._move(event, _STATE_AFTER[word])
        elif word == "run":
            self._begin(event)
        elif word == "host":
            self._host(event)
        elif word == "silent" and event["host"] in self.hosts:
            seconds = event["seconds"]
            self.hosts[event["host"]].silent_since = None if seconds is None else self._monotonic() - seconds
        elif word == "hosts":
            self._change_hosts(event)
        elif word == "added":
            self.counts[STATE_FREE] += event["jobs"]
        elif word == "withdrawn":
            self.counts = {**self.counts, **event["counts"]}
        elif word == "again":
            self._try_again(set(event["jobs"]))
        elif word == "pause" and event["jobs"] is None:
            self.paused = event["paused"]
            self.notice = event_text(event) if event["paused"] else ""
        elif word == "interrupt":
            self.notice, self.stopping = event["reason"], True
        elif word == "end":
            self.counts = {**self.counts, **event["counts"]}
            self.live.clear()

    def waits_for(self) -> str:
        """Say what the run waits for, in a few words."""
        troubled = [host for host in self.hosts.values() if host.state in ("away", "blocked", "closed")]
        if self.live:
            first = next(iter(self.live.values()))
            more = f" and {len(self.live) - 1:,} more" if len(self.live) > 1 else ""
            return f"waiting for {first.job} on {first.host}{more}"
        connecting = [host.name for host in self.hosts.values() if host.state == "connecting"]
        names = connecting or [host.name for host in troubled]
        if not names:
            return "waiting for the hosts"
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        reason = self.hosts[names[0]].reason if not connecting else ""
        why = f": {reason.removeprefix(names[0] + ': ')}" if reason else ""
        return f"waiting for host {names[0]}{more}{why}"

    def _begin(self, event: Event) -> None:
        self._began = self._monotonic()
        self.run, self.directory = event["run"], event["directory"]
        self.counts = {**dict.fromkeys(STATES, 0), **event["counts"]}
        self._adopted = {state: self.counts[state] for state in self._adopted}
        self.hosts = {name: HostView(name, since=self._began) for name in event["hosts"]}
        self._ends.clear()
        self._ends.append((self._began, self.over))

    def _move(self, event: Event, state: str) -> None:
        job = self.live.get(event["job"])
        before = job.state if job is not None else self._before(event)
        if before != state:
            # Jobs that are added to a run in progress are first heard of when they are launched.
            self.counts[before] = max(0, self.counts[before] - 1)
            self.counts[state] += 1
        if state in FINAL_STATES:
            self._count_end(event, state)
        if state in FINAL_STATES or state == STATE_FREE:
            self._forget(job)
        elif job is None:
            self._remember(event, state)
        else:
            if event["event"] == "started" and not job.started:
                self._load(job, -1)
                job.started, job.since = True, self._monotonic()
                self._load(job, 1)
            job.state = state
        if state == STATE_ERROR:
            self.failures.append(event)

    def _count_end(self, event: Event, state: str) -> None:
        host = self.hosts.get(event["host"] or "")
        if host is not None and event["attempts"]:
            host.done += state == STATE_DONE
            host.failed += state == STATE_ERROR
        now = self._monotonic()
        if self._began is None:
            return
        if not self._ends or now - self._ends[-1][0] >= max(_MOMENT_S, (now - self._began) / (2 * _MOMENTS)):
            self._ends.append((now, self.over))

    def _before(self, event: Event) -> str:
        """Return the state of a job that is not live here: it waited, had failed, or an earlier manager launched it."""
        if event["event"] != "launch" and event["attempts"]:
            for state in (STATE_UNKNOWN, STATE_BUSY):
                if self._adopted[state]:
                    self._adopted[state] -= 1
                    return state
        return STATE_ERROR if event["event"] == "retry" else STATE_FREE

    def _remember(self, event: Event, state: str) -> None:
        job = Live(event["job"], event["host"], state, self._monotonic(), started=event["event"] != "launch")
        self.live[job.job] = job
        self._load(job, 1)

    def _forget(self, job: Live | None) -> None:
        if job is None:
            return
        del self.live[job.job]
        self._load(job, -1)

    def _load(self, job: Live, change: int) -> None:
        host = self.hosts.get(job.host)
        if host is not None and job.started:
            host.running += change
        elif host is not None:
            host.launched += change

    def _try_again(self, names: set[str]) -> None:
        self.counts[STATE_ERROR] -= len(names)
        self.counts[STATE_FREE] += len(names)
        self.failures = deque((one for one in self.failures if one["job"] not in names), MAX_FAILURES)

    def _change_hosts(self, event: Event) -> None:
        for name in event["hosts"]:
            if event["change"] == "added":
                self.hosts[name] = HostView(name, since=self._monotonic())
            elif event["change"] == "removed":
                self.hosts.pop(name, None)
            elif event["change"] == "slots" and name in self.hosts:
                self.hosts[name].slots = event["slots"]
            elif event["change"] in ("drained", "undrained") and name in self.hosts:
                self.hosts[name].drained = event["change"] == "drained"

    def _host(self, event: Event) -> None:
        host = self.hosts.setdefault(event["host"], HostView(event["host"]))
        if host.state != event["state"]:
            host.since = self._monotonic()
        host.state, host.reason, host.silent_since = event["state"], event.get("reason", ""), None
        if event["state"] == "up":
            host.slots = event.get("slots") or event["facts"].get("cores")
