"""What ``--json`` prints, as JSON Schema: by command, with a version. ``sshjobs schema COMMAND`` prints it.

Within a version keys may be added; where one goes, or means something else, the number grows by one.
"""

from __future__ import annotations

from typing import Any

from sshjobs.cli.topics import OUTCOMES, RUN_STATES, STATES
from sshjobs.model.telling import EVENTS

#: Version of all of them.
VERSION = 1

_TEXT, _NUMBER, _WHOLE, _FLAG = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))


def _maybe(form: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [form, {"type": "null"}]}


def _list(form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": form}


def _each(form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": form}


def _one_of(*words: str) -> dict[str, Any]:
    return {"enum": list(words)}


def _object(optional: dict[str, Any] | None = None, /, **keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(keys), "properties": {**keys, **(optional or {})}}


def _event(word: str, optional: dict[str, Any] | None = None, /, **keys: dict[str, Any]) -> dict[str, Any]:
    return _object(optional, time=_NUMBER, event={"const": word}, **keys)


_COUNTS = _object(**dict.fromkeys(STATES, _WHOLE))
_OUTCOME = _maybe(_one_of(*OUTCOMES))
_ENDS = {"outcome": _OUTCOME, "exit_status": _maybe(_WHOLE), "signal": _maybe(_WHOLE)}
_JOB = {"job": _TEXT, "host": _maybe(_TEXT), "state": _one_of(*STATES), **_ENDS, "attempts": _WHOLE,
        "seconds": _maybe(_NUMBER), "reason": _maybe(_TEXT)}
_LEFT_OUT = _object(at=_WHOLE, out=_WHOLE, err=_WHOLE)
_ATTEMPT = _object({"from": _TEXT, "left_out": _LEFT_OUT}, n=_WHOLE, host=_TEXT, state=_one_of(*STATES), **_ENDS,
                   started=_maybe(_NUMBER), ended=_maybe(_NUMBER))

_RECEIPT = {"hosts": _WHOLE, "processes": _WHOLE, "files": _WHOLE, "left": _list(_TEXT), "unasked": _list(_TEXT)}
#: What commands say that change a run: of which one, and whether a manager does it now.
_ACT = {"run": _TEXT, "attended": _FLAG}

_EVENTS = [
    _event("run", run=_TEXT, directory=_TEXT, jobs=_WHOLE, counts=_COUNTS, hosts=_list(_TEXT)),
    _event("host", {"facts": {"type": "object"}, "slots": _maybe(_WHOLE), "kind": _maybe(_TEXT),
                    "reason": _maybe(_TEXT)}, host=_TEXT, state=_TEXT),
    _event("silent", host=_TEXT, seconds=_maybe(_NUMBER)), _event("warning", host=_TEXT, reason=_TEXT),
    _event("launch", {"memory": _WHOLE, "output_limit": _WHOLE}, job=_TEXT, host=_TEXT, attempt=_WHOLE),
    _event("setup", host=_TEXT, attempt=_WHOLE, **_ENDS, reason=_maybe(_TEXT), seconds=_maybe(_NUMBER)),
    *(_event(word, {"not_before": _NUMBER, "left_out": _LEFT_OUT}, **_JOB)
      for word in ("started", "unknown", "retry", "done", "error")),
    _event("resumed", **dict.fromkeys(("adopted", "collected", "to_run", "re_run", "lost", "unknown"), _WHOLE)),
    _event("wait"), _event("interrupt", reason=_TEXT), _event("carried", jobs=_WHOLE, runs=_each(_WHOLE)),
    _event("added", jobs=_WHOLE, first=_TEXT, last=_TEXT), _event("withdrawn", jobs=_WHOLE, counts=_COUNTS),
    _event("again", jobs=_list(_TEXT)), _event("pause", paused=_FLAG, jobs=_maybe(_list(_TEXT))),
    _event("hosts", change=_TEXT, hosts=_list(_TEXT), slots=_maybe(_WHOLE)),
    _event("receipt", **_RECEIPT),
    _event("end", {"rule": {"type": "object"}}, run=_TEXT, directory=_TEXT, state=_one_of(*RUN_STATES), counts=_COUNTS,
           outcomes=_each(_WHOLE), exit_code=_WHOLE),
    _event("detached", run=_TEXT, directory=_TEXT, pid=_WHOLE),
]
_RUN = {"anyOf": [*_EVENTS, _object(event={"const": "would_run"}, job=_TEXT, hosts=_list(_TEXT),
                                    commands=_list(_TEXT), argv=_maybe(_list(_TEXT)))]}

#: By command: of one line where it prints several, else of the whole document.
FORMS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("run", "exec", "queue start", "resume", "retry", "attach"), _RUN),
    "plan": {"anyOf": [
        _object(event={"const": "planned"}, job=_TEXT, standing=_TEXT, hosts=_list(_TEXT), run=_maybe(_TEXT),
                was=_maybe(_TEXT), why=_list(_TEXT)),
        _object(event={"const": "orphaned"}, job=_TEXT, run=_TEXT),
        _object(event={"const": "plan"}, runs=_list(_TEXT), jobs=_WHOLE, counts=_each(_WHOLE), orphaned=_WHOLE,
                to_run=_WHOLE, work=_maybe(_NUMBER), seconds=_maybe(_NUMBER))]},
    "status": _object({"expected": _object(p10=_NUMBER, p50=_NUMBER, p90=_NUMBER), "untold": _WHOLE,
                       "jobs": _list(_object(
        {"memory": _WHOLE, "not_before": _NUMBER}, name=_TEXT, state=_one_of(*STATES), **_ENDS, host=_maybe(_TEXT),
        attempts=_list(_ATTEMPT)))}, run=_TEXT, state=_one_of(*RUN_STATES), counts=_COUNTS),
    "why": {"anyOf": [
        _object(version=_WHOLE, run=_TEXT, state=_one_of(*RUN_STATES), counts=_COUNTS, kinds=_list({"type": "object"}),
                more={"type": "object"}, setups=_list({"type": "object"})),
        _object(version=_WHOLE, run=_TEXT, jobs=_list(_object(
            job=_TEXT, state=_one_of(*STATES), outcome=_OUTCOME, attempts=_list({"type": "object"}))),
            more=_WHOLE, setups=_list({"type": "object"}))]},
    "grep": _object({"stream": _one_of("stdout", "stderr"), "text": _TEXT}, job=_TEXT),
    "logs": _object({"text": _TEXT, "continues": _FLAG, "left_out": _object(at=_WHOLE, bytes=_WHOLE)}, job=_TEXT,
                    stream=_one_of("stdout", "stderr")),
    "fetch": _object(job=_TEXT, host=_maybe(_TEXT), files=_WHOLE, size=_WHOLE, directory=_maybe(_TEXT),
                     trouble=_maybe(_TEXT)),
    "table": _list({"type": "object"}),
    "report": _object(version=_WHOLE, run=_TEXT, report=_TEXT, bytes=_WHOLE),
    "ls": _object(run=_TEXT, directory=_TEXT, owner=_maybe(_TEXT), state=_maybe(_one_of(*RUN_STATES)),
                  created=_maybe(_NUMBER), size=_maybe(_WHOLE), hosts=_maybe(_WHOLE), counts=_maybe(_COUNTS),
                  reason=_maybe(_TEXT)),
    "verify": _object(run=_TEXT, agree=_FLAG, attended=_FLAG, jobs=_WHOLE, files=_WHOLE, by_size_only=_WHOLE,
                      hosts=_WHOLE, in_motion=_WHOLE, kept=_WHOLE, disagreements=_list(_object(
                          where=_TEXT, what=_TEXT, why=_TEXT, hint=_TEXT))),
    "gc": _object(
        dry_run=_FLAG, hosts=_list(_object(
            host=_TEXT, reason=_maybe(_TEXT), directories=_list(_object(directory=_TEXT, files=_WHOLE)), inputs=_WHOLE,
            processes=_WHOLE, kept=_list(_TEXT))), here=_list(_object(path=_TEXT, what=_TEXT)),
        removed=_maybe(_object(runs=_WHOLE, files=_WHOLE, processes=_WHOLE)),
        left=_maybe(_object(processes=_WHOLE, files=_WHOLE, hosts=_WHOLE))),
    "rm": _object(run=_TEXT, directory=_TEXT, removed=_FLAG, would_remove=_FLAG, reason=_maybe(_TEXT)),
    "cancel": _object(run=_TEXT, jobs=_maybe(_list(_TEXT)), cancelled=_WHOLE, ended_first=_each(_WHOLE),
                      ended_before=_WHOLE, receipt=_maybe(_object(**_RECEIPT))),
    "wait": _object(run=_TEXT, state=_one_of(*RUN_STATES), exit_code=_WHOLE),
    "add": _object(**_ACT, jobs=_list(_TEXT)),
    **dict.fromkeys(("pause", "unpause"), _object(**_ACT, jobs=_maybe(_list(_TEXT)), named=_WHOLE,
                                                  ended_before=_WHOLE)),
    "withdraw": _object(**_ACT, jobs=_list(_TEXT), state=_one_of(*RUN_STATES)),
    "queue finish": _object(**_ACT),
    **dict.fromkeys(("hosts add", "hosts drain", "hosts undrain", "hosts remove"),
                    _object(**_ACT, hosts=_list(_TEXT))),
    "hosts lost": _object(**_ACT, hosts=_list(_TEXT), jobs=_list(_TEXT)),
    "hosts set": _object(**_ACT, hosts=_list(_TEXT), slots=_WHOLE),
    "notices": _object(id=_TEXT, event=_one_of(*EVENTS), to=_TEXT, made=_NUMBER, tries=_WHOLE,
                       delivered=_maybe(_NUMBER), error=_maybe(_TEXT), about={"type": "object"}),
    "simulate": _object({"with": _list({"type": "object"})}, version={"const": 1}, jobs=_WHOLE, hosts=_WHOLE,
                        times=_WHOLE, p10=_NUMBER, p50=_NUMBER, p90=_NUMBER, use={"type": "object"},
                        waits=_object(p50=_NUMBER, p90=_NUMBER, longest=_NUMBER)),
    "config": _object(file=_TEXT, exists=_FLAG, profile=_maybe(_TEXT), profiles=_list(_TEXT), settings=_list(_object(
        {"variable": _TEXT, "file": _TEXT, "line": _WHOLE, "profile": _maybe(_TEXT)},
        **{"name": _TEXT, "value": {}, "from": _one_of("environment", "file")}))),
    "hosts check": _object(host=_TEXT, usable=_FLAG, python=_maybe(_TEXT), cores=_maybe(_WHOLE), memory=_maybe(_WHOLE),
                           gpus=_maybe(_list(_TEXT)), disk=_maybe(_WHOLE), hostname=_maybe(_TEXT),
                           machine=_maybe(_TEXT), slots=_maybe(_WHOLE), clock_skew=_maybe(_NUMBER),
                           kind=_maybe(_TEXT), reason=_maybe(_TEXT), notes=_list(_TEXT)),
    **dict.fromkeys(("hosts who", "hosts usage"), _object({"reason": _TEXT}, host=_TEXT, ok=_FLAG)),
    "hosts install": _object({"did": _TEXT, "path": _TEXT, "version": _TEXT}, host=_TEXT, ok=_FLAG,
                             reason=_maybe(_TEXT)),
    "cluster status": _object(name=_TEXT, type=_TEXT, address=_TEXT, logs=_TEXT, attended=_FLAG, workers=_list(_object(
        worker=_TEXT, host=_TEXT, state=_TEXT, answers=_FLAG, pid=_maybe(_WHOLE)))),
    "version": _object(version=_TEXT, json=_WHOLE),
}


def schema_of(command: str) -> dict[str, Any]:
    """Return the schema of what a command prints with ``--json``."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:sshjobs:{command.replace(' ', '-')}:{VERSION}",
            "title": f"sshjobs {command} --json, version {VERSION}", **FORMS[command]}
