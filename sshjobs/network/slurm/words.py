"""What is said to Slurm's programs, and what they answer. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.inputs.hostranges import expand, split_list
from sshjobs.model.host import Host
from sshjobs.network.payload import bootstrap_code, remote_call
from sshjobs.network.slurm.programs import Answer, clean

_MODULE = "verbs.allocation"
#: States of a job of Slurm in which no process of it is left on any node. Not NODE_FAIL: a node that does not answer
#: slurmctld may well go on; and not COMPLETING.
ENDED = frozenset(("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "PREEMPTED",
                   "TIMEOUT"))
#: States of a node that answers. One that is down may do so, too, and then it is not said.
_ANSWERS = frozenset(("allocated", "allocated+", "completing", "draining", "drained", "idle", "mixed", "planned",
                      "reserved", "maint"))
#: Reasons for which a job waits for a person, not for its turn.
_HOPELESS = re.compile(r"Invalid(Account|QOS)|(Account|QOS)NotAllowed|BadConstraints|.*account not known.*"
                       r"|Partition(Config|TimeLimit|NodeLimit)|.*not allowed.*", re.IGNORECASE)
#: What programs say while slurmctld, or the way to it, is away. Whether it has heard what it was told is open then.
_AWAY = re.compile(r"unable to contact slurm controller|connect failure|timed out|zero bytes|connection (refused|reset)"
                   r"|temporarily unable|standby mode|temporarily unavailable|not connected|munge|communication"
                   r"|unexpected message|authentication credential|DNS SRV|unspecified error|backup controller",
                   re.IGNORECASE)
#: Keys that sbatch has under the same names.
_PASSED_ON = ("partition", "account", "qos", "constraint", "gres")
_LOOK = "%i|%T|%j|%L|%N|%r"
_LEFT = re.compile(r"(?:([0-9]+)-)?(?:(?:([0-9]+):)?([0-9]+):)?([0-9]+)")
#: Nodes and characters in a list of them that are believed.
_MOST_NODES, _LONGEST_LIST = 1_000, 1 << 14


class Seen(NamedTuple):
    """One job of Slurm as squeue tells it.

    :ivar left: seconds until its time is over; ``None``: no limit, or not begun
    :ivar reason: why it waits
    """

    job: str
    state: str
    name: str
    left: float | None
    nodes: list[str]
    reason: str

    @property
    def over(self) -> bool:
        """No process of it is left."""
        return self.state in ENDED

    @property
    def leaves(self) -> bool:
        """It is over or about to be."""
        return self.over or self.state in ("COMPLETING", "NODE_FAIL")

    @property
    def hopeless(self) -> bool:
        """It waits for a person."""
        return self.state == "PENDING" and _HOPELESS.fullmatch(self.reason) is not None


def job_name(uid: str, allocation: str) -> str:
    """Return how the job of an allocation is called, by which it is found whatever became of the answer of sbatch.

    :param uid: that of the run
    """
    return f"sshjobs-{uid[:16]}-{allocation}"


def submission(name: str, host: Host) -> list[str]:
    """Return the call of sbatch for the allocation of a host; the script is its standard input."""
    asked = dict(host.slurm)
    words = ["sbatch", "--parsable", f"--job-name={name}", "--comment=sshjobs",
             # Of two with one name, because an answer was lost, the second never starts beside the first.
             "--dependency=singleton",
             # Should Slurm end it, it is over, and not begun again with all that it knows gone.
             "--no-requeue", "--output=/dev/null", "--chdir=/", "--export=ALL", "--propagate=NONE",
             f"--nodes={asked['nodes']}", "--ntasks-per-node=1"]
    if host.slots is None:
        words += ["--exclusive", "--mem=0"]
    else:
        words += [f"--cpus-per-task={host.slots}"]
        words += [] if host.memory is None else [f"--mem={max(1, host.memory >> 20)}M"]
    if "time" in asked:
        minutes, seconds = divmod(int(asked["time"]), 60)
        words.append(f"--time={minutes}:{seconds:02}")
    return words + [f"--{key}={asked[key]}" for key in _PASSED_ON if key in asked]


@cache
def script() -> bytes:
    """Return the batch script: the same for every allocation. On each node a process waits for links."""
    _, flags, code, *words = remote_call(None, _MODULE, f"wait {bootstrap_code()}".encode("ascii"))
    start = f'"$SSHJOBS_PYTHON" {flags} "{code}" {" ".join(words)}'
    return (f'#!/bin/sh\n: "${{SSHJOBS_PYTHON:=python3}}"\nif [ "${{SLURM_JOB_NUM_NODES:-1}}" -gt 1 ]; then\n'
            f"exec srun --ntasks-per-node=1 --kill-on-bad-exit=0 --wait=0 --input=none --cpu-bind=none {start}\nfi\n"
            f"exec {start}\n").encode("ascii")


def link(job: str, node: str, python: str | None) -> list[str]:
    """Return the call of srun that brings a link to a node of an allocation."""
    # Unbuffered: otherwise bytes behind the last newline are held back.
    return ["srun", f"--jobid={job}", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={node}", "--unbuffered",
            "--quiet", "--cpu-bind=none", "--export=ALL", *remote_call(python, _MODULE, b"link")]


def look(names: Iterable[str]) -> list[str]:
    """Return the call of squeue that tells of all jobs with these names, also of those that ended a while ago."""
    return ["squeue", "--me", "--noheader", "--states=all", f"--name={','.join(names)}", f"--format={_LOOK}"]


def accounting(name: str, job: str | None) -> list[str]:
    """Return the call of sacct that tells how jobs with a name ended, where there is accounting; a line a job."""
    return ["sacct", "--noheader", "--allocations", "--parsable2", f"--name={name}", "--starttime=now-90days",
            "--format=State", *([] if job is None else [f"--jobs={job}"])]


def ended_by(answer: Answer) -> str | None:
    """Return how sacct says that all it knows of ended; ``None`` where it says nothing, or that not all of it has."""
    lines = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
    return lines[-1] if answer.status == 0 and lines and all(line in ENDED for line in lines) else None


def nodes(names: Iterable[str]) -> list[str]:
    """Return the call of sinfo that tells how nodes are."""
    return ["sinfo", "--noheader", "--Node", f"--nodes={','.join(names)}", "--format=%N|%T"]


def answering(answer: Answer) -> set[str]:
    """Return the nodes of which sinfo says that they answer slurmctld: it knows what runs there, and has ended what
    it does not know."""
    found = [line.strip().partition("|") for line in answer.out.splitlines()] if answer.status == 0 else []
    return {name for name, _, state in found if state in _ANSWERS}


def end(jobs: Sequence[str]) -> list[str]:
    """Return the call of scancel that ends jobs."""
    return ["scancel", *jobs]


def seen(answer: Answer) -> list[Seen] | None:
    """Return what squeue told; ``None`` where it told nothing that can be believed."""
    if answer.status != 0:
        return None
    found = []
    for line in answer.out.splitlines():
        parts = line.strip().split("|", 5)
        if len(parts) != 6 or not re.fullmatch(r"[0-9]{1,12}", parts[0]) or not re.fullmatch(r"[A-Z_]{1,40}", parts[1]):
            return None
        found.append(Seen(parts[0], parts[1], parts[2], _seconds(parts[3]), _nodes(parts[4]), clean(parts[5])[:100]))
    return found


def submitted(answer: Answer) -> str | None:
    """Return the id of the job that sbatch tells; ``None`` where it tells none."""
    match = re.fullmatch(r"([0-9]{1,12})(;[A-Za-z0-9_.-]+)?", answer.out.strip().rpartition("\n")[2].strip())
    return match[1] if answer.status == 0 and match else None


def refused(answer: Answer, *, by_ssh: bool) -> bool:
    """Tell whether sbatch has said that there will be no such job: not where its answer may have been lost."""
    if answer.status is None or answer.status <= 0 or (by_ssh and answer.status == 255):
        return False
    # There is no such program on the login node, or it says what is wrong.
    return answer.status in (126, 127) or ("error" in answer.err and _AWAY.search(answer.err[-4096:]) is None)


def _seconds(text: str) -> float | None:
    match = _LEFT.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _nodes(text: str) -> list[str]:
    """Return the nodes that Slurm writes as ``n[1-4,7],m1``; nothing where it writes none, or something else."""
    text = text.strip()
    if not text or len(text) > _LONGEST_LIST or not re.fullmatch(r"[A-Za-z0-9._,\[\]-]+", text):
        return []
    try:
        names = [name for _, item in split_list(text) for name in expand(item)]
    except UsageError:
        return []
    return names if len(names) <= _MOST_NODES and all(not name.startswith("-") for name in names) else []
