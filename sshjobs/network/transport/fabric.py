"""Fabric: for machines without an ssh program, and programs that supply user, password, key or gateway.

paramiko blocks, so each stream has threads of its own: one that logs in and then writes, one for each of the host's
two streams. They feed the event loop, and stop reading while nobody takes what they read.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sshjobs.errors import HostError, InputError, UsageError
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.host import Host, login_of, split_login
from sshjobs.network.payload import remote_command
from sshjobs.network.transport.base import (
    CLOSE_PATIENCE,
    MUCH_STDERR,
    READ_SIZE,
    STDERR_KEPT,
    STDERR_PAUSE,
    Ending,
    Stream,
    Transport,
)
from sshjobs.network.transport.causes import KEY_KINDS, host_error, last_line, no_agent, said_by_host
from sshjobs.network.transport.glance import is_near
from sshjobs.network.transport.keyadvice import key_advice
from sshjobs.network.transport.openssh import gates_of
from sshjobs.network.transport.settings import NotAccepted, ask_ssh
from sshjobs.network.transport.sshcall import asks, connect_timeout, settings_that_matter

if TYPE_CHECKING:
    from sshjobs.network.transport.sshclient import SshClient

#: Pieces of at most READ_SIZE bytes that may wait for the event loop; beyond them the host has to wait.
READ_AHEAD = 4
#: What a program may supply.
CONNECT_KWARGS = ("allow_agent", "disabled_algorithms", "gateway", "key_filename", "passphrase", "password", "pkey",
                  "user")


@dataclass(frozen=True)
class FabricEnding(Ending):
    """How a stream ended.

    :ivar cause: what went wrong on this side, ``None`` where the host ended it
    """

    cause: BaseException | None = None


class FabricTransport(Transport):
    """One connection by fabric a host.

    :param connect_kwargs: what counts more than the configuration: ``user``, ``gateway`` (``[user@]host[:port]``),
        ``password``, ``passphrase``, ``pkey``, ``key_filename``, ``allow_agent``, ``disabled_algorithms``
    :raises UsageError: something else among them
    """

    name = "fabric"

    def __init__(self, ssh_config: str | None = None, *, accept_new: bool = False,
                 connect_kwargs: Mapping[str, Any] | None = None):
        super().__init__(ssh_config, accept_new=accept_new)
        self._given = dict(connect_kwargs or {})
        unknown = sorted(self._given.keys() - set(CONNECT_KWARGS))
        if unknown:
            raise UsageError(f"connect_kwargs cannot hold {unknown[0]!r}",
                             hint=f"there are {', '.join(CONNECT_KWARGS)}")
        gateway = self._given.get("gateway")
        if gateway is not None:
            _check_gateway(gateway)

    async def open(self, host: Host) -> Stream:
        try:
            from sshjobs.network.transport.sshclient import SshClient
        except ImportError as error:
            raise HostError("no-transport", host.name, "fabric cannot be loaded", why=str(error),
                            hint="install it: pip install fabric", lasting=True) from error
        client = SshClient(host, self._ssh_config, self._given, accept_new=self._accept_new)
        stream = FabricStream(client, remote_command(host.python))
        if asks(self._ssh_config):
            stream.patience = connect_timeout(await asyncio.get_running_loop().run_in_executor(
                None, settings_that_matter, login_of(host), self._ssh_config))
        return stream

    async def gates(self, host: Host) -> list[str]:
        gateway = host.via or self._given.get("gateway")
        if gateway is not None:
            return [split_login(gateway).address]
        return await asyncio.get_running_loop().run_in_executor(None, gates_of, host, self._ssh_config)

    def near(self, host: Host) -> bool:
        return self._given.get("gateway") is None and is_near(host, self._ssh_config)

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        cause = ending.cause if isinstance(ending, FabricEnding) else None
        if was_ready:
            why = last_line(ending.stderr) or (str(cause) if cause else None)
            return HostError("link-lost", host.name, "the connection broke", why=why, hint="trying again")
        if cause is not None:
            return _explain_cause(host, cause)
        said = f"{ending.stderr}\n{noise}"
        return said_by_host(host, said) or no_agent(host, said, ending.status)


    async def advise(self, host: Host, error: HostError) -> HostError:
        if error.kind not in KEY_KINDS or shutil.which("ssh") is None:
            return error
        try:
            settings = await asyncio.get_running_loop().run_in_executor(None, ask_ssh, login_of(host),
                                                                        self._ssh_config)
        except NotAccepted:
            return error
        return key_advice(host, error, settings)


def _check_gateway(gateway: object) -> None:
    try:
        (found,) = load_hosts([gateway])  # type: ignore[list-item]
    except (InputError, UsageError, ValueError) as error:
        raise UsageError(f"the gateway cannot be {gateway!r}", why=str(error),
                         hint="write [user@]host[:port]") from error
    if found.name != gateway:
        raise UsageError(f"the gateway cannot be {gateway!r}", hint="write [user@]host[:port] and nothing else")


def _explain_cause(host: Host, cause: BaseException) -> HostError:
    """Name an exception of paramiko or the system as the openssh transport names the same trouble."""
    from sshjobs.network.transport import sshclient

    name = None
    if isinstance(cause, sshclient.JumpFailed):
        name, cause = cause.name, cause.__cause__ or cause
    why = str(cause) or type(cause).__name__
    return host_error(sshclient.kind_of(cause), host, why, name=name, reached=sshclient.may_have_reached(cause))


class FabricStream(Stream):
    """A stream over a channel of paramiko.

    :param client: what logs in; belongs to the stream from now on
    :param command: the command to start on the host
    """

    def __init__(self, client: SshClient, command: str):
        self._client, self._command = client, command
        self._loop = asyncio.get_running_loop()
        self._pieces: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._room = threading.Semaphore(READ_AHEAD)
        self._to_write: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._online = self._closing = self._aborted = False
        self._stderr = b""
        self._cause: BaseException | None = None
        self._status: int | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._live, name="sshjobs-fabric", daemon=True).start()

    # -- in the event loop ---------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        while not self._pieces:
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        self._room.release()
        return self._pieces.popleft()

    async def write(self, data: bytes) -> None:
        if self._ended and not self._pieces:
            raise BrokenPipeError("the stream is closed")
        done: asyncio.Future[None] = self._loop.create_future()
        self._to_write.put((data, done))
        await done

    def abort(self) -> None:
        self._aborted = True
        self._client.cut()
        self._pieces.clear()
        self._end()

    async def close(self) -> Ending:
        self._closing = True
        # Enough for all that the host may still send: nobody will take it.
        self._room.release(1 << 20)
        self._to_write.put(None)
        if not self._online:
            self._client.cut()
        await asyncio.wait([self._gone], timeout=2 * CLOSE_PATIENCE)
        if not self._gone.done():
            # What cannot be broken off is the look-up of a name: its thread ends by itself after it.
            self._client.cut()
            await asyncio.wait([self._gone], timeout=CLOSE_PATIENCE)
        self._end()
        return FabricEnding(self._status, self._stderr.decode("utf-8", "replace"), self._cause)

    def _take(self, data: bytes) -> None:
        if not self._ended:
            self._pieces.append(data)
            self._changed.set()

    def _end(self) -> None:
        self._ended = True
        self._changed.set()

    def _is_gone(self) -> None:
        self._end()
        if not self._gone.done():
            self._gone.set_result(None)

    # -- in threads ----------------------------------------------------------------------------------------------

    def _call(self, act: Any, *arguments: Any) -> None:
        # The loop may be closed by the time that a look-up of a name ends.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act, *arguments)

    def _live(self) -> None:
        """Log in, write what there is to write until the stream is closed, and end everything."""
        try:
            self._converse(self._client.execute(self._command))
        except Exception as error:  # noqa: BLE001 (whatever paramiko raises is a host that cannot be used)
            self._cause = error
            self._client.close()
            self._call(self._end)
            # Until somebody closes the stream: writes that come too late.
            while (item := self._to_write.get()) is not None:
                self._call(_settle, item[1], BrokenPipeError(str(error)))
        self._call(self._is_gone)

    def _converse(self, channel: Any) -> None:
        readers = [threading.Thread(target=read, args=(channel,), name="sshjobs-fabric", daemon=True)
                   for read in (self._read_output, self._read_errors)]
        for reader in readers:
            reader.start()
        self._online = True
        while (item := self._to_write.get()) is not None:
            self._write(channel, *item)
        self._say_goodbye(channel)
        self._client.close()
        for reader in readers:
            reader.join()

    def _write(self, channel: Any, data: bytes, done: asyncio.Future[None]) -> None:
        # Where the host does not take it any more, the reader gets what it said about that, and then the end.
        with contextlib.suppress(OSError, EOFError):
            channel.sendall(data)
        self._call(_settle, done, None)

    def _say_goodbye(self, channel: Any) -> None:
        """End what is written and give the host a moment to end its side, so that nothing said last is lost."""
        if not self._aborted:
            with contextlib.suppress(OSError, EOFError):
                channel.shutdown_write()
            channel.status_event.wait(CLOSE_PATIENCE)
        if channel.exit_status_ready() and channel.exit_status >= 0:
            self._status = channel.exit_status

    def _read_output(self, channel: Any) -> None:
        while data := _receive(channel.recv):
            self._room.acquire()
            if not self._closing:
                self._call(self._take, data)
        self._call(self._end)

    def _read_errors(self, channel: Any) -> None:
        heard = 0
        while data := _receive(channel.recv_stderr):
            self._stderr = (self._stderr + data)[-STDERR_KEPT:]
            heard += len(data)
            if heard > MUCH_STDERR:
                time.sleep(STDERR_PAUSE)


def _receive(receive: Any) -> bytes:
    try:
        data: bytes = receive(READ_SIZE)
    except (OSError, EOFError):
        return b""
    return data


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
