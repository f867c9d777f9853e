"""Lines that break after every byte of a launch frame: each launch is sent again, and starts once."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import FINAL_STATES, Outcome
from sshjobs.network.contract import RunIdentity
from sshjobs.network.network import Network
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.transport.local import LocalTransport
from sshjobs.store.rundir import create_run

_LAUNCH = b'{"t":"launch"'
#: More bytes than a launch of :func:`break_launches` has.
LONGEST = 500
#: Lines that break at the same time, each to an agent of its own.
AT_ONCE = 16


class BreakingStream(Stream):
    """Passes everything up to so many bytes of the first launch, then ends."""

    def __init__(self, inner: Stream, passes: int):
        self._inner, self._passes = inner, passes
        #: Bytes of the first launch, once it has come by.
        self.size = 0

    async def read(self) -> bytes:
        return await self._inner.read()

    async def write(self, data: bytes) -> None:
        before, mark, rest = data.partition(_LAUNCH)
        if self.size or not mark:
            return await self._inner.write(data)
        frame = mark + rest[: rest.index(b"\n") + 1]
        self.size = len(frame)
        if self._passes > len(frame):
            return await self._inner.write(data)
        await self._inner.write(before + frame[: self._passes])
        # What was written is on its way before the line is gone.
        await asyncio.sleep(0.05)
        self._inner.abort()
        raise BrokenPipeError("the line broke")

    def abort(self) -> None:
        self._inner.abort()

    async def close(self) -> Ending:
        return await self._inner.close()


class BreakingTransport(Transport):
    """Reaches agents on this machine by lines of which the first to each host breaks."""

    name = "breaking"

    def __init__(self, passes: dict[str, int]):
        self._passes, self._inner = dict(passes), LocalTransport()
        self.streams: list[BreakingStream] = []

    async def open(self, host: Host) -> Stream:
        stream = await self._inner.open(host)
        passes = self._passes.pop(host.name, None)
        if passes is None:
            return stream
        self.streams.append(BreakingStream(stream, passes))
        return self.streams[-1]

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        return self._inner.explain(host, ending, noise, was_ready=was_ready)


def break_launches(directory: Path, offsets: Iterable[int]) -> tuple[list[str], int]:
    """Break a line after each of these bytes of a launch frame. HOME is to be one's own.

    :return: what is wrong: a job that did not end, or did not start exactly once; and how many bytes a launch has
    """
    run, wrong, size = RunIdentity(secrets.token_hex(16), "frames", 0), list[str](), 0
    rest = list(offsets)
    paths, index = create_run(directory, name=f"frames-{secrets.token_hex(4)}"), 0
    while rest:
        now, rest = rest[:AT_ONCE], rest[AT_ONCE:]
        passes = {f"line{n}": offset for n, offset in enumerate(now)}
        network = Network(str(directory), list(passes), transport="local", slots=1)
        breaking = BreakingTransport(passes)
        network._transports = (breaking, breaking)
        run = run._replace(epoch=run.epoch + 1)
        network.open(run, paths)
        ledger = directory / "starts"
        jobs = {}
        for host, offset in passes.items():
            jobs[host] = Job(JobSpec([f"echo {offset} >> {ledger}", "echo out"]), index, f"at-{offset}")
            index += 1
            jobs[host].new_attempt(host, secrets.token_hex(16))
            network.LaunchJob(jobs[host], host)
        deadline = time.monotonic() + 60
        while any(job.attempts[-1].state not in FINAL_STATES for job in jobs.values()) and time.monotonic() < deadline:
            network.wait(0.2)
        wrong += [f"{job.name}: {job.attempts[-1].state} {job.attempts[-1].outcome}" for job in jobs.values()
                  if job.attempts[-1].outcome is not Outcome.SUCCEEDED]
        network.release([job.attempts[-1] for job in jobs.values()])
        network.close(finished=not rest)
        size = max(size, *(stream.size for stream in breaking.streams))
        starts = ledger.read_text().split() if ledger.exists() else []
        wrong += [f"cut after {offset} bytes: {starts.count(str(offset))} starts" for offset in now
                  if starts.count(str(offset)) != 1]
    return wrong, size
