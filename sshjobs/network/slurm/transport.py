"""A link to a node of an allocation, brought by a step of its own: ``srun --overlap``."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.contract import RunIdentity
from sshjobs.network.slurm import words
from sshjobs.network.slurm.allocations import Allocations, waiting
from sshjobs.network.slurm.programs import Answer, Programs, environment
from sshjobs.network.transport.base import Ending, ProcessStream, Stream, Transport
from sshjobs.network.transport.causes import last_line, no_agent, said_by_host
from sshjobs.network.transport.openssh import gates_of

#: Seconds that Slurm may take to begin a step, beyond what an agent takes to come up.
STEP_S = 30.0


class SlurmTransport(Transport):
    """Reaches the nodes of the allocations of one run, and has them submitted and given back.

    :param known: what an earlier manager of the run knew of hosts on which something of it may run
    :param ssh_config: for login nodes, and so is ``accept_new``
    """

    name = "slurm"
    by_ssh = False

    def __init__(self, run: RunIdentity, known: Mapping[str, Mapping[str, Any]], ssh_config: str | None, *,
                 accept_new: bool = False):
        super().__init__(ssh_config, accept_new=accept_new)
        self._allocations = Allocations(run, self._programs_at, known)

    def _programs_at(self, login: str | None) -> Programs:
        return Programs(login, self._ssh_config, accept_new=self._accept_new)

    async def open(self, host: Host) -> Stream:
        job, node = await self._allocations.find(host)
        programs, stack = self._allocations.programs_of(host), ExitStack()
        try:
            argv = await programs.argv(words.link(job, node, host.python), stack, {})
            stream = await SlurmStream.start(argv, environment() if programs.login is None else None)
        except OSError as error:
            stack.close()
            raise HostError("no-transport", host.name, "srun cannot be started", why=error.strerror,
                            lasting=True) from error
        except BaseException:
            stack.close()
            raise
        stream.stack, stream.patience = stack, STEP_S
        left = self._allocations.left(host)
        stream.told = {"slurm_job": job, "slurm_node": node} | ({} if left is None else {"until": time.time() + left})
        return stream

    async def gates(self, host: Host) -> list[str]:
        login = dict(host.slurm).get("login")
        return ["slurm"] if login is None else gates_of(self._allocations.programs_of(host).host(), self._ssh_config)

    def near(self, host: Host) -> bool:
        return "login" not in dict(host.slurm)

    def late(self, host: Host, seconds: float) -> HostError:
        self._allocations.doubt(host)
        return HostError("timeout", host.name, "no agent came up in time", why=f"no step of Slurm in {seconds:.0f} s",
                         hint="trying again")

    async def give_back(self, hosts: Sequence[Host], staying: Collection[str]) -> list[str]:
        return await self._allocations.give_back(hosts, staying)

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        # Whether the allocation is still there is for Slurm to tell.
        self._allocations.doubt(host)
        if was_ready:
            return HostError("link-lost", host.name, "the connection broke", why=last_line(ending.stderr),
                             hint="trying again")
        said = f"{ending.stderr}\n{noise}"
        if "srun: error" in ending.stderr or ending.status is None or ending.status < 0:
            return waiting(HostError("slurm-down", host.name, "Slurm does not begin a step for the link",
                                     why=Answer(ending.status, "", ending.stderr).words, hint="trying again"))
        return said_by_host(host, said) or no_agent(host, said, ending.status)


class SlurmStream(ProcessStream):
    """A stream over one call of srun."""

    stack: ExitStack

    def _ended(self, status: int | None, stderr: str) -> Ending:
        self.stack.close()
        return super()._ended(status, stderr)
