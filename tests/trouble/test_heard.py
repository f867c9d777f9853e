"""A person is heard wherever the manager waits: each of its waits against each way to say something, while it lasts.

A disk that is full is in ``test_results.py``, one that never answers and the end of a run in ``test_signals.py``.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sshjobs.running.control import ask
from sshjobs.store import RunReader
from tests.lab.process import PROC, kill_all
from tests.lab.waiting import wait_until
from tests.trouble.scene import LocalScene
from tests.trouble.test_signals import REPOSITORY, place_of

#: Runs until the test lets it end.
HELD = "until test -e {}/go; do sleep 0.05; done"


class Scene:
    """A run in a directory.

    :ivar cache: keeps what is compiled for an injection
    """

    def __init__(self, directory: Path, cache: Path):
        self.directory, self.cache = directory, cache
        self.run: LocalScene | None = None

    def make(self, **entry: Any) -> LocalScene:
        """Return a run of two jobs that wait for the file ``go``."""
        self.run = LocalScene(self.directory, [{"name": f"job-{n}", "commands": [HELD.format(self.directory)], **entry}
                                               for n in range(2)])
        return self.run

    def far_side(self) -> list[int]:
        """Return the pids of our processes on the hosts, which are this machine."""
        home, found = f"HOME={os.environ['HOME']}".encode(), []
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                try:
                    ours = b"-ISc" in (entry / "cmdline").read_bytes().split(b"\0")
                    if ours and home in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def stop_far_side(self) -> None:
        """Have nothing answer any more."""
        for pid in self.far_side():
            os.kill(pid, signal.SIGSTOP)

    def end(self) -> None:
        """Leave nothing behind."""
        (self.directory / "go").touch()
        if self.run is not None:
            self.run.kill()
        kill_all(self.far_side())


@pytest.fixture
def scene(tmp_path: Path, clean_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path, tmp_path_factory.mktemp("cache"))
    yield made
    made.end()


@contextmanager
def busy_store(scene: Scene) -> Iterator[LocalScene]:
    """Another process holds the store, and there is something to note."""
    run = scene.make()
    run.begin()
    run.wait_for("started", 2)
    held = sqlite3.connect(run.paths.store, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    (scene.directory / "go").touch()
    run.wait_for_warning("run.db: the store is in use by another process")
    yield run
    held.close()


@contextmanager
def handshake(scene: Scene) -> Iterator[LocalScene]:
    """An ssh is called that does not come to any end."""
    run, ssh = scene.make(), scene.directory / "ssh"
    ssh.write_text('#!/bin/sh\ncase "$*" in *-G*|*-V*) exec /usr/bin/ssh "$@";; esac\ntouch "$(dirname "$0")/called"\nexec sleep 600\n')
    ssh.chmod(0o700)
    run.begin("--transport", "openssh", env={"PATH": f"{scene.directory}:{os.environ['PATH']}"})
    wait_until((scene.directory / "called").exists, 60, lambda: str(run.tail()))
    # It is called before there is a run: this is said once the manager waits.
    run.wait_for("wait")
    yield run


@contextmanager
def upload(scene: Scene) -> Iterator[LocalScene]:
    """A large input is on its way to hosts that have stopped reading."""
    with open(scene.directory / "large", "wb") as file:
        file.truncate(8 << 30)
    run = scene.make(files=["large"])
    run.begin()
    run.wait_for("launch", 2)
    scene.stop_far_side()
    yield run


@contextmanager
def silence(scene: Scene) -> Iterator[LocalScene]:
    """The hosts say nothing while jobs run there."""
    run = scene.make()
    run.begin()
    run.wait_for("started", 2)
    scene.stop_far_side()
    run.wait_for("silent", 2)
    yield run


@contextmanager
def last_outputs(scene: Scene) -> Iterator[LocalScene]:
    """All jobs are done, and a disk that does not answer has not said that their outputs are safe."""
    run, hangs = scene.make(), scene.directory / "hangs"
    hangs.touch()
    place = place_of("network/session/output_files.py", "sync_tree", "os.open")
    (scene.directory / "go").touch()
    run.begin(env={"SSHJOBS_TROUBLE": json.dumps({"place": place, "hangs": str(hangs)}),
                   "SSHJOBS_TROUBLE_CACHE": str(scene.cache), "PYTHONPATH": f"{REPOSITORY}/tests/trouble/site:{REPOSITORY}"})
    run.wait_for("done", 2)
    run.wait_for_warning("waiting until the last outputs are on the disk")
    yield run
    hangs.unlink()


WAITS: list[Callable[[Scene], AbstractContextManager[LocalScene]]] = [busy_store, handshake, upload, silence, last_outputs]


def interrupt(run: LocalScene) -> None:
    run.signal(signal.SIGINT)
    run.wait_for("interrupt")


def terminate(run: LocalScene) -> None:
    run.signal(signal.SIGTERM)
    run.wait_for("interrupt")
    assert run.ends(within=40) == 130


def cancel(run: LocalScene) -> None:
    with RunReader.open(run.paths) as reader:
        uid = reader.summary().uid
    answer = ask(uid, {"do": "cancel", "jobs": None})
    assert answer is not None and answer["ok"]


def pause(run: LocalScene) -> None:
    told = run.ask("pause", "r")
    assert told.returncode == 0, told


@pytest.mark.parametrize("say", [interrupt, terminate, cancel, pause], ids=lambda function: function.__name__)
@pytest.mark.parametrize("wait", WAITS, ids=lambda function: function.__name__)
def test_a_person_is_heard_while_the_manager_waits(wait: Callable[[Scene], AbstractContextManager[LocalScene]],
                                                   say: Callable[[LocalScene], None], scene: Scene) -> None:
    with wait(scene) as run:
        say(run)
    assert "Traceback" not in "".join(run.said())
