"""What is kept of a run over many mutants, in a directory: the sample, what covers what, what became of each."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.house.source import ROOT
from tests.mutation.mutants import Mutant, every_mutant, sample


class Record:
    """A directory that a run is kept in; a run goes on where it was stopped, on later commits too.

    :ivar commit: which the sample was drawn on
    :ivar mutants: the sample, with the lines of that commit
    """

    def __init__(self, top: Path, number: int, seed: int):
        self.top = top
        drawn = top / f"sample-{seed}-{number}.json"
        if not drawn.exists():
            top.mkdir(parents=True, exist_ok=True)
            drawn.write_text(json.dumps({"commit": _git("rev-parse", "HEAD").strip(),
                                         "mutants": [asdict(mutant) for mutant in sample(list(every_mutant()), number, seed)]}))
        known = json.loads(drawn.read_text())
        self.commit: str = known["commit"]
        self.mutants = [Mutant(**one) for one in known["mutants"]]

    @property
    def lines(self) -> Path:
        """Where the pass over the suites leaves what it notes."""
        return self.top / "lines"

    def source(self, path: str) -> str:
        """Return a file as it was when the sample was drawn."""
        return _git("show", f"{self.commit}:{path}")

    def line(self, mutant: Mutant) -> str:
        """Return the text of a fault's line."""
        return self.source(mutant.path).splitlines()[mutant.line - 1].strip()

    def fates(self) -> dict[str, dict[str, Any]]:
        """Return what became of the mutants that were tried, by their names: the last try of each."""
        path = self.top / "fates.jsonl"
        lines = map(json.loads, path.read_text(encoding="utf-8").splitlines() if path.exists() else ())
        return {line["mutant"]: line for line in lines}

    def add(self, mutant: Mutant, fate: dict[str, Any]) -> None:
        """Write down what became of a mutant."""
        line = json.dumps({"mutant": mutant.name, **fate}) + "\n"
        file = os.open(self.top / "fates.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, line.encode())
        os.close(file)


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout
