"""EngineCluster: an engine cluster brought up over ssh, for programs and for the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sshjobs.cluster.bringup import (
    WORKERS_S,
    Arrivals,
    BringUp,
    Wanted,
    await_workers,
    engine_of,
    worker_spec,
)
from sshjobs.cluster.engine import Engine, check_libraries
from sshjobs.cluster.fleet import Fleet
from sshjobs.cluster.plugins import plugin_of
from sshjobs.cluster.record import Record
from sshjobs.errors import SshjobsError, UsageError
from sshjobs.model.given import check_number, check_path
from sshjobs.model.host import Host
from sshjobs.model.states import FINAL_STATES
from sshjobs.pools.facts import WorkerFacts
from sshjobs.running.forms import hosts_from, options_of
from sshjobs.running.receipts import Receipt

#: How many workers a host may have.
MAX_WORKERS = 512
#: How many seconds workers get to answer.
STATUS_S = 2.0


class EngineCluster:
    """Workers of an engine on hosts that you can ssh to. Each worker is a job; the cluster has a run of its own.

    As a context manager it is brought up at the beginning of the block and taken down at its end.

    :param type: ``gearman``, ``ipython``, ``zmq`` or ``dask``
    :param hosts: as for :class:`sshjobs.Network`; the first that can be used has the broker or scheduler
    :param name: its name, for :meth:`attach`; ``None`` for its type, with a number where that is taken
    :param nworkers: how many worker processes each host has
    :param nthreads: how many calls each worker works on at a time; ``None``: the slots or cores of its host, divided
        among the workers there
    :param memory_limit: the memory limit of each worker, as dask takes it
    :param remote_python: the interpreter on hosts whose line names none; ``None`` for ``python3``
    :param nohost: let the engine find out at which address a worker listens
    :param address: the first host's address, where hosts and you reach it by another one than ssh does
    :param setup: a script that each host runs first, like ``setup`` in a jobfile
    :param log_directory: where the logs of broker and workers go, each in a directory of its own
    :ivar failures: the hosts and workers that did not come up, each with the reason
    :raises UsageError: an argument cannot be used
    """

    def __init__(self, type: str, hosts: str | Path | Sequence[str | Host] | None = None, *, name: str | None = None,
                 nworkers: int = 1, nthreads: int | None = None, memory_limit: str | None = None,
                 remote_python: str | None = None, nohost: bool = False, address: str | None = None,
                 setup: str | Sequence[str] | None = None, log_directory: str | Path = "results",
                 ssh_config: str | None = None, transport: str | None = None, accept_new_host_keys: bool = False,
                 say: Callable[[str], None] | None = None):
        check_number("nworkers", nworkers, 1, MAX_WORKERS, whole=True)
        check_number("nthreads", nthreads, 1, 4096, whole=True, none=True)
        check_path("log_directory", log_directory)
        self._engine = engine_type(type)
        self._hosts, self._name, self._say = hosts_from(hosts), name, say or (lambda line: None)
        self._wanted = Wanted(nthreads, nworkers, memory_limit, remote_python, not nohost, address, Path(log_directory),
                              options_of(ssh_config=ssh_config, transport=transport, slots=None, fail_fast=False,
                                         stays_open=True, accept_new_host_keys=accept_new_host_keys, setup=setup))
        self._record: Record | None = None
        self.failures: dict[str, str] = {}

    @classmethod
    def attach(cls, type: str | None = None, name: str | None = None) -> EngineCluster:
        """Return the engine cluster that was brought up last, by this program or another.

        :param type: only a cluster of this type
        :param name: only the cluster of this name
        :raises UsageError: there is none
        """
        return cls._of(Record.find(type, name))

    @classmethod
    def _of(cls, record: Record) -> EngineCluster:
        made = cls(record.kind, record.hosts)
        made._record = record
        return made

    # -- up and down ---------------------------------------------------------------------------------------------

    def up(self) -> EngineCluster:
        """Bring it up. Return when every worker has registered or failed; :attr:`failures` has those that failed.

        :raises SshjobsError: no worker registered, or there is no host; nothing is left but the logs
        """
        if self._record is not None:
            raise UsageError(f"the engine cluster '{self._record.name}' is up already")
        check_libraries(self._engine.kind, self._engine.libraries)
        if self._wanted.memory_limit is not None:
            self._engine.check_memory_limit(self._wanted.memory_limit)
        record = Record.create(self._engine.kind, self._name)
        arrivals = BringUp(self._engine, self._hosts, self._wanted, record, self._say).carry_out()
        self._record, self.failures = record, arrivals.failures
        return self

    def down(self) -> Receipt:
        """Take it down, and return what its hosts report as left over. Its logs stay.

        :raises SshjobsError: something could not be ended, or its run was removed; reported only once
        """
        record = self._up
        gone = bool(record.run) and not record.paths.store.is_file()
        receipt = Receipt() if gone or not record.run else Fleet(record.paths).end(record.down)
        record.discard()
        self._record = None
        if gone:
            raise SshjobsError("the run of the engine cluster was removed, so nobody can tell what runs on its hosts",
                               where=record.run, why=f"they are {', '.join(record.hosts)}"[:300])
        return receipt

    def __enter__(self) -> EngineCluster:
        return self if self._record is not None else self.up()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if self._record is not None:
            self.down()

    # -- while it is up ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return self._up.name

    @property
    def type(self) -> str:
        """Its type."""
        return self._engine.kind

    @property
    def address(self) -> str:
        """Where its broker or scheduler listens."""
        return self._up.address

    @property
    def logs(self) -> Path:
        """The directory with what broker and workers have written, in a directory of its own for each."""
        return self._up.paths.jobs

    def client(self) -> Any:
        """Return dask's or ipyparallel's client, or for gearman and zmq a pool.

        :raises SshjobsError: the cluster does not answer
        """
        return self._asked.connect()

    def workers(self, wait: float = STATUS_S) -> list[WorkerFacts]:
        """Return the facts of the workers that answer.

        :raises SshjobsError: the broker does not answer
        """
        return self._asked.ask_workers(wait, lambda found: len(found) >= len(self.jobs()))

    def jobs(self) -> dict[str, str]:
        """Return the jobs of the workers that have not ended, each with its state."""
        return {row.name: row.state for row in Fleet(self._up.paths).jobs()
                if row.name.startswith("worker-") and row.state not in FINAL_STATES}

    @property
    def attended(self) -> bool:
        """Whether its run has a manager. Without one a host that restarts does not get its workers back."""
        return Fleet(self._up.paths).attended

    def scale(self, number: int) -> Arrivals:
        """Change the number of workers in all, spread evenly over the hosts. Return when new ones have registered or
        failed.

        :raises UsageError: the number is not possible
        :raises SshjobsError: the change failed
        """
        record = self._up
        check_number("the number of workers", number, 0, MAX_WORKERS * len(record.hosts), whole=True)
        fleet = Fleet(record.paths)
        if not fleet.attended:
            fleet.launch()
        rows = [row for row in fleet.jobs() if row.name.startswith("worker-")]
        used = max((int(row.name[len("worker-"):row.name.index("@")]) for row in rows), default=0)
        new, surplus = [], []
        for place, host in enumerate(record.hosts):
            want = number // len(record.hosts) + (place < number % len(record.hosts))
            have = [row.name for row in rows if row.name.partition("@")[2] == host and row.state not in FINAL_STATES]
            surplus += have[want:]
            new += [f"worker-{used + n}@{host}" for n in range(1, want - len(have) + 1)]
        fleet.cancel(surplus)
        fleet.wait(lambda rows: all(row.state in FINAL_STATES for row in rows if row.name in surplus), WORKERS_S)
        fleet.add([worker_spec(self._engine, record, name) for name in new])
        return await_workers(fleet, self._asked, new, WORKERS_S)

    @property
    def _up(self) -> Record:
        if self._record is None:
            raise SshjobsError("the engine cluster is not up", hint="bring it up first: up()")
        return self._record

    @property
    def _asked(self) -> Engine:
        return engine_of(self._engine, self._up)

    def __repr__(self) -> str:
        where = f"{self._record.name!r} at {self._record.address}" if self._record is not None else "not up"
        return f"EngineCluster({self._engine.kind!r}, {where})"


def engine_type(kind: str) -> type[Engine]:
    """Return the engine of a type.

    :raises UsageError: there is no such type, or it cannot be brought up by sshjobs
    """
    engine = getattr(plugin_of(kind), "ENGINE", None)
    if not isinstance(engine, type) or not issubclass(engine, Engine):
        raise UsageError(f"engine clusters of type {kind} cannot be brought up by sshjobs")
    return engine


