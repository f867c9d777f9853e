"""HTTPServer: the pages in a program that has managers of its own. Its names and its use are the seed's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

from sshjobs.errors import SshjobsError, UsageError
from sshjobs.model.spec import Job
from sshjobs.network.contract import HostClosed, HostDown, HostUp, Silent, Warned
from sshjobs.running.manager import Manager
from sshjobs.running.requests import Target, carry_out
from sshjobs.running.run import REQUEST_TIMEOUT, Run
from sshjobs.web.acting import Ask
from sshjobs.web.server import Settings, WebServer
from sshjobs.web.sources import Sources

#: Told of each change: a word for what happened, the host's name, the job. Either may be ``None``.
StatusCallback = Callable[[str, str | None, Job | None], None]


_HOST_WORDS: dict[type, str] = {HostUp: "up", HostDown: "down", HostClosed: "closed", Warned: "warned",
                                Silent: "silent"}


class HTTPServer:
    """Shows the runs of managers of this program in a browser, from a thread of its own.

    :param manager: a :class:`~sshjobs.Manager` after ``Setup``, or a :class:`~sshjobs.Run`
    :param host: address to listen at; anything but loopback needs a certificate
    :param port: 0 for any that is free
    :param poll_sec: seconds between two questions of a browser that cannot be told of changes; people may set another
        interval in the browser
    :param DocumentRoot: directory of the pages' files, where they are not to be ours
    :param keyfile: private key for https, where it is not in ``certfile``
    :param certfile: certificate for https
    :raises UsageError: the address cannot be had, or others could read what passes
    """

    def __init__(self, manager: Manager | Run, host: str = "127.0.0.1", port: int = 8181, poll_sec: float = 10,
                 DocumentRoot: str | None = None, keyfile: str | None = None, certfile: str | None = None):
        self._poll_sec = poll_sec
        self._sources = Sources(None)
        self._managers: dict[str, Ask] = {}
        settings = Settings(host=host, port=port, poll_seconds=poll_sec, keyfile=keyfile, certfile=certfile,
                            root=None if DocumentRoot is None else Path(DocumentRoot), managers=self._managers)
        #: By manager: the name that its run is shown by, and what gives its hooks back.
        self._shown: dict[Manager, tuple[str, Callable[[], None]]] = {}
        self._server = WebServer(self._sources, settings)
        self.add_cluster(manager)
        self._thread = threading.Thread(target=self._server.serve, name="sshjobs-http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to open, with the token that lets a browser in."""
        return self._server.login_url

    def add_cluster(self, manager: Manager | Run) -> None:
        """Show the run of one more manager; its hooks are told of too, and still call what they called.

        :raises UsageError: it has no run yet
        """
        paths = getattr(manager, "paths", None)
        if paths is None:
            raise UsageError("the manager has no run yet", hint="call its Setup first")
        inner = _manager_of(manager)
        if inner in self._shown:
            return
        name = self._sources.add(paths)
        self._managers[name] = manager.request if isinstance(manager, Run) else _asking(inner)
        self._shown[inner] = name, _chain(inner, lambda *told: self.cluster_status(*told))

    def del_cluster(self, manager: Manager | Run) -> None:
        """Show the run of a manager no longer, and hear of it no more. What is not shown stays so."""
        name, unchain = self._shown.pop(_manager_of(manager), (None, None))
        if name is not None and unchain is not None:
            unchain()
            self._sources.remove(name)
            self._managers.pop(name, None)

    def cluster_status(self, status: str, host: str | None, job: Job | None) -> None:
        """Take note of a change. Called after the managers' own hooks, in their thread. A program that hears of changes
        itself overrides it, or has its own function call it; browsers see every change in either case.

        :param status: ``launch``, ``done`` or ``error`` of a job, ``up``, ``down``, ``warned`` or ``silent`` of a host
        :param host: its name; ``None`` for a job that was on none
        :param job: ``None`` for what is told of a host
        """
        self.last_change = time.time()

    #: When the last change was told of, seconds since the epoch; ``None`` before the first.
    last_change: float | None = None

    def shutdown(self, wait: bool = True) -> None:
        """Stop serving. Runs go on.

        :param wait: give browsers one more poll interval (a minute at most), so that they see how it ended
        """
        if wait and self._thread.is_alive():
            self._thread.join(min(self._poll_sec, 60.0))
        self._server.stop()
        self._thread.join(10.0)


def _manager_of(manager: Manager | Run) -> Manager:
    return manager.manager if isinstance(manager, Run) else manager


def _chain(manager: Manager, tell: StatusCallback) -> Callable[[], None]:
    """Have a manager's hooks tell of changes after they have done what they did; return what ends that."""
    launch, done, host = manager.HandleJobLaunch, manager.HandleJobDone, manager.handle_host
    telling = True

    def HandleJobLaunch(job: Job) -> None:
        launch(job)
        if telling:
            tell("launch", job.host, job)

    def HandleJobDone(job: Job) -> None:
        done(job)
        if telling:
            tell(job.state, job.host, job)

    def handle_host(event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        host(event)
        if telling:
            tell(_HOST_WORDS[type(event)], event.host, None)

    def unchain() -> None:
        # Others may have put theirs over ours since: those stay, and ours only pass on.
        nonlocal telling
        telling = False
        for name, ours, theirs in (("HandleJobLaunch", HandleJobLaunch, launch), ("HandleJobDone", HandleJobDone, done),
                                   ("handle_host", handle_host, host)):
            if vars(manager).get(name) is ours:
                setattr(manager, name, theirs)

    manager.HandleJobLaunch = HandleJobLaunch  # type: ignore[method-assign]
    manager.HandleJobDone = HandleJobDone  # type: ignore[method-assign]
    manager.handle_host = handle_host  # type: ignore[method-assign]
    return unchain


def _asking(manager: Manager) -> Ask:
    """Return how to ask a manager that a program drives itself: in its thread, between two events."""
    def ask(request: dict[str, Any]) -> dict[str, Any]:
        answer: futures.Future[dict[str, Any]] = futures.Future()

        def act() -> None:
            try:
                answer.set_result(carry_out(request, Target.of(manager)))
            except SshjobsError as error:
                answer.set_exception(error)

        manager.post(act)
        try:
            return answer.result(REQUEST_TIMEOUT)
        except futures.TimeoutError:
            raise SshjobsError("the run's manager did not answer", where=manager.paths.name,
                               hint="it may have ended, or be too busy; try again") from None

    return ask
