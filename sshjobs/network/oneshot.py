"""Sends one request to many hosts, over a stream to each, without an agent: see ``sshjobs/gjob/verbs/far.py``."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sshjobs.errors import HostError, ProtocolError, printable
from sshjobs.gjob import ship
from sshjobs.model.host import Host
from sshjobs.network.protocol.fields import Bad, is_heavy, read_json
from sshjobs.network.protocol.frames import MAX_NOISE
from sshjobs.network.transport import make_transport
from sshjobs.network.transport.base import Stream, Transport
from sshjobs.network.transport.causes import asked_once, only_in_run

#: The longest answer in bytes, and the most lists, objects and values in it: room for some ten thousand processes or
#: attempts. Parsed, it takes less than 32 MiB.
MOST_ANSWER, MOST_PARTS, MOST_VALUES = 4 << 20, 20_000, 150_000

_LOG = logging.getLogger(__name__)

#: What a host answers: exit status, standard output, standard error.
Result = tuple[int, bytes, bytes]
_T = TypeVar("_T")


async def ask_hosts(hosts: Sequence[Host], request: Callable[[Host], Mapping[str, Any]], body: bytes = b"", *,
                    transport: str | None = None, ssh_config: str | None = None,
                    accept_new_host_keys: bool = False, at_once: int = 8,
                    patience: float = 60.0) -> list[Result | HostError]:
    """Ask all hosts and return what each answered, in their order.

    :param request: makes the request for a host
    :param body: what follows it, the same for all
    :param transport: as for :class:`sshjobs.network.Network`, and so are the next two
    :param at_once: how many hosts are asked at a time
    :param patience: seconds for one host
    :raises UsageError: the transport cannot be had
    """
    remote = make_transport(transport or "openssh", ssh_config=ssh_config, accept_new=accept_new_host_keys)
    local = make_transport("local")
    packed = ship.pack(ship.sources(ship.FAR_MODULE))
    turns = asyncio.Semaphore(at_once)

    async def ask(host: Host) -> Result | HostError:
        if host.slurm:
            return only_in_run(host)
        way = local if host.local and transport is None else remote
        nonce = secrets.token_hex(16)
        stage = ship.first_stage(nonce, "sshjobs.gjob." + ship.FAR_MODULE, packed)
        line = json.dumps(dict(request(host))).encode("ascii") + b"\n"
        async with turns:
            try:
                return await _ask(way, host, nonce, stage + line + body, patience)
            except HostError as error:
                return error

    return list(await asyncio.gather(*map(ask, hosts)))


async def _ask(way: Transport, host: Host, nonce: str, data: bytes, patience: float) -> Result:
    stream = await way.open(host)
    if stream.notice is not None:
        _LOG.warning("%s: %s", host.name, printable(stream.notice))
    answer = ship.Answer(nonce)
    out = b""
    try:
        out = await asyncio.wait_for(_converse(stream, answer, data), patience + stream.patience)
    except ProtocolError as trouble:
        stream.abort()
        raise nonsense(host, str(trouble)) from None
    except asyncio.TimeoutError:
        stream.abort()
        if not answer.ready:
            raise way.late(host, patience) from None
        raise HostError("timeout", host.name, "no answer in time", why=f"waited {patience:.0f} s",
                        hint=f"try: ssh {host.name} true") from None
    finally:
        ending = await stream.close()
    if answer.status is None:
        error = way.explain(host, ending, answer.noise.decode("utf-8", "replace"), was_ready=answer.ready)
        raise asked_once(await way.advise(host, error))
    errors = ship.Answer(nonce)
    try:
        return answer.status, out, errors.feed(ending.stderr.encode("utf-8", "replace"))
    except ship.Garbled:
        return answer.status, out, b""


async def _converse(stream: Stream, answer: ship.Answer, data: bytes) -> bytes:
    """Return the answer.

    :raises ProtocolError: it is longer than an answer may be, or no answer
    """
    writing = asyncio.ensure_future(_write(stream, data))
    out, noise = bytearray(), 0
    try:
        while answer.status is None and (piece := await stream.read()):
            out += answer.feed(piece)
            noise += 0 if answer.ready else len(piece)
            if len(out) > MOST_ANSWER:
                raise ProtocolError(f"an answer of more than {MOST_ANSWER >> 20} MiB")
            if noise > MAX_NOISE:
                raise ProtocolError(f"more than {MAX_NOISE >> 20} MiB before its first word")
    except ship.Garbled as error:
        raise ProtocolError(str(error)) from None
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    return bytes(out)


def nonsense(host: Host, why: str) -> HostError:
    """Return the error for a host that sends something that it must not send."""
    return HostError("nonsense", host.name, "the host said what it must not say", why=why[:300],
                     hint="see what runs there, and whether a start-up file (~/.bashrc) prints in the background")


def read_answer(host: Host, out: bytes, taken: Callable[[Any], _T]) -> _T:
    """Return what a host answered in JSON.

    :param taken: checks it, and makes of it what is wanted; raises :class:`Bad`
    :raises HostError: it is not what it should be
    """
    try:
        # Each comma is a value: parsed, the text must not take many times its own size.
        if is_heavy(out, MOST_PARTS) or out.count(b",") > MOST_VALUES:
            raise ValueError("an answer of too many parts")
        return taken(read_json(out.decode("ascii")))
    except Bad as bad:
        raise nonsense(host, f"an answer with a bad {bad.key or 'form'}") from None
    except (ValueError, RecursionError) as error:
        raise nonsense(host, f"an answer that cannot be read: {error}") from None


def told_by(host: Host, result: Result | HostError, taken: Callable[[Any], _T], what: str) -> _T | HostError:
    """Return what one of :func:`ask_hosts` answered in JSON, or why that is nothing.

    :param taken: as for :func:`read_answer`
    :param what: was asked for, as in "it cannot tell …"
    """
    if isinstance(result, HostError):
        return result
    status, out, err = result
    if status:
        why = printable(err.decode("utf-8", "replace").strip().removeprefix("gjob: ")[:300])
        return HostError("nonsense", host.name, f"it cannot tell {what}", why=why,
                         hint=f"see to that there: ssh {host.name}")
    try:
        return read_answer(host, out, taken)
    except HostError as error:
        return error


async def _write(stream: Stream, data: bytes) -> None:
    try:
        await stream.write(data)
    except OSError:  # why, is told by what is read
        pass
