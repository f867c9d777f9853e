"""Routes as data: each has its path, its policy, and what it takes and gives. The router, the checks, the documentation
of the API and its tests are all made from one list.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sshjobs import __version__
from sshjobs.errors import SshjobsError, UsageError, printable
from sshjobs.web.guard import MAX_BODY, Access, Guard, Policy

#: Answers a request: called with the request, the checked values of path and query, and the checked body.
Handler = Callable[[Request, Any, Any], Awaitable[Response | BaseModel]]
#: Within how many seconds the body of a request has to have come.
BODY_WITHIN = 30.0
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_REFS = "#/components/schemas/{model}"


class NotFound(SshjobsError):
    """There is no such run, job or host."""


@dataclass(frozen=True)
class Endpoint:
    """One route of the API.

    :param path: the path below the base path, with parameters in braces
    :param query: the model of path parameters and query together
    :param body: the model of the JSON body
    :param answer: the model of the JSON answer, or the media type of another answer
    """

    method: str
    path: str
    policy: Policy
    handler: Handler
    summary: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | str = "application/json"

    def route(self, access: Access) -> Route:
        """Return the guarded route for the router."""
        route = Route(self.path, self._answer, methods=[self.method])
        route.app = Guard(route.app, access, self.policy)
        return route

    async def _answer(self, request: Request) -> Response:
        try:
            query = None if self.query is None else self.query.model_validate(_given(request))
            body = None if self.body is None else self.body.model_validate_json(await _body(request))
            answer = await self.handler(request, query, body)
        except ValidationError as error:
            return _refused(422, _words(error))
        except NotFound as error:
            return _refused(404, str(error))
        except _TooSlow:
            return _refused(408, f"a request is sent within {BODY_WITHIN:.0f} seconds")
        except _TooLong:
            return _refused(413, f"a request has {MAX_BODY} bytes at most")
        except UsageError as error:
            return _refused(409, str(error))
        except SshjobsError as error:
            return _refused(503, str(error))
        except ClientDisconnect:
            return Response(status_code=400)
        return answer if isinstance(answer, Response) else Response(answer.model_dump_json(),
                                                                    media_type="application/json")


class _TooLong(Exception):
    """The body is longer than allowed."""


class _TooSlow(Exception):
    """The body did not come in time."""


def _given(request: Request) -> dict[str, Any]:
    """Return the parameters of path and query. The model makes a list of one that may be given several times."""
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            given[name] = [*(given[name] if isinstance(given[name], list) else [given[name]]), value]
        else:
            given[name] = value
    return {**given, **request.path_params}


async def _body(request: Request) -> bytes:
    try:
        return await asyncio.wait_for(_all_of(request), BODY_WITHIN)
    except asyncio.TimeoutError:
        raise _TooSlow from None


async def _all_of(request: Request) -> bytes:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise _TooLong
    return data


def _words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "the body"
    return printable(f"{place}: {first['msg']}")


def _refused(status: int, reason: str) -> JSONResponse:
    return JSONResponse({"error": reason}, status)


def openapi(endpoints: Sequence[Endpoint], base: str) -> dict[str, Any]:
    """Return the description of the API as OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": {"type": "object", "required": ["error"],
                                         "properties": {"error": {"type": "string"}}}}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0", "info": {"title": "sshjobs", "version": __version__}, "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    error = {"description": "why not",
             "content": {"application/json": {"schema": {"$ref": _REFS.format(model="Error")}}}}
    if isinstance(endpoint.answer, str):
        content: dict[str, Any] = {endpoint.answer: {}}
    else:
        content = {"application/json": {"schema": _schema(endpoint.answer, schemas)}}
    codes = ["400", "401", "403", "404", "408", "409", "413", "421", "422", "503"]
    operation: dict[str, Any] = {
        "summary": endpoint.summary, "responses": {"200": {"description": "as asked", "content": content},
                                                   **dict.fromkeys(codes, error)},
        "security": [] if endpoint.policy is Policy.OPEN else [{"token": []}],
    }
    if endpoint.query is not None:
        operation["parameters"] = list(_parameters(endpoint, schemas))
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": {
            "application/json": {"schema": _schema(endpoint.body, schemas)}}}
    return operation


def _schema(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, str]:
    schema = model.model_json_schema(ref_template=_REFS)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": _REFS.format(model=model.__name__)}


def _parameters(endpoint: Endpoint, schemas: dict[str, Any]) -> Sequence[Mapping[str, Any]]:
    assert endpoint.query is not None
    schema = endpoint.query.model_json_schema(ref_template=_REFS)
    schemas.update(schema.get("$defs", {}))
    in_path = set(_PARAMETER.findall(endpoint.path))
    return [{"name": name, "in": "path" if name in in_path else "query",
             "required": name in in_path or name in schema.get("required", ()), "schema": of}
            for name, of in schema["properties"].items()]


def json_answer(value: Any) -> Response:
    """Return data as a JSON answer."""
    return Response(json.dumps(value), media_type="application/json")
