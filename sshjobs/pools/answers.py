"""Reads the result of a call from the output of its job: the value that the function returned, or what it raised."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

from sshjobs.errors import CallError
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.pools.callee import NEVER_BEGAN, RAISED, RETURNED
from sshjobs.pools.chunks import RemoteTraceback


def never_began(job: Job) -> bool:
    """Tell whether a call has ended without having begun: its runner was killed just before."""
    return job.outcome is Outcome.FAILED and job.exit_status == NEVER_BEGAN and not _size(job.stdout)


def answer_of(job: Job, form: str) -> Any:
    """Return what a call that has ended returned.

    :raises BaseException: what it raised, with the traceback on the host as its cause
    :raises CallError: it has no answer
    """
    if job.outcome not in (Outcome.SUCCEEDED, Outcome.FAILED) or job.exit_status not in (RETURNED, RAISED):
        raise _without_answer(job)
    try:
        data = job.stdout.read_bytes()
    except OSError as error:
        raise CallError("the result of a call cannot be read", where=str(job.stdout), why=error.strerror) from error
    return (_from_json if form == "json" else _from_pickle)(data, job)


def _from_pickle(data: bytes, job: Job) -> Any:
    head, _, body = data.partition(b"\n")
    kind = head.decode("ascii", "replace").removeprefix("sshjobs ")
    if kind not in ("value", "error", "unable"):
        raise _damaged(job)
    try:
        told = pickle.loads(body)
    except Exception as error:
        raise CallError("the result of a call cannot be loaded here", where=job.name, why=f"{error}"[:300]) from error
    if kind == "value":
        return told
    if kind == "unable":
        raise _unable(job, str(told))
    packed, line, text = told
    raised: BaseException = CallError(line, where=job.name)
    if packed is not None:
        # Its class may be of a module that is not here; then the line that describes it has to do.
        with contextlib.suppress(Exception):
            raised = pickle.loads(packed)
    raise raised from RemoteTraceback(text)


def _from_json(data: bytes, job: Job) -> Any:
    try:
        told = json.loads(data)
        if "value" in told:
            return told["value"]
        error = told["error"]
        if "unable" in error:
            raise _unable(job, str(error["unable"]))
        line, text = f"{error['type']}: {error['message']}", str(error["traceback"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _damaged(job) from None
    raise CallError(line, where=job.name) from RemoteTraceback(text)


def _unable(job: Job, why: str) -> CallError:
    hint = None
    if "ModuleNotFoundError" in why or "No module" in why:
        hint = ("install the module on the hosts, for the Python that serves them (python= in the hosts file), send it "
                "by files=, or send its code: cloudpickle.register_pickle_by_value(module)")
    return CallError("the function cannot be loaded there", where=f"{job.name} on {job.host}", why=why, hint=hint)


def _damaged(job: Job) -> CallError:
    return CallError("a call has ended without an answer", where=f"{job.name} on {job.host}",
                     why=_last_words(job.stderr) or "its function may have ended the process (os._exit)")


def _without_answer(job: Job) -> CallError:
    outcome = job.outcome.value.replace("_", " ") if job.outcome is not None else job.state
    number = f", signal {job.signal}" if job.signal else f", exit {job.exit_status}" if job.exit_status else ""
    where = job.name if job.host is None else f"{job.name} on {job.host}"
    verb = "" if outcome in ("failed", "timed out", "never started") else "was "
    return CallError(f"the call {verb}{outcome}{number}", where=where, why=job.reason or _last_words(job.stderr))


def _last_words(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size_of(path) - 2000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return None
    return lines[-1].strip()[:300] if lines else None


def _size_of(path: Path) -> int:
    return path.stat().st_size


def _size(path: Path) -> int:
    try:
        return _size_of(path)
    except OSError:
        return 0
