"""What people ask of a run in a play, and what has to come of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from unittest import mock

from sshjobs.errors import SshjobsError
from sshjobs.model.spec import Job
from sshjobs.running.manager import Manager
from sshjobs.running.requests import Data, Target, carry_out
from sshjobs.running.unattended import change
from sshjobs.store import ManagerIdentity
from tests.sim.host.process import Process

if TYPE_CHECKING:
    from tests.sim.play import Play


class Wishes:
    """Belongs to a play."""

    def __init__(self, play: Play):
        self._play = play
        #: By name: the number of the newest attempt when a person last wanted the job ended.
        self._unwanted: dict[str, int] = {}
        #: By name: the attempt that stands still because a person wants that.
        self._paused: dict[str, str] = {}
        #: Attempts of which a person was told that the wish is not written down yet: it may go with the manager.
        self._unwritten: set[str] = set()

    def ask(self, request: Data) -> None:
        """Have the manager do something, as over its control socket, or leave it to the next one; nothing where it
        cannot be done."""
        manager = self._play.manager
        self._play.say(f"asked: {request}")
        self._play.judge.tried_again += request["do"] == "retry"
        if manager is None:
            if not self._play.store_full and not self._play.away:
                for host in request["hosts"] if request["do"] == "hosts-remove" else ():
                    self._play.judge.removes(host)
                self._forget_pauses(request)
                with contextlib.suppress(SshjobsError), mock.patch.object(ManagerIdentity, "this_process", self._play.identity):
                    change(self._play.paths, request)
            return

        def act() -> None:
            self._before(request, manager)
            with contextlib.suppress(SshjobsError):
                answer = carry_out(request, Target.of(manager))
                self._note(request, manager, written="unwritten" not in answer)
        manager.post(act)

    def _before(self, request: Data, manager: Manager) -> None:
        """Note what a request may lead to, also where its manager dies in the middle of it."""
        self._forget_pauses(request)
        if request["do"] == "cancel":
            self._unwanted.update((job.name, job.attempts[-1].n) for job in self._chosen(request, manager))
        elif request["do"] == "hosts-remove":
            for host in request["hosts"]:
                self._play.judge.removes(host)
        elif request["do"] == "hosts-lost":
            self._play.judge.evidence.given_up.update(dict.fromkeys(request["hosts"], self._play.world.now))

    def _forget_pauses(self, request: Data) -> None:
        """What is to go on need not stand still any more."""
        for name in request["jobs"] or () if request["do"] == "unpause" else ():
            self._play.judge.asked.pop(self._paused.pop(name, ""), None)

    def _note(self, request: Data, manager: Manager, *, written: bool) -> None:
        """Note what a person was told is done: it has to be."""
        asked, now = self._play.judge.asked, self._play.world.now
        for job in self._chosen(request, manager) if request["do"] in ("cancel", "pause") else ():
            uid = job.attempts[-1].uid
            if asked.get(uid, (0.0, ""))[1] not in ("cancel", request["do"]):
                asked[uid] = now, request["do"]
                if not written:
                    self._unwritten.add(uid)
            if request["do"] == "pause" and asked[uid][1] == "pause":
                self._paused[job.name] = uid
            else:
                self._paused.pop(job.name, None)

    def committed(self) -> None:
        """The manager has written all down that it had not."""
        self._unwritten.clear()

    def manager_gone(self) -> None:
        """Expect nothing more of what only the manager knew."""
        for uid in self._unwritten:
            self._play.judge.asked.pop(uid, None)
        self._unwritten.clear()

    @staticmethod
    def _chosen(request: Data, manager: Manager) -> list[Job]:
        names = set(request["jobs"] or ())
        return [job for job in manager.unfinished() if job.name in names and job.attempts]

    def may_be_ended(self, process: Process) -> bool:
        """Tell whether somebody or something wants the end of a job that runs."""
        name, evidence = process.environ[b"SSHJOBS_JOB"].decode(), self._play.judge.evidence
        spec, host = self._play.work.specs.get(name), process.machine.name
        if spec is None or spec.lease is not None or int(process.uid.partition(".")[2]) <= self._unwanted.get(name, 0):
            return True
        if spec.timeout is not None and self._play.world.now >= evidence.claims[host, process.uid] + spec.timeout:
            return True
        # Should a host come back that a person has declared lost, what runs there is ended.
        return evidence.launches[process.uid].at <= evidence.given_up.get(host, -1.0)
