"""The attempts of a job, as its page shows them: each that did not succeed with why."""

from __future__ import annotations

from collections.abc import Sequence

from sshjobs.diagnosis.ends import End, diagnose
from sshjobs.diagnosis.signs import MOST_LINES
from sshjobs.model.causes import Cause
from sshjobs.model.states import STATE_ERROR
from sshjobs.store.rows import AttemptRow, left_out_of
from sshjobs.store.rundir import RunPaths
from sshjobs.views.reasons import beside_the_outcome
from sshjobs.web import files
from sshjobs.web.models import AttemptInfo, LeftOutInfo

#: Attempts of a job whose outputs are read for the cause of their end, the newest of them.
MOST_READ = 50
#: What the pages tell of an attempt as the store has it.
_AS_STORED = AttemptInfo.model_fields.keys() - {"why", "left_out"}


def explained(paths: RunPaths, job: str, attempts: Sequence[AttemptRow]) -> list[AttemptInfo]:
    """Return the attempts of a job, in their order."""
    return [AttemptInfo(**{name: getattr(one, name) for name in _AS_STORED},
                        why=_why(paths, job, one, left=len(attempts) - at - 1) if one.state == STATE_ERROR else None,
                        left_out=_left_out(one))
            for at, one in enumerate(attempts)]


def _left_out(one: AttemptRow) -> LeftOutInfo | None:
    cut = left_out_of(one)
    return None if cut is None else LeftOutInfo(**cut._asdict())


def _why(paths: RunPaths, job: str, one: AttemptRow, left: int) -> str | None:
    """Return why an attempt ended so.

    :param left: how many are newer
    """
    lines = files.last_lines(paths, job, one.n if left else None, MOST_LINES) if left < MOST_READ else []
    end = End(one.outcome, one.exit_status, one.signal, one.cause, one.reason)
    return beside_the_outcome(end, diagnose(end, lines), blamed=one.cause == Cause.HOSTS_FAULT.value)
