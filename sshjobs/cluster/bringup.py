"""Brings an engine cluster up over ssh: probes the hosts, launches the broker, then the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sshjobs.cluster.engine import Call, Engine, WorkerOptions
from sshjobs.cluster.fleet import Fleet
from sshjobs.cluster.probe import STEM as PROBE
from sshjobs.cluster.probe import Probed, probe_spec, python_of, unfit
from sshjobs.cluster.record import Record
from sshjobs.cluster.shipment import NAME as SHIPMENT
from sshjobs.cluster.shipment import write_shipment
from sshjobs.errors import NoHostError, SshjobsError, printable
from sshjobs.model.given import MAX_SLOTS
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import FINAL_STATES
from sshjobs.pools.config import INI_NAME
from sshjobs.pools.facts import WorkerFacts
from sshjobs.store import JobRow

#: How many seconds hosts get to answer, or with a setup to carry it out first; the broker to listen; workers to
#: register.
PROBE_S, SETUP_S, BROKER_S, WORKERS_S = 60.0, 3600.0, 30.0, 60.0
LOCALHOST = "127.0.0.1"
_LOOK_S = 0.2


@dataclass(frozen=True)
class Wanted:
    """The engine cluster that is wanted.

    :ivar threads: how many calls a worker works on at a time; ``None``: the slots of its host, or its cores, divided
        among the workers there
    :ivar workers: how many worker processes each host has
    :ivar memory_limit: the memory limit of each worker, as dask takes it
    :ivar python: the interpreter on hosts that name none
    :ivar names_hosts: workers listen at the address by which their host was reached; else where the engine chooses
    :ivar address: the broker's address, where it is not the one by which its host was reached
    :ivar run: options of the run, from :func:`sshjobs.running.forms.options_of`
    """

    threads: int | None = None
    workers: int = 1
    memory_limit: str | None = None
    python: str | None = None
    names_hosts: bool = True
    address: str | None = None
    results: Path = Path("results")
    run: dict[str, Any] = field(default_factory=dict)


@dataclass
class Arrivals:
    """The result of bringing a cluster up, or of changing it.

    :ivar workers: the job names of the workers that registered
    :ivar failures: the hosts or jobs that did not come up, each with the reason
    """

    workers: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


class BringUp:
    """Brings one cluster up.

    :param say: called with one line for each step
    """

    def __init__(self, engine: type[Engine], hosts: Sequence[Host], wanted: Wanted, record: Record,
                 say: Callable[[str], None]):
        self.engine, self.wanted, self.record, self.say = engine, wanted, record, say
        # Any number of our jobs may run on a host at a time; its slots say how many threads a worker gets.
        self.hosts = {host.name: replace(host, slots=MAX_SLOTS) for host in hosts}
        self.slots = {host.name: host.slots for host in hosts}
        self.pythons = {host.name: python_of(host, wanted.python) for host in hosts}
        self.arrivals = Arrivals()

    def carry_out(self) -> Arrivals:
        """Bring it up, and return once every worker has registered or failed.

        :raises SshjobsError: it is not up; nothing of it is left but its logs
        """
        fleet = None
        try:
            write_shipment(self.record.directory)
            specs = [self._probe_spec(name, PROBE) for name in self.hosts]
            fleet = Fleet.prepare(specs, list(self.hosts.values()), results=self.wanted.results.absolute(),
                                  stem=f"cluster-{self.record.name}", options=self.wanted.run)
            # From now on `down` finds what runs, whatever becomes of this process.
            self.record.run = str(fleet.paths.root)
            self.record.save()
            fleet.launch()
            self._carry_out(fleet)
        except BaseException:
            if fleet is not None:
                fleet.end(self.record.down)
            self.record.discard()
            raise
        return self.arrivals

    def _carry_out(self, fleet: Fleet) -> None:
        probed = self._probe(fleet, PROBE, list(self.hosts), SETUP_S if self.wanted.run.get("setup") else PROBE_S)
        if not probed:
            raise NoHostError("no host could be used", why="; ".join(
                f"{name}: {why}" for name, why in self.arrivals.failures.items()))
        fleet.cancel([f"{PROBE}@{name}" for name in self.hosts if name not in probed])
        fleet.remove_hosts([name for name in self.hosts if name not in probed])
        self.record.hosts, self.record.pythons = list(probed), {name: self.pythons[name] for name in probed}
        self.record.options = {"workers": self.wanted.workers, "per_host": {
            name: vars(self._worker_options(name, told)) for name, told in probed.items()}}
        engine = self._launch_broker(fleet, probed)
        names = [f"worker-{n}@{host}" for n in range(1, self.wanted.workers + 1) for host in probed]
        fleet.add([worker_spec(self.engine, self.record, name) for name in names])
        came = await_workers(fleet, engine, names, WORKERS_S)
        self.arrivals.workers = came.workers
        self.arrivals.failures.update(came.failures)
        if not came.workers:
            raise SshjobsError("no worker came up", why="; ".join(
                f"{name}: {why}" for name, why in self.arrivals.failures.items()))
        self.record.stands()

    def _probe_spec(self, host: str, stem: str) -> JobSpec:
        return probe_spec(f"{stem}@{host}", host, self.pythons[host], list(self.engine.libraries), self.engine.ports)

    def _probe(self, fleet: Fleet, stem: str, hosts: Sequence[str], seconds: float) -> dict[str, Probed]:
        """Probe hosts; return those that can take part, with what they told. Names of the jobs begin with ``stem``."""
        names = {f"{stem}@{name}": name for name in hosts}
        found: dict[str, Probed] = {}
        for job, why in fleet.settled(names, seconds).items():
            name, told = names[job], None if why else Probed.read(fleet.paths.stdout(job).read_text(errors="replace"))
            reason = why or (unfit(told, self.pythons[name], self.engine.libraries) if told else
                             "what it answered cannot be understood")
            if told is None or reason is not None:
                self.arrivals.failures[name] = str(reason)
            else:
                found[name] = told
        return {name: found[name] for name in hosts if name in found}

    def _worker_options(self, name: str, told: Probed) -> WorkerOptions:
        whole = self.slots[name] or told.cores
        return WorkerOptions(self.wanted.threads or max(1, whole // self.wanted.workers), self.wanted.memory_limit,
                             (told.here or LOCALHOST) if self.wanted.names_hosts else None)

    def _launch_broker(self, fleet: Fleet, probed: Mapping[str, Probed]) -> Engine:
        """Launch the broker, and return the engine that talks to it.

        :raises SshjobsError: it does not answer
        """
        host, *_ = probed
        address, ports = self.wanted.address or address_of(host, probed), probed[host].ports
        engine = self._lay_out(address, ports)
        ended = self._try_broker(fleet, engine, host, f"broker@{host}")
        if ended is not None:
            # Another program may have taken a port since the host found it free.
            fleet.add([self._probe_spec(host, f"{PROBE}-2")])
            told = self._probe(fleet, f"{PROBE}-2", [host], PROBE_S)
            if host in told:
                engine = self._lay_out(address, told[host].ports)
                ended = self._try_broker(fleet, engine, host, f"broker-2@{host}")
        if ended is not None:
            raise SshjobsError("the broker has ended", where=host, why=fleet.why(ended))
        return engine

    def _lay_out(self, address: str, ports: Sequence[int]) -> Engine:
        """Write the cluster's configuration, over an earlier one, and return the engine that talks to the cluster."""
        directory = self.record.directory
        for name in self.record.options.get("files", ())[1:]:
            (directory / name).unlink()
        self.record.options["files"] = [SHIPMENT, *self.engine.lay_out(directory, address, ports)]
        engine = engine_of(self.engine, self.record)
        self.record.address = engine.address()
        self.record.save()
        return engine

    def _try_broker(self, fleet: Fleet, engine: Engine, host: str, name: str) -> JobRow | None:
        """Launch the broker and wait until it answers. Return its job where that has ended instead.

        :raises SshjobsError: it does not answer
        """
        fleet.add([_spec(self.engine, self.record, name, [self.engine.broker_command])])
        self.say(f"{host}: {self.record.kind} broker at {self.record.address}")
        deadline = time.monotonic() + BROKER_S
        while True:
            ended = [row for row in fleet.jobs() if row.name == name and row.state in FINAL_STATES]
            if ended:
                return ended[0]
            try:
                engine.ask_workers(_LOOK_S)
                return None
            except SshjobsError as error:
                if time.monotonic() >= deadline:
                    raise SshjobsError("the broker does not answer", where=host, why=str(error),
                                       hint="its address must be one that this machine reaches; give another by "
                                            "--address") from None
                time.sleep(_LOOK_S)


def engine_of(engine: type[Engine], record: Record) -> Engine:
    """Return the engine of a recorded cluster."""
    return engine(Call("PingWorkers", config_file=str(record.ini)))


def worker_spec(engine: type[Engine], record: Record, name: str) -> JobSpec:
    """Return the job of a worker. Its name ends in its host."""
    options = WorkerOptions(**record.options["per_host"][name.partition("@")[2]])
    return _spec(engine, record, name, ["LaunchWorker", *engine.worker_words(options)])


def _spec(engine: type[Engine], record: Record, name: str, words: Sequence[str]) -> JobSpec:
    host = name.partition("@")[2]
    return JobSpec(argv=[record.pythons[host], SHIPMENT, engine.kind, "-c", INI_NAME, *words], name=name, hosts=[host],
                   files=record.options["files"], base_dir=record.directory)


def await_workers(fleet: Fleet, engine: Engine, names: Sequence[str], seconds: float) -> Arrivals:
    """Wait until workers have registered or failed. End those that have not registered in time.

    :param names: the names of their jobs
    """
    made, left = Arrivals(), set(names)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        ended = {row.name: row for row in fleet.jobs() if row.name in left and row.state in FINAL_STATES}
        made.failures.update((name, fleet.why(row)) for name, row in ended.items())
        left -= ended.keys()
        wanted = set(left)
        here = {facts.name for facts in _asked(engine, wanted) if facts.name is not None} & left
        made.workers.extend(here)
        left -= here
    if left:
        fleet.cancel(sorted(left))
        made.failures.update((name, f"it has not registered in {seconds:g} s; what it wrote is in "
                                    f"{printable(str(fleet.paths.stderr(name)))}") for name in left)
    made.workers.sort(key=list(names).index)
    return made


def _asked(engine: Engine, wanted: set[str]) -> list[WorkerFacts]:
    try:
        return engine.ask_workers(1.0, lambda found: {one.name for one in found} >= wanted)
    except SshjobsError:
        # The broker may come back: its job is started again where its host was to blame.
        return []


def address_of(host: str, probed: Mapping[str, Probed]) -> str:
    """Return the address at which other hosts find a host: the one by which it was reached. For this machine it is the
    one that the other hosts were reached from."""
    told = probed[host]
    return told.here or next((one.there for one in probed.values() if one.there is not None), LOCALHOST)
