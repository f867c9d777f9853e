"""Has every place of our code on this side that makes a system call fail, once with each kind of error, in a small run.

Each time the run goes on, or stops with one line and is resumed to its end; no host is blamed, no job ends for it, and
nothing hangs. Where it waits, the place goes on failing, and a request is answered meanwhile.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sshjobs.errors import EXIT_USAGE
from sshjobs.store import RunReader
from tests.conftest import REPOSITORY, cli_environment, sshjobs_argv
from tests.lab.waiting import wait_until
from tests.trouble.places import listed_below
from tests.trouble.scene import HEARD, NAME, LocalScene

#: Kinds of errors, one of each: no room, a disk about to die, no descriptor left, not allowed, vanished, no memory.
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES, errno.ENOENT, errno.ENOMEM)
#: Seconds within which a run has to end once its trouble is over, on a machine at work.
LIMIT = 60.0
SITE = Path(__file__).parent / "site"
NOT_OURS = ("gjob/", "simulation/")
#: Commands beside the two that carry a run.
COMMANDS = (["status", NAME], ["status", NAME, "--json"], ["ls"], ["logs", NAME, "plain"], ["verify", NAME], ["gc", "--dry-run"],
            ["retry", NAME], ["attach", NAME], ["pause", NAME], ["rm", NAME], ["run", "jobs.yaml", "--dry-run"], ["version"])
#: Where what is said is written: the line cannot be read that tells of trouble there.
SAYS = ("cli/streams.py", "cli/failures.py")
#: Where an input that is not there, or not for this user, is the job's own trouble: it ends, with what to do.
INPUTS, INPUT_ERRORS = "network/staging/", (errno.ENOENT, errno.EACCES)
#: What the jobs of the run come to: how often each starts.
STARTS = {"plain": 1, "other": 1, "small": 1, "large": 1, "again": 2}


def places() -> list[str]:
    """The keys of all places on this side."""
    return [place.key for place in listed_below(REPOSITORY / "sshjobs", NOT_OURS)]


class Case:
    """One place and one error, in one scenario, in a directory of its own.

    :param begin: the scenario: starts what is to fail
    """

    def __init__(self, place: str, number: int, scenario: str):
        self.place, self.number, self.scenario = place, number, scenario
        self.directory = Path(tempfile.mkdtemp(prefix="sshjobs-trouble-", dir="/tmp"))
        (self.directory / "home").mkdir()
        self.trouble = self.directory / "trouble"
        self.seen = self.directory / "seen"
        self.wrong: list[str] = []
        self.how = ""

    def __str__(self) -> str:
        return f"{self.scenario} {self.place} {errno.errorcode[self.number]}"

    # -- the scene -----------------------------------------------------------------------------------------------

    def environment(self, cache: Path, **told: Any) -> dict[str, str]:
        """What a process needs in which the place is to fail."""
        return {"SSHJOBS_TROUBLE": json.dumps({"place": self.place, "errno": self.number, "seen": str(self.seen), **told}),
                "SSHJOBS_TROUBLE_CACHE": str(cache), "PYTHONPATH": f"{SITE}:{REPOSITORY}"}

    def plain_environment(self) -> dict[str, str]:
        """What a process needs in which nothing is to fail."""
        return {"HOME": str(self.directory / "home"), "XDG_RUNTIME_DIR": "", "XDG_CACHE_HOME": "", "PYTHONUNBUFFERED": "",
                "SSHJOBS_RESULTS": ""}

    def scene(self) -> LocalScene:
        (self.directory / "small.txt").write_text("a small input\n")
        (self.directory / "large.bin").write_bytes(bytes(1 << 21))
        return LocalScene(self.directory, [
            {"name": "plain", "commands": ["echo plain", "echo err >&2"]},
            {"name": "small", "files": ["small.txt"], "commands": ["cat small.txt"]},
            {"name": "large", "files": ["large.bin"], "commands": ["cksum < large.bin"]},
            {"name": "again", "retries": 1, "commands": ["echo again", "mkdir first 2>/dev/null; test $SSHJOBS_ATTEMPT -gt 1"]},
            {"name": "other", "commands": ["head -c 100000 /dev/zero"]},
        ], env=self.plain_environment())

    # -- what is tried -------------------------------------------------------------------------------------------

    def run(self, cache: Path) -> list[str]:
        """Play it; return what was wrong."""
        try:
            if self.scenario == "command":
                self._command(cache)
            else:
                self._carried(cache)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            self.wrong.append(str(error)[:2000])
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
        return self.wrong

    def _carried(self, cache: Path) -> None:
        scene = self.scene()
        self.trouble.touch()
        environment = self.environment(cache, until=str(self.trouble))
        if self.scenario == "resume":
            scene.begin()
            scene.wait_for("launch", 2)
            scene.signal(signal.SIGKILL)
            scene.ends()
            scene.forget_lines()
            scene.resume(env=environment)
        else:
            scene.begin(env=environment)
        try:
            self._until_it_ends(scene)
            self._judge(scene)
        finally:
            scene.kill()

    def _until_it_ends(self, scene: LocalScene) -> None:
        assert scene.process is not None
        wait_until(lambda: scene.process is None or scene.process.poll() is not None or "; waiting" in scene.warnings(),
                   LIMIT, lambda: f"an end, or a word of what is waited for: {scene.tail()}")
        if scene.process.poll() is None:
            self.how = "waited"
            before = time.monotonic()
            told = scene.ask("pause", NAME)
            # What it came to, in a line; and where the store is what fails, in another that it is not written down yet.
            unwritten = "this cannot be written down yet" in told.stderr
            assert told.returncode in (0, 1) and len((told.stdout + told.stderr).splitlines()) == 1 + unwritten, told
            assert time.monotonic() - before < HEARD, "a request was not answered in time"
            self.trouble.unlink()
            if told.returncode == 0 and scene.process.poll() is None:
                scene.ask("unpause", NAME)
        else:
            self.trouble.unlink(missing_ok=True)
        scene.ends(LIMIT)

    def _judge(self, scene: LocalScene) -> None:
        assert scene.process is not None
        code, said = scene.process.returncode, scene.said()
        self.how = self.how or ("went on" if code == 0 else "stopped")
        self._check(code not in (70, 120) and code >= 0, f"exit code {code}: {said}")
        self._check(not any("Traceback" in line or "internal error" in line for line in said), f"a traceback: {said}")
        blamed: list[str] = []
        inputs = self.place.startswith(INPUTS) and self.number in INPUT_ERRORS
        if code and not inputs:
            self._check(len(said) == 1 or code == EXIT_USAGE or self.place.startswith(SAYS), f"not one line: {said}")
            blamed += scene.blamed()
            scene.forget_lines()
            if scene.paths.store.exists():
                scene.resume()
            else:
                shutil.rmtree(scene.paths.root, ignore_errors=True)
                scene.begin()
            scene.ends(LIMIT)
            self._check(scene.process.returncode == 0, f"the resume ended with {scene.process.returncode}: {scene.said()}")
        if inputs:
            scene.ask("retry", NAME, "--failed")
            scene.resume()
            scene.ends(LIMIT)
            blamed = []
            scene.forget_lines()
        blamed = [line for line in blamed + scene.blamed() if not line.startswith("again retry")]
        self._check(blamed == [], f"blamed: {blamed}")
        counts = dict(scene.starts())
        self._check(counts == STARTS, f"started: {counts}")
        with RunReader.open(scene.paths) as reader:
            summary = reader.summary()
        self._check(summary.state == "done" and summary.counts["done"] == len(STARTS), f"not all done: {summary}")

    def _command(self, cache: Path) -> None:
        scene = self.scene()
        scene.begin()
        scene.ends()
        for words in COMMANDS:
            self.seen.unlink(missing_ok=True)
            told = subprocess.run(sshjobs_argv(words), cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, timeout=LIMIT, check=False,
                                  env={**os.environ, **cli_environment(), **self.plain_environment(),
                                       **self.environment(cache)})
            if self.place and self.place not in self.seen.read_text().split():
                continue
            self.how = "stopped" if told.returncode else "went on"
            self._check(told.returncode in (0, 1, 2), f"{words}: exit code {told.returncode}: {told.stderr}")
            self._check("Traceback" not in told.stderr, f"{words}: {told.stderr}")

    def _check(self, right: bool, what: str) -> None:
        if not right:
            self.wrong.append(what[:2000])


def reached(scenario: str, cache: Path) -> list[str]:
    """Return the places that a scenario reaches when nothing fails."""
    case = Case("", 0, scenario)
    seen = case.directory.with_name(case.directory.name + ".seen")
    case.seen = seen
    found: dict[str, None] = {}
    unlink: Callable[..., None] = Path.unlink
    if scenario == "command":
        # The file is begun anew with each of them.
        def keep(path: Path, missing_ok: bool = False) -> None:
            found.update(dict.fromkeys(path.read_text().split() if path.exists() else ()))
            unlink(path, missing_ok=missing_ok)
        case.seen = type("Seen", (type(seen),), {"unlink": keep})(seen)
    wrong = case.run(cache)
    assert wrong == [], wrong
    found.update(dict.fromkeys(seen.read_text().split()))
    seen.unlink()
    return list(found)


def cases(cache: Path, scenarios: Sequence[str] = ("run", "resume", "command")) -> list[tuple[str, int, str]]:
    """Return all cases: each place that is reached, with each error, in the first scenario that reaches it."""
    found: dict[str, str] = {}
    for scenario in scenarios:
        for place in reached(scenario, cache):
            found.setdefault(place, scenario)
    return [(place, number, scenario) for place, scenario in sorted(found.items()) for number in ERRNOS]


def chosen(all_cases: Sequence[tuple[str, int, str]], number: int, seed: int) -> list[tuple[str, int, str]]:
    """Return so many of the cases."""
    return random.Random(seed).sample(list(all_cases), min(number, len(all_cases)))
