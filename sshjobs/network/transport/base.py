"""The contract of a transport, and a stream over the pipes of a child process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sshjobs.errors import HostError, LocalError, UsageError
from sshjobs.model.host import Host, split_login
from sshjobs.network.openfiles import give_back
from sshjobs.network.transport.causes import too_slow
from sshjobs.network.transport.pipes import PipeReader, PipeWriter, part_of

#: Bytes read from the host at a time.
READ_SIZE = 1 << 18
#: How much of what the transport writes to its standard error is kept, in bytes: the end of it tells the cause.
STDERR_KEPT = 1 << 16
#: Bytes on standard error after which it is read slowly: a piece, and a pause in seconds.
MUCH_STDERR, STDERR_PAUSE = 1 << 20, 0.1
#: Seconds that a child process gets to go by itself after its pipes were closed, before it is killed.
CLOSE_PATIENCE = 2.0
#: What the system says of a program that is not there, or that cannot be one.
_NO_PROGRAM = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOEXEC, errno.EISDIR)


@dataclass(frozen=True)
class Ending:
    """How a stream ended.

    :ivar status: exit status of the process behind it, negative for a signal, ``None`` where there is none
    :ivar stderr: the end of what it wrote to standard error
    """

    status: int | None
    stderr: str


class Stream(ABC):
    """Bytes to and from the far side. Used from one event loop only.

    :ivar patience: seconds that the way there may take by the user's own settings, beyond what it usually takes
    :ivar notice: what a person is to know about the way there
    :ivar told: what is known of the host from the way there, beside what it says of itself: ``until``, when it will be
        gone, in seconds since the epoch; ``slurm_job`` and ``slurm_node``, the job of Slurm that it is of, and its node
    """

    patience: float = 0.0
    notice: str | None = None
    told: Mapping[str, Any] = {}

    @abstractmethod
    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` once the far side has ended the stream."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while the far side is slow.

        :raises OSError: the stream has ended
        """

    async def write_file(self, file: int, offset: int, size: int) -> bool:
        """Write so many bytes of a file. What of it cannot be read becomes NULs.

        :param file: its descriptor
        :return: whether all of it could be read
        :raises OSError: the stream has ended
        """
        data, whole = part_of(file, offset, size)
        await self.write(data)
        return whole

    @abstractmethod
    def abort(self) -> None:
        """End the stream at once: its reader gets the end."""

    @abstractmethod
    async def close(self) -> Ending:
        """End the stream, wait until nothing of it is left on this machine, and tell how it ended. Idempotent."""


class Transport(ABC):
    """Opens streams to hosts.

    :cvar name: what ``--transport`` calls it
    :cvar by_ssh: it logs in at hosts as ssh does: an ssh configuration, host keys and jump hosts count
    :param ssh_config: path of a configuration file to use instead of the user's own
    :param accept_new: accept keys of hosts that were never seen, and note them
    :param connect_kwargs: what a program supplies to log in with
    :raises UsageError: it takes no ``connect_kwargs``
    """

    name: str
    by_ssh = True

    def __init__(self, ssh_config: str | None = None, *, accept_new: bool = False,
                 connect_kwargs: Mapping[str, Any] | None = None):
        if connect_kwargs:
            raise UsageError(f"connect_kwargs are not for the transport {self.name}", hint="use transport='fabric'")
        self._ssh_config, self._accept_new = ssh_config, accept_new

    @abstractmethod
    async def open(self, host: Host) -> Stream:
        """Return a stream to a Python that runs the bootstrap line on the host (docs/protocol.md, "Getting there").

        Returns before it is known whether the host answers: that shows when the stream is read.

        :raises HostError: it cannot even be tried
        """

    async def gates(self, host: Host) -> list[str]:
        """Return the machines whose sshd each connection to the host logs in at, one after the other.

        The same name for the same machine is all that counts. May take a while; asked only where it matters.
        """
        return [split_login(host.via or host.name).address]

    def batch_of(self, host: Host) -> Mapping[str, Any] | None:
        """Return what a scheduler is told that carries the jobs out, where it is not the host itself; see ``batch`` in
        docs/protocol.md."""
        return None

    def near(self, host: Host) -> bool:
        """Tell whether some hundred KiB more on the way to the host would not be noticed. A guess: ``False`` is always
        right."""
        return False

    def late(self, host: Host, seconds: float) -> HostError:
        """Return the error for a host from which nothing came in so many seconds."""
        return too_slow(host, seconds)

    async def advise(self, host: Host, error: HostError) -> HostError:
        """Return what :meth:`explain` did, with better advice where that takes a moment to find."""
        return error

    async def give_back(self, hosts: Sequence[Host], staying: Collection[str]) -> list[str]:
        """Give back what was taken for hosts that leave the run for good, once their sessions have ended.

        :param staying: names of the hosts that stay in the run
        :return: what a person is to know of what could not be given back, a line ``HOST: …`` each
        """
        return []

    @abstractmethod
    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        """Tell why a stream ended: the cause by name, and what to do about it.

        :param noise: what came before the agent's first word
        :param was_ready: the agent had answered on this stream
        """


def _no_room(error: OSError) -> LocalError:
    return LocalError("no further process can be started on this machine", why=error.strerror,
                      hint="see the limits of this user (ulimit -n -u) and the memory")


def spawned(argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process; see :meth:`ProcessStream.start`."""
    try:
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True, bufsize=0, env=env)
    except OSError as error:
        if error.filename is not None and error.errno in _NO_PROGRAM:
            raise
        raise _no_room(error) from error


_Process = TypeVar("_Process", bound="ProcessStream")


class ProcessStream(Stream):
    """A stream over the standard input and output of a child process."""

    def __init__(self, process: subprocess.Popen[bytes], errors: asyncio.StreamReader):
        assert process.stdin is not None and process.stdout is not None
        self._process, self._reader, self._writer = process, PipeReader(process.stdout), PipeWriter(process.stdin)
        #: The end of standard error. Somebody else, such as a ProxyCommand, may hold it open for longer than the
        #: process lives, so what there is counts, not only what there was at its end.
        self._said = bytearray()
        self._stderr = asyncio.ensure_future(self._listen(errors))
        self._ending: Ending | None = None

    @classmethod
    async def start(cls: type[_Process], argv: Sequence[str], env: Mapping[str, str] | None = None) -> _Process:
        """Start a process in a session of its own, so that a Ctrl-C in our terminal does not reach it.

        :param env: its environment, ``None`` for ours
        :raises OSError: the program cannot be started
        :raises LocalError: this machine has no room for another process
        """
        return await cls.over(spawned(argv, env))

    @classmethod
    async def over(cls: type[_Process], process: subprocess.Popen[bytes]) -> _Process:
        """Return a stream over a process that :func:`spawned` has started.

        :raises LocalError: as :meth:`start`; the process has ended then
        """
        try:
            give_back(process.pid)
            # Popen and not asyncio's own: that one needs a thread a child on some of our Pythons.
            errors = asyncio.StreamReader(limit=STDERR_KEPT)
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(errors),
                                                               process.stderr)
            return cls(process, errors)
        except OSError as error:
            process.kill()
            process.wait()
            raise _no_room(error) from error

    async def read(self) -> bytes:
        return await self._reader.read()

    async def write(self, data: bytes) -> None:
        await self._writer.write(data)

    async def write_file(self, file: int, offset: int, size: int) -> bool:
        return await self._writer.write_file(file, offset, size)

    def abort(self) -> None:
        if self._process.poll() is None:
            self._process.kill()

    async def close(self) -> Ending:
        if self._ending is None:
            self._writer.close()
            status = await self._wait()
            self._reader.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._stderr), CLOSE_PATIENCE)
            self._stderr.cancel()
            self._ending = self._ended(status, self._said.decode("utf-8", "replace"))
        return self._ending

    def _ended(self, status: int | None, stderr: str) -> Ending:
        return Ending(status, stderr)

    async def _listen(self, errors: asyncio.StreamReader) -> None:
        heard = 0
        while data := await errors.read(READ_SIZE):
            self._said += data
            del self._said[:-STDERR_KEPT]
            heard += len(data)
            if heard > MUCH_STDERR:
                # Nobody says so much for a person to read; it is not to keep us from what others say.
                await asyncio.sleep(STDERR_PAUSE)

    async def _wait(self) -> int:
        delay, waited = 0.001, 0.0
        while (status := self._process.poll()) is None:
            if waited >= CLOSE_PATIENCE:
                self._process.kill()
            await asyncio.sleep(delay)
            waited += delay
            delay = min(delay * 2, 0.05)
        return status
