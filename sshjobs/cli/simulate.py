"""``sshjobs simulate``."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import hosts_of, hosts_option, results_option
from sshjobs.errors import EXIT_OK, UsageError, printable

if TYPE_CHECKING:
    from sshjobs.forecast.plays import Played, PlayHost
    from sshjobs.inputs.traces import TraceJob
    from sshjobs.model.host import Host
    from sshjobs.planning.simulated import Draws, Told

#: How often a run is played: as often as makes so many jobs, but no more and no less often than that.
TIMES, FEWEST_TIMES, ENOUGH = 100, 5, 1_000_000
#: Plays with so many jobs in all are worth processes of their own.
WORTH_IT = 100_000
#: Hosts whose use is printed.
MOST_HOSTS = 20
#: Hosts that may be added.
MOST_ADDED = 10_000
#: The version of the document.
VERSION = 1

_SECONDS = re.compile(r"([0-9]*\.?[0-9]+)(?:(?:±|\+-)([0-9]*\.?[0-9]+))?\Z")
_ADD = re.compile(r"([0-9]{1,5})x(.+)\Z")


@click.command("simulate")
@click.argument("jobfile", required=False)
@hosts_option(required=True)
@click.option("--seconds", metavar="MEAN[±SD]", help="How long a job takes: 30, or 30±5 (also written 30+-5).")
@click.option("--like", multiple=True, metavar="RUN", shell_complete=candidates.runs,
              help="Let jobs take as long as those of an earlier run did, by entry, parameter and host; may be "
                   "repeated.")
@click.option("--durations", metavar="FILE", help="A CSV file, or a trace in SWF, that says how long jobs took. "
              "Without JOBFILE its jobs themselves are played.")
@click.option("--speed", multiple=True, metavar="HOST=FACTOR", help="How fast a host is, 1 is usual: gpu1=0.5; HOST "
              "may be a pattern; may be repeated.")
@click.option("--add", multiple=True, metavar="NxHOST", help="Say also what more hosts like that would bring: 2xgpu1; "
              "may be repeated.")
@click.option("--slots", type=click.IntRange(1), default=4, show_default=True, metavar="N",
              help="How many jobs a host takes at a time where its line does not say.")
@click.option("--times", type=click.IntRange(1, 10_000), metavar="N",
              help="How often the run is played.  [default: 100, less often with more than 10,000 jobs]")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Of all that is left to chance.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@results_option
def command(jobfile: str | None, hosts: tuple[str, ...], seconds: str | None, like: tuple[str, ...],
            durations: str | None, speed: tuple[str, ...], add: tuple[str, ...], slots: int, times: int | None,
            seed: int, as_json: bool, results: Path) -> int:
    """Show how long the jobs of JOBFILE would take on hosts, without any of them: nothing is started.

    The run is played many times; one play in ten ended within the first time that is shown, half of them within the
    second, nine of ten within the third.
    """
    from sshjobs.planning import simulated

    if sum(map(bool, (seconds, like, durations))) != 1:
        raise UsageError("how long the jobs take must be said, once",
                         hint="either --seconds MEAN[±SD], --like RUN or --durations FILE")
    chosen = hosts_of(hosts) or []
    factors = _factors(speed, chosen)
    here = [simulated.play_host(host, slots, factors.get(host.name, 1.0)) for host in chosen]
    here, names, draws = _jobs(jobfile, seconds, like, durations, results, chosen, here, factors)
    simulated.check_fits(here, chosen, draws(random.Random(seed)), names)
    if times is None:
        times = min(TIMES, max(FEWEST_TIMES, ENOUGH // max(1, len(names))))
    seeds = [f"{seed} {number}" for number in range(times)]

    def play(several: Sequence[PlayHost]) -> Told:
        return simulated.play_all(several, draws, seeds, lambda once, each: _plays(once, each, times * len(names)))

    told = play(here)
    more = [(words, play(_with(here, words))) for words in add]
    if as_json:
        click.echo(json.dumps({"version": VERSION, "jobs": len(names), "hosts": len(here), "times": times,
                               **_document(told), "with": [{"add": words, **_document(one)} for words, one in more]}))
    else:
        _print(len(names), here, told, more)
    return EXIT_OK


def _jobs(jobfile: str | None, seconds: str | None, like: Sequence[str], durations: str | None, results: Path,
          chosen: Sequence[Host], here: list[PlayHost],
          factors: Mapping[str, float]) -> tuple[list[PlayHost], list[str], Draws]:
    """Return the hosts with what is known of their speed, the names of the jobs, and what draws their lengths."""
    from sshjobs.inputs.builder import Builder
    from sshjobs.inputs.traces import load_trace
    from sshjobs.planning import simulated

    trace = load_trace(durations) if durations is not None else None
    if trace is not None and trace.unknown:
        from sshjobs.cli.failures import complain

        complain(f"{durations}: {trace.unknown:,} jobs are left out: how long they took is not known")
    if jobfile is None:
        if trace is None:
            raise UsageError("there is nothing to play",
                             hint="name a JOBFILE, or the jobs of a trace: --durations FILE")
        return here, [job.entry for job in trace.jobs], simulated.jobs_of_trace(trace.jobs)
    specs = Builder().AddJobFile(jobfile).MakeJobSpecs()
    names = [spec.name or "job" for spec in specs]
    if seconds is not None:
        mean, spread = _seconds(seconds)
        return here, names, simulated.jobs_by(specs, lambda rng: max(0.0, rng.gauss(mean, spread)), chosen)
    seen = trace.jobs if trace is not None else _earlier(results, like)
    lengths, kinds = simulated.learnt(seen, dict[Hashable, float](factors.items()))
    here = [host if host.name in factors else host._replace(slowness=lengths.slowness(host.name).times)
            for host in here]
    return here, names, simulated.jobs_like(specs, lengths, kinds, chosen)


def _earlier(results: Path, runs: Sequence[str]) -> list[TraceJob]:
    from sshjobs.planning.simulated import jobs_of_run
    from sshjobs.store.rundir import find_run
    from sshjobs.store.works import WorkReader

    found: list[TraceJob] = []
    for run in runs:
        with WorkReader.open(find_run(results, run)) as reader:
            found += jobs_of_run(reader)
    if not found:
        raise UsageError(f"no job of {', '.join(runs)} tells how long it took",
                         hint="name another run, or use --seconds")
    return found


def _seconds(text: str) -> tuple[float, float]:
    found = _SECONDS.match(text)
    if found is None:
        raise UsageError(f"--seconds {text:.60} cannot be understood", hint="write 30, or 30±5")
    return float(found[1]), float(found[2] or 0.0)


def _factors(texts: Sequence[str], hosts: Sequence[Host]) -> dict[str, float]:
    """Return by host how many times as long jobs take there, as far as people say it."""
    found: dict[str, float] = {}
    for text in texts:
        pattern, _, number = text.rpartition("=")
        try:
            factor = float(number)
        except ValueError:
            factor = 0.0
        if not pattern or not 0.001 <= factor <= 1000:
            raise UsageError(f"--speed {text:.60} cannot be understood",
                             hint="write HOST=FACTOR, a number from 0.001 to 1000: gpu1=0.5")
        names = [host.name for host in hosts if fnmatchcase(host.name, pattern)]
        if not names:
            raise UsageError(f"--speed {text:.60} is about no host",
                             hint=f"the hosts are {', '.join(host.name for host in hosts[:8])}")
        found.update(dict.fromkeys(names, 1.0 / factor))
    return found


def _with(hosts: Sequence[PlayHost], words: str) -> list[PlayHost]:
    """Return the hosts with some more like one of them."""
    found = _ADD.match(words)
    like = next((host for host in hosts if found is not None and host.name == found[2]), None)
    if found is None or like is None or not 1 <= int(found[1]) <= MOST_ADDED:
        raise UsageError(f"--add {words:.60} cannot be understood",
                         hint=f"write how many more of which host, at most {MOST_ADDED:,}: 2x{hosts[0].name}")
    return [*hosts, *(like._replace(name=f"{like.name}+{n}") for n in range(1, int(found[1]) + 1))]


def _document(told: Told) -> dict[str, Any]:
    return {"p10": round(told.end.p10, 3), "p50": round(told.end.p50, 3), "p90": round(told.end.p90, 3),
            "use": {name: round(use, 4) for name, use in told.use.items()},
            "waits": dict(zip(("p50", "p90", "longest"), (round(one, 3) for one in told.waits), strict=True))}


def _print(jobs: int, hosts: Sequence[PlayHost], told: Told, more: Sequence[tuple[str, Told]]) -> None:
    from sshjobs.views.wording import count, duration

    click.echo(f"{count(jobs, 'job')} on {count(len(hosts), 'host')}: {_ends(told)}")
    half, most, longest = told.waits
    click.echo(f"half of the jobs wait {duration(half)} at most, nine in ten {duration(most)}, the longest "
               f"{duration(longest)}")
    width = max(len(printable(host.name)) for host in hosts[:MOST_HOSTS])
    for host in hosts[:MOST_HOSTS]:
        used = f"{count(host.slots, 'slot')}, {told.use[host.name]:.0%} used"
        click.echo(f"  {printable(host.name).ljust(width)}  {used}")
    if len(hosts) > MOST_HOSTS:
        click.echo(f"  and {count(len(hosts) - MOST_HOSTS, 'host')} more: --json")
    for words, one in more:
        change = one.end.p50 / told.end.p50 - 1.0 if told.end.p50 else 0.0
        click.echo(printable(f"with {words}: {_ends(one)} ({change:+.0%})"))


def _ends(told: Told) -> str:
    from sshjobs.views.wording import duration

    return f"p10 {duration(told.end.p10)}, p50 {duration(told.end.p50)}, p90 {duration(told.end.p90)}"


def _plays(play: Callable[[str], Played], seeds: Sequence[str], jobs: int) -> list[Played]:
    """Return what came of each play: the first here, which tells what is wrong with all, and long ones side by side.

    :param jobs: how many there are in all plays together
    """
    found = [play(seeds[0])]
    rest, cores = seeds[1:], min(len(os.sched_getaffinity(0)), len(seeds) - 1) if sys.platform == "linux" else 1
    if jobs < WORTH_IT or cores < 2:
        return found + [play(seed) for seed in rest]
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(cores, _Player.begin, (play,)) as players:
        return found + players.map(_Player.play, rest, 1)


class _Player:
    """What a forked process knows: it is not told over a pipe what to play."""

    _how: Callable[[str], Played]

    @classmethod
    def begin(cls, play: Callable[[str], Played]) -> None:
        """Get ready. An interrupt is for the process that forked us to see."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cls._how = staticmethod(play)

    @classmethod
    def play(cls, seed: str) -> Played:
        """Play once."""
        return cls._how(seed)
