"""The GPUs of a host, who is on them, and its driver's tool, which tells of that, late or never."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

from tests.sim.host.streams import Open

if TYPE_CHECKING:
    from tests.sim.host.machine import Machine
    from tests.sim.host.process import Process

#: How long the tool takes; more than five seconds is as good as for ever.
ANSWERS_AFTER = (0.01, 0.01, 0.01, 0.4, 2.5, 7.0)
#: Of how many questions it answers one with an error.
FAILS = 0.03


class Cards:
    """Belongs to a machine.

    :param number: how many there are
    :param rng: draws how the tool answers, and when other people come
    :ivar healthy: nobody else comes, and the tool tells the truth
    :ivar answers_after: seconds that it takes, one as often as the other
    """

    def __init__(self, machine: Machine, number: int, rng: random.Random):
        self._machine, self._rng = machine, rng
        self.uuids = [f"GPU-{machine.name}-{index}" for index in range(number)]
        self.healthy = False
        self.answers_after: tuple[float, ...] = ANSWERS_AFTER
        #: By UUID: another person's process on it, and since when it has been there.
        self.strangers: dict[str, tuple[Process, float]] = {}
        for path in ("/bin/sh", "/bin/nvidia-smi"):
            machine.make_file(path, 0o755)
        machine.disk.settle()

    def users(self, uuid: str) -> list[Process]:
        """Return the living processes of jobs on one of them."""
        return [process for process in self._machine.processes.values()
                if process.alive and process.kind in ("main", "stray") and uuid in gpus_of(process)]

    # -- other people ------------------------------------------------------------------------------------------------

    def be_visited(self, until: float) -> None:
        """Have others use them now and then, each for a while, as long as the tool has troubles."""
        def come() -> None:
            if self.healthy:
                return
            uuid = self._rng.choice(self.uuids)
            if uuid not in self.strangers and not self.users(uuid):
                stranger = self._machine.spawn("bystander")
                self.strangers[uuid] = stranger, self._machine.world.now
                self._machine.world.say(f"{self._machine.name}: somebody else uses {uuid}")
                self._machine.world.at(self._rng.uniform(1.0, 40.0), lambda: self._leave(uuid, stranger))
            self._machine.world.at(self._rng.uniform(1.0, 60.0), come)
        if self.uuids:
            self._machine.world.at(self._rng.uniform(0.0, until), come)

    def _leave(self, uuid: str, stranger: Process) -> None:
        if self.strangers.get(uuid, (None, 0.0))[0] is stranger:
            del self.strangers[uuid]
        self._machine.end(stranger, 0)

    def heal(self) -> None:
        """Nobody else uses them any more, and the tool does what it should."""
        self.healthy, self.answers_after = True, (0.01,)
        for uuid, (stranger, _) in list(self.strangers.items()):
            self._leave(uuid, stranger)

    # -- the tool ----------------------------------------------------------------------------------------------------

    def ask(self, asked_by: Process, files: list[Open]) -> Process:
        """Start the tool."""
        tool = self._machine.spawn("tool", asked_by)
        tool.session = tool.pid
        for file in files:
            tool.add(file)
        self._machine.world.at(self._rng.choice(self.answers_after), lambda: self._answer(tool))
        return tool

    def _answer(self, tool: Process) -> None:
        if not tool.alive:
            return
        with contextlib.suppress(OSError):
            tool.files[1].write(self._text().encode())
        self._machine.end(tool, 0)

    def _text(self) -> str:
        if not self.healthy and self._rng.random() < FAILS:
            return "@@ gpus\nUnable to determine the device handle: unknown error\n@@ end 255\n"
        by = {uuid: [process.pid for process in self.users(uuid)] for uuid in self.uuids}
        for uuid, (stranger, _) in self.strangers.items():
            if stranger.alive:
                by[uuid].append(stranger.pid)
        rows = "".join(f"{index}, {uuid}, NVIDIA H100, 81559, {100 * len(by[uuid])}, Disabled\n" for index, uuid in enumerate(self.uuids))
        apps = "".join(f"{uuid}, {pid}\n" for uuid in self.uuids for pid in by[uuid])
        return f"@@ gpus\n{rows}@@ end 0\n@@ apps\n{apps}@@ end 0\n"


def gpus_of(process: Process) -> list[str]:
    """Return the UUIDs of the GPUs that a process was given."""
    return [uuid for uuid in process.environ.get(b"SSHJOBS_GPUS", b"").decode().split(",") if uuid]
