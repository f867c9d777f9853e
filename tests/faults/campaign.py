"""``python -m tests.faults.campaign manager --kills 1000 --seed 1``: one campaign, its figures as JSON in the end."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import cancels as cancelling
from tests.faults import chaos, cuts, frames, kills, late, outputs, shares
from tests.faults.ledger import Findings
from tests.faults.scene import Scene
from tests.hostile import campaign as floods
from tests.lab import HostOptions, Lab

Result = tuple[Findings, dict[str, Any]]


def manager(scene: Scene, options: argparse.Namespace) -> Result:
    found, where = kills.manager_kills(scene, options.kills, jobs=options.jobs, pace=options.pace)
    return found, {"kills": sum(where.values()), "where": dict(where), "inside": round(kills.inside(where), 3)}


def agents(scene: Scene, options: argparse.Namespace) -> Result:
    found, what = kills.far_kills(scene, options.kills, jobs=options.jobs, pace=options.pace)
    return found, {"kills": sum(what.values()), "what": dict(what)}


def _measured(found: Findings, measured: cuts.Measured) -> Result:
    return found, {
        "faults": sum(measured.what.values()), "what": dict(measured.what), "handshakes": measured.handshakes, "counted": "when met",
        "handshakes_of_all": measured.handshakes_of_all,
        "truth": {"median": cuts.share(measured.truth, 0.5), "p99": cuts.share(measured.truth, 0.99),
                  "longest": cuts.share(measured.truth, 1)},
        "noticed": {"median": cuts.share(measured.noticed, 0.5), "longest": cuts.share(measured.noticed, 1)},
        "resident_mib": round(measured.resident / 2**20, 1)}


def network(scene: Scene, options: argparse.Namespace) -> Result:
    return _measured(*cuts.cut_networks(scene, options.kills, jobs=options.jobs, pace=options.pace))


def connections(scene: Scene, options: argparse.Namespace) -> Result:
    found, most = late.flap(scene)
    return found, {"handshakes": most, "counted": "when met"}


def lines(scene: Scene, options: argparse.Namespace) -> Result:
    return _measured(*cuts.break_lines(scene, options.kills, jobs=options.jobs, pace=options.pace))


def reboots(scene: Scene, options: argparse.Namespace) -> Result:
    return _measured(*cuts.reboot_hosts(scene, options.kills, jobs=options.jobs, pace=options.pace))


def everything(scene: Scene, options: argparse.Namespace) -> Result:
    found, what = chaos.unleash(scene, options.kills, jobs=options.jobs, pace=options.pace)
    return found, {"faults": what.total(), "what": dict(what)}


def cancels(scene: Scene, options: argparse.Namespace) -> Result:
    found, done, rounds = cancelling.cancel_trees(scene, options.kills, batch=len(scene.lab.hosts) * scene.slots)
    return found, {"cancels": done, "rounds": rounds}


def output(scene: Scene, options: argparse.Namespace) -> Result:
    jobs = outputs.big_jobs(scene.directory, options.mib << 20, 300, options.mib << 18, options.jobs, scene.seed)
    found, figures = outputs.pour(scene, jobs, 30, 10)
    return found, {"mib": options.mib, **figures}


def homes(scene: Scene, options: argparse.Namespace) -> Result:
    found, done = outputs.fill_homes(scene, options.kills, jobs=options.jobs)
    return found, {"filled": done}


def results(scene: Scene, options: argparse.Namespace) -> Result:
    with outputs.small_results(scene, "96m"):
        found, done = outputs.fill_results(scene, options.kills, jobs=options.jobs)
    return found, {"filled": done}


def launches(scene: Scene, options: argparse.Namespace) -> Result:
    os.environ["HOME"] = str(scene.directory)
    wrong, size = frames.break_launches(scene.directory, range(frames.LONGEST))
    return Findings(wrong=wrong), {"bytes": size}


def sharing(scene: Scene, options: argparse.Namespace) -> Result:
    found, seen = shares.share_hosts(scene, options.kills, jobs=options.jobs, pace=options.pace)
    return found, {"kills": sum(seen.what.values()), "what": dict(seen.what), "wait": seen.longest_wait, "held": seen.longest_held,
                   "first": seen.first, "longest_job": seen.longest_job, "most": seen.most._asdict(), "away": seen.away}


def hostile(scene: Scene, options: argparse.Namespace) -> Result:
    wrong, figures = floods.play(scene.directory, options.seconds)
    return Findings(wrong=wrong), figures


CAMPAIGNS: dict[str, Callable[[Scene, argparse.Namespace], Result]] = {
    "manager": manager, "agents": agents, "cuts": network, "late": connections, "lines": lines, "reboots": reboots, "chaos": everything, "cancels": cancels,
    "output": output, "homes": homes, "results": results, "launches": launches,
    "hostile": hostile, "sharing": sharing}
#: How hosts are made; else so that their handshakes can be counted.
OPTIONS = {"homes": HostOptions(home_size="32M"), "sharing": shares.OPTIONS}


def commit() -> str:
    """The commit that this is; of a copy without its history, the one that its file ``.commit`` names."""
    here = Path(__file__).parents[2]
    noted = here / ".commit"
    if noted.exists():
        return noted.read_text().strip()[:12]
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return told.stdout.strip()[:12]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--kills", type=int, default=100, help="or cuts, reboots, cancels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1000, help="in each run")
    parser.add_argument("--seconds", type=float, default=30.0, help="that each flood lasts at least")
    parser.add_argument("--mib", type=int, default=2048, help="of output in all")
    parser.add_argument("--pace", type=float, default=1.0, help="factor on how long jobs take")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--record", type=Path, metavar="FILE", help="append the figures to it")
    parser.add_argument("--keep", action="store_true", help="leave the run's directory there")
    options = parser.parse_args()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="sshjobs-faults-"))
    with Lab(options.hosts, options=OPTIONS.get(options.campaign, cuts.TALKATIVE)) as lab:
        found, figures = CAMPAIGNS[options.campaign](Scene(lab, directory, options.seed, slots=options.slots), options)
    figures.update(campaign=options.campaign, seed=options.seed, commit=commit(), day=time.strftime("%Y-%m-%d"), jobs=found.jobs, starts=found.starts,
                   repeated=found.repeated, because=dict(found.because), minutes=round((time.monotonic() - began) / 60, 2),
                   **{key: len(getattr(found, key)) for key in ("lost", "doubled", "unexpected", "wrong", "digests")})
    for line in found.bad[:50]:
        print(line)
    print(json.dumps(figures))
    if options.record is not None:
        with open(options.record, "a") as file:
            file.write(json.dumps(figures) + "\n")
    if found.bad or options.keep:
        print(f"the run is in {directory}")
    else:
        import shutil

        shutil.rmtree(directory)
    return 1 if found.bad else 0


if __name__ == "__main__":
    sys.exit(main())
