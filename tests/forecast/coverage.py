"""How often runs end when the forecast says: forecasts at half of the time that each takes, beside the truth.

``python -m tests.forecast.coverage --seed 3 [--trace FILE.swf]…`` plays workloads that nothing was tuned on: those of a seed that was not used
before, and of each trace the jobs of half of its users. What came of it is written into ``figures.md`` beside this file. With ``--try``
the jobs of the other half of the users are played, each workload is told, and nothing is written: that is for finding mistakes.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sshjobs.forecast.ends import Forecast
from tests.forecast.workloads import FEWEST_JOBS, MOST_JOBS, Workload, of_trace, play

#: The part of true ends that is to lie within p10 and p90.
LEAST, MOST = 0.75, 0.85
#: Workloads that are played at the same time.
PROCESSES = 2
FIGURES = Path(__file__).with_name("figures.md")
SEEDED = {"lognormal": "lognormal, sigma 0.2 to 1.6", "pareto": "Pareto, alpha 1.2 to 3",
          "bimodal": "bimodal, 2 to 40 % of the jobs 5 to 40 times as long"}
_HEAD = """Forecast at half of the time that each run took, by what its store said by then. The shipped manager carried the runs out on simulated
hosts, 1 to 8 with 1 to 6 slots and more, up to four times as fast as each other. p10 and p90 are to hold 75 to 85 % of the true ends.
"""
_TRACES = """**Jobs of public traces** of the Parallel Workloads Archive: {names}. A run is what one user handed in one after the other, {fewest} to
{most} jobs in that order, each on one slot; no job is in two runs. Nothing was tuned on these users.
"""
_SEEDS = """**Workloads from seeds** ({seed} to {last}; nothing was tuned on these): 10 to 1,200 jobs of heavy-tailed lengths, 60 s times a draw; a third are
sweeps in which a parameter says how long jobs take.
"""


class Tried(NamedTuple):
    """A forecast beside the truth: seconds from the moment of the forecast. ``told`` is ``None`` where nothing was told."""

    sort: str
    told: Forecast | None
    true: float

    @property
    def where(self) -> str:
        """``earlier`` than p10, ``within``, ``later`` than p90, or ``untold``."""
        if self.told is None:
            return "untold"
        return "earlier" if self.true < self.told.p10 else "later" if self.true > self.told.p90 else "within"


def try_out(work: Workload) -> Tried:
    """Play a workload; and once more, asking at half of its time when it will end."""
    whole = play(work)
    at = (whole.begin + whole.end) / 2
    again = play(work, at)
    return Tried(work.sort, again.told, again.end - at)


def within(tried: Sequence[Tried]) -> float:
    """Return which part of the true ends lay within p10 and p90, of those that were forecast."""
    told = [one for one in tried if one.told is not None]
    return sum(one.where == "within" for one in told) / len(told)


def table(tried: Sequence[Tried], sorts: dict[str, str]) -> list[str]:
    """Return what came of it as a table, a row for each sort and one for all.

    :param sorts: words by sort
    """
    lines = ["| lengths | forecasts | true end within p10 and p90 | earlier | later | p10 to p90, of the time left (median) | p50 is off by |",
             "|---|---|---|---|---|---|---|"]
    for sort, words in {**sorts, **({"": "all"} if len(sorts) > 1 else {})}.items():
        some = [(one, one.told) for one in tried if one.told is not None and sort in ("", one.sort)]
        if not some:
            continue
        part = {where: f"{100 * sum(one.where == where for one, _ in some) / len(some):.1f} %" for where in ("within", "earlier", "later")}
        width = sorted((told.p90 - told.p10) / one.true for one, told in some)[len(some) // 2]
        off = math.exp(sum(abs(math.log(max(told.p50, 1e-3) / one.true)) for one, told in some) / len(some))
        lines.append(f"| {words} | {len(some)} | {part['within']} | {part['earlier']} | {part['later']} | {width:.2f} | {off:.2f} times |")
    if untold := sum(one.told is None for one in tried):
        lines += ["", f"Of {untold} more nothing was forecast: too few jobs had ended."]
    return lines


def seeded(seed: int) -> Iterator[Workload]:
    """Yield the workloads of a seed."""
    return (Workload.of(seed * 10_000 + n) for n in range(10_000))


def traced(path: str, *, held_out: bool) -> Iterator[Workload]:
    """Yield runs of a trace: of the users with even numbers, on whom nothing may be tuned, or of the others."""
    return of_trace(Path(path).stem, path, lambda user: (user % 2 == 0) == held_out)


def tried_of(works: Iterator[Workload], number: int, told: Callable[[Workload, Tried], object]) -> list[Tried]:
    """Try so many workloads out."""
    some, found = list(islice(works, number)), []
    with ProcessPoolExecutor(PROCESSES) as pool:
        for work, one in zip(some, pool.map(try_out, some), strict=True):
            found.append(one)
            told(work, one)
    return found


def page(traces: Sequence[str], of_traces: Sequence[Tried], seed: int, of_seeds: Sequence[Tried]) -> str:
    """Return the page of figures.

    :param traces: the files of the traces
    """
    lines = [_HEAD]
    if traces:
        names = ", ".join(f"`{Path(path).name}` (sha256 {hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]}…)" for path in traces)
        lines += [_TRACES.format(names=names, fewest=FEWEST_JOBS, most=MOST_JOBS),
                  *table(of_traces, {Path(path).stem: f"`{Path(path).stem}`" for path in traces}), ""]
    lines += [_SEEDS.format(seed=seed * 10_000, last=seed * 10_000 + len(of_seeds) - 1), *table(of_seeds, SEEDED)]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workloads", type=int, default=360, help="of each trace, at most")
    parser.add_argument("--seeded", type=int, default=360, help="workloads of the seed")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--trace", action="append", default=[], metavar="FILE.swf", help="a trace with the name that its archive gave it")
    parser.add_argument("--try", action="store_true", dest="only_try")
    options = parser.parse_args()
    began = time.perf_counter()

    def told(work: Workload, one: Tried) -> None:
        if options.only_try:
            forecast = "-" if one.told is None else " ".join(f"{value:.0f}" for value in one.told)
            print(work.seed, work.sort, len(work.lengths), sum(work.slots.values()), forecast, f"{one.true:.0f}", one.where, sep="\t", flush=True)

    traces = [one for path in options.trace
              for one in tried_of(traced(path, held_out=not options.only_try), options.workloads, told)]
    seeds = tried_of(seeded(options.seed), options.seeded, told)
    text = page(options.trace, traces, options.seed, seeds)
    print(text, f"{time.perf_counter() - began:.0f} s", sep="\n")
    if not options.only_try:
        FIGURES.write_text(text)
    return 0 if all(LEAST <= within(some) <= MOST for some in (traces, seeds) if some) else 1


if __name__ == "__main__":
    raise SystemExit(main())
