"""kill -9 of managers, at any moment and inside the windows that are short; kill -9 of agents and runners."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter

from tests.faults import ledger
from tests.faults.scene import Scene, agents
from tests.lab import LabHost, wait_until

#: Failpoints between an intent's commit and the host's answer, and between an end that was heard and its commit.
INTENT_TO_ACK = ("after_intent", "after_flush", "after_send")
EXIT_TO_COMMIT = ("exit_seen",)
OTHERS = ("output", "before_release")
#: Mean seconds between a manager's start and its end at a random moment.
MEAN_LIFE = 0.8
#: Seconds after which a manager that never comes to its failpoint is killed all the same.
LONGEST_LIFE = 4.0


def armed(rng: random.Random) -> str:
    """Choose a failpoint for the next manager, or none."""
    if rng.random() < 0.35:
        return ""
    name = rng.choice(INTENT_TO_ACK * 2 + EXIT_TO_COMMIT * 5 + OTHERS)
    return f"{name}:kill@{rng.choice((1, 1, 2, 3, rng.randint(1, 30)))}"


def manager_kills(scene: Scene, kills: int, *, jobs: int = 1000,
                  pace: float = 1.0) -> tuple[ledger.Findings, Counter[str]]:
    """Kill so many managers, in as many runs as it takes; let every run end, and check it.

    :return: what was found, and how often managers died where (``random`` for any moment)
    """
    found, where = ledger.Findings(), Counter[str]()
    while sum(where.values()) < kills:
        manager = scene.begin(ledger.mixed(jobs, scene.rng.randrange(1 << 30), pace=pace))
        wait_until(scene.is_there, 60, "the run to be made")
        name = ""
        while sum(where.values()) < kills:
            life = LONGEST_LIFE if name else 0.05 + scene.rng.expovariate(1 / MEAN_LIFE)
            if not manager.ended(life):
                manager.kill()
                name = ""
            if manager.code != -signal.SIGKILL:
                break
            where[name.partition(":")[0] or "random"] += 1
            name = armed(scene.rng)
            manager = scene.resume(name)
        scene.finish()
        found.add(scene.check())
        if found.bad:
            break
    return found, where


def inside(where: Counter[str]) -> float:
    """The share of the kills that were inside one of the short windows."""
    return sum(where[name] for name in INTENT_TO_ACK + EXIT_TO_COMMIT) / max(1, sum(where.values()))


def far_kills(scene: Scene, kills: int, *, jobs: int = 1000, pace: float = 1.0,
              interval: float = 0.4) -> tuple[ledger.Findings, Counter[str]]:
    """kill -9 of agents, of runners, and of an agent with all its runners, while a manager lives.

    :param interval: mean seconds between two kills
    """
    found, what = ledger.Findings(), Counter[str]()
    while sum(what.values()) < kills:
        manager = scene.begin(ledger.mixed(jobs, scene.rng.randrange(1 << 30), pace=pace))
        while sum(what.values()) < kills and not manager.ended(scene.rng.expovariate(1 / interval)):
            victim = kill_something(scene.rng.choice(scene.lab.hosts), scene.rng)
            if victim:
                what[victim] += 1
            found.doubled += scene.twice()
        scene.finish()
        found.add(scene.check())
        if found.bad:
            break
    return found, what


def kill_something(host: LabHost, rng: random.Random) -> str | None:
    """kill -9 of an agent, one runner or two, or an agent with all its runners; returns what died, if anything."""
    talkers, runners = agents(host)
    choice = rng.random()
    if choice < 0.45 and talkers:
        return _kill([rng.choice(talkers)], "agent")
    if choice < 0.75 and runners:
        return _kill([rng.choice(runners)], "runner")
    if choice < 0.9 and runners:
        return _kill(rng.sample(runners, min(2, len(runners))), "two runners" if len(runners) > 1 else "runner")
    if talkers and runners:
        return _kill([*talkers, *runners], "agent and runners")
    return None


def _kill(pids: list[int], name: str) -> str | None:
    done = False
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            done = True
        except ProcessLookupError:
            continue
    return name if done else None
