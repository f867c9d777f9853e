"""The routes of the API that only read: runs, hosts, jobs, outputs, the timeline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sshjobs.diagnosis.waiting import why_it_waits
from sshjobs.model.selection import values_wanted
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_UNKNOWN, STATES
from sshjobs.store import RunReader
from sshjobs.store.index import JobIndex
from sshjobs.store.rows import AttemptRow, HostRow, JobRow, read_object
from sshjobs.store.rundir import RunPaths
from sshjobs.store.timeline import Span
from sshjobs.web import files, models
from sshjobs.web.ended import explained
from sshjobs.web.routes import NotFound
from sshjobs.web.sheets import Sheets
from sshjobs.web.sources import Sources
from sshjobs.web.together import overview
from sshjobs.web.watch import RunWatch, host_info, in_thread

#: How many jobs of each kind a host's page shows.
OF_A_HOST = 100
#: What of a job's spec is shown as its command, and as its parameters.
_COMMAND = ("cmds", "argv", "params")
#: The media types of files that are shown as pictures, by the ends of their names.
IMAGES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
          "svg": "image/svg+xml"}
#: Headers of a job's file: whatever is in it, it belongs to no origin, and nothing in it is run or fetched.
SANDBOX = "default-src 'none'; sandbox"
#: Files are sent uncompressed: they may be large, and compressing one costs more than it saves.
_WHOLE = {"Content-Encoding": "identity"}
#: How many GPUs of a host its page shows.
MOST_GPUS = 64
#: How many hosts one picture of the timeline shows.
MOST_HOSTS = 100
#: Up to how many attempts are drawn one by one; more are drawn as bins.
MOST_BARS = 1_000


class Reading:
    """Answers questions about runs."""

    def __init__(self, sources: Sources, *, read_only: bool, poll_seconds: float):
        self._sources, self._read_only, self._poll_seconds = sources, read_only, poll_seconds
        self._sheets = Sheets()

    async def runs(self, request: Request, query: None, body: None) -> models.Runs:
        return models.Runs(runs=await self._sources.lines(), read_only=self._read_only, poll_seconds=self._poll_seconds)

    async def together(self, request: Request, query: None, body: None) -> models.Overview:
        return await overview(self._sources)

    async def overview(self, request: Request, query: models.OfRun, body: None) -> models.Overview:
        return await (await self._sources.watch(query.run)).overview()

    async def jobs(self, request: Request, query: models.JobsAsked, body: None) -> Response:
        return await _told(await self._sources.watch(query.run), partial(_jobs, query))

    async def job(self, request: Request, query: models.OfJob, body: None) -> Response:
        watch = await self._sources.watch(query.run)
        return await _told(watch, partial(_job, watch.paths, query.job))

    async def table(self, request: Request, query: models.TableAsked, body: None) -> Response:
        watch = await self._sources.watch(query.run)
        return await _told(watch, lambda reader, index: self._sheets.page(query, watch.paths, reader))

    async def host(self, request: Request, query: models.OfHost, body: None) -> Response:
        return await _told(await self._sources.watch(query.run), partial(_host, query.host))

    async def timeline(self, request: Request, query: models.TimelineAsked, body: None) -> Response:
        return await _told(await self._sources.watch(query.run), partial(_timeline, query))

    async def output(self, request: Request, query: models.OutputAsked, body: None) -> Response:
        """Return a piece of a job's output, byte for byte; the headers give its place."""
        watch = await self._sources.watch(query.run)
        await watch.ask(partial(_known, query.job))
        path = files.output_path(watch.paths, query.job, query.stream, query.attempt)
        data, offset, size = files.piece(watch.paths, path, query.offset, query.limit)
        return Response(data, media_type="application/octet-stream",
                        headers={"X-Offset": str(offset), "X-Size": str(size)})

    async def files(self, request: Request, query: models.FilesAsked, body: None) -> models.Files:
        watch = await self._sources.watch(query.run)
        await watch.ask(partial(_known, query.job))
        directory = files.outputs_path(watch.paths, query.job, query.attempt)
        found, more = await in_thread(lambda: files.listed(watch.paths, directory))
        return models.Files(files=[models.FileInfo(path=path, size=size, image=_image(path) is not None)
                                   for path, size in found], more=more)

    async def file(self, request: Request, query: models.FileAsked, body: None) -> Response:
        """Return a fetched file. Pictures are shown, in a page of no origin in which nothing runs; everything
        else is to be saved."""
        watch = await self._sources.watch(query.run)
        await watch.ask(partial(_known, query.job))
        path = files.inside(files.outputs_path(watch.paths, query.job, query.attempt), query.path)
        found = None if path is None else await in_thread(lambda: files.size_of(watch.paths, path))
        if path is None or found is None:
            raise NotFound("no file is called so here", where=query.path)
        kind = _image(query.path)
        name = quote(path.name.encode("utf-8", "surrogateescape"))
        return StreamingResponse(
            files.whole(watch.paths, path, found), media_type=kind or "application/octet-stream",
            headers={**_WHOLE, "Content-Length": str(found), "Content-Security-Policy": SANDBOX,
                     "Content-Disposition": f"{'inline' if kind else 'attachment'}; filename*=UTF-8''{name}"})

    async def download(self, request: Request, query: models.DownloadAsked, body: None) -> Response:
        """Return a whole output or file, to be saved and never to be shown as a page."""
        watch = await self._sources.watch(query.run)
        await watch.ask(partial(_known, query.job))
        path = files.output_path(watch.paths, query.job, query.stream, query.attempt)
        size = files.size(watch.paths, path)
        return StreamingResponse(files.whole(watch.paths, path, size), media_type="application/octet-stream",
                                 headers={**_WHOLE, "Content-Length": str(size),
                                          "Content-Disposition": f'attachment; filename="{query.stream}.txt"'})


async def _told(watch: RunWatch, question: Callable[[RunReader, JobIndex], BaseModel]) -> Response:
    """Return the answer to a question about a run. ``X-Version`` says of which version of the run it is, and whether
    all of the run had been read: what a page asks ahead may be older than what it is told of the run at last."""
    def both(reader: RunReader, index: JobIndex) -> tuple[str, str]:
        # The version first: what is committed meanwhile is asked for again, not missed.
        return f"{index.commit} {json.dumps(index.complete)}", question(reader, index).model_dump_json()

    version, text = await watch.ask(both)
    return Response(text, media_type="application/json", headers={"X-Version": version})


def _known(job: str, reader: RunReader, index: JobIndex) -> JobRow:
    row = reader.job(job)
    if row is None:
        raise NotFound("no job is called so", where=job)
    return row


def _jobs(query: models.JobsAsked, reader: RunReader, index: JobIndex) -> models.Jobs:
    if not index.complete and query.sort == "number" and query.order == "asc" and not (
            query.outcome or query.host or query.params or query.search or (query.state and query.offset)):
        # While a large run is still being read into the index, the first page is read from the store.
        counts, states = reader.summary().counts, query.state or STATES
        found = list(reader.jobs(states, after=query.offset, limit=query.limit))
        return models.Jobs(total=sum(counts[state] for state in set(states)), more=False, ready=True,
                           offset=query.offset, jobs=_infos(found, reader))
    wanted = values_wanted(query.params) if query.params.strip() else None
    if wanted is not None and not index.complete:
        # Until all jobs are in the index, one with such parameters may still come.
        return models.Jobs(total=0, more=True, ready=False, offset=query.offset, jobs=[])
    total, more, numbers = index.select(
        params=wanted, states=query.state, outcomes=[outcome.value for outcome in query.outcome], host=query.host,
        search=query.search, sort=query.sort, descending=query.order == "desc", offset=query.offset, limit=query.limit)
    rows = [row for number in numbers if (row := reader.job_numbered(number)) is not None]
    return models.Jobs(total=total, more=more, ready=index.complete, offset=query.offset, jobs=_infos(rows, reader))


def _gpus(row: HostRow) -> list[models.GpuInfo]:
    """Return a host's GPUs, with the last reading of each."""
    names, pulse = (row.facts or {}).get("gpus", []), row.pulse or {}
    use, memory = pulse.get("gpus", []), pulse.get("gpu_memory", [])
    return [models.GpuInfo(name=str(name), use=use[n] if n < len(use) else None,
                           memory=memory[n] if n < len(memory) else None)
            for n, name in enumerate(names[:MOST_GPUS] if isinstance(names, list) else ())]


def _gpu_holders(row: HostRow, running: list[JobRow], reader: RunReader) -> list[models.GpuHolder]:
    """Return who has which of a host's GPUs: those that it has told of, then what else jobs have."""
    attempts = reader.attempts_of(job.number for job in running)
    jobs = {uuid: job.name for job in running for one in attempts[job.number][-1:] for uuid in (one.gpus or "").split()}
    units = {unit["uuid"]: unit for unit in (row.pulse or {}).get("units", ())}
    return [models.GpuHolder(uuid=uuid, job=jobs.get(uuid), by=None if uuid in jobs else unit.get("by"),
                             label=unit.get("label"), name=unit.get("name"))
            for uuid in [*units, *(uuid for uuid in jobs if uuid not in units)][:MOST_GPUS]
            for unit in (units.get(uuid, {}),)]


def _infos(rows: list[JobRow], reader: RunReader, told: Mapping[str, tuple[float, int]] | None = None,
           ) -> list[models.JobInfo]:
    attempts = reader.attempts_of(row.number for row in rows)
    return [job_info(row, attempts[row.number], told) for row in rows]


def job_info(row: JobRow, attempts: list[AttemptRow],
             told: Mapping[str, tuple[float, int]] | None = None) -> models.JobInfo:
    """Return a job for the API.

    :param told: what running attempts use, by attempt, as their host last reported
    """
    newest = attempts[-1] if attempts else None
    cpu, rss = (newest.cpu, newest.rss) if newest else (None, None)
    if newest and told and row.state in (STATE_BUSY, STATE_UNKNOWN):
        cpu, rss = told.get(f"{row.number}.{newest.n}", (cpu, rss))
    started = newest.started if newest else None
    ended = newest.ended if newest else None
    return models.JobInfo(
        number=row.number, name=row.name, state=row.state, outcome=row.outcome, host=row.host,
        exit_status=row.exit_status, signal=row.signal, reason=row.reason, attempts=len(attempts), started=started,
        seconds=round(max(0.0, ended - started), 3) if started is not None and ended is not None else None,
        cpu=cpu, rss=rss)


def _job(paths: RunPaths, name: str, reader: RunReader, index: JobIndex) -> models.JobDetail:
    row = _known(name, reader, index)
    attempts = reader.attempts_of([row.number])[row.number]
    spec = reader.spec_of(row.number)
    sizes = [files.size(paths, files.output_path(paths, name, stream, None)) for stream in ("stdout", "stderr")]
    told = next((host.pulse.get("jobs") for host in reader.hosts() if host.pulse and host.host.name == row.host), None)
    waits = why_it_waits(row, spec, reader, index)
    ended = explained(paths, name, attempts)
    why = ended[-1].why if ended and ended[-1].outcome == row.outcome else None
    return models.JobDetail(job=job_info(row, attempts, told), waits=waits and waits.words,
                            why=(why or row.reason) if row.state == STATE_ERROR else None,
                            paused=bool(row.paused), command=_command(spec), params=spec.params,
                            result=read_object(attempts[-1].result) if attempts and attempts[-1].result else {},
                            spec=_shown(spec.as_dict()),
                            attempts=ended,
                            stdout=sizes[0], stderr=sizes[1])


def _image(path: str) -> str | None:
    return IMAGES.get(path.rpartition(".")[2].lower()) if "." in path else None


def _command(spec: JobSpec) -> str:
    from shlex import join

    return join(spec.argv) if spec.argv else "\n".join(spec.cmds)


def _shown(spec: Mapping[str, Any]) -> dict[str, object]:
    return {key: value for key, value in spec.items() if value and key not in _COMMAND}


def _host(name: str, reader: RunReader, index: JobIndex) -> models.HostDetail:
    row = next((row for row in reader.hosts() if row.host.name == name), None)
    if row is None:
        raise NotFound("no host is called so", where=name)
    figures = dict(zip(index.hosts, index.figures, strict=True))
    here = figures.get(name)
    running = index.select(states=[STATE_BUSY, STATE_UNKNOWN], host=name, limit=OF_A_HOST)[2]
    finished = index.select(states=[STATE_DONE, STATE_ERROR], host=name, descending=True, limit=OF_A_HOST)[2]
    done = sum(one.done for other, one in figures.items() if other != name)
    failed = sum(one.failed for other, one in figures.items() if other != name)

    def rows(numbers: list[int]) -> list[JobRow]:
        return [row for number in numbers if (row := reader.job_numbered(number)) is not None]

    slots, pulse, here_now = reader.summary().options.get("slots"), row.pulse or {}, rows(running)
    return models.HostDetail(
        host=host_info(row, here, slots), gpus=_gpus(row), facts=row.facts or {},
        gpu_holders=_gpu_holders(row, here_now, reader), running=_infos(here_now, reader, pulse.get("jobs", {})),
        finished=_infos(rows(finished), reader),
        failure_share=here.failed / (here.done + here.failed) if here and here.done + here.failed else None,
        failure_share_elsewhere=failed / (done + failed) if done + failed else None)


def _running(reader: RunReader, index: JobIndex) -> list[Span]:
    """Return the attempts that run, from their starts until now."""
    numbers = index.select(states=[STATE_BUSY, STATE_UNKNOWN], limit=MOST_BARS)[2]
    now, found = time.time(), list[Span]()
    for number, attempts in reader.attempts_of(numbers).items():
        if attempts and attempts[-1].started is not None:
            found.append(Span(number, index.host(attempts[-1].host), 0, attempts[-1].started,
                              max(now, attempts[-1].started)))
    return found


def _timeline(query: models.TimelineAsked, reader: RunReader, index: JobIndex) -> models.TimelineInfo:
    running = _running(reader, index)
    spans = [*([index.timeline.span] if index.timeline.span else ()), *((one.started, one.ended) for one in running)]
    if not spans:
        return models.TimelineInfo(begin=0.0, end=0.0, rows=[], bars=[], hosts=0, ready=index.complete)
    span = min(first for first, _ in spans), max(last for _, last in spans)
    begin = span[0] if query.begin is None else query.begin
    end = span[1] if query.end is None else query.end
    if not begin < end:
        end = begin + 1.0
    bars = index.timeline.bars(begin, end, MOST_BARS, running)
    hosts = sorted(range(len(index.hosts)), key=index.hosts.__getitem__)
    shown = hosts[query.skip:query.skip + MOST_HOSTS]
    told = frozenset(shown)
    binned = {} if bars is not None else index.timeline.binned(begin, end, query.bins, told, running)
    # Not validated: these are tens of thousands of numbers that we made.
    return models.TimelineInfo.model_construct(
        begin=begin, end=end, hosts=len(hosts), ready=index.complete,
        rows=[models.Row.model_construct(host=index.hosts[host], busy=busy, failed=failed)
              for host, (busy, failed) in binned.items()],
        bars=[models.Bar(job=index.name(span.job), host=index.hosts[span.host], lane=lane, started=span.started,
                         ended=span.ended, outcome=index.outcome(span.outcome))
              for span, lane in bars or () if span.host in told])
