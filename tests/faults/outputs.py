"""Gigabytes of output while networks are cut and managers killed; disks that are full for a while."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import ledger
from tests.faults.scene import Scene
from tests.lab import CUTS, LabHost, disks, wait_until

MIB = 1 << 20
#: 1 MiB of all byte values that each big job is sent, and writes as often as it has to.
PIECE = ledger.BLOB * (MIB // len(ledger.BLOB))
PIECE_NAME = "piece.bin"


def big_jobs(directory: Path, total: int, count: int, largest: int, lines: int, seed: int) -> ledger.Jobs:
    """Return jobs that write ``total`` bytes of every value, the first of them ``largest``, and ``lines`` short ones."""
    (directory / PIECE_NAME).write_bytes(PIECE)
    rng, made = random.Random(seed), ledger.Jobs()
    each = (total - largest) // max(1, count - 1) // MIB
    for n in range(count):
        pieces = largest // MIB if n == 0 else max(1, each + rng.randint(-each // 2, each // 2))
        odd = rng.randrange(MIB)
        digest = hashlib.sha256()
        for _ in range(pieces):
            digest.update(PIECE)
        digest.update(PIECE[:odd])
        made.add(f"big-{n}", [f"for i in $(seq {pieces}); do cat {PIECE_NAME}; done", f"head -c {odd} {PIECE_NAME}",
                              "note end"], stdout=digest.hexdigest(), files=[PIECE_NAME], host_retries=20)
    for n in range(lines):
        made.add(f"line-{n}", [f"echo line {n}", "note end"], stdout=f"line {n}\n".encode(), host_retries=20)
    return made


def pour(scene: Scene, jobs: ledger.Jobs, cuts: int, kills: int) -> tuple[ledger.Findings, dict[str, float]]:
    """Carry jobs with much output to their ends; meanwhile cut hosts off and kill managers, at random moments.

    :return: what was found, and figures: the most MiB that a manager had resident, seconds, cuts, kills
    """
    began, resident, done = time.monotonic(), 0, Counter[str]()
    manager = scene.begin(jobs)
    wait_until(scene.is_there, 60, "the run to be made")
    todo = ["cut"] * cuts + ["kill"] * kills
    scene.rng.shuffle(todo)
    healing: dict[str, float] = {}
    while True:
        over = manager.ended(0.1)
        resident = max(resident, manager.resident())
        now = time.monotonic()
        for host in scene.lab.hosts:
            if now >= healing.get(host.name, float("inf")):
                host.heal()
                del healing[host.name]
        if over:
            break
        whole = [host for host in scene.lab.hosts if host.name not in healing]
        if not todo or scene.rng.random() > 0.12:
            continue
        if todo[-1] == "kill":
            manager.kill()
            manager = scene.resume()
        elif whole:
            host = scene.rng.choice(whole)
            host.cut(scene.rng.choice(CUTS))
            healing[host.name] = now + scene.rng.uniform(0.2, 6)
        else:
            continue
        done[todo.pop()] += 1
    for host in scene.lab.hosts:
        host.heal()
    scene.finish()
    return scene.check(), {"resident_mib": round(resident / MIB, 1), "seconds": round(time.monotonic() - began, 1),
                           "cuts": done["cut"], "kills": done["kill"]}


# -- full disks ------------------------------------------------------------------------------------------------------


def patient_jobs(count: int, seed: int, pace: float = 1.0) -> ledger.Jobs:
    """Return jobs that try again when their own output finds no room, and keep their ledger on another disk."""
    rng, made = random.Random(seed), ledger.Jobs()
    for n in range(count):
        made.add(f"patient-{n}", [f"until echo out of {n} 2> /dev/null; do sleep 0.1; done",
                                  f"sleep {rng.uniform(0.1, 0.6) * pace:.3f}", "note end"],
                 stdout=f"out of {n}\n".encode(), env={"LEDGER": "/tmp/ledger"}, strict=False)
    return made


def read_tmp(hosts: list[LabHost], run: str) -> list[ledger.Line]:
    """Return what jobs wrote into the ledgers that are not in their homes."""
    lines = []
    for host in hosts:
        path = host.path("/tmp/ledger")
        if path.exists():
            lines += ledger.parse(path.read_text(), run, host.name)
    return lines


def fill_homes(scene: Scene, times: int, *, jobs: int) -> tuple[ledger.Findings, int]:
    """Fill homes while jobs run there, each for some seconds; let the run end, and check it."""
    manager = scene.begin(patient_jobs(jobs, scene.seed, pace=4))
    wait_until(scene.is_there, 60, "the run to be made")
    done = 0
    while done < times and not manager.ended(scene.rng.uniform(0.5, 1.5)):
        host = scene.rng.choice(scene.lab.hosts)
        host.fill_disk()
        manager.ended(scene.rng.uniform(0.5, 3))
        host.free_disk()
        done += 1
    scene.finish()
    return ledger.check(scene.paths, scene.jobs, read_tmp(scene.lab.hosts, scene.name)), done


@contextmanager
def small_results(scene: Scene, size: str = "16m") -> Iterator[None]:
    """Have the scene's results on a small disk of their own."""
    scene.results.mkdir()
    with disks.small_disk(scene.results, size):
        yield


def fill_results(scene: Scene, times: int, *, jobs: int) -> tuple[ledger.Findings, int]:
    """Fill the disk that the run itself is on, each time for some seconds."""
    manager = scene.begin(ledger.mixed(jobs, scene.seed, pace=2, host_retries=3))
    wait_until(scene.is_there, 60, "the run to be made")
    filler, done = scene.results / "filler", 0
    while done < times and not manager.ended(scene.rng.uniform(0.3, 1)):
        disks.fill(filler)
        manager.ended(scene.rng.uniform(0.5, 4))
        filler.unlink()
        done += 1
    scene.finish()
    return scene.check(), done
