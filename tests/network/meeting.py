"""Contacts hosts as a run does, and tells what each of them answered first."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sshjobs import Network
from sshjobs.network import HostDown, HostUp, RunIdentity, Warned
from sshjobs.network.transport import TRANSPORTS, transport_class
from sshjobs.store.rundir import create_run

DEADLINE = 40.0
#: The transports that log in as ssh does, for tests of what is true of each of them.
SSH = [name for name in TRANSPORTS if transport_class(name).by_ssh]


def meet(hosts: Any, *, told: list[str] | None = None, **options: Any) -> dict[str, HostUp | HostDown]:
    """Return the first answer of every host, of a network made with these options.

    :param told: gets what a person is warned of meanwhile
    """
    answers: dict[str, HostUp | HostDown] = {}
    with tempfile.TemporaryDirectory() as results:
        network = Network(results, hosts, **options)
        network.open(RunIdentity(secrets.token_hex(16), "meet", 1), create_run(Path(results), name="meet"))
        try:
            deadline = time.monotonic() + DEADLINE
            while answers.keys() != network.hosts.keys():
                assert time.monotonic() < deadline, f"only {sorted(answers)} answered"
                for event in network.wait(0.2).hosts:
                    if isinstance(event, HostUp | HostDown):
                        answers.setdefault(event.host, event)
                    elif isinstance(event, Warned) and told is not None:
                        told.append(event.message)
        finally:
            network.close(finished=True)
    return answers


def kinds(answers: dict[str, HostUp | HostDown]) -> dict[str, str]:
    """Return ``up`` or the kind of trouble of every host."""
    return {name: "up" if isinstance(answer, HostUp) else answer.error.kind for name, answer in answers.items()}


def with_known_hosts(lab: Any, directory: Path, lines: Iterable[str], extra: str = "") -> str:
    """Write an ssh configuration of the lab in which these are the known hosts; return its path."""
    known = directory / "known_hosts"
    known.write_text("".join(f"{line}\n" for line in lines))
    own = f"Host *\n    UserKnownHostsFile {known}\n"
    return str(lab.write_ssh_config(directory / "ssh_config", extra=extra + own))
