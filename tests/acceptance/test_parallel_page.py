"""docs/parallel.md: each line for GNU parallel and ours beside it print the same bytes, those that the page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.docs.page import Block, blocks, commands
from tests.docs.shell import PageShell
from tests.house.source import ROOT
from tests.lab import BaseLab

PAGE = ROOT / "docs" / "parallel.md"
BLOCKS = [block for block in blocks(PAGE.read_text()) if block.info == "console"]
FILES = [block for block in blocks(PAGE.read_text()) if block.file]
PAIRS = [block for block in BLOCKS if re.search(r"^\$ .*\bparallel ", block.text)]
#: Without these, outputs come in the order in which jobs end.
ORDERED = re.compile(r" -k | --dry-run | --joblog | --results ")


def name_of(block: Block) -> str:
    """Return a line for GNU parallel as the name of its test."""
    return re.sub(r"\W+", "-", commands(block)[0].text).strip("-")[:60]


def printed(shell: PageShell, command: str) -> bytes:
    """Return the bytes that a command prints on standard output."""
    shell.run(f"{{ {command}\n}} > ../printed")
    return (shell.work.parent / "printed").read_bytes()


def both_printed(where: Path, lab: BaseLab, block: Block) -> tuple[bytes, ...]:
    """Return what each line of a pair prints, where the files are that the page says are around."""
    where.mkdir()
    with PageShell(where, lab) as shell:
        shell.run("mkdir -p ~/.parallel; touch ~/.parallel/will-cite")
        for one in FILES:
            shell.write(str(one.file), one.text)
        for command in commands(BLOCKS[0]):
            assert shell.run(command.text) == (0, [""]), command.text
        return tuple(printed(shell, command.text) for command in commands(block))


@pytest.fixture(scope="module")
def outputs(lab: BaseLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[tuple[bytes, ...]]]]:
    """What the lines of each pair print, by the pair's name: they mostly wait, so several run at a time."""
    where = tmp_path_factory.mktemp("pairs")
    with ThreadPoolExecutor(4) as pool:
        yield {name_of(block): pool.submit(both_printed, where / str(n), lab, block) for n, block in enumerate(PAIRS)}


@pytest.mark.parametrize("block", PAIRS, ids=name_of)
def test_both_lines_print_what_the_page_shows(block: Block, outputs: dict[str, Future[tuple[bytes, ...]]]) -> None:
    theirs, ours = commands(block)
    assert "parallel" in theirs.text and "sshjobs exec" in ours.text and not theirs.output
    out, own = outputs[name_of(block)].result(90)
    shown = "".join(f"{line}\n" for line in ours.output).encode()
    if not ORDERED.search(theirs.text):
        out, own, shown = (b"".join(sorted(text.splitlines(keepends=True))) for text in (out, own, shown))
    assert own == out, f"parallel: {out!r}, sshjobs: {own!r}"
    assert own == shown


def test_there_are_twenty_pairs_and_more_and_each_is_run() -> None:
    assert len(PAIRS) >= 20
    assert len({name_of(block) for block in PAIRS}) == len(PAIRS)
    assert len(re.findall(r"^\$ .*sshjobs exec", PAGE.read_text(), re.MULTILINE)) == len(PAIRS) + 1


def test_a_value_and_its_script_are_as_the_page_shows(tmp_path: Path) -> None:
    (command,) = commands(BLOCKS[-1])
    with PageShell(tmp_path, None) as shell:
        assert printed(shell, command.text).decode() == "".join(command.output)
    with RunReader.open(RunPaths(tmp_path / "work" / "results", "safe")) as reader:
        (job,) = reader.load(["1-id_a"])
    script = next(block.text for block in blocks(PAGE.read_text()) if block.info == "text")
    assert "\n".join(job.spec.cmds) + "\n" == script
