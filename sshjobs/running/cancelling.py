"""Cancels jobs of a run, by its manager or, if it has none, by one in this process."""

from __future__ import annotations

from collections.abc import Sequence

from sshjobs.errors import LocalError
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.running.control import ask
from sshjobs.running.requests import Target, carry_out
from sshjobs.running.run import Run
from sshjobs.running.runmanager import Listener, silent
from sshjobs.running.unattended import change, check_names, patiently
from sshjobs.store import RunReader
from sshjobs.store.ownership import check_own
from sshjobs.store.reader import summary_of
from sshjobs.store.rundir import RunPaths


def cancel(paths: RunPaths, names: Sequence[str] | None, *, listener: Listener = silent) -> None:
    """Cancel jobs of a run, by its manager or, if it has none, by one in this process. Returns when the request is
    under way (with a manager) or done (without).

    :param names: names of jobs, ``None`` for all that have not ended
    :raises UsageError: a name is of no job of the run
    :raises LocalError: it is under way, but the manager cannot write to the store now
    """
    check_own(paths)
    summary = summary_of(paths)
    check_names(paths, names or ())
    wanted = None if names is None else list(names)

    def take() -> Run | None:
        answer = ask(summary.uid, {"do": "cancel", "jobs": wanted})
        if answer is not None:
            if "unwritten" in answer:
                raise LocalError("they are being ended, but that cannot be written down yet", where=paths.name,
                                 why=answer["unwritten"], hint=f"then see: sshjobs status {paths.name}")
            return None
        now = summary_of(paths)
        if not now.unfinished and not (wanted is None and now.options.get("stays_open")):
            return None
        if _only_wait(paths, wanted):
            change(paths, {"do": "cancel", "jobs": wanted})
            return None
        return Run.resume(paths, listener=listener)

    run = patiently(take)
    if run is not None:
        carry_out({"do": "stop"}, Target.of(run.manager))
        chosen = [job for job in run.manager.unfinished() if wanted is None or job.name in wanted]
        run.manager.until = lambda: all(job.state in FINAL_STATES for job in chosen)
        carry_out({"do": "cancel", "jobs": wanted}, Target.of(run.manager))
        run.manager.ProcessJobs()


def _only_wait(paths: RunPaths, names: Sequence[str] | None) -> bool:
    """Return whether jobs can be cancelled without asking any host: none of them was launched, and the run is not over
    after it (at the end of a run hosts have to clean up)."""
    with RunReader.open(paths) as reader:
        if all(row.facts is None for row in reader.hosts()):
            return True
        rows = [reader.job(name) for name in names or ()]
        waiting = sum(row is not None and row.state == STATE_FREE for row in rows)
        return 0 < waiting == len(rows) < reader.summary().unfinished
