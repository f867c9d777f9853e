"""Reads clusters: ``{management host: [workers]}``, or files whose first line is the management host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sshjobs.errors import InputError, Problem, UsageError
from sshjobs.inputs.hostfile import MAX_BYTES, read_host_lines
from sshjobs.inputs.source import check_text, read_input
from sshjobs.model.given import check
from sshjobs.model.host import Cluster, Host


def load_clusterfile(path: str | Path) -> Cluster:
    """Return the cluster that a file describes: the management host on the first line, then the workers.

    Blank lines and comments are ignored; lines of workers are those of a hosts file.

    :raises InputError: not readable, or the mistakes in it
    """
    text = check_text(read_input(path, MAX_BYTES), str(path)).decode("utf-8")
    lines = text.split("\n")
    first = next((n for n, line in enumerate(lines) if line.partition("#")[0].strip()), None)
    if first is None:
        raise InputError([Problem(str(path), 0, 0, "it names no host; the first line is the management host")])
    # The lines of the management host become blank, so that mistakes have the right line numbers.
    managers = read_host_lines([""] * first + [lines[first]], str(path))
    rest = [""] * (first + 1) + lines[first + 1:]
    if not any(line.partition("#")[0].strip() for line in rest):
        raise InputError([Problem(str(path), first + 1, 0, "the management host has no workers; name them below it")])
    try:
        return Cluster(_the_manager(managers), tuple(read_host_lines(rest, str(path))))
    except UsageError as error:
        if isinstance(error, InputError):
            raise
        raise InputError([Problem(str(path), first + 1, 1, str(error))]) from error


def clusters_from(clusters: Mapping[str, Sequence[str | Host]]) -> list[Cluster]:
    """Return the clusters that ``{management host: [workers]}`` means; a worker is a host line or a :class:`Host`.

    :raises InputError: a name is not allowed
    :raises UsageError: it is no such mapping
    """
    found = []
    for manager, workers in clusters.items():
        if isinstance(workers, (str, bytes)) or not isinstance(workers, Iterable) or not isinstance(manager, str):
            raise UsageError("a cluster is {management host: [workers]}", where=str(manager),
                             hint="give a list of hosts")
        hosts: list[Host] = []
        for worker in workers:
            check(f"a worker of {manager}", worker, str, Host)
            hosts += [worker] if isinstance(worker, Host) else read_host_lines([worker], f"the cluster of {manager}")
        found.append(Cluster(_the_manager(read_host_lines([manager], "clusters")), tuple(hosts)))
    return found


def hosts_of_clusters(clusters: Iterable[Cluster], *, direct: bool = False) -> list[Host]:
    """Return the workers of all clusters in their order, each reached through its management host.

    A management host that is a worker of its own is reached as itself.

    :param direct: contact workers directly
    :raises UsageError: a host in two clusters, or ``localhost`` behind another machine
    """
    hosts: dict[str, Host] = {}
    for cluster in clusters:
        manager = cluster.manager
        for worker in cluster.workers:
            if worker.name in hosts:
                raise UsageError(f"host '{worker.name}' is named twice in the clusters", hint="name it once")
            through = not direct and manager is not None and worker.name != manager.name
            if through and worker.local and manager is not None:
                raise UsageError(f"'{worker.name}' is this machine, not one behind {manager.name}",
                                 hint="give the worker the name that the management host has for it")
            hosts[worker.name] = replace(worker, via=manager.name) if through and manager is not None else worker
    return list(hosts.values())


def _the_manager(named: Sequence[Host]) -> Host:
    """Return the one management host.

    :raises UsageError: several, or more than where to log in
    """
    if len(named) != 1:
        raise UsageError("a cluster has one management host", why=f"{len(named)} are named", hint="name one")
    manager = named[0]
    if manager.slots is not None or manager.python is not None or manager.tags:
        raise UsageError("the management host runs no jobs, so nothing can be said about it", where=manager.name,
                         hint="name it among its workers too if it shall")
    return manager
