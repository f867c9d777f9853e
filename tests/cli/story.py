"""Events as a run tells them, for views to show."""

from __future__ import annotations

from typing import Any

Event = dict[str, Any]
COUNTS = {"free": 0, "busy": 0, "done": 0, "unknown": 0, "error": 0}


def run(jobs: int, hosts: list[str], *, directory: str = "results/r", **counts: int) -> Event:
    """The first event; ``counts`` of a run that is resumed."""
    return {"event": "run", "run": directory.rpartition("/")[2], "directory": directory, "jobs": jobs, "hosts": hosts,
            "counts": {**COUNTS, "free": jobs - sum(counts.values()), **counts}}


def launch(job: str, host: str = "a", attempt: int = 1) -> Event:
    """A launch."""
    return {"event": "launch", "job": job, "host": host, "attempt": attempt}


def change(word: str, job: str, host: str | None = "a", *, attempts: int = 1, outcome: str | None = None,
           status: int | None = None, number: int | None = None, seconds: float | None = None,
           reason: str | None = None) -> Event:
    """A change of a job: ``started``, ``unknown``, ``retry``, ``done`` or ``error``."""
    state = {"started": "busy", "retry": "free"}.get(word, word)
    return {"event": word, "job": job, "host": host, "state": state, "outcome": outcome, "exit_status": status,
            "signal": number, "attempts": attempts, "seconds": seconds, "reason": reason}


def done(job: str, host: str = "a", seconds: float = 1.2) -> Event:
    """A job that succeeded."""
    return change("done", job, host, outcome="succeeded", status=0, seconds=seconds)


def failed(job: str, host: str = "a", status: int = 3, **more: Any) -> Event:
    """A job that failed by itself."""
    return change("error", job, host, outcome="failed", status=status, **{"seconds": 1.2, **more})


def up(host: str, **facts: Any) -> Event:
    """A host that can be used."""
    return {"event": "host", "host": host, "state": "up", "facts": {"cores": 8, "python": "3.9.2", **facts}}


def down(host: str, state: str = "away", kind: str = "refused", why: str = "the connection was refused") -> Event:
    """A host that cannot."""
    return {"event": "host", "host": host, "state": state, "kind": kind, "reason": f"{host}: {why}; do this"}
