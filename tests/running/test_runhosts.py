"""The hosts of a run, without a manager: network, schedule and store are kept in step about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.network.contract import HostDown, HostUp, News, Warned
from sshjobs.running.runhosts import RunHosts
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import RunReader, RunStore
from tests.store.helpers import make_jobs, make_store

FACTS = {"machine": "m", "boot": "b", "pidns": 1, "cores": 4}
AWAY = HostError("timeout", "a", "no answer in time")


class Wires:
    """What a network is told about hosts; nothing is behind it."""

    slots: int | None = None

    def __init__(self, hosts: list[Host]):
        self.hosts = {host.name: host for host in hosts}
        self.clock = self
        self.now, self.told = 100.0, list[tuple[str, Any]]()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def add_host(self, host: Host) -> None:
        self.hosts[host.name] = host
        self.told.append(("add", host.name))

    def remove_host(self, host: str) -> None:
        del self.hosts[host]
        self.told.append(("remove", host))

    def set_slots(self, host: str, slots: int) -> None:
        self.told.append(("slots", (host, slots)))

    def fence(self, job: Job) -> None:
        self.told.append(("fence", job.name))


class Scene:
    def __init__(self, results: Path):
        self.wires = Wires([Host("a"), Host("b", slots=2)])
        self.store: RunStore = make_store(results, make_jobs(1))
        self.schedule, self.said = Schedule(self.wires.hosts.values()), list[object]()
        self.hosts = RunHosts(self.wires, self.schedule, self.store, self.said.append)  # type: ignore[arg-type]

    def up(self, *names: str) -> None:
        self.hosts.take(News(hosts=[HostUp(name, {**FACTS, "machine": name}) for name in names]))

    def stored(self) -> dict[str, str | None]:
        self.store.commit()
        with RunReader.open(self.store.paths) as reader:
            return {row.host.name: row.state for row in reader.hosts()}

    def launch(self, name: str, host: str, lease: float | None = None, memory: int | None = None) -> Job:
        job = Job(JobSpec(["true"], name=name, lease=lease, memory=memory))
        job.new_attempt(host, "token")
        self.hosts.placement.enter(job, host, self.wires.now)
        self.schedule.occupy(host, job)
        return job


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.store.close()


def test_a_host_that_answers_is_used_with_its_cores_or_the_slots_that_it_was_given(scene: Scene) -> None:
    scene.up("a", "b")
    assert (scene.schedule.hosts.slots("a"), scene.schedule.hosts.slots("b")) == (4, 2)
    assert scene.stored() == {"a": "up", "b": "up"}
    scene.hosts.take(News(hosts=[HostDown("a", AWAY)]))
    assert (scene.schedule.hosts.is_up("a"), scene.stored()["a"]) == (False, "away")
    assert [type(event) for event in scene.said] == [HostUp, HostUp, HostDown]


def test_one_machine_under_two_names_is_told(scene: Scene) -> None:
    scene.hosts.take(News(hosts=[HostUp("a", FACTS), HostUp("b", FACTS)]))
    assert [event.host for event in scene.said if isinstance(event, Warned)] == ["b"]


def test_a_last_word_of_a_host_that_has_left_changes_nothing(scene: Scene) -> None:
    scene.hosts.remove(scene.wires.hosts["a"])
    assert scene.hosts.part(lambda host: False) == ["a"]
    scene.up("a")
    assert "a" not in scene.schedule.hosts.names and scene.said == []


def test_a_host_that_is_to_leave_waits_for_what_runs_and_for_what_it_keeps(scene: Scene) -> None:
    scene.up("a", "b")
    started, held = scene.launch("started", "a"), scene.launch("held", "a")
    started.attempts[-1].started = 1.0
    scene.hosts.remove(scene.wires.hosts["a"])
    assert scene.wires.told == [("fence", held.name)], "what has not started is asked back"
    assert scene.hosts.part(lambda host: False) == []
    for job in (started, held):
        scene.hosts.placement.leave(job, job.attempts[-1])
    assert scene.hosts.part(lambda host: True) == [], "outputs are still to be released there"
    assert scene.hosts.part(lambda host: False) == ["a"]
    assert scene.wires.told[-1] == ("remove", "a") and scene.schedule.hosts.names == ["b"]
    scene.hosts.add(Host("a"))
    scene.up("a")
    assert scene.schedule.hosts.names == ["b", "a"] and not scene.schedule.hosts.is_drained("a")


def test_what_people_wanted_of_hosts_outlives_a_manager(scene: Scene) -> None:
    scene.wires.hosts = {"a": Host("a", drained=True), "b": Host("b", drained=True, removed=True)}
    scene.hosts.take_over()
    assert scene.schedule.hosts.is_drained("a") and scene.hosts.leaving == {"b"}
    scene.hosts.use_again(Host("b"))
    assert not scene.schedule.hosts.is_drained("b") and scene.hosts.leaving == set()


def test_a_lease_that_is_over_is_found_while_its_host_is_away(scene: Scene) -> None:
    scene.up("a", "b")
    leased, plain = scene.launch("leased", "a", lease=10.0), scene.launch("plain", "a")
    assert scene.hosts.look_within() is None
    scene.hosts.take(News(hosts=[HostDown("a", AWAY)]))
    assert scene.hosts.leases_over() == [] and scene.hosts.look_within() is not None
    scene.wires.now += 1000.0
    assert scene.hosts.leases_over() == [leased] and plain in scene.hosts.placement.on("a")


def test_what_was_sent_ahead_comes_back_before_its_host_has_more_slots(scene: Scene) -> None:
    """It was to run in the place of what runs, and may not fit beside that."""
    scene.up("a", "b")
    scene.launch("plain", "b")
    runs, ahead = (scene.launch(name, "b", memory=1 << 30) for name in ("runs", "ahead"))
    runs.attempts[-1].started = 1.0
    scene.hosts.set_slots(scene.wires.hosts["b"], 4)
    assert scene.wires.told[-2:] == [("fence", ahead.name), ("slots", ("b", 4))]
