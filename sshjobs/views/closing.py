"""The summary when a run has ended: how it went, what failed and why, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator

from sshjobs.model.states import FINAL_STATES, STATE_ERROR, Outcome
from sshjobs.views import wording
from sshjobs.views.base import SCREEN, Event, nearest_path, paths_of


def closing(event: Event, elapsed: float | None, word: str, *, brief: bool = False,
            screen: tuple[int, int] = SCREEN) -> Iterator[str]:
    """Yield the lines of the summary, at most a screenful: what failed, what to do about it, and at the end, where
    people look first, how the run ended.

    :param event: the event ``end``
    :param elapsed: for how many seconds the run was watched
    :param word: what to type for the run
    :param brief: leave out failures and outputs, which were shown already
    :param screen: columns and rows of the screen
    """
    paths, counts = paths_of(event), event["counts"]
    total = sum(counts.values())
    left = sum(number for state, number in counts.items() if state not in FINAL_STATES)
    cancelled = event["outcomes"].get(Outcome.CANCELLED, 0)
    last = []
    if left:
        last.append(f"{wording.count(left, 'job')} not over; go on with: sshjobs resume {word}")
    if cancelled:
        last.append(wording.left_out(cancelled, word))
    if not brief:
        last.append(f"outputs: {nearest_path(paths.jobs)}/<job>/stdout and stderr")
    took = "" if elapsed is None else f" in {wording.duration(elapsed)}"
    took += wording.rule(event.get("rule"))
    last.append(f"{event['run']} {event['state']}: {wording.counts(counts)} of {wording.count(total, 'job')}{took}")
    if counts[STATE_ERROR] > cancelled and not brief:
        from sshjobs.views.failures import failures, rows_of  # their patterns take long to load

        # Two rows are kept free: for the number of further failures, and for the shell's prompt.
        rows = screen[1] - sum(rows_of(line, screen[0]) for line in last) - 2
        yield from failures(paths, counts[STATE_ERROR] - cancelled, word, (screen[0], rows))
    yield from last
