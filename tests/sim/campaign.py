"""Plays many plays: ``python -m tests.sim.campaign --disasters 100000 --jobs 2``; one again: ``--replay SEED``;
one that is to go on where it was stopped: ``--progress FILE``.

Each play has a seed of its own; a play that breaks a promise is told with its seed and what led to it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.sim.disasters import ALL, REQUESTS, Disaster
from tests.sim.play import Play

#: Disasters of one play.
EACH = 25


class Told(NamedTuple):
    """What came of one play: ``starts`` of attempts in it; ``trouble`` is ``None`` where every promise was kept;
    ``trace`` is kept where it was asked for."""

    seed: str
    disasters: int
    starts: int
    trouble: str | None
    trace: list[str]


def play_one(seed: str, *, tracing: bool = False, disasters: int = EACH) -> Told:
    """Play one play to its end."""
    befallen = 0
    with _made(seed) as play:
        play.world.tracing = tracing
        try:
            play.begin(play.rng.choice((*range(4, 11), 40)))
            for _ in range(disasters):
                play.advance(play.rng.choice((0.01, 0.1, play.rng.expovariate(1.0), 5.0)))
                befallen += 1
                befall(play, play.rng.choices(list(ALL), list(ALL.values()))[0])
            play.finish()
        except (Exception, AssertionError) as error:  # noqa: BLE001 (whatever it is, it is a finding)
            where = "" if str(error)[1:2] == ":" else "".join(traceback.format_exception(error)[-6:])
            return Told(seed, befallen, len(play.judge.starts), f"{type(error).__name__}: {error}\n{where}", list(play.world.trace))
        return Told(seed, befallen, len(play.judge.starts), None, list(play.world.trace))


def _made(seed: str) -> Play:
    # With draws of its own, so that older seeds play as before.
    play = Play(seed, needs=random.Random(f"{seed} room").random() < 0.35, gpus=random.Random(f"{seed} gpus").random() < 0.2)
    rng = play.rng
    play.world.latency = rng.choice((0.0005, 0.005, 0.1))
    for machine in play.world.machines.values():
        machine.latency = play.world.latency
    return play


def befall(play: Play, disaster: Disaster) -> None:
    """Let a disaster come over a play."""
    play.world.say(f"! {disaster.__name__}")
    if disaster not in REQUESTS:
        play.judge.disturb()
    play.befall(disaster)


def seeds(first: int) -> Iterator[str]:
    """Yield the seeds of a campaign."""
    number = first * 1_000_000
    while True:
        yield str(number)
        number += 1


def main() -> int:
    """Carry out a campaign or replay one play; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.campaign")
    parser.add_argument("--disasters", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="of the campaign")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--replay", metavar="SEED", help="one play again, with all that happens in it")
    parser.add_argument("--most", type=int, default=5, help="troubles after which to stop")
    parser.add_argument("--progress", type=Path, metavar="FILE", help="keep there how far it is, and go on with that")
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the figures to it")
    options = parser.parse_args()
    if options.replay is not None:
        told = play_one(options.replay, tracing=True)
        print("\n".join(told.trace))
        print(told.trouble or "every promise was kept")
        return int(told.trouble is not None)
    row, began = _begun(options), time.monotonic()
    before = row["seconds"]
    with ProcessPoolExecutor(options.jobs) as pool:
        for told in _played(pool, options, row["plays"]):
            row.update(disasters=row["disasters"] + told.disasters, plays=row["plays"] + 1, starts=row["starts"] + told.starts,
                       seconds=round(before + time.monotonic() - began))
            if told.trouble is not None:
                row["broken"] += 1
                print(f"seed {told.seed}: {told.trouble}\n  again: python -m tests.sim.campaign --replay {told.seed}",
                      flush=True)
            if options.progress is not None:
                _keep(options.progress, row)
            if row["disasters"] >= options.disasters or row["broken"] >= options.most:
                break
        pool.shutdown(cancel_futures=True)
    print(f"{row['disasters']} disasters in {row['plays']} plays, {row['seconds']} s: {row['broken']} promises broken")
    if options.record is not None:
        with open(options.record, "a") as file:
            file.write(json.dumps({**row, "day": time.strftime("%Y-%m-%d")}) + "\n")
    return int(row["broken"] > 0)


def _begun(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures so far of a campaign: those of an earlier one of the same seed and commit, where they were kept."""
    from tests.faults.campaign import commit

    row = {"seed": options.seed, "disasters": 0, "plays": 0, "starts": 0, "broken": 0, "seconds": 0, "commit": commit()}
    if options.progress is None or not options.progress.exists():
        return row
    known: dict[str, Any] = json.loads(options.progress.read_text())
    if (known["seed"], known["commit"]) != (row["seed"], row["commit"]):
        sys.exit(f"{options.progress}: it is of seed {known['seed']} on {known['commit']}, not of {row['seed']} on {row['commit']}; name another")
    return known


def _keep(path: Path, row: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(row))
    new.replace(path)


def _played(pool: ProcessPoolExecutor, options: argparse.Namespace, plays: int) -> Iterator[Told]:
    source = itertools.islice(seeds(options.seed), plays, None)
    waiting = [pool.submit(play_one, next(source)) for _ in range(options.jobs * 4)]
    while True:
        told = waiting.pop(0).result()
        waiting.append(pool.submit(play_one, next(source)))
        yield told


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of names is part of what a seed stands for.
        with contextlib.suppress(OSError):
            os.execve(sys.executable, [sys.executable, "-m", "tests.sim.campaign", *sys.argv[1:]],
                      {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
