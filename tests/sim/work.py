"""What the jobs of a play do, and what they are given to read."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

from sshjobs.model.spec import JobSpec
from sshjobs.simulation import Program
from tests.sim.host.disk import File
from tests.sim.host.machine import Machine
from tests.sim.host.process import Process

#: What jobs may be given to read. The largest is kept on hosts for later runs.
INPUTS = {"small": b"a small input\n", "medium": random.Random(1).randbytes(5_000),
          "large": random.Random(2).randbytes(300_000)}


GIB = 1 << 30


class Work:
    """See the module: a function of the seed.

    :param rng: draws what jobs are like
    :param needs: jobs need more than a slot
    :param gpus: some need GPUs
    :ivar healthy: jobs succeed unless something keeps them from it: what fails there is a host
    :ivar inputs: jobs have inputs
    :ivar specs: what was asked for, by the name of a job
    """

    def __init__(self, seed: int | str, rng: random.Random, *, needs: bool = False, gpus: bool = False):
        self._seed, self._rng, self._needs, self._gpus = seed, rng, needs, gpus
        self.healthy, self.inputs = rng.random() < 0.3, rng.random() < 0.3
        self.specs: dict[str, JobSpec] = {}

    def lay_out(self, directory: str, machines: list[Machine]) -> None:
        """Put inputs where jobs take them from; some hosts have had them before."""
        for name, data in INPUTS.items() if self.inputs else ():
            Path(directory, name).write_bytes(data)
        for machine in machines if self.inputs else ():
            self._have_been_used(machine)

    def _have_been_used(self, machine: Machine) -> None:
        """Have an earlier run have left an input on a host, which somebody may have changed since."""
        data = INPUTS["large"]
        found = self._rng.choice((None, data, data[:-1] + b"?", data[:100], b""))
        if found is not None:
            machine.keep_input(hashlib.sha256(data).hexdigest(), found)

    def spec(self, directory: str) -> JobSpec:
        """Return one more thing to run."""
        rng, name = self._rng, f"j{len(self.specs) + 1}"
        files = rng.sample(list(INPUTS), rng.randint(1, 2)) if self.inputs and rng.random() < 0.4 else []
        spec = JobSpec(argv=["x"], files=files, base_dir=directory, name=name,
                       retries=rng.choice((0, 0, 1, 2)), once=rng.random() < 0.1,
                       timeout=2.0 if rng.random() < 0.1 else None)
        self._say_about_ends(spec, random.Random(f"{self._seed} ends {name}"))
        if self._needs:
            self._say_needs(spec, random.Random(f"{self._seed} needs {name}"))
        if self._gpus:
            spec.gpus = random.Random(f"{self._seed} gpus {name}").choice((None, None, {"count": 1}, {"count": 1}, {"count": 2}))
        self.specs[name] = spec
        return spec

    @staticmethod
    def _say_needs(spec: JobSpec, rng: random.Random) -> None:
        """Have two thirds of the jobs need more than a slot; some of them what no host has."""
        spec.cpus = rng.choice((None, None, 1, 2, 2, 3))
        spec.memory = rng.choice((None, None, GIB, 2 * GIB, 3 * GIB, 5 * GIB if rng.random() < 0.2 else None))
        spec.needs = {"license": 1} if rng.random() < 0.2 else {}

    @staticmethod
    def _say_about_ends(spec: JobSpec, rng: random.Random) -> None:
        """Have a third of the jobs say more of their ends. With draws of its own, so that older seeds play as before."""
        if rng.random() > 0.35:
            return
        spec.ok_exit = rng.choice((None, [0, 3], [0, 1, 255], [3]))
        spec.retry_delay, spec.retry_on = rng.choice((None, 0.5, 5.0)), rng.choice(("any", "elsewhere"))
        words = rng.sample(["failed", "signalled", "timed_out"], rng.randint(1, 3))
        spec.retries = {word: {"times": rng.choice((0, 1, 1, 3)), "timeout": rng.choice((1.0, 2.0))} for word in words}

    def program_of(self, launch: dict[str, Any]) -> Program:
        """Return what an attempt does: every attempt something of its own."""
        rng = random.Random(f"{self._seed} {launch['id']}")
        kind = rng.random()
        seconds = (rng.uniform(0.001, 0.05) if kind < 0.5 else rng.uniform(0.1, 3.0) if kind < 0.85
                   else rng.uniform(5.0, 30.0) if kind < 0.99 else rng.uniform(300.0, 500.0))
        status: int | None = rng.choice((0, 0, 0, 0, 0, 0, 0, 1, 3, 255))
        signal = rng.choice((9, 11, 15)) if rng.random() < 0.07 else None
        size = rng.choice((0, 10, 300, 3000, 3000, 100_000 if rng.random() < 0.1 else 1000))
        if rng.random() < 0.01:
            # More than one piece of it on the link.
            size = 600_000
        if self.healthy:
            status, signal = 0, None
        return Program(seconds, None if signal else status, signal, rng.randbytes(size), rng.randbytes(size // 7),
                       rng.randint(1, 4), rng.random() < 0.15, rng.random() < 0.1, rng.random() < 0.3)

    @staticmethod
    def lacks(process: Process, spec: JobSpec) -> str | None:
        """Return which of its inputs is not where a job starts, or is another; ``None`` where all are there."""
        for name in map(str, spec.files):
            node = process.cwd.entries.get(name)
            if not isinstance(node, File) or bytes(node.data) != INPUTS[name]:
                return name
        return None
