"""What follows from the words of a host about its attempts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import ProtocolError
from sshjobs.model.causes import Cause
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.output_files import OutputFiles
from tests.hostile.far_side import WELCOME


class Scene:
    """A book of a host that listens; what it says to the host and tells the manager is kept."""

    def __init__(self, directory: Path):
        self.told: list[Any] = []
        self._said: list[Any] = []
        self.book = HostBook("h", OutputFiles(), self.told.append, self._said.append)
        self._directory = directory
        self.meet()

    def meet(self, **facts: Any) -> None:
        """Let another connection begin."""
        list(self.book.have())
        self.book.welcome({**WELCOME, **facts})
        self.told.clear()
        self.said()

    def launch(self, uid: str = "1.1", boot: str | None = None) -> LiveAttempt:
        attempt = LiveAttempt(uid, Job(JobSpec(["true"], name=f"job-{uid}")), "t", self._directory / uid)
        attempt.boot = boot
        self.book.launch(attempt)
        self.book.create(attempt)
        return attempt

    def said(self) -> list[Any]:
        """Return what was said since: uids of launches, and other frames as they are."""
        said: list[Any] = []
        for item in self._said:
            if isinstance(item, LiveAttempt):
                said.append(item.uid)
            else:
                link = words.Link("0" * 32)
                item(link)
                said += [json.loads(line) for line in link.take().splitlines()]
        self._said.clear()
        return said

    def end(self, uid: str = "1.1", why: str = "exited", status: int | None = 0, out: int = 0, err: int = 0) -> bool:
        return self.book.ended({"id": uid, "why": why, "status": status, "signal": None, "started": 1.0, "ended": 2.0, "out": out,
                                "err": err, "msg": None, "cpu": 0.0, "rss": 1})

    def ends(self) -> list[Ended]:
        return [event for event in self.told if isinstance(event, Ended)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize(("out", "err"), [(4, 0), (2, 0), (3, 1), (0, 0)])
def test_an_end_with_output_missing_or_left_over_is_not_taken_for_an_end(scene: Scene, out: int, err: int) -> None:
    attempt = scene.launch()
    scene.book.store(words.Output("1.1", 1, 0, b"abc", 0))
    with pytest.raises(ProtocolError, match="output missing"):
        scene.end(out=out, err=err)
    assert scene.ends() == [] and not attempt.over
    # Over the next connection the rest is asked for, and the end is heard again.
    assert list(scene.book.have()) == [("1.1", 3, 0)]
    assert scene.end(out=3) and [end.outcome for end in scene.ends()] == [Outcome.SUCCEEDED]


def test_an_attempt_that_runs_and_that_nobody_here_knows_is_ended(scene: Scene) -> None:
    for state in ("running", "queued"):
        scene.book.state("9.1", state)
        assert scene.said() == [{"t": "cancel", "id": "9.1", "grace": 0.0}]
    scene.book.state("9.1", "absent")
    assert scene.said() == []
    # One that was declared lost, and whose host has come back.
    scene.launch()
    scene.book.condemn("1.1")
    scene.said()
    scene.book.state("1.1", "running")
    assert scene.said() == [{"t": "cancel", "id": "1.1", "grace": 0.0}]


def test_an_end_after_giving_up_is_not_counted_again_and_is_released(scene: Scene) -> None:
    scene.launch()
    scene.book.condemn("1.1")
    scene.said()
    assert not scene.end()
    assert scene.ends() == []
    assert scene.said() == [{"t": "release", "ids": ["1.1"]}]
    # Nor is one that has ended already.
    scene.launch("2.1")
    assert scene.end("2.1") and not scene.end("2.1")
    assert len(scene.ends()) == 1


@pytest.mark.parametrize("wish", ["cancel", "fence"])
@pytest.mark.parametrize("open_", [True, False], ids=["up", "away"])
def test_a_launch_that_a_person_no_longer_wants_is_fenced_and_not_sent(scene: Scene, wish: str, open_: bool) -> None:
    scene.book.open = open_
    attempt = LiveAttempt("1.1", Job(JobSpec(["true"], name="a")), "t", Path("nowhere"))
    if wish == "cancel":
        attempt.cancelling = True
    else:
        attempt.unwanted = True
    scene.book.launch(attempt)
    if not open_:
        assert scene.said() == []
        # Between the marker of an agent and its welcome: it is asked about what there was before.
        scene.book.welcome(WELCOME)
    assert scene.said() == [{"t": "fence", "id": "1.1", "token": "t"}]
    assert scene.end(why="fenced", status=None)
    (end,) = scene.ends()
    assert (end.outcome, end.cause) == ((Outcome.CANCELLED, None) if wish == "cancel" else
                                        (Outcome.NEVER_STARTED, Cause.TAKEN_BACK))


@pytest.mark.parametrize("open_", [False, True])
def test_what_is_for_a_host_as_it_was_prepared_is_not_sent_once_that_has_booted_again(scene: Scene, open_: bool) -> None:
    scene.book.open = open_
    if open_:
        # The manager has not heard yet that it booted.
        scene.meet(boot="another", resumed=False)
    else:
        list(scene.book.have())
    scene.launch("1.1", boot=str(WELCOME["boot"]))
    scene.launch("2.1")
    scene.launch("3.1", boot="another")
    if not open_:
        scene.book.welcome({**WELCOME, "boot": "another", "resumed": False})
    assert scene.said() == [{"t": "fence", "id": "1.1", "token": "t"}, "2.1", "3.1"]
    assert scene.end("1.1", "fenced", status=None)
    (end,) = scene.ends()
    assert (end.outcome, end.cause) == (Outcome.NEVER_STARTED, Cause.TAKEN_BACK), "it is tried again, and counts for nothing"


def test_what_jobs_keep_is_told_to_the_host_and_when_it_has_no_room(scene: Scene) -> None:
    for uid, how in (("1.1", "always"), ("2.1", "on_failure"), ("3.1", "never")):
        attempt = scene.launch(uid)
        attempt.spec = JobSpec(["true"], keep_directory=how)
        attempt.seen = True
        scene.end(uid)
    scene.said()
    scene.book.release(["1.1", "2.1", "3.1"])
    assert scene.said() == [{"t": "release", "ids": ["1.1", "2.1", "3.1"], "keep": ["1.1"]}]
    scene.launch("4.1")
    scene.end("4.1", why="no_room", status=None)
    assert "kept there of ended jobs: 1 directory" in (scene.ends()[-1].reason or "")
