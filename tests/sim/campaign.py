"""Plays many plays: ``python -m tests.sim.campaign --disasters 100000 --jobs 2``; one again: ``--replay SEED``.

Each play has a seed of its own; a play that breaks a promise is told with its seed and what led to it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

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
    play = Play(seed, needs=random.Random(f"{seed} room").random() < 0.35)
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
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the figures to it")
    options = parser.parse_args()
    if options.replay is not None:
        told = play_one(options.replay, tracing=True)
        print("\n".join(told.trace))
        print(told.trouble or "every promise was kept")
        return int(told.trouble is not None)
    began, count, plays, starts, troubles = time.monotonic(), 0, 0, 0, 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for told in _played(pool, options):
            count, plays, starts = count + told.disasters, plays + 1, starts + told.starts
            if told.trouble is not None:
                troubles += 1
                print(f"seed {told.seed}: {told.trouble}\n  again: python -m tests.sim.campaign --replay {told.seed}",
                      flush=True)
            if count >= options.disasters or troubles >= options.most:
                break
        pool.shutdown(cancel_futures=True)
    seconds = round(time.monotonic() - began)
    print(f"{count} disasters in {plays} plays, {seconds} s: {troubles} promises broken")
    if options.record is not None:
        from tests.faults.campaign import commit

        row = {"seed": options.seed, "disasters": count, "plays": plays, "starts": starts, "broken": troubles,
               "seconds": seconds, "commit": commit(), "day": time.strftime("%Y-%m-%d")}
        with open(options.record, "a") as file:
            file.write(json.dumps(row) + "\n")
    return int(troubles > 0)


def _played(pool: ProcessPoolExecutor, options: argparse.Namespace) -> Iterator[Told]:
    source = seeds(options.seed)
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
