"""Failed setups of hosts, and the jobs that have no host because of them."""

from __future__ import annotations

from sshjobs.diagnosis.ends import Diagnosis, End, diagnose
from sshjobs.diagnosis.signs import MOST_LINES
from sshjobs.model.causes import EndCause
from sshjobs.model.states import STATE_ERROR, Outcome
from sshjobs.store.failed import FailedRow, FailureReader
from sshjobs.store.setups import SetupRow, setup_name
from sshjobs.views.wording import told_lines

#: How many answers are remembered.
_REMEMBERED = 10_000


class FailedSetups:
    """The newest setup of each host, where it failed."""

    def __init__(self, reader: FailureReader):
        newest = {one.host: one for one in reader.setups()}
        self.rows = {host: one for host, one in newest.items() if one.attempt.state == STATE_ERROR}
        self._reader = reader
        self._hosts = [row.host for row in reader.hosts() if not row.host.removed] if self.rows else []
        self._known: dict[tuple[int, str | None, str | None], Diagnosis | None] = {}

    def of(self, number: int, only_host: str | None) -> list[SetupRow]:
        """Return the failed setups of the hosts that a job may run on. Return none where one of these hosts has not
        failed, or where the job may have been skipped because of other jobs."""
        if not self.rows:
            return []
        spec = self._reader.spec_of(number)
        if spec.after:
            return []
        names = [host.name for host in self._hosts if only_host in (None, host.name) and host.matches(spec.hosts)]
        return [self.rows[name] for name in names] if all(name in self.rows for name in names) else []

    def why_skipped(self, row: FailedRow) -> Diagnosis | None:
        """Return the diagnosis of a job that was skipped because of failed setups; ``None`` for another job."""
        if not self.rows or row.outcome != Outcome.SKIPPED.value:
            return None
        key = row.spec, row.params, row.only_host
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = self.why(self.of(row.number, row.only_host))
        return self._known[key]

    def why(self, setups: list[SetupRow]) -> Diagnosis | None:
        """Return why a job has no host, given the failed setups of all its hosts."""
        if not setups:
            return None
        found = diagnose(end_of_setup(setups[0]), self._lines(setups[0]))
        return Diagnosis(EndCause.SETUP_FAILED, True, f"{setup_name(setups[0].host)}: {found.evidence}", found.line)

    def _lines(self, one: SetupRow) -> list[str]:
        name = setup_name(one.host)
        return told_lines(self._reader.paths.stdout(name), self._reader.paths.stderr(name), MOST_LINES)[0]


def end_of_setup(one: SetupRow) -> End:
    """Return how a setup ended."""
    attempt = one.attempt
    return End(attempt.outcome and attempt.outcome.value, attempt.exit_status, attempt.signal,
               attempt.cause and attempt.cause.value, attempt.reason)
