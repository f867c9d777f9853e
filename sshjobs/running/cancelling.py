"""An end for jobs of a run, whether a manager has it or nobody: then their hosts are asked from here."""

from __future__ import annotations

from collections.abc import Sequence

from sshjobs.errors import LocalError
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.running.control import ask
from sshjobs.running.requests import Target, carry_out
from sshjobs.running.run import Run, summary_of
from sshjobs.running.runmanager import Listener, silent
from sshjobs.running.unattended import change, check_names, patiently
from sshjobs.store import RunReader
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths


def cancel(paths: RunPaths, names: Sequence[str] | None, *, listener: Listener = silent) -> None:
    """Have jobs of a run cancelled, by its manager or, where it has none, by us. Returns when it is under way or done.

    :param names: names of jobs, ``None`` for all that have not ended
    :raises UsageError: a name is of no job of the run
    :raises LocalError: it is under way, but its manager can write nothing down at present
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
    """Tell whether jobs can be cancelled without a word to any host: none of them was launched, and the end of the run,
    at which hosts clean up, does not come by that."""
    with RunReader.open(paths) as reader:
        if all(row.facts is None for row in reader.hosts()):
            return True
        rows = [reader.job(name) for name in names or ()]
        waiting = sum(row is not None and row.state == STATE_FREE for row in rows)
        return 0 < waiting == len(rows) < reader.summary().unfinished
