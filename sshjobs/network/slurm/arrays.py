"""Hosts whose jobs a scheduler carries out one by one: the agent is where jobs are submitted, and submits them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.payload import bootstrap_code
from sshjobs.network.slurm.programs import Programs, environment
from sshjobs.network.slurm.transport import SlurmStream
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.transport.causes import last_line, no_agent, said_by_host
from sshjobs.network.transport.openssh import gates_of

#: Jobs of one submission, at most: Slurm's MaxArraySize is 1001 where nobody has changed it, and where it is less the
#: agent finds out.
SIZE = 1000
_PASSED_ON = ("partition", "account", "qos", "constraint", "gres")


class ArrayTransport(Transport):
    """Reaches where jobs are submitted: this machine, or a login node by ssh."""

    name = "array"
    by_ssh = False

    def batch_of(self, host: Host) -> Mapping[str, Any] | None:
        return plan(host)

    async def open(self, host: Host) -> Stream:
        programs, stack = self._programs(host), ExitStack()
        python = host.python or ("python3" if programs.login is not None else sys.executable or "python3")
        try:
            argv = await programs.argv([python, "-ISc", bootstrap_code()], stack, {})
            stream = await SlurmStream.start(argv, environment() if programs.login is None else None)
        except OSError as error:
            stack.close()
            raise HostError("no-agent", host.name, "the agent cannot be started", why=f"{python}: {error.strerror}",
                            hint="set python= of the host to an interpreter", lasting=True) from error
        except BaseException:
            stack.close()
            raise
        stream.stack = stack
        return stream

    def _programs(self, host: Host) -> Programs:
        return Programs(dict(host.slurm).get("login"), self._ssh_config, accept_new=self._accept_new)

    async def gates(self, host: Host) -> list[str]:
        programs = self._programs(host)
        return [host.name] if programs.login is None else gates_of(programs.host(), self._ssh_config)

    def near(self, host: Host) -> bool:
        return "login" not in dict(host.slurm)

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        if was_ready:
            return HostError("link-lost", host.name, "the connection broke", why=last_line(ending.stderr),
                             hint="trying again")
        said = f"{ending.stderr}\n{noise}"
        return said_by_host(host, said) or no_agent(host, said, ending.status)


def plan(host: Host) -> dict[str, Any]:
    """Return what the agent of a host is told of its scheduler. Each value is an argument, or a variable."""
    asked = dict(host.slurm)
    if asked["mode"] == "own":
        commands = {verb: ["/bin/sh", "-c", asked[verb]] for verb in ("submit", "ask", "end")}
        return {**commands, "kind": "own", "size": 1, "python": host.python,
                "limit": float(asked["time"]) if "time" in asked else None}
    submit = ["sbatch", "--parsable", "--job-name={name}", "--comment=sshjobs", "--array=0-{last}", "--no-requeue",
              "--output=/dev/null", "--chdir=/", "--export=ALL", "--propagate=NONE", "--nodes=1", "--ntasks=1",
              "--cpus-per-task={cpus}", "--mem={memory}M",
              *(f"--{key}={asked[key]}" for key in _PASSED_ON if key in asked)]
    if "time" in asked:
        minutes, seconds = divmod(int(asked["time"]), 60)
        submit.append(f"--time={minutes}:{seconds:02}")
    ask = ["squeue", "--me", "--noheader", "--states=all", "--array", "--name={names}", "--format=%F|%K|%T|%j"]
    return {"kind": "slurm", "submit": [*submit, "{script}"], "ask": ask, "end": ["scancel", "{jobs}"], "size": SIZE,
            "limit": float(asked["time"]) if "time" in asked else None, "python": host.python}
