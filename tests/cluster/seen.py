"""What is seen of an engine cluster: the workers that answer, and what hosts have of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

from tests.lab import BaseLab, wait_until

Cluster = Callable[..., CompletedProcess[str]]


def pids(cluster: Cluster) -> set[tuple[str, int]]:
    """Host and pid of each worker that answers."""
    told = cluster("PingWorkers", "--json")
    return {(row["host"], row["pid"]) for row in json.loads(told.stdout or "[]")}


def workers(cluster: Cluster) -> dict[str, tuple[str, bool]]:
    """What ``status`` says of each worker: where its job stands, and whether it answers."""
    told = json.loads(cluster("status", "--json").stdout)
    return {row["worker"]: (row["state"], row["answers"]) for row in told["workers"]}


def left_on(lab: BaseLab) -> dict[str, list[Any]]:
    """What hosts have in the home of the user, in /tmp and as processes of the user, but for shells of sshd."""
    found = {}
    for host in lab.hosts:
        files = host.run(["sh", "-c", "find /home /tmp /var/tmp ~lab -xdev -newer /proc/1 -not -type d "
                         "-not -path '/tmp/sshjobs-shared-*/usage' 2>/dev/null; true"]).stdout.split()
        names = [" ".join(process.argv) for process in host.processes() if process.state not in "ZX"]
        found[host.name] = [*files, *(name for name in names if "sshjobs" in name or "python" in name)]
    return found


def await_nothing_left(lab: BaseLab, before: dict[str, list[Any]]) -> None:
    """Wait until hosts have nothing that they did not have before: who asked them what is left is there for a moment yet.

    What an earlier test asked them may have been there before, and gone since.
    """
    wait_until(lambda: all(set(found) <= set(before[host]) for host, found in left_on(lab).items()), 30, lambda: f"{left_on(lab)}, and before: {before}")


def listening(lab: BaseLab) -> set[str]:
    """Addresses at which anything but sshd listens on the hosts."""
    found = set()
    for host in lab.hosts:
        for line in host.run(["ss", "-Htln"]).stdout.splitlines():
            address, _, port = line.split()[3].rpartition(":")
            if port != "22":
                found.add(address)
    return found
