"""``make faults``: runs every campaign, adds its figures to ``record.jsonl``, and writes ``docs/reliability.md`` from all.

``python -m tests.faults.report --page`` writes the page from what is recorded. No row is ever taken out of the record.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults import scarce
from tests.mutation import report as mutants
from tests.sim import figures
from tests.trouble import report as errnos

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "reliability.md"
#: The figures of every campaign that was run at its full numbers, in the order in which they ended.
RECORD = HERE / "record.jsonl"
#: What is run, in this order; each is a command line of tests.faults.campaign.
PLAN = (
    "manager --kills 1000 --jobs 1000 --seed 11",
    "agents --kills 300 --jobs 1000 --pace 2 --seed 24",
    "cuts --kills 100 --jobs 5000 --pace 6 --seed 21",
    "late --hosts 1",
    "lines --kills 60 --jobs 2400 --pace 5 --seed 23",
    "launches",
    "reboots --kills 50 --jobs 2000 --pace 5 --seed 22",
    "chaos --kills 300 --jobs 1000 --pace 3 --seed 25",
    "cancels --kills 1000 --slots 12 --seed 31",
    "output --mib 2048 --jobs 10000 --seed 32",
    "homes --kills 40 --jobs 1000 --seed 33",
    "results --kills 40 --jobs 1000 --seed 34",
    "hostile --seconds 30 --hosts 1",
    "sharing --kills 20 --jobs 500 --hosts 2 --slots 4 --seed 41",
)
_WHAT = {
    "manager": "kill -9 of the manager",
    "agents": "kill -9 of agents and runners",
    "cuts": "networks cut in five ways",
    "late": "a connection held up, then many that break",
    "lines": "lines that stall or break after any byte",
    "launches": "lines cut after every byte of a launch",
    "reboots": "hosts that reboot",
    "chaos": "all of these at once",
    "cancels": "cancels of hostile trees",
    "output": "much output, with cuts and kills",
    "homes": "full homes on the hosts",
    "results": "full disk under the run itself",
    "hostile": "hosts that flood",
    "sharing": "two persons on the same hosts",
}
_FOUND = ("lost", "doubled", "unexpected", "wrong", "digests")


def _details(row: dict[str, Any]) -> str:
    """What a campaign did and measured, in words."""
    match row["campaign"]:
        case "manager":
            where = ", ".join(f"{count} {name}" for name, count in sorted(row["where"].items()))
            return f"{row['kills']} kills, {row['inside']:.0%} of them between intent and answer or end and commit ({where})"
        case "agents":
            return f"{row['kills']} kills: " + ", ".join(f"{count} × {name}" for name, count in sorted(row["what"].items()))
        case "cuts" | "lines" | "reboots":
            kinds = ", ".join(f"{count} × {name}" for name, count in sorted(row["what"].items()))
            truth, noticed = row["truth"], row["noticed"]
            return (f"{row['faults']}: {kinds}; truth back after {truth['median']} s (median), {truth['p99']} s (p99), "
                    f"{truth['longest']} s (longest); a host that is away was seen after {noticed['longest']} s at most; "
                    f"{_handshakes(row)}; manager {row['resident_mib']} MiB")
        case "chaos":
            return f"{row['faults']}: " + ", ".join(f"{count} × {name}" for name, count in sorted(row["what"].items()))
        case "late":
            return (f"the first reaches sshd 7 s after it was begun, each later one at once; {_handshakes(row)}")
        case "hostile":
            return (f"{row['floods']} floods: each type of frame again and again, a frame and a banner and standard error without end, "
                    f"output byte by byte; for {row['seconds']} s at least, while two other hosts end {row['jobs_each']} jobs; at most "
                    f"{row['memory']} MiB of memory and {row['lines']:.0f} lines because of the host, others {row['slower']} times as long, "
                    f"three Ctrl-C heard within {row['heard']} s")
        case "sharing":
            kinds = ", ".join(f"{count} × {name}" for name, count in sorted(row["what"].items()))
            most = row["most"]
            return (f"three runs of two persons, on hosts of 4 slots, 8 GiB, 2 licenses and 2 GPUs; {row['kills']} kills: {kinds}; at most "
                    f"{most['slots']} slots, {most['memory']} GiB, {most['licenses']} licenses and {most['gpus']} GPUs of a host were taken at a "
                    f"time, no GPU twice; no job waited for more than {row['wait']} s while what it needs was free; what no living job held was "
                    f"free after {row['held']} s at most; the second person's first job began after {max(row['first'])} s, "
                    f"the longest job took {row['longest_job']} s")
        case "launches":
            return f"each of the {row['bytes']} bytes of a launch: every launch started once"
        case "cancels":
            rounds = f", {row['rounds']:.0f} times over at least" if "rounds" in row else ""
            return (f"{row['cancels']} cancels of six kinds of trees, each looked for at once; whatever survives, and any harm to "
                    f"a bystander, counts as wrong; with so few pids that the kernel used each again and again{rounds}")
        case "output":
            return (f"{row['mib']} MiB in {row['jobs']} jobs, one of them {row['mib'] // 4} MiB; {row['cuts']} cuts, "
                    f"{row['kills']} kills of the manager; manager {row['resident_mib']} MiB at most; {row['seconds']} s")
        case _:
            return f"{row['filled']} times full for some seconds"


def _handshakes(row: dict[str, Any]) -> str:
    """How often an sshd was asked, and how that was counted."""
    how = "" if "counted" in row else " (as sshd told their ends)"
    text = f"at most {row['handshakes']} handshakes a minute and host from one manager{how}"
    more = row.get("handshakes_of_all", 0)
    return f"{text}, {more} where one run followed another" if more > row["handshakes"] else text


def _repeated(row: dict[str, Any]) -> str:
    """How many attempts followed one that had started, and what is recorded of that."""
    reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(row.get("because", {}).items()))
    return f"{row['repeated']}" + (f" ({reasons})" if reasons else "")


def page(rows: Sequence[dict[str, Any]]) -> str:
    """Return the page: what was run, what came of it, and the table of faults."""
    lines = [(HERE / "page.md").read_text().replace("MACHINE", machine())]
    lines.append("| campaign | what was done | jobs | starts | run again | lost | doubled | unexpected | wrong | digests "
                 "| seed | commit |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: list(_WHAT).index(row["campaign"])):
        found = " | ".join(str(row[key]) for key in _FOUND)
        lines.append(f"| {_WHAT[row['campaign']]} | {_details(row)} | {row['jobs'] or '–'} | {row['starts'] or '–'} | "
                     f"{_repeated(row)} | {found} | {row['seed']} | {row['commit']}, {row['day']} |")
    lines += ["", figures.section(), errnos.section(), scarce.section(), mutants.section()]
    lines.append("## The matrix of faults\n")
    lines.append((HERE / "matrix.md").read_text())
    return "\n".join(lines)


def machine() -> str:
    """What this machine is, in a few words."""
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // 2**20
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.partition(",")[0]
    return (f"{len(os.sched_getaffinity(0))} cores, {memory} GiB, Linux {platform.release().partition('-')[0]}, "
            f"Python {platform.python_version()}, {ssh}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.report", description=__doc__)
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from what is recorded")
    failed = False
    for line in () if parser.parse_args().page else PLAN:
        print(line, flush=True)
        failed |= subprocess.run([sys.executable, "-m", "tests.faults.campaign", *line.split(), "--record", RECORD],
                                 cwd=ROOT, check=False).returncode != 0
    rows = [json.loads(line) for line in RECORD.read_text().splitlines()]
    PAGE.write_text(page(rows))
    print(f"{PAGE} is written")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
