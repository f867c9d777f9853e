"""This machine, without ssh: the agent is a child process."""

from __future__ import annotations

import os
import sys

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.payload import bootstrap_code
from sshjobs.network.transport.base import Ending, ProcessStream, Stream, Transport


class LocalTransport(Transport):
    """Runs the agent on this machine, whatever the host is called."""

    name = "local"
    by_ssh = False

    async def open(self, host: Host) -> Stream:
        python = python_of(host)
        try:
            return await ProcessStream.start([python, "-ISc", bootstrap_code()])
        except OSError as error:
            raise HostError("no-python", host.name, "the agent cannot be started on this machine",
                            why=f"{python}: {os.strerror(error.errno or 0)}",
                            hint="set python= of the host to an interpreter", lasting=True) from error

    def near(self, host: Host) -> bool:
        return True

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        if was_ready:
            return HostError("link-lost", host.name, "the agent on this machine went away", hint="trying again")
        last = (ending.stderr.strip().splitlines() or [f"it ended with status {ending.status}"])[-1]
        return HostError("no-agent", host.name, "the agent did not come up on this machine", why=last,
                         hint=f"try: {python_of(host)} --version", lasting=True)


def python_of(host: Host) -> str:
    """Return the interpreter for a host that is this machine."""
    return host.python or sys.executable or "python3"
