"""What the tools of GPU drivers print, as real ones have printed it, and what is understood of that."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from sshjobs.gjob.agent.gputools import SCRIPTS, Lie, sections, units_of
from tests.smi import LIES, RECORDED, Recorded, Smi, Told

MIB = 1 << 20


def said(recorded: Recorded, where: Path) -> str:
    """Return what comes of asking a tool."""
    smi = Smi(where, recorded.files, recorded.tool)
    return subprocess.run(["/bin/sh", "-c", SCRIPTS[recorded.tool], "sh", str(smi.path / recorded.tool)],
                          stdout=subprocess.PIPE, text=True, check=False).stdout


@pytest.mark.parametrize("name", RECORDED)
def test_what_a_real_tool_has_printed_is_understood(name: str, tmp_path: Path) -> None:
    units, trouble = units_of(RECORDED[name].tool, said(RECORDED[name], tmp_path))
    means = RECORDED[name].means
    if isinstance(means, str):
        assert units == [] and trouble is not None and trouble.startswith(means)
        return
    assert trouble is None
    assert [Told(unit.uuid, unit.label, unit.name, unit.memory and unit.memory // MIB, None if unit.used is None else unit.used // MIB,
                 unit.whole, unit.trouble, tuple(unit.pids)) for unit in units] == means


@pytest.mark.parametrize("name", LIES)
def test_what_cannot_be_is_a_lie_and_no_gpu(name: str, tmp_path: Path) -> None:
    with pytest.raises(Lie) as caught:
        units_of(LIES[name].tool, said(LIES[name], tmp_path))
    assert str(caught.value).startswith(str(LIES[name].means))


def test_whatever_is_printed_ends_in_gpus_or_in_a_line(tmp_path: Path) -> None:
    """Good answers with bytes changed, cut and doubled: nothing but a lie may come of it."""
    rng = random.Random(16)
    for number, (name, recorded) in enumerate(RECORDED.items()):
        text = said(recorded, tmp_path / str(number))
        for _ in range(150):
            letters = list(text)
            for _ in range(rng.randint(1, 8)):
                at = rng.randrange(len(letters))
                letters[at:at + rng.randint(0, 3)] = rng.choice(["", "\n", ",", "9" * 30, "[", '"', "\0", "{", "é", "@@ end 0\n", "-"])
            try:
                units, trouble = units_of(recorded.tool, "".join(letters))
            except Lie:
                continue
            assert trouble is None or isinstance(trouble, str), name
            assert len({unit.uuid for unit in units}) == len(units) <= 256, name
            assert all(unit.memory is None or 0 <= unit.memory <= 1 << 60 for unit in units), name


def test_an_answer_of_a_million_lines_is_cut_into_its_sections() -> None:
    assert sections("@@ gpus\nx\n\n@@ end 0\n" + "y\n" * 100_000) == {"gpus": (["x"], 0)}
    assert sections("@@ end 99999999999\n") == {"": ([], 1)}
