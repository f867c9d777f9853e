"""``python -m tests.faults.campaign manager --kills 1000 --seed 1``: one campaign, its figures as JSON in the end."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import cuts, kills
from tests.faults.ledger import Findings
from tests.faults.scene import Scene
from tests.lab import Lab

Result = tuple[Findings, dict[str, Any]]


def manager(scene: Scene, options: argparse.Namespace) -> Result:
    found, where = kills.manager_kills(scene, options.kills, jobs=options.jobs, pace=options.pace)
    return found, {"kills": sum(where.values()), "where": dict(where), "inside": round(kills.inside(where), 3)}


def agents(scene: Scene, options: argparse.Namespace) -> Result:
    found, what = kills.far_kills(scene, options.kills, jobs=options.jobs, pace=options.pace)
    return found, {"kills": sum(what.values()), "what": dict(what)}


def _measured(found: Findings, measured: cuts.Measured) -> Result:
    return found, {
        "faults": sum(measured.what.values()), "what": dict(measured.what), "handshakes": measured.handshakes,
        "truth": {"median": cuts.share(measured.truth, 0.5), "p99": cuts.share(measured.truth, 0.99),
                  "longest": cuts.share(measured.truth, 1)},
        "noticed": {"median": cuts.share(measured.noticed, 0.5), "longest": cuts.share(measured.noticed, 1)},
        "resident_mib": round(measured.resident / 2**20, 1)}


def network(scene: Scene, options: argparse.Namespace) -> Result:
    return _measured(*cuts.cut_networks(scene, options.kills, jobs=options.jobs, pace=options.pace))


def lines(scene: Scene, options: argparse.Namespace) -> Result:
    return _measured(*cuts.break_lines(scene, options.kills, jobs=options.jobs, pace=options.pace))


def reboots(scene: Scene, options: argparse.Namespace) -> Result:
    return _measured(*cuts.reboot_hosts(scene, options.kills, jobs=options.jobs, pace=options.pace))


CAMPAIGNS: dict[str, Callable[[Scene, argparse.Namespace], Result]] = {
    "manager": manager, "agents": agents, "cuts": network, "lines": lines, "reboots": reboots}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--kills", type=int, default=100, help="or cuts, or reboots")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1000, help="in each run")
    parser.add_argument("--pace", type=float, default=1.0, help="factor on how long jobs take")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--keep", action="store_true", help="leave the run's directory there")
    options = parser.parse_args()
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="sshjobs-faults-"))
    with Lab(options.hosts) as lab:
        found, figures = CAMPAIGNS[options.campaign](Scene(lab, directory, options.seed, slots=options.slots), options)
    figures.update(campaign=options.campaign, seed=options.seed, jobs=found.jobs, starts=found.starts,
                   repeated=found.repeated, minutes=round((time.monotonic() - began) / 60, 2),
                   **{key: len(getattr(found, key)) for key in ("lost", "doubled", "unexpected", "wrong", "digests")})
    for line in found.bad[:50]:
        print(line)
    print(json.dumps(figures))
    if found.bad or options.keep:
        print(f"the run is in {directory}")
    else:
        import shutil

        shutil.rmtree(directory)
    return 1 if found.bad else 0


if __name__ == "__main__":
    sys.exit(main())
