"""What a host may say that nobody asked for, and what it is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import HostError, ProtocolError
from sshjobs.model.spec import Job, JobSpec
from sshjobs.network.contract import RoundTrip, RunIdentity, Warned
from sshjobs.network.protocol import link as words
from sshjobs.network.session.allowance import AT_ONCE, EACH_SECOND, MOST_UNREAD, MOST_WARNINGS, Allowance
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.dialog import MAX_NONSENSE_OF_ALL, Dialog
from sshjobs.network.session.output_files import OutputFiles
from tests.hostile.far_side import WELCOME


class Conversation:
    """A dialog with a host that is not there: what the host says is given in, what is said and told is kept."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.said: list[Any] = []
        self.book = HostBook("h", OutputFiles(), self.told.append, self.said.append)
        self.dialog = Dialog("h", RunIdentity("0" * 32, "r", 1), self.book, self.said.append, self.told.append, None)
        self.link = words.Link("0" * 32)

    def hear(self, event: words.Event, now: float = 0.0) -> None:
        self.dialog.take(self.link, event, now)

    def frame(self, type_: str, now: float = 0.0, **keys: Any) -> None:
        self.hear(words.Frame(type_, {"t": type_, **keys}), now)

    def begin(self) -> None:
        self.hear(words.Ready())
        self.hear(words.Welcome(WELCOME))

    def launches(self) -> list[str]:
        return [item.uid for item in self.said if isinstance(item, LiveAttempt)]


@pytest.fixture
def conversation() -> Conversation:
    return Conversation()


def attempt(uid: str = "1.1") -> LiveAttempt:
    return LiveAttempt(uid, Job(JobSpec(["true"], name=f"job-{uid}")), "t", Path("nowhere"))


def test_an_allowance_is_spent_and_comes_back_with_time():
    allowance = Allowance()
    for _ in range(AT_ONCE):
        allowance.spend(0.0)
    with pytest.raises(ProtocolError, match="nobody asked for"):
        allowance.spend(0.0)
    for n in range(1, 1000):
        allowance.spend(1.0 + n * 1.01 / EACH_SECOND)
    # However long it was silent: what it has saved up and what has come back since, and no more.
    with pytest.raises(ProtocolError):
        for _ in range(2 * AT_ONCE + 1):
            allowance.spend(1e6)


def test_who_is_asked_about_many_attempts_may_answer_for_all_of_them(conversation):
    for n in range(1, AT_ONCE):
        conversation.book.launch(attempt(f"{n}.1"))
    conversation.begin()
    for n in range(1, AT_ONCE):
        conversation.frame("state", id=f"{n}.1", s="running")
        conversation.frame("started", id=f"{n}.1", pid=7, at=1.0)
        conversation.frame("stuck", id=f"{n}.1", pids=[7])


@pytest.mark.parametrize(("kind", "keys"), [
    ("state", {"id": "9.1", "s": "running"}), ("state", {"id": "1.1", "s": "absent"}), ("stuck", {"id": "9.1", "pids": []}),
    ("started", {"id": "9.1", "pid": 1, "at": 1.0}), ("pong", {"seq": 5}), ("pong", {"seq": -1}), ("lack", {"shas": []}),
    ("lease", {"at": 1.0}), ("gone", {"processes": 0, "files": 0}), ("warn", {"msg": "m"}),
    ("ended", {"id": "9.1", "why": "exited", "status": 0, "signal": None, "started": 1.0, "ended": 2.0, "out": 0, "err": 0,
               "msg": None, "cpu": 0.0, "rss": 1})])
def test_a_word_that_changes_nothing_can_be_said_so_often_and_makes_few_events(kind, keys, conversation):
    conversation.book.launch(attempt())
    conversation.begin()
    before = len(conversation.told)
    with pytest.raises(ProtocolError):
        for _ in range(AT_ONCE + MOST_UNREAD + 100):
            conversation.frame(kind, **keys)
    assert len(conversation.told) - before <= MOST_WARNINGS + 1
    assert len(conversation.said) <= MOST_UNREAD + 100


def test_output_of_what_is_not_there_can_be_said_so_often(conversation):
    conversation.begin()
    with pytest.raises(ProtocolError):
        for _ in range(AT_ONCE + 1):
            conversation.hear(words.Output("9.1", 1, 0, b"x", 0))


def test_a_launch_is_sent_once_over_a_connection_however_often_the_host_says_that_it_lacks_it(conversation):
    conversation.book.launch(attempt())
    for number in range(1, 4):
        conversation.begin()
        conversation.frame("state", id="1.1", s="absent")
        assert conversation.launches() == ["1.1"] * number
        conversation.book.open = False
    # Over one connection a second word of that kind is no reason for another launch: the host has forgotten it.
    conversation.begin()
    for _ in range(10):
        conversation.frame("state", id="1.1", s="absent")
    assert conversation.launches() == ["1.1"] * 4


def test_what_is_launched_between_the_marker_and_the_welcome_is_sent(conversation):
    conversation.hear(words.Ready())
    conversation.book.launch(attempt())
    conversation.hear(words.Welcome(WELCOME))
    assert conversation.launches() == ["1.1"]


def test_a_host_says_once_over_a_connection_what_it_is(conversation):
    conversation.begin()
    with pytest.raises(ProtocolError, match="second welcome"):
        conversation.hear(words.Welcome(WELCOME))


def test_nothing_else_comes_before_the_welcome(conversation):
    conversation.dialog.may_come_first(words.Frame("stale", {"epoch": 1}))
    for event in (words.Output("1.1", 1, 0, b"x", 0), words.Frame("warn", {"msg": "m"}), words.Frame("ended", {})):
        with pytest.raises(ProtocolError):
            conversation.dialog.may_come_first(event)


def test_a_host_warns_so_often_and_then_it_is_said_that_it_says_more(conversation):
    conversation.begin()
    for n in range(100):
        conversation.frame("warn", msg=f"number {n}")
    warned = [event.message for event in conversation.told if isinstance(event, Warned)]
    assert len(warned) == MOST_WARNINGS
    assert [text for text in warned if "more" in text] == [f"number {MOST_WARNINGS - 1} (it says more, which is not told)"]


def test_only_the_answer_to_the_last_question_tells_how_long_the_way_is(conversation):
    conversation.begin()
    for now in (0.5, 0.6, 0.7):
        conversation.frame("pong", now, seq=0)
    assert [event for event in conversation.told if isinstance(event, RoundTrip)] == [RoundTrip("h", 0.5)]


def test_what_a_host_advises_is_marked_as_its_own(conversation):
    with pytest.raises(HostError) as error:
        conversation.frame("refused", kind="disk-full", why="no room", hint="ssh-keygen -R h")
    assert "; it says: ssh-keygen -R h" in str(error.value)


def test_what_has_started_cannot_have_found_no_room(conversation):
    conversation.book.launch(attempt())
    conversation.begin()
    conversation.frame("started", id="1.1", pid=7, at=1.0)
    with pytest.raises(ProtocolError, match="no room"):
        conversation.frame("ended", id="1.1", why="no_room", status=None, signal=None, started=None, ended=2.0, out=0, err=0,
                           msg="full", cpu=0.0, rss=1)


def test_output_before_its_launch_was_sent_is_nonsense_and_no_trouble_here(conversation, tmp_path):
    conversation.begin()
    early = LiveAttempt("1.1", Job(JobSpec(["true"], name="early")), "t", tmp_path / "early")
    conversation.book.launch(early)
    with pytest.raises(ProtocolError, match="was not sent"):
        conversation.hear(words.Output("1.1", 1, 0, b"x", 0))
    assert not (tmp_path / "early").exists()


def test_output_that_an_earlier_manager_had_no_time_to_make_room_for_is_taken(conversation, tmp_path):
    adopted = LiveAttempt("1.1", Job(JobSpec(["true"], name="old")), "t", tmp_path / "old")
    conversation.book.adopt(adopted, None)
    conversation.begin()
    conversation.hear(words.Output("1.1", 1, 0, b"x", 0))
    conversation.book._outputs.close()
    assert (tmp_path / "old" / "stdout").read_bytes() == b"x"


def test_a_long_frame_costs_as_much_as_many_short_ones(conversation):
    conversation.begin()
    with pytest.raises(ProtocolError):
        for _ in range(AT_ONCE * 200 // 1_000_000 + 2):
            conversation.hear(words.Frame("stuck", {"t": "stuck", "id": "9.1", "pids": [1]}, 1_000_000))


def test_what_was_asked_for_costs_nothing(conversation):
    class Asked:
        busy = False

        def lack(self, shas):
            return True

        def mark(self):
            return True
    conversation.begin()
    conversation.dialog.upload = Asked()
    for _ in range(2 * AT_ONCE):
        conversation.frame("lack", shas=[])
        conversation.frame("pong", seq=-1)


def test_a_host_that_mixes_sense_and_nonsense_is_left_alone_in_the_end(conversation):
    errors = []
    for n in range(MAX_NONSENSE_OF_ALL):
        conversation.book.launch(attempt(f"{n + 1}.1"))
        conversation.begin()
        conversation.frame("ended", id=f"{n + 1}.1", why="exited", status=0, signal=None, started=1.0, ended=2.0, out=0,
                           err=0, msg=None, cpu=0.0, rss=1)
        errors.append(conversation.dialog.broken(ProtocolError("nonsense")))
        conversation.book.open = False
    assert [error.lasting for error in errors] == [False] * (MAX_NONSENSE_OF_ALL - 1) + [True]
