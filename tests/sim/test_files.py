"""Files that jobs leave, through disasters: whatever dies, what counts as brought is what the job has left."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any
from unittest import mock

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.session.book import HostBook
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from tests.sim import disasters
from tests.sim.play import Play


class FilesPlay(Play):
    """Short jobs that leave files."""

    def spec(self) -> JobSpec:
        spec = super().spec()
        spec.timeout = None
        spec.outputs = {"out/": {"when": "success", "required": False, "every": None, "carry": False},
                        "model": {"when": "always", "required": True, "every": None, "carry": False}}
        return spec

    def program_of(self, launch: dict[str, Any]) -> Program:
        program = super().program_of(launch)
        return program._replace(seconds=min(program.seconds, 20.0), files=self.left_by(launch["id"]))

    def left_by(self, uid: str) -> tuple[tuple[str, bytes], ...]:
        """Return what an attempt leaves: each something of its own, some of it more than a piece."""
        rng = random.Random(f"files {self.seed} {uid}")
        names = [f"out/{n}" for n in range(rng.choice((0, 1, 3, 40)))]
        return (("model", rng.randbytes(rng.choice((1, 1000, 700_000)))),
                *((name, rng.randbytes(rng.choice((0, 10, 5000)))) for name in names), ("other", b"x"))


def play_files(seed: int) -> int:
    """Play one seed to its end; return how many files have come."""
    came = 0
    play = FilesPlay(f"files {seed}")
    with play:
        play.begin(12)
        dies: tuple[Callable[[Play], None], ...] = (disasters.kill_manager, disasters.cut, disasters.cut)
        for _ in range(8):
            play.advance(play.rng.choice((0.05, 0.3, 1.0, 3.0)))
            play.befall(play.rng.choice(dies))
        play.finish()
        with RunReader.open(play.paths) as reader:
            for job, attempts in reader.jobs_with_attempts():
                if job.outcome != Outcome.SUCCEEDED:
                    continue
                left = dict(play.left_by(f"{job.number}.{attempts[-1].n}"))
                left.pop("other")
                here = play.files.below(play.paths.files(job.name))
                brought = reader.brought(job.number, job.number)[job.number, attempts[-1].n]
                assert here == left, f"seed {seed}: {job.name} has other files than it left"
                assert brought[:2] == (len(left), sum(map(len, left.values()))), f"seed {seed}: {job.name}"
                came += len(left)
    return came


def test_whatever_dies_all_files_of_jobs_that_succeeded_are_here() -> None:
    assert sum(play_files(seed) for seed in range(1, 16)) > 300


def _found(where: type, what: str, how: Any) -> bool:
    with mock.patch.object(where, what, how):
        for seed in range(1, 16):
            try:
                play_files(seed)
            except (AssertionError, KeyError):
                return True
    return False


def test_a_host_that_may_forget_before_files_are_here_is_found() -> None:
    ended = HostBook.ended

    def hasty(self: HostBook, keys: dict[str, Any]) -> bool:
        found = ended(self, keys)
        if keys["id"] in self.bringing:
            self._say(lambda link: link.say("release", ids=[keys["id"]]))
        return found
    assert _found(HostBook, "ended", hasty)
