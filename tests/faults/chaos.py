"""Everything at once: managers, agents and runners that are killed, hosts that are cut off and that reboot."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable

from tests.faults import kills, ledger
from tests.faults.scene import Manager, Scene
from tests.lab import CUTS, LabHost, NamespaceHost, wait_until

#: Mean seconds between two faults.
INTERVAL = 0.7
#: What is done how often.
SHARES = {"manager": 0.2, "far side": 0.45, "cut": 0.2, "reboot": 0.15}


class _Hosts:
    """What is being done to each host, and when it is to be undone."""

    def __init__(self, scene: Scene):
        self._scene = scene
        self._due: dict[str, tuple[float, Callable[[], None]]] = {}

    def whole(self) -> list[LabHost]:
        return [host for host in self._scene.lab.hosts if host.name not in self._due]

    def cut(self, host: LabHost) -> str:
        kind = self._scene.rng.choice(CUTS)
        host.cut(kind)
        self._due[host.name] = time.monotonic() + self._scene.rng.choice((1.0, 4.0, 15.0)), host.heal
        return kind

    def reboot(self, host: LabHost) -> str:
        assert isinstance(host, NamespaceHost)
        again = self._scene.rng.random() < 0.2
        host.power_off()
        self._due[host.name] = (time.monotonic() + self._scene.rng.choice((0.0, 3.0, 12.0)),
                                lambda: host.power_on(keep_boot_id=again))
        return "container restart" if again else "reboot"

    def mend(self, *, everything: bool = False) -> None:
        for name, (at, act) in list(self._due.items()):
            if everything or time.monotonic() >= at:
                act()
                del self._due[name]


def unleash(scene: Scene, faults: int, *, jobs: int, pace: float) -> tuple[ledger.Findings, Counter[str]]:
    """Do so many things of all kinds, in as many runs as it takes; let every run end, and check it.

    :return: what was found, and how often what was done
    """
    found, what, hosts = ledger.Findings(), Counter[str](), _Hosts(scene)
    while what.total() < faults and not found.bad:
        manager = scene.begin(ledger.mixed(jobs, scene.rng.randrange(1 << 30), pace=pace))
        wait_until(scene.is_there, 60, "the run to be made")
        while what.total() < faults:
            if manager.ended(scene.rng.expovariate(1 / INTERVAL)):
                if manager.code != -signal.SIGKILL:
                    break
                what["manager"] += 1
                manager = scene.resume()
            hosts.mend()
            found.doubled += scene.twice()
            manager = _strike(scene, manager, hosts, what)
        hosts.mend(everything=True)
        scene.finish()
        found.add(scene.check())
    return found, what


def _strike(scene: Scene, manager: Manager, hosts: _Hosts, what: Counter[str]) -> Manager:
    """Do one thing; returns the manager of the run from then on."""
    whole = hosts.whole()
    kind = scene.rng.choices(list(SHARES), list(SHARES.values()))[0]
    if kind == "manager":
        manager.kill()
        if manager.code == -signal.SIGKILL:
            what["manager"] += 1
            return scene.resume(kills.armed(scene.rng))
    elif whole:
        host = scene.rng.choice(whole)
        if kind == "far side":
            done = kills.kill_something(host, scene.rng)
        else:
            done = hosts.cut(host) if kind == "cut" else hosts.reboot(host)
        if done:
            what[done] += 1
    return manager
