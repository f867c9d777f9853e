"""The application: all routes in one list, and the ASGI app that is made from it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp

from sshjobs.errors import printable
from sshjobs.web import models
from sshjobs.web.acting import Acting, Ask
from sshjobs.web.events import Events
from sshjobs.web.guard import HEADERS, Access, Policy
from sshjobs.web.pagefiles import TYPES, page_files
from sshjobs.web.reading import Reading
from sshjobs.web.routes import Endpoint, NotFound, json_answer, openapi
from sshjobs.web.sources import Sources

_LOG = logging.getLogger(__name__)
#: How many seconds a login lasts.
LOGIN_LASTS = 30 * 86_400


class Pages:
    """The files of the pages themselves, the login, and the description of the API."""

    def __init__(self, access: Access, base: str, root: Path | None = None):
        self._access, self._base, self._files = access, base, page_files(root)

    async def index(self, request: Request, query: None, body: None) -> Response:
        return self._file(request, "index.html", lasting=False)

    async def file(self, request: Request, query: None, body: None) -> Response:
        path: str = request.path_params["path"]
        digest, _, name = path.partition("/")
        lasting = digest == self._files.digest
        return self._file(request, name if lasting else path, lasting=lasting)

    def _file(self, request: Request, name: str, *, lasting: bool) -> Response:
        """:param lasting: the address names this very content, so that a browser need never ask for it again"""
        files = self._files
        if name not in files.whole:
            raise NotFound("there is no such file", where=name)
        small = "gzip" in request.headers.get("accept-encoding", "")
        return Response((files.small if small else files.whole)[name], media_type=TYPES[Path(name).suffix],
                        headers={"Cache-Control": "max-age=31536000, immutable" if lasting else "no-cache",
                                 "Vary": "Accept-Encoding", "Content-Encoding": "gzip" if small else "identity"})

    async def login(self, request: Request, query: None, body: models.Login) -> Response:
        from hmac import compare_digest

        if not compare_digest(body.token.encode(), self._access.token.encode()):
            return JSONResponse({"error": "that is not this server's token"}, 401)
        answer = JSONResponse({"ok": True})
        answer.set_cookie(self._access.cookie, self._access.cookie_value, max_age=LOGIN_LASTS, path=self._base or "/",
                          secure=self._access.secure, httponly=True, samesite="strict")
        return answer


def endpoints(pages: Pages, reading: Reading, acting: Acting, events: Events) -> list[Endpoint]:
    """Return all routes."""
    read, act, open_ = Policy.READ, Policy.ACT, Policy.OPEN
    run, host = "/api/runs/{run}", "/api/runs/{run}/hosts"
    return [
        Endpoint("GET", "/", open_, pages.index, "The pages", answer="text/html"),
        Endpoint("GET", "/static/{path:path}", open_, pages.file, "A file of the pages", answer="text/javascript"),
        Endpoint("POST", "/api/session", open_, pages.login, "Log this browser in", body=models.Login),
        Endpoint("GET", "/api/runs", read, reading.runs, "All runs", answer=models.Runs),
        Endpoint("GET", "/api/together", read, reading.together, "Runs at work as one", answer=models.Overview),
        Endpoint("GET", "/api/together/events", read, events.stream, "What changes in all of them", models.EventsOfAll,
                 answer="text/event-stream"),
        Endpoint("GET", f"{run}/overview", read, reading.overview, "Totals and hosts of a run", models.OfRun,
                 answer=models.Overview),
        Endpoint("GET", f"{run}/events", read, events.stream, "What changes, as it happens", models.EventsAsked,
                 answer="text/event-stream"),
        Endpoint("GET", f"{run}/jobs", read, reading.jobs, "A page of jobs", models.JobsAsked, answer=models.Jobs),
        Endpoint("GET", f"{run}/job", read, reading.job, "One job", models.OfJob, answer=models.JobDetail),
        Endpoint("GET", f"{run}/table", read, reading.table, "Parameters and results of jobs", models.TableAsked,
                 answer=models.TableInfo),
        Endpoint("GET", f"{run}/output", read, reading.output, "A piece of what a job wrote", models.OutputAsked,
                 answer="application/octet-stream"),
        Endpoint("GET", f"{run}/download", read, reading.download, "All that a job wrote", models.DownloadAsked,
                 answer="application/octet-stream"),
        Endpoint("GET", f"{run}/files", read, reading.files, "Fetched files", models.FilesAsked,
                 answer=models.Files),
        Endpoint("GET", f"{run}/file", read, reading.file, "One of them", models.FileAsked,
                 answer="application/octet-stream"),
        Endpoint("GET", f"{run}/host", read, reading.host, "One host", models.OfHost, answer=models.HostDetail),
        Endpoint("GET", f"{run}/timeline", read, reading.timeline, "Attempts over time", models.TimelineAsked,
                 answer=models.TimelineInfo),
        *(Endpoint("POST", f"{run}/{word}", act, handler, text, models.OfRun, models.JobsNamed, models.Done)
          for word, handler, text in (
              ("cancel", acting.cancel, "Cancel jobs, or all"), ("retry", acting.retry, "Try failed jobs again"),
              ("pause", acting.pause, "Launch nothing, or stop jobs"), ("unpause", acting.unpause, "Go on"))),
        *(Endpoint("POST", f"{host}/{word}", act, handler, text, models.OfRun, models.HostsNamed, models.Done)
          for word, handler, text in (
              ("add", acting.add_hosts, "Add hosts"), ("drain", acting.drain, "Launch nothing more there"),
              ("undrain", acting.undrain, "Launch there again"), ("remove", acting.remove, "Take hosts out"))),
        Endpoint("POST", f"{host}/slots", act, acting.slots, "Set the slots of hosts", models.OfRun, models.SlotsAsked,
                 models.Done),
    ]


def make_app(sources: Sources, access: Access, *, base: str = "", managers: Mapping[str, Ask] | None = None,
             poll_seconds: float = 10.0, root: Path | None = None, hosts_file: Path | None = None) -> ASGIApp:
    """Return the application.

    :param base: the path below which it is served, ``""`` or ``/something``
    :param managers: how to ask managers of this program, by the name of their run
    :param root: the directory of the pages' files; ``None`` for our own
    :param hosts_file: the file in which wildcards look for hosts to add
    """
    events = Events(sources)
    reading = Reading(sources, read_only=access.read_only, poll_seconds=poll_seconds)
    acting = Acting(sources, {} if managers is None else managers, hosts_file)
    listed = endpoints(Pages(access, base, root), reading, acting, events)

    async def description(request: Request, query: None, body: None) -> Response:
        return json_answer(openapi(listed, base))

    listed.append(Endpoint("GET", "/api/openapi.json", Policy.READ, description, "This description"))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await events.close()
        await sources.close()

    routes = [endpoint.route(access) for endpoint in listed]
    app = Starlette(routes=[Mount(base, routes=routes)] if base else routes, lifespan=lifespan,
                    # Answers shrink to a tenth; a stream of events is not compressed but passed on as it comes.
                    middleware=[Middleware(GZipMiddleware, minimum_size=2_000, compresslevel=4)],
                    exception_handlers={404: _plain, 405: _plain, 500: _broken})
    app.state.events, app.state.endpoints = events, listed
    return app


async def _plain(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return JSONResponse({"error": "there is no such page" if status == 404 else "not by this method"}, status,
                        headers=HEADERS)


async def _broken(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s: %s: %s; please report it", request.method, request.url.path, type(error).__name__,
               printable(error), exc_info=_LOG.isEnabledFor(logging.DEBUG))
    return JSONResponse({"error": f"internal error: {type(error).__name__}; please report it"}, 500, headers=HEADERS)
