"""A place in which most hints can be come by."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.inputs import arguments
from tests.cli.runs import edit
from tests.hints.acts import HELD
from tests.trouble.scene import LocalScene


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> Path:
    """A directory with files, and runs in every state."""
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    for name in ("names", "hostname", "other/names", "other/more"):
        Path(name).write_text("a\n")
    Path("nul").write_bytes(b"a\0b\0")
    Path("long").write_text("x" * 200_000 + "\n")
    os.mkfifo("pipe")
    Path("piped").mkdir()
    os.mkfifo("piped/pipe")
    with open("endless", "wb") as file:
        file.truncate(arguments.MAX_VALUE + 2)
    Path("tagged").write_text("h3 quick\nh4\n")
    Path("jobs.yaml").write_text(json.dumps({"jobs": [{"name": "x", "commands": "true"}]}))
    Path("gpu.yaml").write_text(json.dumps({"jobs": [{"name": "x", "commands": "true", "hosts": ["gpu1"]}]}))
    results = Path("results")
    with edit(results, "broken", ["sim-1"]):
        pass
    (results / "broken" / "run.db").write_bytes(b"no store at all" * 1000)
    with edit(results, "busy", ["sim-1"]) as made:
        made.busy("sim-1")
    with edit(results, "finished", ["sim-1"]) as made:
        made.done("sim-1", b"hello\n")
    with edit(results, "sim-1", ["z"]):
        pass
    with edit(results, "taken", ["sim-2"]) as made:
        made.done("sim-2")
    with edit(results, "free", ["sim-1"]):
        pass
    shutil.copytree(results / "free", results / "open")
    (results / "open").chmod(0o777)
    shutil.copytree(results / "free", results / "linked")
    os.replace(results / "linked" / "run.db", results / "linked" / "moved")
    (results / "linked" / "run.db").symlink_to("moved")
    return tmp_path


@pytest.fixture
def here(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, which is the present one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scene(here: Path) -> Iterator[Callable[..., LocalScene]]:
    """Make a run of jobs of which each waits for the file ``go``, or does what its entry says."""
    made: list[LocalScene] = []

    def make(*entries: dict[str, object]) -> LocalScene:
        made.append(LocalScene(here, [{"name": f"job-{n}", "commands": [HELD.format(here)], **entry}
                                      for n, entry in enumerate(entries)]))
        return made[-1]

    yield make
    (here / "go").touch()
    for one in made:
        one.kill()
