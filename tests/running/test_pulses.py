"""How hosts fare, on its way to the store: with what is written anyway, or by itself after a while."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sshjobs.model.host import Host
from sshjobs.network.contract import News
from sshjobs.running.runhosts import PULSES_WITHIN, RunHosts
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import RunReader
from tests.store.helpers import make_jobs, make_store


def test_pulses_are_written_together_and_soon(tmp_path: Path) -> None:
    store, now = make_store(tmp_path, make_jobs(1)), [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], time=lambda: 1e9 + now[0])
    network: Any = SimpleNamespace(clock=clock, hosts={"a": Host("a"), "b": Host("b")})
    hosts = RunHosts(network, Schedule(list(network.hosts.values())), store, lambda event: None)

    def told(*names: str) -> None:
        hosts.take(News(pulses={name: {"load": 1.5} for name in names}))
        hosts.hand_over_pulses()

    told("a")
    assert not store.dirty and 0 < (hosts.look_within() or 0) <= PULSES_WITHIN
    now[0] += PULSES_WITHIN / 2
    told("b")
    assert not store.dirty
    now[0] += PULSES_WITHIN / 2
    assert hosts.look_within() == 0.0
    hosts.hand_over_pulses()
    assert store.dirty and hosts.look_within() is None
    store.commit()
    with RunReader.open(store.paths) as reader:
        assert [row.pulse for row in reader.hosts()] == [{"at": 1e9 + 100.0, "load": 1.5}, {"at": 1e9 + 101.0, "load": 1.5}]
    # Where something is written anyway, they wait for nothing.
    store.set_options(paused=True)
    told("a")
    store.commit()
    with RunReader.open(store.paths) as reader:
        assert reader.hosts()[0].pulse == {"at": 1e9 + 102.0, "load": 1.5}
    store.close()
