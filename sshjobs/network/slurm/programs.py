"""Calls of Slurm's programs, on this machine or by ssh on a login node."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import IO, NamedTuple

from sshjobs.errors import LocalError
from sshjobs.model.host import Host, split_login
from sshjobs.network.openfiles import give_back
from sshjobs.network.transport.sshcall import SshCall, asks

#: Seconds that a call may take. Slurm's programs try for some ten seconds themselves to reach a slurmctld.
CALL_LIMIT_S = 60.0
#: How much of what a program says is read, in bytes.
MOST_SAID = 4 << 20
#: Variables that Slurm's programs and jobs get from this machine. A job gets what a login gives, and nothing of the
#: program that the manager was started in; of Slurm's own what a user configures, and nothing of a job around us.
_PASSED = re.compile(r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|TZ|SLURM_CONF|SLURM_CLUSTERS|SBATCH_[A-Z_]+"
                     r"|KRB5CCNAME")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Answer(NamedTuple):
    """What a program said. ``status`` is ``None`` where it did not end in time, and negative for a signal."""

    status: int | None
    out: str
    err: str

    @property
    def words(self) -> str:
        """The last line of its complaints, fit to be shown."""
        lines = [line for line in map(clean, (self.err or self.out)[-4096:].splitlines()) if line]
        told = lines[-1] if lines else "no answer in time" if self.status is None else f"it ended with {self.status}"
        return re.sub(r"^(sbatch|squeue|scancel|srun): (error: )?", "", told)[:200]


def clean(text: str) -> str:
    """Return a line without control characters."""
    return _CONTROL.sub(" ", text).strip()


def environment() -> dict[str, str]:
    """Return what Slurm's programs get of this process's environment."""
    return {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}


class Programs:
    """Slurm's programs as they are called at one place.

    :param login: the login node, as ``[user@]host[:port]``; ``None`` is this machine
    """

    def __init__(self, login: str | None, ssh_config: str | None, *, accept_new: bool = False):
        self.login, self._ssh_config, self._accept_new = login, ssh_config, accept_new

    @property
    def place(self) -> str:
        """Where they run, for people."""
        return self.login or "this machine"

    async def argv(self, words: Sequence[str], stack: ExitStack, variables: Mapping[str, str]) -> list[str]:
        """Return the command line for a program with arguments.

        :param stack: removes what the call needs until then
        :param variables: further ones for its environment
        """
        if variables:
            words = ["env", *(f"{name}={value}" for name, value in variables.items()), *words]
        if self.login is None:
            return list(words)
        host = self.host()

        def prepare() -> SshCall:
            return SshCall.prepare(host, self._ssh_config, accept_new=self._accept_new)

        loop = asyncio.get_running_loop()
        call = await loop.run_in_executor(None, prepare) if asks(self._ssh_config) else prepare()
        stack.callback(call.close)
        # No quote, no backslash and no ! is in any of them: within single quotes they mean the same to every shell.
        return call.argv(" ".join(map(shlex.quote, words)))

    def host(self) -> Host:
        """Return the login node as ssh takes it."""
        login = split_login(self.login or "")
        return Host(self.login or "", login.user, login.port)

    async def call(self, words: Sequence[str], data: bytes = b"", variables: Mapping[str, str] | None = None,
                   limit: float | None = None) -> Answer:
        """Run a program to its end and return what it said. Cancelled, it is ended.

        :param data: its standard input
        :raises FileNotFoundError: there is no such program on this machine
        :raises LocalError: this machine has no room for it
        """
        with ExitStack() as stack:
            argv = await self.argv(words, stack, variables or {})
            try:
                files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
                files[0].write(data)
                files[0].seek(0)
                process = subprocess.Popen(argv, stdin=files[0], stdout=files[1], stderr=files[2],
                                           start_new_session=True, env=environment())
            except FileNotFoundError:
                raise
            except OSError as error:
                raise LocalError.of(error, "a program of Slurm cannot be started on this machine") from error
            give_back(process.pid)
            status = await _ended(process, CALL_LIMIT_S if limit is None else limit)
            return Answer(status, _text(files[1]), _text(files[2]))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(MOST_SAID).decode("utf-8", "replace")


async def _ended(process: subprocess.Popen[bytes], limit: float) -> int | None:
    loop = asyncio.get_running_loop()
    deadline, delay = loop.time() + limit, 0.002
    try:
        while (status := process.poll()) is None and loop.time() < deadline:
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, 0.1)
        return status
    finally:
        if process.poll() is None:
            # It, and an ssh or a shell below it: what is not done by now is not to be done later.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
