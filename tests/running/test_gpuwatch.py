"""When hosts are asked about their GPUs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from sshjobs.model.gpus import Gpu, GpuReport
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.running.gpuwatch import GpuWatch
from sshjobs.scheduling.gpurack import BELIEVED
from sshjobs.scheduling.schedule import Schedule


class Watched:
    """Two hosts of which one has a tool, and a clock that stands still."""

    def __init__(self) -> None:
        self.now, self.asked = 100.0, list[str]()
        network: Any = SimpleNamespace(clock=SimpleNamespace(monotonic=lambda: self.now), ask_gpus=self.asked.append)
        self.schedule = Schedule([Host("a"), Host("b")])
        self.watch = GpuWatch(network, self.schedule, lambda host, words: None)

    def add(self, name: str, number: int, **keys: Any) -> None:
        self.schedule.add(Job(JobSpec("x", name=name, **keys), number))

    def up(self, host: str, *, tool: str | None = "nvidia-smi") -> None:
        self.schedule.host_up(host, 2, None, None)
        self.watch.up(host, {"gpu_tool": tool})

    def launch(self) -> set[str]:
        found = set[str]()
        while (match := self.schedule.next(self.now)) is not None:
            found.add(match[0].name)
        return found


def one(name: str = "A100", by: str | None = None) -> GpuReport:
    return GpuReport((Gpu("G", "0", name, 1, 0, by=by),))


def test_a_host_whose_tool_fails_at_first_is_asked_again_soon_and_not_for_ever() -> None:
    made = Watched()
    made.add("fit", 1, gpus=1)
    made.up("a")
    made.up("b", tool=None)
    hopeless = list[Job]()
    while not hopeless and len(made.asked) < 9:
        made.watch.ask()
        made.watch.take({"a": GpuReport((), "nvidia-smi: it is busy")})
        hopeless = made.schedule.hopeless()
        made.now += 2.0
    assert made.asked == ["a"] * BELIEVED and [one.name for one in hopeless] == ["fit"]


def test_a_host_whose_tool_works_the_second_time_gets_its_job() -> None:
    made = Watched()
    made.add("fit", 1, gpus=1)
    made.up("a")
    made.watch.ask()
    made.watch.take({"a": GpuReport((), "nvidia-smi: it is busy")})
    assert made.launch() == set() and made.schedule.hopeless() == []
    made.now += 2.0
    made.watch.ask()
    made.watch.take({"a": one()})
    assert made.asked == ["a", "a"] and made.launch() == {"fit"}


def test_while_nobody_waits_for_gpus_nobody_is_asked_and_the_run_goes_on() -> None:
    made = Watched()
    made.add("fit", 1, gpus=1)
    made.up("a")
    made.watch.ask()
    made.watch.take({"a": one()})
    assert made.asked == ["a"] and made.launch() == {"fit"}
    for _ in range(5):
        made.now += 1.5
        made.watch.ask()
        within = made.watch.within()
        assert within is not None and 0 < within <= 2.0
    assert made.asked == ["a"]
