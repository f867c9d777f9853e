"""Every system call of the far side fails once: ``python -m tests.faults.scarce`` tries each place with each error.

A small run is played against one agent, with all that there is: inputs, pipes, leftovers, a timeout, a cancel, a killed
runner, a killed agent. One call of it fails once. By the jobs' own ledger none that exited runs again, every job
ends, no byte is missing, and nothing stays. Figures go to a file, a line a case; what is in it is not tried again.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import errno
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sshjobs.gjob import system
from sshjobs.network import payload
from sshjobs.network.protocol import link as protocol
from tests.gjob.client import FarHost, Link, LinkEnded, alive, holders, token_of

ERRORS = ("EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EIO", "ENOSPC", "EDQUOT", "EINTR")
#: What asks the kernel for nothing that could be refused, and what only ends or waits.
CANNOT_FAIL = {"getpid", "getppid", "getuid", "environ", "hostname", "cores", "exit", "monotonic", "time", "boottime",
               "sleep", "open_limit", "set_open_limit", "adopt_orphans", "ask", "widen", "heed_children",
               "signals_as_usual", "collect_garbage", "set_inheritable"}
#: Seconds for one run; it takes two or three.
PATIENCE = 60.0
GO = 'until [ -e "$GO" ]; do sleep 0.02; done\n'
BEGIN, END = 'echo "b $SSHJOBS_JOB $SSHJOBS_ATTEMPT $PPID" >> "$LEDGER"\n', 'echo "e $SSHJOBS_JOB" >> "$LEDGER"\n'

#: Whole or broken-off sweeps, a line each.
FIGURES = Path(__file__).with_name("scarce.jsonl")
SECTION = """## Hosts that are short of something

`make scarce` lets every call of `gjob/system.py`, in every place of the far side that makes it, in agent, front and runners, fail once with
each of EMFILE, ENFILE, ENOMEM, EAGAIN, EIO, ENOSPC, EDQUOT and EINTR. Each time a small run is played with inputs, pipes, leftovers, a timeout, a cancel,
a killed runner and a killed agent. A promise is broken if by the jobs' ledger one that came to its end runs again, an attempt starts twice, a
job ends otherwise than it did or not within a minute, a byte of output differs, a process is left, or a file is left and it is not said. Calls on
sockets and pollers are not among the places, nor are calls that the door is handed for (`listen`). With real limits (`ulimit -n`, `-u`, `-v`) it is `tests/gjob/test_shortage.py`.

Found by it, and mended: a home whose directory could not be made for a moment was given up for `/var/tmp`, with what had been made left there; a
marker that could not be written was never written again; a front waited ten seconds at the door of an agent that had died as it came
up, because it held that open itself; an empty directory stayed without a word.
"""
INJECTED = '''

def _arm():
    import sys
    file, first, last, name, number = os.environ["FAR_FAIL"].split(":")
    real, flag = globals()[name], os.environ["FAR_FLAG"]
    first, last, number = int(first), int(last), int(number)

    def call(*args, **keys):
        frame = sys._getframe(1)
        if first <= frame.f_lineno <= last and frame.f_code.co_filename.endswith(file):
            try:
                os.unlink(flag)
            except OSError:
                return real(*args, **keys)
            raise OSError(number, os.strerror(number))
        return real(*args, **keys)

    globals()[name] = call


if "FAR_FAIL" in os.environ:
    _arm()
'''


class Case(NamedTuple):
    """One call in one place that fails with one error."""

    file: str
    first: int
    last: int
    call: str
    error: str

    @property
    def name(self) -> str:
        """Stays the same when only its line moves: who tries it again after a change looks at its words."""
        return f"{self.file}:{self.first}:{self.call}:{self.error}"


def places() -> Iterator[tuple[str, int, int, str]]:
    """Every place in what travels that calls the system: file, first and last line, and the call."""
    for module, text in sorted(payload.sources().items()):
        file = "/".join(module.split(".")[1:]) + ".py"
        if module == "sshjobs.gjob.system":
            continue
        for node in ast.walk(ast.parse(text)):
            name = _named(node)
            if name in system.CALLS and name not in CANNOT_FAIL:
                assert name is not None
                assert isinstance(node, ast.expr)
                yield file, node.lineno, node.end_lineno or node.lineno, name


def _named(node: ast.AST) -> str | None:
    """The call of the door that an expression is, also where it is only handed on (``self._remove(system.unlink``)."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "system":
        return node.attr
    return None


def cases() -> list[Case]:
    """All of them; a place that is there for several lines is one."""
    found = dict.fromkeys((file, first, last, call) for file, first, last, call in places())
    return [Case(*place, error) for place in found for error in ERRORS]


def commit() -> str:
    """The commit that this is."""
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True,
                          text=True, check=False)
    return told.stdout.strip() or "?"


class Broken(Exception):
    """A promise was broken. The message says which."""


class Play:
    """One run, by a manager that knows nothing but the protocol.

    :ivar wrong: what was not as promised
    """

    def __init__(self, far: FarHost, directory: Path):
        self.far, self.directory = far, directory
        self.ledger = directory / "ledger"
        self.ledger.touch()
        far.environ.update(LEDGER=str(self.ledger), GO=str(directory / "go"))
        self.deadline = time.monotonic() + PATIENCE
        self.wrong: list[str] = []
        self.epoch = 0
        self.link: Link | None = None
        self.outputs: dict[tuple[str, int], bytearray] = {}
        self.offsets: dict[tuple[str, int], int] = {}
        self.agent = 0
        self.data = os.urandom(300_000)
        self.small = b"small\n"
        self.specs = self._specs()
        #: By job: the number of its attempt, and how it ended.
        self.attempt = dict.fromkeys(self.specs, 1)
        self.ends: dict[int, dict[str, Any]] = {}

    def _specs(self) -> dict[int, dict[str, Any]]:
        large, small = (hashlib.sha256(data).hexdigest() for data in (self.data, self.small))
        return {
            1: {"script": BEGIN + 'for i in 1 2 3; do echo "out $i" > /dev/stdout; done\n' + END},
            2: {"script": BEGIN + "cat in; cat\n" + END, "files": [["d/x", small, 0o600], ["in", large, 0o644]],
                "stdin": small},
            3: {"script": BEGIN + "echo here\nsetsid sleep 1000 > /dev/null 2>&1 &\n" + END, "nice": 1},
            4: {"script": BEGIN + "echo a\n" + GO.replace("$GO", "$GO.4") + "echo b\n" + END},
            5: {"script": BEGIN + "echo a\n" + GO + "echo b\n" + END},
            6: {"script": BEGIN + "echo a\nsleep 1000\n"},
            7: {"script": BEGIN + "sleep 1000\n", "timeout": 0.3},
            8: {"script": BEGIN + "mkdir -p d/e/f; touch d/1 d/e/2 d/e/f/3; chmod 500 d/e\n" + END},
            9: {"argv": ["sh", "-c", BEGIN + "echo c" + "\n" + END]},
        }

    def expected(self) -> dict[int, bytes]:
        """What each job that ends by itself writes to its stdout."""
        return {1: b"out 1\nout 2\nout 3\n", 2: self.data + self.small, 3: b"here\n", 4: b"a\nb\n", 5: b"a\nb\n",
                8: b"", 9: b"c\n"}

    # -- the link --------------------------------------------------------------------------------------------------

    def _uid(self, job: int) -> str:
        return f"{job}.{self.attempt[job]}"

    def connect(self) -> Link:
        """Return a link that has been welcomed, however often that takes."""
        while self.link is None:
            self._check_time("a link")
            self.epoch += 1
            hello = protocol.hello(run=self.far.run, name="run-1", host="far", epoch=self.epoch, slots=4)
            link = None
            try:
                link = Link(self.far.python, self.far.environ, self.far.packed, hello)
                self.far.links.append(link)
                link.outputs, link.offsets = self.outputs, self.offsets
                link.say("sync", a=[[uid, self.offsets.get((uid, 1), 0), self.offsets.get((uid, 2), 0)]
                                    for uid in map(self._uid, self.specs)], last=True)
                while (frame := link.next(15))["t"] != "welcome":
                    if frame["t"] in ("refused", "error"):
                        raise LinkEnded(str(frame))
                self.agent = frame["pid"]
                self.link = link
                for data in (self.data, self.small):
                    self._put(data)
            except (LinkEnded, TimeoutError, OSError):
                if link is not None:
                    link.close()
                self.link = None
                time.sleep(0.1)
        return self.link

    def _put(self, data: bytes) -> None:
        assert self.link is not None
        for offset in range(0, len(data), 1 << 18):
            piece = data[offset:offset + (1 << 18)]
            self.link.say("put", piece, sha=hashlib.sha256(data).hexdigest(), size=len(data), crc=zlib.crc32(data),
                          off=offset, n=len(piece))

    def _say(self, t: str, **keys: Any) -> None:
        """Say something once, on whatever link there is."""
        while True:
            try:
                self.connect().say(t, **keys)
                return
            except OSError:
                self._lose()

    def _lose(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = None

    def _launch(self, job: int) -> None:
        self._say("launch", id=self._uid(job), token=token_of(self._uid(job)), job=f"job-{job}", index=1,
                  spec=self.specs[job])

    # -- what comes ------------------------------------------------------------------------------------------------

    def _open(self) -> list[int]:
        return [job for job in self.specs if job not in self.ends]

    def take(self, seconds: float) -> dict[str, Any] | None:
        """Take one frame, ``None`` where none came in time or the link was lost."""
        try:
            frame = self.connect().next(seconds)
        except TimeoutError:
            return None
        except (LinkEnded, OSError):
            self._lose()
            return None
        except AssertionError as error:
            raise Broken(f"{error}; {self.link.last if self.link else b''!r:.400}") from error
        if frame["t"] == "error":
            self._lose()
        elif frame["t"] == "state" and frame["s"] == "absent":
            self._absent(frame["id"])
        elif frame["t"] == "ended":
            self._ended(frame)
        return frame

    def _absent(self, uid: str) -> None:
        job = int(uid.partition(".")[0])
        if job not in self.ends and uid == self._uid(job):
            self._launch(job)

    def _ended(self, frame: dict[str, Any]) -> None:
        job = int(frame["id"].partition(".")[0])
        if job in self.ends or frame["id"] != self._uid(job):
            return
        if frame["why"] in ("no_room", "start_failed", "fenced") and frame["started"] is None:
            if job == 6 and frame["why"] == "fenced":
                self.ends[job] = frame
                return
            self._say("release", ids=[frame["id"]])
            self.attempt[job] += 1
            if self.attempt[job] > 20:
                raise Broken(f"job {job} is turned down for ever: {frame}")
            time.sleep(0.05)
            for data in (self.data, self.small):  # what is missing is sent again, as managers do
                with contextlib.suppress(OSError):
                    self.connect()
                    self._put(data)
            self._launch(job)
            return
        self.ends[job] = frame

    def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> bool:
        """Take what comes until something holds; False where it does not in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            self._check_time(what)
            if time.monotonic() >= deadline:
                return False
            self.take(0.1)
        return True

    def _check_time(self, what: str) -> None:
        if time.monotonic() >= self.deadline:
            raise Broken(f"{what} did not come in {PATIENCE} s; ended: {sorted(self.ends)}; ledger: {self.began()}")

    def began(self) -> dict[int, list[int]]:
        """By job: the parents of those of its processes that wrote into the ledger."""
        found: dict[int, list[int]] = {}
        for line in self.ledger.read_text().splitlines():
            parts = line.split()
            if parts[0] == "b":
                found.setdefault(int(parts[1][4:]), []).append(int(parts[3]))
        return found

    # -- the play --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play it to its end."""
        self.connect()
        for job in (4, 5, 1, 2, 3, 7, 8, 9, 6):
            self._launch(job)
        self.until(lambda: {4, 5} <= set(self.began()), "the start of two", 10)
        runner = self.began().get(4, [0])[-1]
        if runner not in (0, 1, self.agent) and alive(runner) and _is_ours(runner, self.far.run):
            os.kill(runner, signal.SIGKILL)
        Path(f"{self.directory}/go.4").touch()
        # What had that runner ends before its agent dies as well: both together are another case.
        self.until(lambda: {1, 2, 3, 4, 7, 8, 9} <= set(self.ends), "the short ones", 20)
        if alive(self.agent) and _is_ours(self.agent, self.far.run):
            os.kill(self.agent, signal.SIGKILL)
        self._lose()
        (self.directory / "go").touch()
        self.until(lambda: 6 in self.began() or 6 in self.ends, "the start of the last", 15)
        self._say("cancel", id=self._uid(6), grace=0.1)
        cancelled = time.monotonic()
        while self._open():
            self.take(0.1)
            self._check_time("the end of all jobs")
            if 6 not in self.ends and time.monotonic() - cancelled > 3:
                self._say("cancel", id=self._uid(6), grace=0.1)
                cancelled = time.monotonic()
        self._check_jobs()
        self._end()

    def _check_jobs(self) -> None:
        lines = [line.split() for line in self.ledger.read_text().splitlines()]
        ended = Counter(int(parts[1][4:]) for parts in lines if parts[0] == "e")
        starts = Counter((parts[1], parts[2]) for parts in lines if parts[0] == "b")
        self.wrong += [f"{uid} started {count} times" for uid, count in starts.items() if count > 1]
        for job, frame in self.ends.items():
            why = {6: ("cancelled", "fenced"), 7: ("timed_out",)}.get(job, ("exited",))
            if frame["why"] not in why:
                self.wrong.append(f"job {job} ended as {frame['why']}: {frame['msg']}")
            if ended[job] != (job not in (6, 7)):
                self.wrong.append(f"job {job} came to its end {ended[job]} times")
        for job, text in self.expected().items():
            if bytes(self.outputs.get((self._uid(job), 1), b"")) != text:
                self.wrong.append(f"job {job} has another output: {self.outputs.get((self._uid(job), 1))!r:.100}")

    def _end(self) -> None:
        gone = None
        while gone is None:
            self._check_time("the end of the run")
            self._say("release", ids=[self._uid(job) for job in self.specs])
            self._say("bye")
            frame: dict[str, Any] | None = {"t": ""}
            while frame is not None and frame["t"] != "gone":
                frame = self.take(5)
            gone = frame
            if gone is None:
                self._lose()
                if not (self.far.home / ".sshjobs" / self.far.run).exists():
                    break
        deadline = time.monotonic() + 10
        while (left := holders(f"FAR_HOST={self.far.run}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            self.wrong.append(f"{len(left)} processes are left")
        if (self.far.home / ".sshjobs" / self.far.run).exists() and not (gone and gone["files"]):
            self.wrong.append("files are left, and it was not said")


def _is_ours(pid: int, run: str) -> bool:
    try:
        return f"FAR_HOST={run}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


@functools.cache
def _packed() -> bytes:
    modules = dict(payload.sources())
    modules["sshjobs.gjob.system"] += INJECTED
    return payload.pack(modules)


def try_it(case: Case | None) -> dict[str, Any]:
    """Play one run in which one call fails once; return what came of it."""
    directory = Path(tempfile.mkdtemp(prefix="sshjobs-scarce-"))
    (directory / "home").mkdir()
    far = FarHost(sys.executable, directory / "home", _packed())
    flag = directory / "flag"
    flag.touch()
    if case is not None:
        far.environ["FAR_FAIL"] = ":".join(map(str, (*case[:4], getattr(errno, case.error))))
    far.environ["FAR_FLAG"] = str(flag)
    play, began = Play(far, directory), time.monotonic()
    try:
        play.run()
    except Broken as error:
        play.wrong.append(str(error))
    finally:
        far.close()
    reached = case is not None and not flag.exists()
    if not play.wrong:
        shutil.rmtree(directory, ignore_errors=True)
    return {"case": case.name if case is not None else "none", "reached": reached,
            "wrong": play.wrong, "seconds": round(time.monotonic() - began, 1),
            "where": str(directory) if play.wrong else None}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.scarce", description=__doc__)
    parser.add_argument("--record", type=Path, default=Path("scarce.jsonl"), help="where results go, and are known from")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which cases are tried")
    parser.add_argument("--most", type=int, default=1 << 30, help="how many are tried")
    parser.add_argument("--minutes", type=float, default=60.0, help="no case is begun after so long")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="append the figures to it")
    parser.add_argument("--only", default="", help="cases that have this in their name")
    options = parser.parse_args()
    known = {}
    if options.record.exists():
        known = {row["case"]: row for row in map(json.loads, options.record.read_text().splitlines())}
    todo = [case for case in cases() if case.name not in known and options.only in case.name]
    random.Random(options.seed).shuffle(todo)
    end = time.monotonic() + 60 * options.minutes
    unreached = {name.rpartition(":")[0] for name, row in known.items() if not row["reached"]}
    for case in todo[:options.most]:
        if time.monotonic() >= end:
            break
        if case.name.rpartition(":")[0] in unreached:
            continue
        row = try_it(case)
        known[case.name] = row
        if not row["reached"]:
            unreached.add(case.name.rpartition(":")[0])
        options.record.parent.mkdir(parents=True, exist_ok=True)
        with open(options.record, "a") as file:
            file.write(json.dumps(row) + "\n")
        if row["wrong"]:
            print(json.dumps(row), flush=True)
    reached = [row for row in known.values() if row["reached"]]
    bad = [row for row in known.values() if row["wrong"]]
    figures = {"commit": commit(), "day": time.strftime("%Y-%m-%d"), "listed": len(cases()) // len(ERRORS),
               "places": len({row["case"].rpartition(":")[0] for row in reached}), "unreached": len(unreached),
               "cases": len(reached), "of": len(cases()), "wrong": len(bad), "seed": options.seed}
    print(json.dumps(figures))
    if options.figures is not None:
        with open(options.figures, "a") as file:
            file.write(json.dumps(figures) + "\n")
    return 1 if bad else 0


def section() -> str:
    """Return the part of ``docs/reliability.md`` about hosts that are short of something."""
    lines = [SECTION, "| commit | places listed | reached | not reached by the run | cases | of | broken promises |",
             "|---|---|---|---|---|---|---|"]
    for row in map(json.loads, FIGURES.read_text().splitlines()):
        lines.append(f"| {row['commit']}, {row['day']}, seed {row['seed']} | {row['listed']} | {row['places']} | "
                     f"{row['unreached']} | {row['cases']} | {row['of']} | {row['wrong']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
