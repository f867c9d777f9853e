"""The gjob command as users have it on a host: one file, under any interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sshjobs import __version__
from sshjobs.gjob import ship
from tests.gjob.client import alive, eventually, holders

#: The interpreter of this environment without the environment: on hosts there is none.
OUR_PYTHON = os.path.realpath(sys.executable)


def write_command(path: Path, python: str = OUR_PYTHON, version: str = __version__) -> Path:
    """Write the command as one program that a Python runs."""
    path.write_bytes(b"#!" + python.encode() + b"\n" + ship.one_file(version))
    path.chmod(0o755)
    return path


class Gjob:
    """Runs the command and ends what it started.

    :param program: the command
    :param where: directory that it is run in
    """

    def __init__(self, program: Path, where: Path):
        self.program, self.where = program, where

    def run(self, *words: str | bytes | Path, input: str | None = None, env: dict[str, str] | None = None,
            timeout: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run it with these words; never fails itself."""
        return subprocess.run([str(self.program), *words], cwd=self.where, input=input or "", capture_output=True,
                              encoding="utf-8", errors="surrogateescape", timeout=timeout,
                              env={**os.environ, **(env or {})})

    def ok(self, *words: str | bytes | Path, input: str | None = None) -> str:
        """Run it; it must succeed without a word on standard error. Return what it printed, stripped."""
        done = self.run(*words, input=input)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        return done.stdout.strip()

    def mkdir(self) -> str:
        return self.ok("local", "mkdir")

    def start(self, *argv: str | bytes) -> str:
        """Start a command in a new job directory and return its id."""
        name = self.mkdir()
        assert self.ok("local", "start", name, *argv) == ""
        return name

    def state(self, name: str) -> str:
        return self.ok("local", "status", name).rpartition(" ")[2]

    def facts(self, name: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.ok("local", "status", "--json", name))
        return facts

    def over(self, name: str) -> dict[str, Any]:
        """Wait until a job has written down its end, and return its facts."""
        eventually((self.where / name / ".done").exists, f"the end of {name}")
        return self.facts(name)

    def close(self) -> None:
        """End every job below the directory."""
        for record in self.where.glob("*/*/.gjob"):
            if not {".done", "DELETED"} & set(os.listdir(record.parent)):
                self.run("local", "kill", record.parent, "-9")


def refused(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """See that the command said no in one line, and return that line."""
    assert done.returncode == code, done
    assert done.stdout == "", done
    assert done.stderr.startswith("gjob: ") and done.stderr.count("\n") == 1, done
    return done.stderr[len("gjob: "):-1]


def tagged(tag: str, count: int) -> list[int]:
    """Wait for so many processes with ``TAG=tag`` and return their pids."""
    return eventually(lambda: len(found := holders(f"TAG={tag}")) == count and found, f"{count} processes of {tag}")


def gone(pids: Iterable[int]) -> bool:
    return not any(map(alive, pids))


def words_of(path: Path, names: Sequence[str]) -> list[str]:
    """The contents of files in a directory, stripped."""
    return [(path / name).read_text().strip() for name in names]
