"""Two hundred jobs of every kind, and what must become of each: the truth that runs are compared with."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

#: Text that breaks whatever quotes, splits or expands it.
HOSTILE = [
    "it's", 'say "hi"', "$HOME ${PATH} $(id) `id`", "two  spaces and\ttab", "new\nline", "back\\slash \\n",
    "*.? [a-z] {1,2} ~", "; & | < > ( ) !", "Grüße 漢字 🎉", "-n", "--", "%s %d %%", "#no comment", "'", "\\", " lead",
]
#: The same as file names, which may not hold "/".
HOSTILE_NAMES = [text for text in HOSTILE if "/" not in text and text not in ("-n", "--")]


@dataclass
class Expected:
    """What must be true of a job after the run. ``None`` for output: not compared."""

    state: str = "done"
    outcome: str = "succeeded"
    exit_status: int | None = 0
    signal: int | None = None
    stdout: bytes | None = b""
    stderr: bytes | None = b""
    attempts: int = 1


@dataclass
class Mixed:
    """A jobfile as data, and what is expected of each of its jobs by name."""

    nice: int = 0
    jobs: list[dict[str, Any]] = field(default_factory=list)
    expected: dict[str, Expected] = field(default_factory=dict)

    def add(self, name: str, expected: Expected, **keys: Any) -> None:
        self.jobs.append({"name": name, **keys})
        self.expected[name] = expected

    def write(self, path: Path) -> Path:
        """Write the jobfile."""
        path.write_text(yaml.safe_dump({"jobs": self.jobs}, allow_unicode=True, sort_keys=False), encoding="utf-8")
        return path


def mixed_jobs(directory: Path, count: int = 200, seed: int = 1, *, nice: int | None = None) -> Mixed:
    """Return ``count`` jobs, their input files written below ``directory``.

    :param nice: how nice a job is that says nothing of it; ``None``: as nice as these tests
    """
    rng, mixed, made = random.Random(seed), Mixed(os.nice(0) if nice is None else nice), 0
    while made < count:
        for kind in _KINDS:
            if made < count:
                kind(mixed, f"{kind.__name__.strip('_')}-{made}", made, directory, rng)
                made += 1
    return mixed


def _plain(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stdout=f"hello {n}\n".encode()), commands=[f"x={n}", 'echo "hello $x"'])


def _silent_three(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected("error", "failed", 3), commands="exit 3")


def _warning(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stderr=b"warning: fine\n"), commands=["echo 'warning: fine' >&2"])


def _killed(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    number, word = rng.choice([(9, "KILL"), (15, "TERM"), (6, "ABRT")])
    mixed.add(name, Expected("error", "signalled", None, number, stdout=b"before\n"),
              commands=["ulimit -c 0", "echo before", f"kill -{word} $$", "sleep 60"])


def _exit_255(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected("error", "failed", 255, stderr=b"bye\n"), commands=["echo bye >&2", "exit 255"])


def _timeout(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected("error", "timed_out", None, stdout=b"begun\n"), timeout="0.5s",
              commands=["echo begun", "sleep 300"])


def _binary(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    data = bytes(range(256)) * 4096
    data = data[: len(data) - 1 - n] + b"\xff"
    (directory / f"blob-{n}.bin").write_bytes(data)
    mixed.add(name, Expected(stdout=data), files=[f"blob-{n}.bin"], argv=["cat", f"blob-{n}.bin"])


def _command_text(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    text = rng.choice(HOSTILE)
    quoted = "'" + text.replace("'", "'\\''") + "'"
    mixed.add(name, Expected(stdout=text.encode()), commands=[f"printf %s {quoted}"])


def _argv_text(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    words = rng.sample(HOSTILE, 5)
    mixed.add(name, Expected(stdout="".join(f"{word}|" for word in words).encode()),
              argv=["printf", "%s|", *words])


def _env_text(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    text = rng.choice(HOSTILE)
    mixed.add(name, Expected(stdout=text.encode()), env={"VALUE": text}, commands=['printf %s "$VALUE"'])


def _file_name(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    folder, file = f"in {n}", f"{rng.choice(HOSTILE_NAMES)} {n}"
    (directory / folder).mkdir()
    (directory / folder / file).write_bytes(f"content {n}".encode())
    mixed.add(name, Expected(stdout=f"content {n}".encode()), files=[folder], env={"FILE": f"{folder}/{file}"},
              commands=['cat -- "$FILE"'])


def _job_name(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    odd = rng.choice(["it is", "Grüße", "a$b", 'q"q', "back\\slash", "semi;colon"]) + f" {n}"
    mixed.add(odd, Expected(stdout=odd.encode()), commands=['printf %s "$SSHJOBS_JOB"'])


def _pipefail(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected("error", "failed", 4), commands=["(exit 4) | cat", "echo not reached"])


def _lenient(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stdout=b"reached\n"), strict=False, commands=["false", "false | cat", "echo reached"])


def _stdin(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    (directory / f"words-{n}.txt").write_text(f"b {n}\na {n}\n")
    mixed.add(name, Expected(stdout=f"a {n}\nb {n}\n".encode()), stdin=f"words-{n}.txt", argv=["sort"])


def _no_stdin(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stdout=b"0\n"), commands="wc -c")


def _retried(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected("error", "failed", 5, stdout=b"tried\n", attempts=3), retries=2,
              commands=["echo tried", "exit 5"])


def _cwd(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stdout=b"/usr\n"), cwd="/usr", argv=["pwd"])


def _left_behind(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stdout=b"gone\n"), commands=["setsid sleep 300 &", "sleep 301 & echo gone"])


def _nice(mixed: Mixed, name: str, n: int, directory: Path, rng: random.Random) -> None:
    mixed.add(name, Expected(stdout=b"%d\n" % min(19, mixed.nice + 7)), nice=7, argv=["nice"])


_KINDS = [_plain, _silent_three, _warning, _killed, _exit_255, _timeout, _binary, _command_text, _argv_text, _env_text,
          _file_name, _job_name, _pipefail, _lenient, _stdin, _no_stdin, _retried, _cwd, _left_behind, _nice]


def differences(mixed: Mixed, run_directory: Path, status: dict[str, Any]) -> list[str]:
    """Return every way in which a run differs from what is expected, a line each."""
    found = []
    by_name = {job["name"]: job for job in status["jobs"]}
    for missing in mixed.expected.keys() ^ by_name.keys():
        found.append(f"{missing}: in only one of jobfile and status")
    for name, expected in mixed.expected.items():
        job = by_name.get(name)
        if job is None:
            continue
        for key in ("state", "outcome", "exit_status", "signal"):
            if job[key] != getattr(expected, key):
                found.append(f"{name}: {key} is {job[key]!r}, not {getattr(expected, key)!r}")
        # One that was taken back before it started (for a host with a free slot) is none that ran.
        ran = [attempt for attempt in job["attempts"] if attempt["outcome"] != "never_started"]
        if len(ran) != expected.attempts:
            told = ", ".join(f"{one['outcome']} on {one['host']} ({one.get('reason')})" for one in ran)
            found.append(f"{name}: {len(ran)} attempts ran, not {expected.attempts}: {told}")
        for stream in ("stdout", "stderr"):
            want = getattr(expected, stream)
            have = (run_directory / "jobs" / name / stream).read_bytes()
            if want is not None and have != want:
                found.append(f"{name}: {stream} is {have[:80]!r} ({len(have)} bytes), not {want[:80]!r}")
    return found
