"""Turns errors of pydantic into lines for people: where exactly, what, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sshjobs.errors import Problem
from sshjobs.inputs.foreignjobs import pointer
from sshjobs.inputs.jobmodel import JOB_KEYS, RunKeys, Settings
from sshjobs.inputs.scalars import describe
from sshjobs.inputs.yamltree import Map, Place, Seq
from sshjobs.model.similar import similar

_KINDS = {
    "string_type": "text", "string_unicode": "valid Unicode",
    "int_type": "a whole number", "int_from_float": "a whole number",
    "bool_type": "true or false", "list_type": "a list", "dict_type": "a mapping",
}
_HINTS = {"list_type": "write [one, two]", "dict_type": "write {NAME: text}"}

#: The path of a value, whether its key itself is meant, and the message.
Complaint = tuple[Sequence[int | str], bool, str]


def complaints(error: ValidationError, data: Mapping[str, Any], keys: Sequence[str],
               quote: bool = True) -> list[Complaint]:
    """Return the mistakes in ``data``.

    :param keys: the known keys
    :param quote: ``data`` came from YAML, where quotes turn a value into text
    """
    found: list[Complaint] = []
    for one in error.errors(include_url=False):
        path = _path(one["loc"], data)
        unknown = one["type"] == "extra_forbidden"
        message = _unknown(str(path[-1]), keys) if unknown else _message(one, path, data, quote)
        found.append((path, unknown or one["loc"][-1] == "[key]", message))
    return found


def place_in(data: Map, path: Sequence[int | str], of_key: bool) -> Place:
    """Return the place of the value (or the key) at the end of a path."""
    place, here = data.place, data
    for n, step in enumerate(path):
        if isinstance(here, Map) and isinstance(step, str):
            place = here.key_place(step) if of_key and n == len(path) - 1 else here.value_place(step)
        elif isinstance(here, Seq) and isinstance(step, int):
            place = here.value_place(step)
        else:
            break
        here = _step(here, step)
    return place


def problems_of(error: ValidationError, file: str, data: Map, keys: Sequence[str]) -> list[Problem]:
    """Return the mistakes of one entry with their places."""
    return [Problem(file, *place_in(data, path, of_key), message)
            for path, of_key, message in complaints(error, data, keys)]


def suggestion(key: str, keys: Sequence[str]) -> str:
    """Return what to do about a key that does not exist."""
    if key in JOB_KEYS:
        return "it belongs to a job, under jobs"
    if key in Settings.model_fields:
        return "it belongs to a job, or under defaults"
    if key in RunKeys.model_fields and key not in keys:
        return "it belongs to the top of the jobfile, beside jobs"
    if (way := pointer(key)) is not None:
        return way
    near = similar(key.lower(), keys, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(keys)}"


def _unknown(key: str, keys: Sequence[str]) -> str:
    shown = key if len(key) <= 60 else key[:57] + "..."
    return f"unknown key '{shown}'; {suggestion(key, keys)}"


def _message(one: ErrorDetails, path: Sequence[int | str], data: Mapping[str, Any], quote: bool) -> str:
    kind, context = one["type"], one.get("ctx", {})
    name = shown_path(path[:max(1, len(one["loc"]) - context.get("inside", 0))])
    value, source = _found(data, path)
    got = describe(value, source)
    if kind == "mistake":
        text = f"{name} {context['text']}".replace(", :", ":", 1).replace(" :", ":", 1)
    elif value is None:
        text = f"{name} has no value; give it one, or take the key out"
        text = f"{name} has no value; write '' for empty text" if len(path) > 1 else text
    elif kind in _KINDS:
        text = f"{name} must be {_KINDS[kind]}, got {got}"
        hint = _HINTS.get(kind)
        if kind == "string_type" and quote:
            hint = "quote it" if not isinstance(value, list) else "write one text"
        if kind == "int_type" and isinstance(value, int) and not isinstance(value, bool):
            hint = "write a plain decimal number"
        if (kind == "int_type" and isinstance(value, str) and value.strip().isdigit()) or (
                kind == "bool_type" and value in ("true", "false")):
            hint = "write it without quotes"
        text = f"{text}; {hint}" if hint else text
    elif kind == "literal_error":
        text = f"{name} must be {context['expected'].replace(chr(39), '')}, got {got}"
    elif kind in ("greater_than_equal", "less_than_equal"):
        most = f"at most {context['le']}" if "le" in context else f"at least {context['ge']}"
        text = f"{name} must be {most}, got {got}"
    else:
        text = f"{name}: {one['msg']}"
    return text


def _path(loc: Sequence[int | str], data: Any) -> list[int | str]:
    """Return the part of pydantic's path that leads through the data."""
    path: list[int | str] = []
    for step in loc:
        if path and not _has(data, step):
            break
        path.append(step)
        data = _step(data, step)
    return path


def _has(data: Any, step: int | str) -> bool:
    if isinstance(data, dict):
        return step in data
    return isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data)


def _step(data: Any, step: int | str) -> Any:
    return data[step] if _has(data, step) else None


def _found(data: Any, path: Sequence[int | str]) -> tuple[Any, str | None]:
    """Return the value at the end of a path, and how it was written if it was a plain scalar and no text."""
    for step in path[:-1]:
        data = _step(data, step)
    sources: Mapping[Any, str] | None = getattr(data, "sources", None)
    return _step(data, path[-1]), sources.get(path[-1]) if sources else None


def shown_path(path: Sequence[int | str]) -> str:
    """Return a path for people: ``env.NAME``, ``argv, item 2``."""
    text = str(path[0])
    for step in path[1:]:
        text += f", item {step + 1}," if isinstance(step, int) else f".{step[:60]}"
    return text
