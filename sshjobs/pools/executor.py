"""Executor: functions called on hosts over plain ssh, as ``concurrent.futures`` has them.

Each call is a job of a run that stays open, so whatever is promised of a job holds for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any

from sshjobs.errors import CallError, LocalError, RunTimeoutError, SshjobsError
from sshjobs.model.given import LONGEST_S, check, check_number, check_path, check_texts, wrong
from sshjobs.model.host import Host
from sshjobs.model.keys import DEFAULT_HOST_RETRIES
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_DONE, STATE_ERROR
from sshjobs.network.supervise import start_thread
from sshjobs.pools.answers import answer_of, never_began
from sshjobs.pools.callfiles import FORMS, PYTHON, CallFiles
from sshjobs.running.forms import hosts_from
from sshjobs.running.requests import host_data
from sshjobs.running.run import Run
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths, check_run_name
from sshjobs.views.hostnews import HostNews

#: How often a call is tried again that was launched and provably did not run.
MOST_FALSE_STARTS = 3
#: How many calls are added to the run at a time: it hears nothing else meanwhile.
MOST_AT_A_TIME = 1000
#: Seconds until it is asked again of a run that can note nothing at present.
NOTING_PAUSE_S = 0.5

log = logging.getLogger("sshjobs.pools")


class CallFuture(futures.Future[Any]):
    """The result of a call to come.

    :ivar name: of its job
    """

    def __init__(self, name: str, withdraw: Callable[[str], None]):
        super().__init__()
        self.name = name
        self._withdraw = withdraw
        self._cancelled, self._first = False, threading.Lock()

    def cancel(self) -> bool:
        """Cancel the call unless it runs already; tell whether it is cancelled."""
        if not super().cancel():
            return False
        with self._first:
            first, self._cancelled = not self._cancelled, True
        if first:
            self.set_running_or_notify_cancel()
            self._withdraw(self.name)
        return True


class Executor(futures.Executor):
    """Calls functions on hosts that can be reached by ssh. As a context manager it waits for all calls.

    With ``results="pickle"`` a host that runs calls can run code as you here, when its result is read.

    :param hosts: as for :class:`sshjobs.Network`; ``None`` is this machine
    :param name: of the run. Where there is one of that name it is gone on with, and a call whose function and arguments
        are the same as before gets the result from there; ``None`` begins a new one
    :param results: how results come back: ``pickle``, anything that can be pickled; ``json``, what JSON knows
    :param results_dir: directory that runs are kept in
    :param slots: how many calls a host takes at a time; ``None`` is one for each core
    :param env: environment variables of calls
    :param files: paths of files, directories and modules that calls find in their working directory
    :param timeout: seconds after which a call is ended; ``None`` is no limit
    :param retries: how often a call is called again that raised, was ended by a signal or ran out of time
    :param host_retries: the same for ends that are nobody's fault, such as a reboot of the host
    :param once: forbids every second start, whatever happened to the first
    :param nice: what to add to the niceness of calls, 0 to 19
    :raises SshjobsError: something in it cannot be, or the run has a manager already; nothing was started
    """

    def __init__(self, hosts: str | Path | Sequence[str | Host] | None = None, *, name: str | None = None,
                 results: str = "pickle", results_dir: str | Path = "results", slots: int | None = None,
                 ssh_config: str | None = None, transport: str | None = None, accept_new_host_keys: bool = False,
                 env: Mapping[str, str | int | float] | None = None, files: Sequence[str] = (),
                 timeout: float | None = None, retries: int = 0, host_retries: int = DEFAULT_HOST_RETRIES,
                 once: bool = False, nice: int = 0):
        check("results", results, str)
        if results not in FORMS:
            raise wrong("results", results, "pickle or json",
                        hint="for a directory: results_dir" if "/" in results else None)
        check_path("results_dir", results_dir)
        self._form = results
        options: dict[str, Any] = {"env": env, "timeout": timeout, "retries": retries, "host_retries": host_retries,
                                   "once": once, "nice": nice}
        JobSpec("true", **options)  # what is wrong with these is told now
        self._lock, self._packing = threading.Condition(), threading.Lock()
        self._futures: dict[str, CallFuture] = {}
        self._outbox: list[JobSpec] = []
        self._requests: list[dict[str, Any]] = []
        self._over = False
        self._false_starts: dict[str, int] = {}
        #: Of an earlier program, what became of its calls, by name.
        self._earlier: dict[str, str] = {}
        self._news = HostNews()
        self._run = self._open(hosts, name, Path(results_dir), slots=slots, ssh_config=ssh_config, transport=transport,
                               accept_new_host_keys=accept_new_host_keys)
        self._calls = CallFiles(self._run.paths.root / "calls", results, check_texts("files", files), options)
        self._threads = [start_thread(f"sshjobs-{work.__name__[1:]}", work, self._fail)
                         for work in (self._send, self._collect)]

    # -- as concurrent.futures has it ----------------------------------------------------------------------------

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> CallFuture:
        """Have a function called, and return the result to come.

        :raises UsageError: the function or an argument cannot be sent
        :raises RuntimeError: after :meth:`shutdown`
        """
        self._check_open()
        with self._packing:
            spec = self._calls.call(self._calls.function(fn), (args, kwargs))
        return self._enter(spec)

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None,
            chunksize: int = 1, **more: Any) -> Iterator[Any]:
        """Return an iterator over what the function returns for each item, in the order of the items.

        :param timeout: seconds from now on after which waiting for a result raises ``TimeoutError``
        :param chunksize: how many items a call takes; more than one for what takes less than 0.1 s each
        """
        check_number("timeout", timeout, 0, LONGEST_S, none=True)
        check_number("chunksize", chunksize, 1, 10**9, whole=True)
        end = None if timeout is None else time.monotonic() + timeout
        items = list(zip(*iterables, strict=False))
        self._check_open()
        waiting = []
        with self._packing:
            function = self._calls.function(fn)
            for at in range(0, len(items), chunksize):
                some = items[at:at + chunksize]
                waiting.append(self._enter(self._calls.call(function, some, each=True) if chunksize > 1 else
                                           self._calls.call(function, (some[0], {}))))
        return _results(waiting, end, flat=chunksize > 1)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. The run ends with the last of them, and hosts are cleaned up.

        :param wait: return when that is done
        :param cancel_futures: cancel the calls that do not run yet
        """
        with self._lock:
            self._over = True
            waiting = list(self._futures.values()) if cancel_futures else []
        for future in waiting:
            future.cancel()
        with self._lock:
            self._lock.notify_all()
        if wait:
            for thread in self._threads:
                thread.join()
            # How the run ended is told by each of its calls.
            futures.wait([self._run._result])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> bool | None:
        self.shutdown(cancel_futures=kind is not None)
        return None

    @property
    def run(self) -> Run:
        """The run that calls are jobs of."""
        return self._run

    def __repr__(self) -> str:
        return f"Executor({self._run!r})"

    # -- the run -------------------------------------------------------------------------------------------------

    def _open(self, hosts: Any, name: str | None, results_dir: Path, **options: Any) -> Run:
        chosen = hosts_from(hosts)
        if name is not None:
            check("name", name, str)
            check_run_name(name)
            paths = RunPaths(results_dir, name)
            if paths.store.is_file():
                return self._go_on(paths, chosen)
        # A run that nobody has named is called calls-1, calls-2, …
        return Run.start([], chosen, results=results_dir, name=name, stem="calls", stays_open=True,
                         listener=self._hear, **options)

    def _go_on(self, paths: RunPaths, hosts: Sequence[Host]) -> Run:
        with RunReader.open(paths) as reader:
            self._earlier = {row.name: row.state for row in reader.jobs()}
            known = {row.host.name for row in reader.hosts() if not row.host.removed}
        run = Run.go_on(paths, stays_open=True, listener=self._hear)
        new = [host for host in hosts if host.name not in known]
        gone = sorted(known - {host.name for host in hosts})
        try:
            if new:
                run.request({"do": "hosts-add", "hosts": [host_data(host) for host in new]})
            if gone:
                run.request({"do": "hosts-remove", "hosts": gone})
        except SshjobsError:
            run.finish()
            raise
        return run

    def _hear(self, event: dict[str, Any]) -> None:
        """Take an event of the run, in its thread."""
        kind = event["event"]
        news = self._news.line(event) if kind in ("host", "warning") else None
        if kind == "started":
            future = self._futures.get(event["job"])
            if future is not None:
                _begin(future)
        elif kind == "host" and event["state"] == "up":
            theirs = ".".join(str(event["facts"].get("python", "")).split(".")[:2])
            if theirs != PYTHON:
                log.warning("%s: left out, as its python is %s, and this program's is %s; give python= in the hosts "
                            "file", event["host"], theirs or "not known", PYTHON)
                self._request({"do": "hosts-remove", "hosts": [event["host"]]})
        elif news is not None:
            log.warning("%s", news[1])

    # -- calls ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _enter(self, spec: JobSpec) -> CallFuture:
        """Take a call on, and return its result to come."""
        name = str(spec.name)
        future = CallFuture(name, self._withdraw)
        with self._lock:
            self._check_open()
            state = self._earlier.pop(name, None)
            self._futures[name] = future
            if state is None:
                self._outbox.append(spec)
            elif state == STATE_ERROR:
                self._requests.append({"do": "retry", "jobs": [name]})
            self._lock.notify_all()
        if state == STATE_DONE:
            self._settle_earlier(name)
        return future

    def _settle_earlier(self, name: str) -> None:
        """Give a call what became of it before."""
        with RunReader.open(self._run.paths) as reader:
            (job,) = reader.load([name])
        job.paths = self._run.paths
        self._settle(job)

    def _withdraw(self, name: str) -> None:
        with self._lock:
            if self._futures.pop(name, None) is None:
                return
            waiting = len(self._outbox)
            self._outbox = [spec for spec in self._outbox if spec.name != name]
            if len(self._outbox) == waiting:
                self._requests.append({"do": "cancel", "jobs": [name]})
            self._lock.notify_all()

    def _request(self, request: dict[str, Any]) -> None:
        with self._lock:
            self._requests.append(request)
            self._lock.notify_all()

    def _send(self) -> None:
        """Bring what programs want to the run, as much as has come at a time."""
        while True:
            with self._lock:
                while not (self._outbox or self._requests or self._over):
                    self._lock.wait()
                specs, self._outbox = self._outbox, []
                requests, self._requests = self._requests, []
                last = self._over and not (specs or requests)
            if last:
                if self._all_came():
                    break
                continue
            for at in range(0, len(specs), MOST_AT_A_TIME):
                self._ask({"do": "add", "specs": [spec.as_dict() for spec in specs[at:at + MOST_AT_A_TIME]]})
            for request in requests:
                self._ask(request)
        self._ask({"do": "finish"})

    def _all_came(self) -> bool:
        """Wait until no call is left that may have to be tried again, or there is something to send."""
        with self._lock:
            while self._futures and not (self._outbox or self._requests):
                self._lock.wait()
            return not (self._outbox or self._requests)

    def _ask(self, request: dict[str, Any]) -> None:
        try:
            answer = self._request_patiently(request)
        except SshjobsError as error:
            if request["do"] == "add":
                self._fail_calls([spec["name"] for spec in request["specs"]], error)
            elif request["do"] == "retry":
                self._fail_calls(request["jobs"], error)
            return
        for name in answer.get("refused", ()):
            # It may start only once, and has.
            self._settle_earlier(name)

    def _request_patiently(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the run for something. While this machine can note nothing, such as with a full disk, wait."""
        while True:
            try:
                return self._run.request(request)
            except LocalError:
                if self._run._result.done():
                    raise
                time.sleep(NOTING_PAUSE_S)

    def _collect(self) -> None:
        """Give results to those who wait for them, as calls end."""
        failure: BaseException | None = None
        try:
            for job in self._run.as_completed():
                with self._lock:
                    if job.name not in self._futures and job.name in self._earlier:
                        # Of an earlier program: this one has not come to it yet.
                        self._earlier[job.name] = job.state
                self._settle(job)
        except SshjobsError as error:
            failure = error
        with self._lock:
            names = list(self._futures)
            self._over = True
            self._lock.notify_all()
        self._fail_calls(names, failure or CallError("the run has ended", where=self._run.name))

    def _settle(self, job: Job) -> None:
        """Give a call that has ended its result."""
        if never_began(job) and self._false_starts.get(job.name, 0) < MOST_FALSE_STARTS:
            self._false_starts[job.name] = self._false_starts.get(job.name, 0) + 1
            self._request({"do": "retry", "jobs": [job.name]})
            return
        with self._lock:
            future = self._futures.get(job.name)
        if future is None:
            return
        if _begin(future):
            try:
                value = answer_of(job, self._form)
            except BaseException as error:  # noqa: BLE001  (the function may have raised anything)
                future.set_exception(error)
            else:
                future.set_result(value)
        self._forget(job.name)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._futures.pop(name, None)
            self._lock.notify_all()

    def _fail(self, error: BaseException) -> None:
        """A thread of ours has died."""
        self._fail_calls(list(self._futures), error)

    def _fail_calls(self, names: Iterable[str], error: BaseException) -> None:
        for name in names:
            future = self._futures.get(name)
            if future is not None and _begin(future):
                future.set_exception(error)
            self._forget(name)


def _begin(future: CallFuture) -> bool:
    """Let a call be one that cannot be cancelled any more; False where it was cancelled."""
    with future._condition:
        return future.running() or (not future.done() and future.set_running_or_notify_cancel())


def _results(waiting: list[CallFuture], end: float | None, *, flat: bool) -> Iterator[Any]:
    def follow() -> Iterator[Any]:
        waiting.reverse()
        try:
            while waiting:
                # Not held here while it is looked at: it may be large.
                value = _result(waiting.pop(), end)
                if flat:
                    yield from value
                else:
                    yield value
        finally:
            for future in waiting:
                future.cancel()

    return follow()


def _result(future: CallFuture, end: float | None) -> Any:
    try:
        return future.result(None if end is None else max(0.0, end - time.monotonic()))
    except futures.TimeoutError:
        if future.done():
            raise
        future.cancel()
        raise RunTimeoutError("a call has not ended in time", where=future.name) from None
