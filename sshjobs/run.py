"""Run: one jobfile being carried out. What the command line, the web page and Python programs share.

A run lives in its directory; a :class:`Run` is a hold on it. Events for whoever watches are plain dicts, with the keys
of docs/cli.md ("Events").
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from sshjobs.builder import Builder
from sshjobs.control import ControlServer, Request, ask
from sshjobs.errors import EXIT_INTERRUPTED, SshjobsError, UsageError
from sshjobs.host import Host
from sshjobs.manager import Manager
from sshjobs.network import HostDown, HostUp, Network, Warned
from sshjobs.rundir import RunPaths
from sshjobs.spec import Job, JobSpec
from sshjobs.states import FINAL_STATES
from sshjobs.store import RunReader, Summary

Event = dict[str, Any]
Listener = Callable[[Event], None]

#: What sshjobs does with hosts when none are named: everything runs on this machine.
EMBEDDED = [Host("localhost", local=True)]
#: Seconds without anything finished after which listeners hear of it.
QUIET = 1.0


class RunManager(Manager):
    """A manager that tells a listener what happens, as events."""

    def __init__(self, listener: Listener):
        super().__init__(QUIET)
        self.listener = listener

    def HandleJobLaunch(self, job: Job) -> None:
        self.listener({"event": "launch", "job": job.name, "host": job.host, "attempt": job.attempts[-1].n})

    def HandleJobDone(self, job: Job) -> None:
        self.listener({"event": job.state, **_describe(job)})

    def HandleSleep(self) -> None:
        self.listener({"event": "wait"})

    def handle_change(self, job: Job) -> None:
        # "started" for busy: launched and running are two things to a person who watches.
        word = {"busy": "started", "free": "retry"}.get(job.state, job.state)
        self.listener({"event": word, **_describe(job)})

    def handle_host(self, event: HostUp | HostDown | Warned) -> None:
        match event:
            case HostUp(host, facts):
                self.listener({"event": "host", "host": host, "state": "up", "facts": facts})
            case HostDown(host, error):
                self.listener({"event": "host", "host": host, "state": "blocked" if error.lasting else "away",
                               "kind": error.kind, "reason": str(error)})
            case Warned(host, message):
                self.listener({"event": "warning", "host": host, "reason": message})


def _describe(job: Job) -> Event:
    attempt = job.attempts[-1] if job.attempts else None
    seconds = None
    if attempt is not None and attempt.started is not None and attempt.ended is not None:
        seconds = round(max(0.0, attempt.ended - attempt.started), 3)
    return {"job": job.name, "host": job.host, "state": job.state, "outcome": job.outcome and job.outcome.value,
            "exit_status": job.exit_status, "signal": job.signal, "attempts": len(job.attempts), "seconds": seconds,
            "reason": job.reason}


class Run:
    """A run with its manager in this process.

    :param manager: set up already
    """

    def __init__(self, manager: RunManager):
        self.manager, self.paths = manager, manager.paths
        self.name = manager.paths.name
        self._interrupts = 0
        self._server: ControlServer | None = None

    @classmethod
    def create(cls, specs: Iterable[JobSpec], hosts: Sequence[Host], *, results: Path, name: str | None = None,
               stem: str = "run", jobfile: bytes | None = None, ssh_config: str | None = None,
               transport: str | None = None, slots: int | None = None, fail_fast: bool = False,
               listener: Listener = lambda event: None) -> Run:
        """Make a run and begin to contact its hosts.

        :raises UsageError: something in it cannot be; nothing was started
        """
        if ssh_config is not None:
            if not os.access(ssh_config, os.R_OK):
                raise UsageError("the ssh configuration cannot be read", where=ssh_config, hint="correct --ssh-config")
            ssh_config = os.path.abspath(ssh_config)
        manager = RunManager(listener)
        manager.fail_fast = fail_fast
        options = {"ssh_config": ssh_config, "transport": transport, "slots": slots, "fail_fast": fail_fast}
        network = Network(str(results), list(hosts), ssh_config=ssh_config, transport=transport, slots=slots)
        manager.Setup(specs, network, name=name, stem=stem, jobfile=jobfile, options=options)
        return cls(manager)

    @classmethod
    def resume(cls, paths: RunPaths, *, listener: Listener = lambda event: None) -> Run:
        """Take over a run whose manager is gone.

        :raises RunBusyError: that manager is alive
        """
        with RunReader.open(paths) as reader:
            options, hosts = reader.summary().options, [row.host for row in reader.hosts()]
        manager = RunManager(listener)
        manager.fail_fast = bool(options.get("fail_fast"))
        network = Network(str(paths.root.parent), hosts, ssh_config=options.get("ssh_config"),
                          transport=options.get("transport"), slots=options.get("slots"))
        manager.Resume(paths, network)
        return cls(manager)

    def process(self) -> int:
        """Carry the run to its end and return its exit code. In the main thread, signals stop it politely.

        :raises NoHostError: no host could be used
        """
        with RunReader.open(self.paths) as reader:
            summary = reader.summary()
        self.manager.listener({"event": "run", "run": self.name, "directory": str(self.paths.root),
                               "jobs": summary.total, "counts": summary.counts,
                               "hosts": self.manager.network.GetHosts()})
        self._server = ControlServer(summary.uid, self._answer)
        try:
            with self._signals():
                self.manager.ProcessJobs()
        finally:
            self._server.close()
        with RunReader.open(self.paths) as reader:
            summary = reader.summary()
        code = EXIT_INTERRUPTED if self._interrupts else self.manager.exit_code
        self.manager.listener({"event": "end", "run": self.name, "directory": str(self.paths.root),
                               "state": summary.state, "counts": summary.counts, "outcomes": summary.outcomes,
                               "exit_code": code})
        return code

    # -- signals and requests ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if number == signal.SIGTERM:
            self.manager.post(self._leave)
        elif self._interrupts == 1:
            self.manager.post(self._stop_politely)
        else:
            self.manager.post(self._cancel_all)

    def _leave(self) -> None:
        self.manager.until = lambda: True
        self.manager.listener({"event": "interrupt", "reason": "leaving; what was launched goes on, "
                               f"and is collected by: sshjobs resume {self.name}"})

    def _stop_politely(self) -> None:
        self.manager.stop()
        self.manager.listener({"event": "interrupt", "reason": "launching nothing more, waiting for what runs; "
                               "Ctrl-C again cancels it"})

    def _cancel_all(self) -> None:
        self.manager.listener({"event": "interrupt", "reason": "cancelling what runs"})
        self.manager.cancel(job for job in self.manager.unfinished() if job.attempts and job.state != "free")

    def _answer(self, request: Request) -> Request:
        """Answer another process; runs in a thread of the control socket."""
        if request.get("do") == "cancel":
            names = request.get("jobs")
            self.manager.post(lambda: self._cancel_named(None if names is None else set(names)))
            return {"ok": True}
        raise SshjobsError(f"the manager does not know how to {request.get('do')!r}")

    def _cancel_named(self, names: set[str] | None) -> None:
        if names is None:
            self.manager.stop()
        self.manager.cancel(job for job in self.manager.unfinished() if names is None or job.name in names)


def cancel(paths: RunPaths, names: Sequence[str] | None, *, listener: Listener = lambda event: None) -> None:
    """Have jobs of a run cancelled, by its manager or, where it has none, by us. Returns when it is under way or done.

    :param names: names of jobs, ``None`` for all that have not ended
    :raises UsageError: a name is of no job of the run
    """
    with RunReader.open(paths) as reader:
        summary = reader.summary()
        for name in names or ():
            if reader.job(name) is None:
                near = reader.near_names(name)
                raise UsageError(f"no job is called {name!r}", where=paths.name,
                                 hint=f"did you mean {' or '.join(near)}?" if near else "see: sshjobs status")
    if ask(summary.uid, {"do": "cancel", "jobs": None if names is None else list(names)}) is not None:
        return
    if not any(count for state, count in summary.counts.items() if state not in FINAL_STATES):
        return
    run = Run.resume(paths, listener=listener)
    manager = run.manager
    manager.stop()
    chosen = [job for job in manager.unfinished() if names is None or job.name in names]
    manager.until = lambda: all(job.state in FINAL_STATES for job in chosen)
    manager.cancel(chosen)
    manager.ProcessJobs()


def specs_of(jobfile: str, data: bytes | None) -> list[JobSpec]:
    """Return the specs of a jobfile.

    :param data: its content where it was read already (standard input), else ``None``
    :raises InputError: it has mistakes
    """
    return Builder().AddJobFile(jobfile, data=data).MakeJobSpecs()


def summary_of(paths: RunPaths) -> Summary:
    """Return where a run stands."""
    with RunReader.open(paths) as reader:
        return reader.summary()
