"""One question to many hosts, each over a stream of its own, without an agent: see ``sshjobs/gjob/verbs/far.py``."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sshjobs.errors import HostError
from sshjobs.gjob import ship
from sshjobs.model.host import Host
from sshjobs.network.transport import Stream, Transport, make_transport

#: What a host answers: exit status, standard output, standard error.
Result = tuple[int, bytes, bytes]


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
    answer = ship.Answer(nonce)
    out = b""
    try:
        out = await asyncio.wait_for(_converse(stream, answer, data), patience + stream.patience)
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
        raise await way.advise(host, error)
    errors = ship.Answer(nonce)
    return answer.status, out, errors.feed(ending.stderr.encode("utf-8", "replace"))


async def _converse(stream: Stream, answer: ship.Answer, data: bytes) -> bytes:
    writing = asyncio.ensure_future(_write(stream, data))
    out = b""
    try:
        while answer.status is None and (piece := await stream.read()):
            out += answer.feed(piece)
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    return out


async def _write(stream: Stream, data: bytes) -> None:
    try:
        await stream.write(data)
    except OSError:  # why, is told by what is read
        pass
