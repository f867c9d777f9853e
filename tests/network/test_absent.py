"""What follows when a host says that it knows nothing of an attempt: every answer to that leads to an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.causes import Cause
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.output_files import OutputFiles

FACTS = {"t": "welcome", "boot": "b", "resumed": True}


class Host:
    """A host's book, with what was said to the host and told to the manager."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self._said: list[Any] = []
        self.book = HostBook("h1", OutputFiles(), self.told.append, self._said.append)

    def connect(self) -> None:
        list(self.book.have())
        self.book.welcome(FACTS)

    def said(self) -> list[str]:
        """Return what was said to it since the last time: launches, and the lines of everything else."""
        link = words.Link("0" * 32)
        said = []
        for item in self._said:
            if isinstance(item, LiveAttempt):
                said.append(f"launch {item.uid}")
            else:
                item(link)
                said.append(link.take().decode().strip())
        self._said.clear()
        return said

    def ends(self) -> list[Ended]:
        return [event for event in self.told if isinstance(event, Ended)]


@pytest.fixture
def host() -> Host:
    return Host()


def attempt() -> LiveAttempt:
    return LiveAttempt("1.1", Job(JobSpec(["true"], name="fit-7")), "ab" * 16, Path("nowhere"))


FENCE = '{"t":"fence","id":"1.1","token":"' + "ab" * 16 + '"}'


def test_what_was_seen_and_is_not_known_is_fenced_once_and_then_lost(host):
    host.book.adopt(live := attempt(), "b")
    live.seen = True
    host.connect()
    host.book.state("1.1", "absent")
    assert host.said() == [FENCE]
    host.book.state("1.1", "absent")
    assert host.said() == []
    (end,) = host.ends()
    assert (end.outcome, end.cause) == (Outcome.LOST, Cause.FORGOTTEN)
    host.book.state("1.1", "absent")
    assert len(host.ends()) == 1


def test_a_launch_that_is_answered_by_absent_is_fenced(host):
    host.connect()
    host.book.launch(attempt())
    assert host.said() == ["launch 1.1"]
    host.book.state("1.1", "absent")
    assert host.said() == [FENCE] and host.ends() == []
    host.book.state("1.1", "absent")
    assert [end.outcome for end in host.ends()] == [Outcome.LOST]


def test_what_did_not_come_is_sent_again_over_each_connection(host):
    host.connect()
    host.book.launch(attempt())
    for _ in range(3):
        host.said()
        host.book.open = False
        host.connect()
        host.book.state("1.1", "absent")
        assert host.said() == ["launch 1.1"]
    assert host.ends() == []


def test_a_fence_of_an_earlier_connection_does_not_count(host):
    host.book.adopt(live := attempt(), "b")
    live.seen = True
    for _ in range(3):
        host.connect()
        host.book.state("1.1", "absent")
        assert host.said() == [FENCE]
        host.book.open = False
    assert host.ends() == []
