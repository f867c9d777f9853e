"""Whatever stands in the place of parameters and placeholders, it is taken or told, and nothing else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import InputError
from sshjobs.inputs.jobfile import load_jobfile

ATOMS: list[Any] = [None, True, 0, 1, -3, 0.5, 1e300, "", "a", "1..3", "3..1/0", "${{ a }}", "${{ b", "$${{ a", "${{ raw:a }}", "x${{ a }}y",
         "t.csv", "l.txt", "*", "\u202e", "a/b", [], {}]
KEYS = ["a", "b", "zip", "exclude", "include", "glob", "lines", "1x", "é"]
SCRIPTS = ["echo ${{ a }}", "echo $(( ${{ a }} ))", "cat <<E\n${{ b }}\nE", "'${{ a }}", "`${{ a }}", ["x", "${{ a }}"]]


def anything(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random() + depth / 10
    if kind >= 0.6:
        return rng.choice(ATOMS)
    if kind < 0.3:
        return [anything(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return {rng.choice(KEYS): anything(rng, depth + 1) for _ in range(rng.randint(0, 3))}


def entry(rng: random.Random) -> dict[str, Any]:
    """Return an entry of which most is right."""
    def or_else(*choices: Any) -> Any:
        return anything(rng) if rng.random() < 0.1 else rng.choice(choices)

    matrix = {name: or_else(["1", "2"], [1, "x"], "1..3", ["z"], {"lines": "l.txt"}) for name in rng.sample("abc", 2)}
    matrix |= {"zip": or_else(["a", "b"])} if rng.random() < 0.2 else {}
    matrix |= {"exclude": or_else([{"a": 1}], [{"b": "x"}])} if rng.random() < 0.3 else {}
    matrix |= {"include": or_else([{"a": 1, "d": 2}], [{"d": "x"}])} if rng.random() < 0.4 else {}
    made = {"matrix": or_else(matrix), "commands": or_else(*SCRIPTS)}
    made |= {"name": or_else("n-${{ a }}", "${{ a }}-${{ b }}", "n")} if rng.random() < 0.4 else {}
    for key in ("argv", "env", "cwd", "stdin", "files", "hosts", "outputs", "uses", "rows", "repeat", "after", "timeout"):
        if rng.random() < 0.04:
            made[key] = anything(rng)
    return made


@pytest.mark.parametrize("start", [0, 1000, 2000])
def test_an_entry_is_taken_or_its_mistakes_are_told(start: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("a,b\n1,2\n")
    Path("l.txt").write_text("x\ny\n")
    taken = 0
    for seed in range(start, start + 300):
        data = json.dumps({"jobs": [entry(random.Random(seed)), {"commands": "x", "name": "other"}]}).encode()
        try:
            entries = load_jobfile("jobs.yaml", data)
        except InputError as error:
            assert all(one.line for one in error.problems if one.file == "jobs.yaml"), (seed, error)
            continue
        taken += 1
        specs = [spec for one in entries for spec in one.specs()]
        assert len(specs) == len({spec.name for spec in specs}) == sum(one.count for one in entries), seed
        for spec in specs:
            assert len(spec.values) == len(spec.param_names) and spec.as_dict(), seed
    assert taken > 20
