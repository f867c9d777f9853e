"""Network: hosts that are reached by ssh, or are this machine."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.inputs.clusterfile import clusters_from, hosts_of_clusters
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.allocation import in_batches
from sshjobs.model.attempt import Attempt
from sshjobs.model.given import MAX_SLOTS, check, check_each, check_number, check_path, wrong
from sshjobs.model.host import Cluster, Host
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.network import failpoints
from sshjobs.network.contract import NetworkContract, News, RunIdentity, never
from sshjobs.network.engine import Engine
from sshjobs.network.loops import LoopRunner, LoopThread
from sshjobs.network.openfiles import make_room
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.session.records import Records
from sshjobs.network.supervise import Failed
from sshjobs.network.transport import make_transport
from sshjobs.network.transport.base import Transport
from sshjobs.store.rundir import RunPaths, create_run

#: Seconds between TERM and KILL when a job is cancelled.
CANCEL_GRACE = 5.0

#: The forms in which hosts may be given.
Clusters = str | Sequence[str | Host | Cluster] | Mapping[str, Sequence[str | Host]]


class Network(NetworkContract):
    """Handles remote command invocations: one session a host, over ssh or on this machine.

    :param results_dir: directory on this machine that runs are kept in
    :param clusters: the hosts: ``{management host: [workers]}``, a list of host lines or of :class:`Cluster`, or the
        path of a hosts file
    :param verbose: tell more on standard error (the program that configures logging decides)
    :param ssh_config: path of an ssh configuration to use instead of the user's own
    :param transport: the name of one (docs/transports.md) for every host; ``None`` is openssh, but this machine
        without ssh
    :param slots: how many jobs a host takes at a time where its line does not say; ``None`` is its cores
    :param direct: contact the workers of clusters directly, not through their management hosts
    :param accept_new_host_keys: accept keys of hosts that were never seen, and note them; never changed or revoked ones
    :param connect_kwargs: for the transport fabric: what counts more than the ssh configuration, such as ``user``,
        ``password``, ``pkey``, ``key_filename`` and ``gateway``; not kept with the run
    :raises InputError: the hosts cannot be understood
    :raises UsageError: there is no such transport, or it takes no ``connect_kwargs``; or this process may not open the
        files that so many hosts take
    """

    def __init__(self, results_dir: str, clusters: Clusters, verbose: bool = False, *,
                 ssh_config: str | None = None, transport: str | None = None, slots: int | None = None,
                 direct: bool = False, accept_new_host_keys: bool = False,
                 connect_kwargs: Mapping[str, Any] | None = None):
        check_path("results_dir", results_dir)
        check("transport", transport, str, none=True)
        check_path("ssh_config", ssh_config, none=True)
        check_number("slots", slots, 1, MAX_SLOTS, whole=True, none=True)
        check("accept_new_host_keys", accept_new_host_keys, bool)
        check("connect_kwargs", connect_kwargs, Mapping, dict, none=True)
        self.results_dir, self.verbose, self.slots = str(results_dir), verbose, slots
        self.hosts = {host.name: host for host in _hosts(clusters, direct)}
        self._make_room()
        remote = make_transport(transport or "openssh", ssh_config=ssh_config, accept_new=accept_new_host_keys,
                                connect_kwargs=connect_kwargs)
        self._transports: tuple[Transport, Transport] = (remote, make_transport("local"))
        self._accept_new, self._ssh_config = accept_new_host_keys, ssh_config
        #: What leads to nodes of allocations of Slurm, where there are such.
        self._slurm: Transport | None = None
        #: What leads to where jobs are submitted to a scheduler, each by itself.
        self._arrays: Transport | None = None
        self._engine: Engine | None = None
        self._paths: RunPaths | None = None
        self._run: RunIdentity | None = None
        self._adopted: list[tuple[str, LiveAttempt]] = []
        self._adopted_jobs: list[Job] = []
        self._boots: dict[str, str] = {}
        #: What an earlier manager knew of hosts that have something of the run.
        self._told: dict[str, Mapping[str, Any]] = {}
        #: Entries whose files other jobs are given; the engine's thread looks at it.
        self._given = set[str]()
        #: By host: the boot that launches are for, where that matters.
        self._prepared: dict[str, str] = {}
        self._outbox: list[tuple[str, LiveAttempt]] = []
        self._holding = False
        self._files = OutputFiles()
        self._records = Records(self._files)

    # -- the seed's verbs ----------------------------------------------------------------------------------------

    def GetHosts(self) -> list[str]:
        return list(self.hosts)

    def LaunchJob(self, job: Job, host: str) -> str:
        """See :meth:`NetworkContract.LaunchJob`. A job without a fresh attempt gets one.

        :raises UsageError: there is no such host
        """
        _check_job(job)
        if not isinstance(host, str) or host not in self.hosts:
            raise UsageError(f"no host is called {host!r:.60}", hint=f"the hosts are {', '.join(self.hosts)}")
        engine, paths = self._opened()
        attempt = job.attempt
        if attempt is None or attempt.state in FINAL_STATES or attempt.host != host:
            attempt = job.new_attempt(host, secrets.token_hex(16))
        live = self._records.launched(job, host, attempt, paths)
        live.boot = self._prepared.get(host)
        self._outbox.append((host, live))
        if not self._holding:
            self._records.make_way()
            engine.launch(self._outbox)
            self._outbox = []
        return f"{host}/{attempt.uid}"

    def GetJobStatus(self, jobs: Sequence[Job]) -> list[str]:
        if self._engine is not None and not self._holding:
            self.wait(0)
        jobs = check_each("jobs", jobs, Job)
        return [job.attempt.state if job.attempt is not None else STATE_FREE for job in jobs]

    def GetStdout(self, job: Job) -> str:
        _check_job(job)
        return self._text(self._here().stdout(job.name))

    def GetStderr(self, job: Job) -> str:
        _check_job(job)
        return self._text(self._here().stderr(job.name))

    @staticmethod
    def _text(path: Path) -> str:
        try:
            return path.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    # -- what a manager needs ------------------------------------------------------------------------------------

    def open(self, run: RunIdentity, paths: RunPaths, *, hurry: bool = False) -> None:
        self._paths, self._run = paths, run
        self._files.hold(paths.jobs)
        engine = Engine(self._new_runner(), self._files, self.hosts.values(), self._transport_of, self._slots_of, run,
                        paths.root, self._given, self.clock, hurry=hurry)
        for job in self._adopted_jobs:
            self._adopted.extend(self._records.adopt(job, paths))
        engine.start(self._adopted, self._boots)
        # An engine that could not start has nothing to close.
        self._engine = engine
        self._adopted_jobs, self._adopted = [], []

    def adopt(self, jobs: Iterable[Job], boots: Mapping[str, str],
              told: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._adopted_jobs.extend(jobs)
        self._boots = dict(boots)
        at_work = {attempt.host for job in self._adopted_jobs for attempt in job.attempts
                   if attempt.state not in FINAL_STATES}
        self._told = {host: (told or {}).get(host, {}) for host in boots if host in at_work}

    def launch_for_boot(self, host: str, boot: str) -> None:
        self._prepared[host] = boot

    def keep_files_of(self, entries: Iterable[str]) -> None:
        self._given.update(entries)

    def hold(self) -> None:
        self._holding = True

    def flush(self) -> None:
        if self._outbox:
            failpoints.reach("after_intent")
            self._records.make_way()
            self._opened()[0].launch(self._outbox)
            self._outbox = []
            failpoints.reach("after_flush")

    def wait(self, timeout: float, linger: float = 0.0) -> News:
        engine, news, changed = self._opened()[0], News(), dict[Job, None]()
        events = engine.next_events(timeout)
        if events and linger:
            self.clock.sleep(linger)
        # Having waited for the first, take what else is there already.
        while events is not None:
            for event in events:
                if isinstance(event, Failed):
                    raise event.error
                self._records.apply(event, news, changed)
            events = engine.next_events(0.0)
        news.jobs = list(changed)
        return news

    def cancel(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.state not in FINAL_STATES:
            for held in self._held_back(attempt):
                held.cancelling = True
            self._opened()[0].cancel(attempt.host, attempt.uid, CANCEL_GRACE)

    def fence(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.state not in FINAL_STATES:
            for held in self._held_back(attempt):
                held.unwanted = True
            self._opened()[0].fence(attempt.host, attempt.uid)

    def _held_back(self, attempt: Attempt) -> list[LiveAttempt]:
        """Return the launch of an attempt if it waits for the disk and has not left."""
        return [held for _, held in self._outbox if held.uid == attempt.uid]

    def condemn(self, job: Job, reason: str) -> None:
        attempt = job.attempts[-1]
        self._opened()[0].condemn(attempt.host, attempt.uid)
        self._records.condemn(job, attempt, reason)

    def pause(self, job: Job, paused: bool) -> None:
        attempt = job.attempt
        if attempt is not None and attempt.state not in FINAL_STATES:
            self._opened()[0].pause(attempt.host, attempt.uid, paused)

    def add_host(self, host: Host) -> None:
        self.hosts[host.name] = host
        with contextlib.suppress(UsageError):  # The host itself will tell.
            self._make_room()
        self._opened()[0].add_host(host)

    def remove_host(self, host: str) -> None:
        self.hosts.pop(host)
        self._records.forget_host(host)
        self._opened()[0].remove_host(host)

    def set_slots(self, host: str, slots: int) -> None:
        self.hosts[host] = replace(self.hosts[host], slots=slots)
        self._opened()[0].set_slots(host, slots)

    def ask_gpus(self, host: str) -> None:
        self._opened()[0].ask_gpus(host)

    def release(self, attempts: Sequence[Attempt]) -> None:
        failpoints.reach("before_release")
        self._opened()[0].release([(attempt.host, attempt.uid) for attempt in attempts])

    def wake(self) -> None:
        if self._engine is not None:
            self._engine.wake()

    def close(self, *, finished: bool, hurried: Callable[[], bool] = never) -> list[str]:
        if self._engine is None:
            return []
        engine, self._engine = self._engine, None
        return engine.close(finished=finished, hurried=hurried)

    # -- inside --------------------------------------------------------------------------------------------------

    def _here(self) -> RunPaths:
        """Return where the outputs are; used without a manager, the network makes a run directory of its own."""
        if self._paths is None:
            self._paths = create_run(Path(self.results_dir), stem="network")
        return self._paths

    def _opened(self) -> tuple[Engine, RunPaths]:
        paths = self._here()
        if self._engine is None:
            self.open(RunIdentity(secrets.token_hex(16), paths.name, 1), paths)
        assert self._engine is not None
        return self._engine, paths

    def _make_room(self) -> None:
        make_room(len(self.hosts))

    def _new_runner(self) -> LoopRunner:
        return LoopThread()

    def _transport_of(self, host: Host) -> Transport:
        if not host.slurm:
            return self._transports[host.local]
        if in_batches(host):
            from sshjobs.network.slurm.arrays import ArrayTransport

            self._arrays = self._arrays or ArrayTransport(self._ssh_config, accept_new=self._accept_new)
            return self._arrays
        if self._slurm is None:
            # Here, because only those need it who have such hosts.
            from sshjobs.network.slurm.transport import SlurmTransport

            assert self._run is not None
            self._slurm = SlurmTransport(self._run, self._told, self._ssh_config, accept_new=self._accept_new)
        return self._slurm

    def _slots_of(self, host: Host) -> int | None:
        return host.slots or self.slots


def _check_job(job: object) -> None:
    if not isinstance(job, Job):
        raise wrong("a job", job, "a Job")


def _hosts(clusters: Clusters, direct: bool) -> list[Host]:
    if isinstance(clusters, Mapping):
        return hosts_of_clusters(clusters_from(clusters), direct=direct)
    if isinstance(clusters, (str, PathLike)):
        return load_hosts(str(clusters))
    if isinstance(clusters, bytes) or not isinstance(clusters, Iterable):
        raise wrong("clusters", clusters, "a list of hosts, the path of a hosts file, or {management host: [workers]}")
    given = list(clusters)
    if given and all(isinstance(cluster, Cluster) for cluster in given):
        return hosts_of_clusters((cluster for cluster in given if isinstance(cluster, Cluster)), direct=direct)
    if all(isinstance(host, Host) for host in given):
        return [host for host in given if isinstance(host, Host)]
    return load_hosts(given)  # type: ignore[arg-type]
