"""Hosts that say something again and again for as long as a run takes, one after the other, and what each costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.scene import FRAMES, UID, Cost, flood, hostile_host, run_among

#: What a host may cost: bytes of memory beyond what the manager takes anyway, and lines.
MEMORY, LINES = 32 << 20, 100
#: Jobs that two honest hosts end in a second, each of them of 0.1 s, at most.
RATE = 20 * 2
#: Seconds from the first Ctrl-C to the end of the manager, for three of them.
HEARD_S = 10.0

#: What else a hostile host may do than repeat a frame, by the name of the scenario, with its words.
OTHERS: dict[str, tuple[str, ...]] = {"drip": (UID,), "line": ("''",), "banner": ("''",), "stderr": ("''",)}


def play(directory: Path, seconds: float, say: Callable[[str], object] = print) -> tuple[list[str], dict[str, Any]]:
    """Have a hostile host flood a run for so many seconds, in each way that there is.

    :return: what is wrong, and the figures
    """
    jobs = round(seconds * RATE)
    usual = _run(directory / "usual", "say", flood("pong"), (), jobs)
    wrong, worst = list[str](), {"memory": 0.0, "lines": 0.0, "heard": 0.0, "slower": 0.0}
    least = usual.seconds
    for name in (*FRAMES, *OTHERS):
        words, said = OTHERS.get(name, ()), flood(name) if name in FRAMES else b""
        # Whoever drips output, or fills standard error, does nothing that is forbidden.
        named = () if name in ("drip", "stderr") else ("bad",)
        cost = _run(directory / name, name if name in OTHERS else "repeat", said, words, jobs, named)
        figures = {"memory": (cost.resident - usual.resident) / 2**20, "lines": float(len(cost.lines_of("bad"))),
                   "heard": cost.heard, "slower": cost.seconds / usual.seconds}
        say(f"{name:<14} {cost.seconds:5.1f} s, " + ", ".join(f"{key} {value:.1f}" for key, value in figures.items()))
        worst = {key: max(value, worst[key]) for key, value in figures.items()}
        least = min(least, cost.seconds)
        if cost.resident - usual.resident > MEMORY or figures["lines"] > LINES or cost.heard > HEARD_S:
            wrong.append(f"{name}: {figures}")
    return wrong, {"floods": len(FRAMES) + len(OTHERS), "seconds": round(least, 1),
                   **{key: round(value, 2) for key, value in worst.items()}, "jobs_each": jobs}


def _run(directory: Path, scenario: str, said: bytes, words: tuple[str, ...], jobs: int,
         named: tuple[str, ...] = ()) -> Cost:
    directory.mkdir(parents=True)
    return run_among(directory, [hostile_host(directory, "bad", scenario, said, *words)], jobs=jobs, named=named)
