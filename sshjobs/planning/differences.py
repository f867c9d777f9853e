"""Describes in a few words how a job differs from what it was in an earlier run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sshjobs.model.spec import JobSpec
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.comparison import Comparison
from sshjobs.planning.earlier import Earlier
from sshjobs.planning.identity import AS_WRITTEN, reads
from sshjobs.store.works import WorkRow

#: How many differences of a job are shown, and how many characters of a value.
MOST, LONGEST = 4, 40

_Listing = Sequence[tuple[str, str, str]]


def differences(comparison: Comparison, place: int, staging: Staging) -> list[str]:
    """Return what has changed about a job, the most telling first, a few words each.

    :param place: the place of a job that has changed
    """
    job, source = comparison.jobs[place], comparison.sources[place]
    if place in comparison.follows:
        return [f"it waits for {comparison.follows[place]}, which is to run"]
    run = comparison.runs[source.run]
    then = run.reader.work(source.number)
    found = list(_between(then, job.spec, job.only_host))
    found += _of_inputs(run, then, job.spec, staging)
    if not found and job.spec.after:
        found = [f"what it waits for is new or has changed: {', '.join(job.spec.after)}"]
    if not found:
        found = ["its output is not there any more as it came from its host"]
    return found if len(found) <= MOST else [*found[:MOST - 1], f"{len(found) - MOST + 1} more"]


def _between(then: WorkRow, spec: JobSpec, only_host: str | None) -> Iterator[str]:
    yield from _of_mappings("", then.spec.params, spec.params)
    if (then.spec.argv != spec.argv or then.spec.cmds != spec.cmds) and not _by_values(then.spec, spec, "argv", "cmds"):
        yield _of_lines(then.spec.argv or then.spec.cmds, spec.argv or spec.cmds,
                        "argument" if spec.argv and then.spec.argv else "line")
    for key in AS_WRITTEN:
        old, new = getattr(then.spec, key), getattr(spec, key)
        if _by_values(then.spec, spec, key):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _of_mappings(f"{key}.", old, new)
        elif old != new:
            yield f"{key} {_short(old)} → {_short(new)}"
    if then.spec.index != spec.index:
        yield f"its number {then.spec.index} → {spec.index}"
    if then.only_host != only_host:
        yield f"its host {_short(then.only_host)} → {_short(only_host)}"
    for pattern in spec.outputs:
        if pattern not in then.spec.outputs:
            yield f"{_short(pattern)} was not brought"
    if sorted(then.spec.after) != sorted(spec.after):
        yield f"after {_short(', '.join(then.spec.after) or None)} → {_short(', '.join(spec.after) or None)}"


def _by_values(then: JobSpec, now: JobSpec, *keys: str) -> bool:
    """Tell whether keys are the same template, so that only values of parameters differ."""
    before, after = then.shared(), now.shared()
    return any(key in now.templates for key in keys) and all(before[key] == after[key] for key in keys)


def _of_mappings(beginning: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*new, *old]):
        if old.get(name) != new.get(name):
            yield f"{beginning}{name} {_short(old.get(name))} → {_short(new.get(name))}"


def _of_lines(old: Sequence[str], new: Sequence[str], noun: str) -> str:
    """Return the first line that differs."""
    at = next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
              min(len(old), len(new)))
    was, now = (lines[at] if at < len(lines) else None for lines in (old, new))
    where = f"{noun} {at + 1}: " if max(len(old), len(new)) > 1 else ""
    if was is not None and now is not None:
        was, now = _where_they_part(was, now)
    return f"{where}{_short(was)} → {_short(now)}"


def _where_they_part(old: str, new: str) -> tuple[str, str]:
    """Cut two long texts so that they begin shortly before the place at which they differ."""
    if max(len(old), len(new)) <= LONGEST:
        return old, new
    at = next((n for n, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
              min(len(old), len(new)))
    start = max(0, at - LONGEST // 4)
    return ("…" + old[start:], "…" + new[start:]) if start else (old, new)


def _of_inputs(run: Earlier, then: WorkRow, spec: JobSpec, staging: Staging) -> Iterator[str]:
    if not reads(spec) and not reads(then.spec):
        return
    now = staging.manifest(spec).inputs if reads(spec) else None
    known = run.work(then).inputs
    if then.spec.params != spec.params and _by_values(then.spec, spec, "files", "stdin"):
        return
    if known is None:
        yield ("what it read then was not noted, and has changed since or cannot be read" if then.n is not None else
               "it was not launched then, so what it was to read is not known")
    elif known != (now.digest if now is not None else ""):
        old: _Listing | None = () if not known else run.reader.inputs(known)
        new: _Listing | None = () if now is None else now.listing
        if old is None or new is None:
            yield "what it reads has changed"
        else:
            yield from _of_listings(old, new)


def _of_listings(old: _Listing, new: _Listing) -> Iterator[str]:
    was, now = ({(kind, name): content for kind, name, content in lines} for lines in (old, new))
    for kind, name in dict.fromkeys([*now, *was]):
        before, after = was.get((kind, name)), now.get((kind, name))
        what = {"stdin": "stdin", "text": f"uses '{_short(name)}'"}.get(kind, name)
        if before is None:
            yield f"{what} is new"
        elif after is None:
            yield f"{what} is left out"
        elif before != after:
            same = before.rstrip("*") == after.rstrip("*")
            yield f"{what} {'may be run as a program, or may not any more' if same else 'has another content'}"


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    text = str(value) if text is None else text
    return text if len(text) <= LONGEST else text[:LONGEST - 1] + "…"
