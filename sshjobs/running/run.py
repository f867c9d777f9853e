"""Run: one jobfile being carried out. The command line, the web page and Python programs all use it.

A run lives in its directory; a :class:`Run` is a handle to it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from sshjobs.errors import EXIT_INTERRUPTED, RunTimeoutError, SshjobsError
from sshjobs.model.given import LONGEST_S, check, check_each, check_number, check_texts, wrong
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.telling import telling_of
from sshjobs.model.template import packed
from sshjobs.network import Network
from sshjobs.network.supervise import start_thread
from sshjobs.running.control import ControlServer, ManagerGoneError, Request, socket_directory
from sshjobs.running.forms import (
    check_options,
    hosts_from,
    in_our_words,
    jobs_from,
    limit_of,
    options_of,
    runs_from,
)
from sshjobs.running.interrupts import Interrupts
from sshjobs.running.runmanager import Listener, RunManager, silent
from sshjobs.running.signals import Signals
from sshjobs.store import RunReader
from sshjobs.store.named import named_jobs
from sshjobs.store.ownership import check_own
from sshjobs.store.reader import summary_of
from sshjobs.store.rundir import RunPaths

if TYPE_CHECKING:
    from sshjobs.inputs.builder import Builder
    from sshjobs.running.fetching import FetchedJob

#: Seconds that a manager gets to begin with a request.
REQUEST_TIMEOUT = 25.0
#: Seconds between two looks at whether it still takes requests.
REQUEST_LOOK = 0.25


class Run:
    """A run with its manager in this process.

    As a context manager it waits for the end of the run; when the block is left by an exception, the run is
    cancelled first.

    :ivar name: name of the run
    :ivar paths: the paths in its directory
    """

    def __init__(self, manager: RunManager):
        check("manager", manager, RunManager)
        self.manager, self.paths = manager, manager.paths
        self.name = manager.paths.name
        self._interrupts = Interrupts(manager)
        #: A request has cancelled the whole run, so a person wants to know what is left on the hosts.
        self._cancelled = False
        self._result: Future[int] = Future()

    @classmethod
    def create(cls, specs: Iterable[JobSpec], hosts: Sequence[Host], *, results: Path, name: str | None = None,
               stem: str = "run", jobfile: bytes | None = None, ssh_config: str | None = None,
               transport: str | None = None, slots: int | None = None, fail_fast: bool = False,
               stays_open: bool = False, give_up_host: float | None = None, stdin: BinaryIO | None = None,
               accept_new_host_keys: bool = False, continue_from: Sequence[RunPaths] = (),
               max_failures: str | int | None = None, setup: str | Sequence[str] | None = None,
               telling: Mapping[str, Any] | None = None, listener: Listener = silent) -> Run:
        """Make a run and begin to contact its hosts; :meth:`process` carries it out.

        :param stays_open: do not end with the last job, more will be added
        :param give_up_host: end the run when it waits only for hosts that have been away for so many seconds
        :param stdin: read to its end and kept with the run; every job reads it as its standard input
        :param accept_new_host_keys: as for :class:`sshjobs.Network`
        :param continue_from: earlier runs: jobs that are done there count as done, and are not run
        :param max_failures: end the run when more jobs have failed: 10, or ``"5%"`` of all
        :param setup: lines of a script that each host runs once before its first job
        :param telling: recipients of notices, as plain data: :class:`sshjobs.model.telling.Telling`
        :raises UsageError: something is not allowed; nothing was started
        """
        check_options(results=results, name=name, ssh_config=ssh_config, transport=transport, slots=slots, stem=stem,
                      jobfile=jobfile, fail_fast=fail_fast, stays_open=stays_open, give_up_host=give_up_host,
                      accept_new_host_keys=accept_new_host_keys, max_failures=max_failures, setup=setup,
                      listener=listener)
        chosen, earlier = check_each("hosts", hosts, Host), check_each("continue_from", continue_from, RunPaths)
        options = options_of(ssh_config=ssh_config, transport=transport, slots=slots, fail_fast=fail_fast,
                             stays_open=stays_open, give_up_host=give_up_host,
                             accept_new_host_keys=accept_new_host_keys, max_failures=max_failures, setup=setup,
                             telling=telling)
        # First: without a socket the run could not take requests, and does not begin.
        socket_directory()
        manager = RunManager(listener)
        manager.fail_fast, manager.stays_open, manager.give_up_after = fail_fast, stays_open, give_up_host
        manager.max_failures = limit_of(max_failures)
        network = Network(str(results), chosen, ssh_config=options["ssh_config"], transport=transport, slots=slots,
                          accept_new_host_keys=accept_new_host_keys)
        manager.Setup(specs, network, name=name, stem=stem, jobfile=jobfile, options=options, stdin=stdin,
                      earlier=earlier)
        return cls(manager)

    @classmethod
    def resume(cls, paths: RunPaths, *, listener: Listener = silent) -> Run:
        """Take over a run whose manager is gone.

        :raises RunBusyError: that manager is alive
        """
        check("paths", paths, RunPaths)
        if not callable(listener):
            raise wrong("listener", listener, "a function of one event")
        socket_directory()
        manager = RunManager(listener)
        manager.Resume(paths, network_of(paths, manager))
        return cls(manager)

    @classmethod
    def start(cls, jobs: str | Path | Builder | Iterable[JobSpec], hosts: str | Sequence[str | Host] | None = None, *,
              results: str | Path = "results", name: str | None = None, stem: str | None = None,
              ssh_config: str | None = None, transport: str | None = None, slots: int | None = None,
              fail_fast: bool = False, stays_open: bool = False, accept_new_host_keys: bool = False,
              continue_from: str | Path | Sequence[str | Path] = (), max_failures: str | int | None = None,
              setup: str | Sequence[str] | None = None, listener: Listener = silent) -> Run:
        """Start a run in a thread of its own and return at once.

        :param jobs: path of a jobfile, a builder, or specs
        :param hosts: as for :class:`sshjobs.Network`; ``None`` is this machine
        :param stem: a run without a name gets the name ``<stem>-<n>``; ``None`` chooses by the jobs
        :param stays_open: do not end with the last job: :meth:`add` brings more, until :meth:`finish`
        :param continue_from: earlier runs, each by its name in ``results`` or its path: jobs that are done there count
            as done in this one. They are among :attr:`jobs` with all their output, and are not run
        :param max_failures: end the run when more jobs have failed: 10, or ``"5%"`` of all; ``None``: as in the jobfile
        :param setup: lines of a script that each host runs once before its first job; ``None``: as in the jobfile
        :param listener: called in that thread with each event
        :raises SshjobsError: as :meth:`create`, or a file to be sent is missing; nothing was started
        """
        check_options(results=results, name=name, ssh_config=ssh_config, transport=transport, slots=slots,
                      fail_fast=fail_fast, stays_open=stays_open, accept_new_host_keys=accept_new_host_keys,
                      max_failures=max_failures, setup=setup, listener=listener,
                      **({} if stem is None else {"stem": stem}))
        given, earlier = jobs_from(jobs), runs_from(Path(results), continue_from)
        chosen, made = hosts_from(hosts, given.run_keys), Future[Run]()

        def make() -> Run:
            return cls.create(given.specs, chosen, results=Path(results), name=name, stem=stem or given.stem,
                              jobfile=given.jobfile, ssh_config=ssh_config, transport=transport, slots=slots,
                              fail_fast=fail_fast, stays_open=stays_open,
                              accept_new_host_keys=accept_new_host_keys, continue_from=earlier, listener=listener,
                              max_failures=given.run_keys.get("max_failures") if max_failures is None else max_failures,
                              setup=given.run_keys.get("setup") if setup is None else setup,
                              telling=telling_of(given.run_keys).as_dict())

        # The store belongs to the thread that opened it.
        start_thread("sshjobs-run", lambda: cls._carry(make, made), made.set_exception)
        return made.result()

    @classmethod
    def go_on(cls, paths: RunPaths, *, stays_open: bool = False, listener: Listener = silent) -> Run:
        """Take over a run whose manager is gone, or that has ended, in a thread of its own, and return at once.

        :param stays_open: do not end with the last job
        :raises SshjobsError: as :meth:`resume`
        """
        made: Future[Run] = Future()

        def make() -> Run:
            run = cls.resume(paths, listener=listener)
            run.manager.stays_open = run.manager.stays_open or stays_open
            return run

        start_thread("sshjobs-run", lambda: cls._carry(make, made), made.set_exception)
        return made.result()

    @staticmethod
    def _carry(make: Callable[[], Run], made: Future[Run]) -> None:
        """Make a run and carry it to its end. An error is raised in the thread that waits for the one or the other."""
        try:
            run = make()
        except BaseException as error:  # noqa: BLE001
            made.set_exception(in_our_words(error))
            return
        made.set_result(run)
        failure: BaseException | None = None
        try:
            code = run.process()
        except BaseException as error:  # noqa: BLE001
            failure = in_our_words(error)
        # First let iterators over its jobs end: a thread that has waited for the run must find nothing at work.
        run.manager.finished.close(failure)
        if failure is None:
            run._result.set_result(code)
        else:
            run._result.set_exception(failure)

    # -- for programs --------------------------------------------------------------------------------------------

    @property
    def jobs(self) -> list[Job]:
        """All jobs of this manager, in the order of the jobfile. Their fields change while they run."""
        return list(self.manager.jobs.objects)

    def wait(self, timeout: float | None = None) -> int:
        """Return the run's exit code when it has ended.

        :param timeout: seconds to wait at most
        :raises RunTimeoutError: it has not ended by then; this is a ``TimeoutError``, too
        :raises SshjobsError: it could not go on, for example because no host could be used
        """
        check_number("timeout", timeout, 0, LONGEST_S, none=True)
        try:
            return self._result.result(timeout)
        except FutureTimeout:
            raise RunTimeoutError("the run has not ended in time", where=self.name, hint="it goes on") from None

    def as_completed(self, timeout: float | None = None) -> Iterator[Job]:
        """Yield each job when it has ended, in the order of the ends, until the run ends.

        :param timeout: seconds to wait for the next one at most
        :raises RunTimeoutError: none has ended by then; this is a ``TimeoutError``, too
        :raises NoHostError: no host could be used
        :raises SshjobsError: the run could not go on for another reason
        """
        check_number("timeout", timeout, 0, LONGEST_S, none=True)
        return self.manager.finished.follow(timeout)

    def add(self, jobs: str | Path | Builder | Iterable[JobSpec]) -> list[Job]:
        """Add jobs to the run, in any form that :meth:`start` takes, and return them. They are on disk when this
        returns.

        :raises SshjobsError: they cannot run here, or the run has ended; nothing was added
        """
        specs = jobs_from(jobs).for_a_run_that_is_there()
        answer = self.request({"do": "add", "specs": packed(specs)})
        # A withdrawn job may have had the same name before.
        newest = {job.name: job for job in self.jobs}
        return [newest[name] for name in answer["jobs"]]

    def finish(self) -> None:
        """Let a run that stays open end with the last of its jobs. May be called again.

        :raises SshjobsError: the run has ended
        """
        self.request({"do": "finish"})

    def cancel(self, names: Iterable[str] | None = None) -> None:
        """Cancel jobs; ``None`` cancels all, and the run. Returns before they have ended; :meth:`wait` waits for that.

        :param names: names of jobs, patterns such as ``fit-*``, and parameters as in ``train[lr=0.1]``
        :raises UsageError: no job of the run has such a name; nothing was cancelled
        :raises SshjobsError: the run has ended
        """
        self.request({"do": "cancel", "jobs": None if names is None else self._named(names)})

    def _named(self, words: Iterable[str]) -> list[str]:
        with RunReader.open(self.paths) as reader:
            return [job.name for job in named_jobs(reader, check_texts("names", words))]

    def withdraw(self, names: Iterable[str]) -> None:
        """Take jobs that never started out of the run, as if they had not been added. Their names are free again, and
        their records stay in :attr:`jobs` as cancelled.

        :param names: as for :meth:`cancel`
        :raises UsageError: no job of the run has such a name, or one has started, or may have; nothing was withdrawn
        :raises SshjobsError: the run has ended
        """
        self.request({"do": "withdraw", "jobs": self._named(names)})

    def fetch(self, names: Iterable[str] | None = None, *, to: str | Path | None = None) -> list[FetchedJob]:
        """Fetch files of jobs that the run has not fetched, and return the result for each job that lacked some.

        :param names: as for :meth:`cancel`; ``None``: all jobs that have ended and lack files
        :param to: put them into a directory for each job in this one, and not into the run
        :raises SshjobsError: no job of the run has such a name, or this machine's disk cannot take the files
        """
        from sshjobs.running.fetching import fetch_of

        return fetch_of(self.paths, names, to)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each job, in order: mappings with the same keys, as ``pandas.DataFrame`` takes them.

        The keys are ``job``, ``entry``, each parameter, ``outcome``, ``host``, ``seconds``, ``cpu`` (seconds),
        ``memory`` (bytes), ``state``, ``exit_status``, ``signal``, ``attempts``, ``started``, ``from`` (the run from
        which the job was carried over), ``reason``, and each result. A parameter or result with the name of another key
        is ``param.NAME`` or ``result.NAME``. A value that a job does not have is ``None``. The values of a parameter
        are text, or numbers if all of them are.

        :raises StoreError: the store of the run cannot be read
        """
        from sshjobs.tables.sheet import sheet_of

        with RunReader.open(self.paths) as reader:
            return sheet_of([(self.name, reader.job_results())], several=False).as_dicts()

    def __repr__(self) -> str:
        if self._result.done():
            error = self._result.exception()
            return f"Run({self.name!r}, {'over' if error is None else error})"
        jobs = self.manager.jobs
        counts = ", ".join(f"{jobs.CountInState(state)} {state}" for state in jobs.states if jobs.CountInState(state))
        return f"Run({self.name!r}, {counts or 'no jobs'})"

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if kind is None:
            if self.manager.stays_open:
                # After the block nobody adds jobs any more. The run may have ended just now.
                with contextlib.suppress(ManagerGoneError):
                    self.finish()
            self.wait()
            return
        # The caller must see the exception that ended the block, not one from here.
        with contextlib.suppress(SshjobsError):
            if not self._result.done():
                self.cancel()
            self.wait()

    # -- carrying it out -----------------------------------------------------------------------------------------

    def process(self) -> int:
        """Carry the run to its end and return its exit code. In the main thread, signals stop it politely.

        :raises NoHostError: no host could be used
        :raises LocalError: this machine cannot do its part; :meth:`resume` goes on when it can
        """
        summary = summary_of(self.paths)
        self.manager.listener({"event": "run", "run": self.name, "directory": str(self.paths.root),
                               "jobs": summary.total, "counts": summary.counts,
                               "hosts": self.manager.network.GetHosts()})
        if self.manager.carried:
            self.manager.listener({"event": "carried", "jobs": sum(self.manager.carried.values()),
                                   "runs": dict(self.manager.carried)})
        with contextlib.ExitStack() as beside:
            try:
                beside.callback(ControlServer(summary.uid, self.request, self.manager.fail).close)
                if threading.current_thread() is threading.main_thread():
                    beside.enter_context(Signals(self.paths, self._interrupts.choose, self._interrupts.post,
                                                 self.manager.fail))
            except BaseException:
                # No other code would end the sessions with the hosts.
                self.manager.abandon()
                raise
            beside.callback(self._take_no_more)
            # While ssh logs in: no start waits for these, and later there may be no descriptor left to read them by.
            import sshjobs.running.requests  # noqa: F401

            self.manager.ProcessJobs()
        if (self._cancelled or self._interrupts.cancelled) and self._interrupts.count <= 2:
            from sshjobs.running.receipts import receipt

            self.manager.listener({"event": "receipt", **receipt(self.paths).as_dict()})
        summary = summary_of(self.paths)
        code = EXIT_INTERRUPTED if self._interrupts.count else self.manager.exit_code
        self.manager.listener({"event": "end", "run": self.name, "directory": str(self.paths.root),
                               "state": summary.state, "counts": summary.counts, "outcomes": summary.outcomes,
                               "exit_code": code, **summary.rule()})
        return code

    def request(self, request: Request) -> Request:
        """Let the manager carry out a request, from another thread, and return the answer.

        :raises SshjobsError: it could not be carried out, or not in time
        """
        check("a request", request, dict)
        answer: Future[Request] = Future()

        def act() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._carry_out(request))
                    self._cancelled |= request.get("do") == "cancel" and request.get("jobs") is None
                except BaseException as error:
                    answer.set_exception(error)
                    if not isinstance(error, SshjobsError):
                        raise

        self.manager.post(act)
        deadline = time.monotonic() + REQUEST_TIMEOUT
        while True:
            try:
                return answer.result(REQUEST_LOOK)
            except FutureTimeout:
                pass
            leaves = not self.manager.accepting
            # Cancelled, so that it is not carried out later, when nobody expects that any more.
            if (leaves or time.monotonic() > deadline) and answer.cancel():
                if leaves:
                    raise ManagerGoneError("the run has ended", where=self.name)
                raise SshjobsError("the run's manager is too busy to answer", where=self.name, hint="try again")

    def _carry_out(self, request: Request) -> Request:
        from sshjobs.running.requests import Target, carry_out

        return carry_out(request, Target.of(self.manager))

    def _take_no_more(self) -> None:
        self.manager.accepting = False


def network_of(paths: RunPaths, manager: RunManager) -> Network:
    """Return a network with the hosts and options of a run, and set the manager's options to the run's.

    :raises NotYoursError: the run belongs to another user, whose options (an ssh configuration) must not be used
    """
    check_own(paths)
    with RunReader.open(paths) as reader:
        options, hosts = reader.summary().options, [row.host for row in reader.hosts()]
        if any(host.removed for host in hosts):
            # Of removed hosts, only those with attempts that are not released are needed.
            in_use = reader.hosts_in_use()
            hosts = [host for host in hosts if not host.removed or host.name in in_use]
    manager.fail_fast, manager.stays_open = bool(options.get("fail_fast")), bool(options.get("stays_open"))
    manager.give_up_after = options.get("give_up_host")
    manager.max_failures = limit_of(options.get("max_failures"))
    return Network(str(paths.root.parent), hosts, ssh_config=options.get("ssh_config"),
                   transport=options.get("transport"), slots=options.get("slots"),
                   accept_new_host_keys=bool(options.get("accept_new_host_keys")))
