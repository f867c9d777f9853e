"""The answers of the API that change something: each is one request of a person, carried out by the run's manager or,
where it has none, kept for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request

from sshjobs.model.states import STATE_BUSY
from sshjobs.running.run import cancel
from sshjobs.running.unattended import carry_out
from sshjobs.store import RunReader
from sshjobs.store.index import MOST_FOUND, JobIndex
from sshjobs.store.rundir import RunPaths
from sshjobs.web import models
from sshjobs.web.sources import Sources

#: Carries out one request of a person on a run of a manager in this program.
Ask = Callable[[dict[str, Any]], dict[str, Any]]


class Acting:
    """Does what people ask of runs.

    :param managers: how to ask managers that live in this program, by the name of their run
    """

    def __init__(self, sources: Sources, managers: Mapping[str, Ask]):
        self._sources, self._managers = sources, managers

    async def cancel(self, request: Request, query: models.OfRun, body: models.JobsNamed) -> models.Done:
        watch = await self._sources.watch(query.run)
        if query.run in self._managers:
            return await self._carry_out(watch.paths, {"do": "cancel", "jobs": body.jobs})
        # Where nobody manages the run, somebody has to end what runs on its hosts.
        await _in_thread(lambda: cancel(watch.paths, body.jobs))
        return models.Done(live=True, jobs=body.jobs or [])

    async def retry(self, request: Request, query: models.OfRun, body: models.JobsNamed) -> models.Done:
        return await self._ask(query.run, {"do": "retry", "jobs": body.jobs})

    async def pause(self, request: Request, query: models.OfRun, body: models.JobsNamed) -> models.Done:
        return await self._ask(query.run, {"do": "pause", "jobs": body.jobs})

    async def unpause(self, request: Request, query: models.OfRun, body: models.JobsNamed) -> models.Done:
        return await self._ask(query.run, {"do": "unpause", "jobs": body.jobs})

    async def drain(self, request: Request, query: models.OfRun, body: models.HostsNamed) -> models.Done:
        return await self._ask(query.run, {"do": "hosts-drain", "hosts": body.hosts})

    async def undrain(self, request: Request, query: models.OfRun, body: models.HostsNamed) -> models.Done:
        return await self._ask(query.run, {"do": "hosts-undrain", "hosts": body.hosts})

    async def remove(self, request: Request, query: models.OfRun, body: models.HostsNamed) -> models.Done:
        return await self._ask(query.run, {"do": "hosts-remove", "hosts": body.hosts})

    async def add_hosts(self, request: Request, query: models.OfRun, body: models.HostsNamed) -> models.Done:
        from dataclasses import asdict

        from sshjobs.inputs.hostfile import load_hosts

        hosts = [asdict(host) for word in body.hosts for host in load_hosts([word])]
        return await self._ask(query.run, {"do": "hosts-add", "hosts": hosts})

    async def slots(self, request: Request, query: models.OfRun, body: models.SlotsAsked) -> models.Done:
        answer = await self._ask(query.run, {"do": "hosts-slots", "hosts": body.hosts, "slots": body.slots})
        if body.cancel_surplus:
            watch = await self._sources.watch(query.run)

            def newest_above_the_slots(reader: RunReader, index: JobIndex) -> list[str]:
                return [index.name(number) for host in body.hosts for number in
                        index.select(states=[STATE_BUSY], host=host, limit=MOST_FOUND)[2][body.slots:]]

            surplus = await watch.ask(newest_above_the_slots)
            if surplus:
                await self.cancel(request, query, models.JobsNamed(jobs=surplus))
                answer.jobs = surplus
        return answer

    async def _ask(self, run: str, asked: dict[str, Any]) -> models.Done:
        return await self._carry_out((await self._sources.watch(run)).paths, asked)

    async def _carry_out(self, paths: RunPaths, asked: dict[str, Any]) -> models.Done:
        ask = self._managers.get(paths.name)
        if ask is not None:
            answer, live = await _in_thread(lambda: ask(asked)), True
        else:
            answer, live = await _in_thread(lambda: carry_out(paths, asked))
        return models.Done(live=live, jobs=list(map(str, answer.get("jobs") or [])),
                           refused=list(map(str, answer.get("refused") or [])))


async def _in_thread(act: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, act)
