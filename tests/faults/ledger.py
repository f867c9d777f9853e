"""The truth about jobs, written by themselves, and the checker that holds a run against it.

Each job appends a line of its own to a file on its host when it starts and when it ends: one write, then synced.
sshjobs never touches that file. The checker counts as Jepsen's total-queue does: lost, doubled, unexpected, and what is
told wrong.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.model.causes import Cause
from sshjobs.store import RunReader
from sshjobs.store.document import status
from sshjobs.store.rows import AttemptRow
from sshjobs.store.rundir import RunPaths
from tests.lab import LabHost

LEDGER = "ledger"
#: The head of every job: ``note start`` and ``note end``. The environment names another file where the home is full.
NOTE = (
    'note() { local boot; read -r boot < /proc/sys/kernel/random/boot_id; '
    "printf '%s %s %s %s %s %s %s\\n' \"$1\" \"$SSHJOBS_RUN\" \"$SSHJOBS_JOB\" \"$SSHJOBS_ATTEMPT\" \"$SSHJOBS_TOKEN\" "
    '"$EPOCHREALTIME" "$boot" >> "${LEDGER:=$HOME/ledger}"; sync -d "$LEDGER"; }'
)
#: All byte values, in an order that repeats late.
BLOB = b"".join(bytes((n * k) & 0xFF for n in range(256)) for k in range(1, 256, 2)) * 2
BLOB_NAME = "blob.bin"


class Line(NamedTuple):
    """One line of a ledger. ``at`` is in seconds since the epoch by the host's clock."""

    what: str
    run: str
    job: str
    attempt: int
    token: str
    at: float
    boot: str
    host: str


@dataclass(frozen=True)
class Expected:
    """How a job must end, and the digests of what it must have written."""

    outcome: str
    exit_status: int | None
    signal: int | None
    stdout: str
    stderr: str


@dataclass
class Jobs:
    """A jobfile and what must come of it."""

    jobs: list[dict[str, Any]] = field(default_factory=list)
    expected: dict[str, Expected] = field(default_factory=dict)

    def add(self, name: str, commands: list[str], *, outcome: str = "succeeded", exit_status: int | None = 0,
            signal: int | None = None, stdout: bytes | str = b"", stderr: bytes = b"", **keys: Any) -> None:
        """Add a job. Its commands come after the start was noted, and note the end themselves.

        :param stdout: what it writes, or the digest of that
        """
        self.jobs.append({"name": name, "commands": [NOTE, "note start", *commands], **keys})
        self.expected[name] = Expected(
            outcome, exit_status, signal, stdout if isinstance(stdout, str) else sha(stdout), sha(stderr))

    def write(self, directory: Path) -> Path:
        """Write the jobfile and the file that its jobs are sent."""
        (directory / BLOB_NAME).write_bytes(BLOB)
        path = directory / "jobs.yaml"
        path.write_text(json.dumps({"jobs": self.jobs}))
        return path


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def mixed(count: int, seed: int, *, pace: float = 1.0, host_retries: int = 20) -> Jobs:
    """Return jobs of every kind: 60 % short, 20 % longer with binary output, 10 % trees, 10 % that fail.

    :param pace: factor on how long they take
    """
    rng, made = random.Random(seed), Jobs()
    for n in range(count):
        chosen = rng.random()
        text = f"out of {n}\n".encode()
        words: dict[str, Any] = {"stdout": text, "stderr": f"err of {n}\n".encode(), "host_retries": host_retries}
        said = [f"echo out of {n}", f"echo err of {n} >&2"]
        if chosen < 0.6:
            made.add(f"short-{n}", [f"sleep {rng.uniform(0, 0.5) * pace:.3f}", *said, "note end"], **words)
        elif chosen < 0.8:
            words["stdout"] = text + BLOB * 4
            commands = [*said, f"cat {BLOB_NAME}", f"sleep {rng.uniform(0.5, 2) * pace:.3f}", f"cat {BLOB_NAME}",
                        f"cat {BLOB_NAME} {BLOB_NAME}", "note end"]
            made.add(f"binary-{n}", commands, files=[BLOB_NAME], **words)
        elif chosen < 0.9:
            left = ["(setsid sleep 300 &)", "sleep 301 &"]
            made.add(f"tree-{n}", [*said, *left, f"sleep {rng.uniform(0, 1) * pace:.3f}", "note end"], **words)
        else:
            _add_failing(made, n, rng, [*said, f"sleep {rng.uniform(0, 0.5) * pace:.3f}", "note end"], words)
    return made


def _add_failing(made: Jobs, n: int, rng: random.Random, commands: list[str], words: dict[str, Any]) -> None:
    status, number = rng.choice([(3, None), (255, None), (None, 9), (None, 15)])
    if status is not None:
        made.add(f"fails-{n}", [*commands, f"exit {status}"], outcome="failed", exit_status=status, **words)
    else:
        made.add(f"dies-{n}", [*commands, f"kill -{number} $$", "sleep 300"], outcome="signalled", exit_status=None,
                 signal=number, **words)


def read(hosts: Iterable[LabHost], run: str, name: str = LEDGER, user: str | None = None) -> list[Line]:
    """Return what jobs of a run have written on all hosts.

    :param user: whose account they use there; None: that of the lab
    """
    lines = []
    for host in hosts:
        path = host.home_of(user or host.user) / name
        if not path.exists():
            continue
        lines += parse(path.read_text(), run, host.name)
    return lines


def parse(text: str, run: str, host: str) -> list[Line]:
    """Return the lines of a run in a ledger."""
    lines = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) == 7 and words[1] == run:
            lines.append(Line(words[0], run, words[2], int(words[3]), words[4], float(words[5]), words[6], host))
    return lines


@dataclass
class Findings:
    """What the checker found in one run. All lists must be empty; ``repeated`` counts attempts that were started again
    because the one before was recorded as lost or as failed by its host's fault, which is allowed; ``because`` counts
    them by the reason that is recorded."""

    jobs: int = 0
    starts: int = 0
    repeated: int = 0
    because: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[str]:
        """Every finding in words."""
        return [f"{kind}: {text}" for kind in ("lost", "doubled", "unexpected", "wrong", "digests")
                for text in getattr(self, kind)]

    def add(self, other: Findings) -> None:
        """Take in those of another run."""
        for key, value in vars(other).items():
            setattr(self, key, getattr(self, key) + value)


def check(paths: RunPaths, jobs: Jobs, lines: Iterable[Line]) -> Findings:
    """Hold a run that is over against the ledgers of its jobs."""
    with RunReader.open(paths) as reader:
        document = status(reader)
        rows = {(job.name, attempt.n): attempt for job, attempts in reader.jobs_with_attempts() for attempt in attempts}
        found = Findings(jobs=len(jobs.expected), wrong=[f"store: {text}" for text in reader.contradictions()])
    starts: dict[str, dict[int, list[Line]]] = defaultdict(lambda: defaultdict(list))
    ends: dict[str, dict[int, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        row = rows.get((line.job, line.attempt))
        if row is None or row.token != line.token:
            found.unexpected.append(f"{line.job}: attempt {line.attempt} ran on {line.host} with an unknown token")
        if line.what in ("start", "end"):
            (starts if line.what == "start" else ends)[line.job][line.attempt].append(line)
        found.starts += line.what == "start"
    told = {job["name"]: job for job in document["jobs"]}
    found.lost += [f"{name}: not in the store" for name in jobs.expected.keys() - told.keys()]
    found.unexpected += [f"{name}: nobody's job" for name in told.keys() - jobs.expected.keys()]
    for name in jobs.expected.keys() & told.keys():
        excused = {attempt["n"]: _excuse(rows[name, attempt["n"]]) for attempt in told[name]["attempts"]}
        _check_attempts(told[name], starts[name], ends[name], excused, found)
        _check_end(paths, told[name], jobs.expected[name], ends[name], found)
    return found


def _excuse(row: AttemptRow) -> str | None:
    """Why a job may run again after this attempt: it is recorded as lost, or as failed by its host's fault."""
    if row.cause == Cause.HOSTS_FAULT:
        return "the host's fault"
    return (row.reason or "lost") if row.outcome == "lost" else None


def _check_attempts(job: dict[str, Any], starts: dict[int, list[Line]], ends: dict[int, list[Line]],
                    excused: dict[int, str | None], found: Findings) -> None:
    name, attempts = job["name"], {attempt["n"]: attempt for attempt in job["attempts"]}
    for n, lines in starts.items():
        if len(lines) > 1:
            found.doubled.append(f"{name}: attempt {n} started {len(lines)} times on {[line.host for line in lines]}")
    started = sorted(starts)
    for n, later in zip(started, started[1:], strict=False):
        excuse = excused.get(n)
        if excuse is None:
            found.doubled.append(f"{name}: attempt {later} started after attempt {n} had {attempts.get(n)}")
        elif n in ends and ends[n][0].at > starts[later][0].at:
            found.doubled.append(f"{name}: attempts {n} and {later} ran at the same time")
        else:
            found.repeated += 1
            found.because[excuse] += 1
    for n, attempt in attempts.items():
        ran = n in starts
        if attempt["state"] not in ("done", "error"):
            found.wrong.append(f"{name}: attempt {n} is {attempt['state']}")
        if not ran and attempt["outcome"] not in ("never_started", "cancelled", "lost"):
            found.wrong.append(f"{name}: attempt {n} is {attempt['outcome']} and never ran")
        if ran and attempt["outcome"] == "never_started":
            found.wrong.append(f"{name}: attempt {n} is never_started and ran on {attempt['host']}")


def _check_end(paths: RunPaths, job: dict[str, Any], expected: Expected, ends: dict[int, list[Line]],
               found: Findings) -> None:
    name = job["name"]
    if job["state"] not in ("done", "error"):
        found.lost.append(f"{name}: is {job['state']}")
        return
    told = (job["outcome"], job["exit_status"], job["signal"])
    if told != (expected.outcome, expected.exit_status, expected.signal):
        found.wrong.append(f"{name}: is {told}, its attempts {job['attempts']}")
        return
    if not job["attempts"]:
        if expected.outcome != "cancelled":
            found.wrong.append(f"{name}: is {job['outcome']} and was never launched")
        return
    if job["attempts"][-1]["n"] not in ends:
        found.wrong.append(f"{name}: is {job['outcome']} and never came to its end")
    for stream in ("stdout", "stderr"):
        path, digest = paths.job(name) / stream, hashlib.sha256()
        with open(path, "rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
        if digest.hexdigest() != getattr(expected, stream):
            found.digests.append(f"{name}: {stream} is wrong, {path.stat().st_size} bytes")
