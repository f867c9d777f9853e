"""The routes of the API that change something. Each makes one request, which the run's manager carries out; where the
run has none, the request is kept for the next manager.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from starlette.requests import Request

from sshjobs.errors import UsageError
from sshjobs.inputs.hostfile import load_hostfile, load_hosts
from sshjobs.model.host import Host
from sshjobs.model.states import STATE_BUSY
from sshjobs.running.cancelling import cancel
from sshjobs.running.unattended import carry_out
from sshjobs.store import RunReader
from sshjobs.store.index import MOST_FOUND, JobIndex
from sshjobs.web import models
from sshjobs.web.sources import Sources
from sshjobs.web.watch import in_thread

_WILD = frozenset("*?")
#: Carries out a request on a run whose manager is in this program.
Ask = Callable[[dict[str, Any]], dict[str, Any]]


class Acting:
    """Carries out what people ask of runs.

    :param managers: for runs with a manager in this program, by the name shown: how to ask that manager
    :param hosts_file: where wildcards look for hosts
    """

    def __init__(self, sources: Sources, managers: Mapping[str, Ask], hosts_file: Path | None):
        self._sources, self._managers, self._hosts_file = sources, managers, hosts_file

    async def cancel(self, request: Request, query: models.OfRun, body: models.JobsNamed) -> models.Done:
        watch = await self._sources.watch(query.run)
        if query.run in self._managers:
            return await self._ask(query.run, {"do": "cancel", "jobs": body.jobs})
        # Where the run has no manager, one has to be started to end what runs on its hosts.
        await in_thread(lambda: cancel(watch.paths, body.jobs))
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
        watch = await self._sources.watch(query.run)
        rows = await watch.ask(lambda reader, index: reader.hosts())
        hosts = await in_thread(lambda: self._named(body.hosts, [row.host for row in rows]))
        answer = await self._ask(query.run, {"do": "hosts-add", "hosts": [asdict(host) for host in hosts]})
        answer.hosts = [host.name for host in hosts]
        return answer

    def _named(self, words: Sequence[str], there: Sequence[Host]) -> list[Host]:
        """Return the hosts that lines of a hosts file name. ``*`` and ``?`` in a name match hosts of the hosts file
        that the run does not have, or no longer has.

        :raises UsageError: nothing matches
        """
        found: dict[str, Host] = {}
        for word in words:
            if _WILD.intersection(word.partition(" ")[0]):
                known = {host.name: replace(host, removed=False, drained=False) for host in there if host.removed}
                known.update((host.name, host) for host in self._in_file())
                used = {host.name for host in there if not host.removed}
                fitting = [host for name, host in known.items()
                           if name not in used and fnmatchcase(name, word.partition(" ")[0])]
                if not fitting:
                    if self._hosts_file is not None:
                        raise UsageError("no host fits that is not in the run already", where=word,
                                         why=f"looked for in {self._hosts_file}")
                    raise UsageError("there is no hosts file to find it in", where=word,
                                     hint="to have one: sshjobs serve --hosts FILE")
                found.update((host.name, host) for host in fitting)
            else:
                found.update((host.name, host) for host in load_hosts([word]))
        return list(found.values())

    def _in_file(self) -> list[Host]:
        return [] if self._hosts_file is None else load_hostfile(self._hosts_file)

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
        paths, ask = (await self._sources.watch(run)).paths, self._managers.get(run)
        if ask is not None:
            answer, live = await in_thread(lambda: ask(asked)), True
        else:
            answer, live = await in_thread(lambda: carry_out(paths, asked))
        return models.Done(live=live, jobs=list(map(str, answer.get("jobs") or [])),
                           refused=list(map(str, answer.get("refused") or [])))
