"""The hooks of a manager, which subclasses override to follow a run."""

from __future__ import annotations

from typing import Any

from sshjobs.model.spec import Job
from sshjobs.network.contract import HostClosed, HostDown, HostUp, Silent, Warned


class Hooks:
    """Each hook is called in the manager's thread, after the event. By default none does anything.

    A hook may read everything and must change nothing. The run waits for it to return.
    """

    def HandleJobLaunch(self, job: Job) -> None:
        """Called when a job is launched, once for each of its attempts."""

    def HandleJobDone(self, job: Job) -> None:
        """Called once for each job that reached its end, however it ended (``job.outcome`` tells)."""

    def HandleSleep(self) -> None:
        """Called each time ``sleep_time_in_secs`` passed with nothing finished."""

    def handle_change(self, job: Job) -> None:
        """Called when a job has changed without ending: it runs, its host went away or came back, it will be
        retried."""

    def handle_act(self, event: dict[str, Any]) -> None:
        """Called when a person has changed the run, with an event of docs/cli.md."""

    def handle_host(self, event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        """Called for every event of a host."""
