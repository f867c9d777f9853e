"""Every field of every frame, each said wrongly by a host of its own, all in one run: and the run is resumed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from sshjobs import JobSpec, Manager, Network
from sshjobs.errors import ProtocolError
from sshjobs.model.states import STATE_DONE
from sshjobs.network import HostDown, Warned
from sshjobs.network.protocol import frames
from sshjobs.network.protocol.fields import Flag, Match, Real, Text, Whole, Word
from sshjobs.store.rundir import RunPaths
from tests.hostile.far_side import line
from tests.hostile.inprocess import HostileTransport
from tests.network.test_frames import GOOD, NUMBERS, TEXTS, fields_with, with_word

HONEST = 12


class Watcher(Manager):
    """A manager that goes on until every job of the honest hosts is done, and every host that lies was named."""

    def __init__(self, liars: set[str], jobs: int):
        super().__init__(0.2)
        self._jobs = jobs
        self.unnamed, self.said = set(liars), list[str]()
        self.until = self.is_enough

    def handle_host(self, event: object) -> None:
        if isinstance(event, HostDown):
            self.unnamed.discard(event.host)
            self.said.append(str(event.error))
        elif isinstance(event, Warned):
            self.said.append(event.message)

    def is_enough(self) -> bool:
        here = [job for job in self.jobs.InState(STATE_DONE) if job.name.startswith("here")]
        return not self.unnamed and len(here) == self._jobs


def wrong_frames() -> list[bytes]:
    """Return a frame for each field and each value that it may be given by a hostile host."""
    numbers, texts = fields_with(Whole) + fields_with(Real), fields_with(Text) + fields_with(Word) + fields_with(Match)
    said = [with_word(name, key, word) for name, key in numbers for word in (*NUMBERS, "true", "null", "[]")]
    said += [with_word(name, key, json.dumps(text)) for name, key in texts for text in TEXTS]
    said += [with_word(name, key, word) for name, key in fields_with(Flag) for word in ("0", "null")]
    said += [json.dumps({"t": name, **GOOD[name], "extra": [1]}).encode() for name in GOOD]
    return [*said, b"{", b"\xff", b'{"t":"pong","seq":' * 10_000, b"[" * 100_000, b"x" * (1 << 21)]


def is_right(frame: bytes) -> bool:
    try:
        frames.parse_header(frame)
    except ProtocolError:
        return False
    return True


def network_of(results: Path, said: dict[str, tuple[bytes, str]]) -> Network:
    made = Network(str(results), [*said, "honest1", "honest2"], slots=2)
    transport = HostileTransport(said)
    made._transports = (transport, transport)
    return made


@pytest.mark.usefixtures("clean_home")
def test_whatever_hosts_say_others_do_their_jobs_each_liar_is_named_and_a_resume_goes_on(tmp_path):
    wrong = wrong_frames()
    said = {f"bad{n}": (frame + b"\n", f"{n + 1}.1") for n, frame in enumerate(wrong)}
    liars = {f"bad{n}" for n, frame in enumerate(wrong) if not is_right(frame)}
    assert len(liars) > 400
    specs = [JobSpec(["true"], name=f"there-{host}", hosts=[host]) for host in said]
    specs += [JobSpec(["true"], name=f"here-{n}", hosts=["honest1", "honest2"]) for n in range(HONEST)]
    manager = Watcher(liars, HONEST)
    manager.Setup(specs, network_of(tmp_path, said), name="r")
    manager.ProcessJobs()
    assert manager.unnamed == set()
    assert max(map(len, manager.said)) < 3000 and all(text.isprintable() for text in manager.said)
    with sqlite3.connect(tmp_path / "r/run.db") as store:
        (done,) = store.execute("SELECT count(*) FROM jobs WHERE name LIKE 'here-%' AND state = 'done'").fetchone()
        assert done == HONEST
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    # The same hosts say the same to the next manager.
    again = Watcher(liars, 0)
    again.Resume(RunPaths(tmp_path, "r"), network_of(tmp_path, said))
    again.ProcessJobs()
    assert again.unnamed == set()


def test_what_was_said_to_end_a_manager_is_refused():
    for frame in ({"t": "started", "id": "1.1", "pid": 2**63, "at": 1.0}, {"t": "ended", **GOOD["ended"], "rss": 2**60},
                  {"t": "ended", **GOOD["ended"], "started": float("inf")}, {"t": "ended", **GOOD["ended"], "ended": 2.0**63},
                  {"t": "welcome", **GOOD["welcome"], "memory": 10**400}, {"t": "welcome", **GOOD["welcome"], "cores": -3},
                  {"t": "welcome", **GOOD["welcome"], "cores": 0}, {"t": "welcome", **GOOD["welcome"], "cores": 10**9}):
        with pytest.raises(ProtocolError):
            frames.parse_header(line(frame)[:-1])
